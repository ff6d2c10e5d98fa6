"""Small random ground truth and detections, and the recorded cases of the four evaluators."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
LABELS = {3: "bend/bow", 12: "stand", 20: "cook", 80: "watch"}
CASES = json.loads(gzip.decompress((Path(__file__).parents[1] / "evaluator_cases/cases.json.gz").read_bytes()))


def write_case(case, folder):
    """The files of a recorded case: ground truth, detections as an open file, label map, exclusions."""
    for name in ("gt.csv", "excluded.csv", "labelmap.pbtxt"):
        (folder / name).write_bytes(case[name].encode())
    detections = io.BytesIO(case["pred.csv"].encode())
    return folder / "gt.csv", detections, folder / "labelmap.pbtxt", folder / "excluded.csv"


def make_tables(seed=0, videos=6, digits=None):
    """Tables of ground truth and detections: people with jittered boxes.

    digits: decimals of the scores; few give equal scores, None gives none.
    """
    rng = np.random.default_rng(seed)
    gt_rows = []
    det_rows = []
    for video in range(videos):
        for second in range(902, 902 + 8):
            for person in range(rng.integers(1, 4)):
                x, y = rng.random(2) * 0.5
                box = np.array([x, y, x + 0.2 + 0.2 * rng.random(), y + 0.3 + 0.2 * rng.random()])
                actions = rng.choice(list(LABELS), rng.integers(1, 3), replace=False)
                gt_rows += [(f"v{video}", float(second), *box, action, person) for action in actions]
                if rng.random() < 0.9:
                    near = box + rng.normal(0, 0.03, 4)
                    scores = {action: rng.random() + 0.4 * (action in actions) for action in LABELS}
                    det_rows += [(f"v{video}", float(second), *near, *item) for item in scores.items()]
    det = pd.DataFrame(det_rows, columns=[*COLUMNS, "score"])
    if digits is not None:
        det["score"] = det["score"].round(digits)
    return pd.DataFrame(gt_rows, columns=[*COLUMNS, "person_id"]), det
