"""Detections for tests: the annotation with its boxes moved a little and scores drawn at random; no model."""

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS


def detections(truth, seed=0, chance=0.4):
    """A detections table of a ground-truth table: every person with every action of the table, those it does scored
    0.5 to 1, the others 0 to 0.6, one in 1/chance people with a mistake: a high score for what it doesn't do."""
    rng = np.random.default_rng(seed)
    actions, rows = sorted(set(truth.action_id)), []
    for (video_id, timestamp, _), person in truth.groupby(["video_id", "timestamp", "person_id"], sort=True):
        box = (person[BOX_COLUMNS].iloc[0].to_numpy(float) + rng.normal(0, 0.01, 4)).clip(0, 1)
        does = set(person.action_id)
        wrong = rng.choice([a for a in actions if a not in does]) if rng.random() < chance else None
        for action in actions:
            score = rng.uniform(0.5, 1) if action in does else rng.uniform(0, 0.6)
            rows.append((video_id, timestamp, *box, action, 0.97 if action == wrong else score))
    return pd.DataFrame(rows, columns=["video_id", "timestamp", *BOX_COLUMNS, "action_id", "score"])
