"""Which times of a video a model is least sure of: the ones to correct first."""

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS

COLUMNS = ["time_s", "frame", "uncertainty", "people", "person_id", "action", "score"]


def rank_uncertain_times(detections: pd.DataFrame, min_gap_s: float = 0.0) -> pd.DataFrame:
    """Rank the times of a table of detections, the one that the model is least sure of first.

    A person's uncertainty is the sum of its actions' entropies, -p log2 p - (1 - p) log2(1 - p), in bits: 1 for a score
    of 0.5, 0 for scores of 0 and 1. A time's is that of its least certain person. The table should have all scores, as
    avalib.detect returns them.

    Parameters
    ----------
    detections : DataFrame
        What avalib.detect returned, or its csv read by pandas.
    min_gap_s : float
        Times nearer than this to a time that comes before them in the ranking are left out: neighbors look alike.

    Returns
    -------
    DataFrame
        time_s, frame, uncertainty (bits), people (how many); person_id, action and score: the least certain person, and
        of its actions the one with the score nearest to 0.5. Without detections it is empty.
    """
    if not len(detections):
        return pd.DataFrame(columns=COLUMNS)
    # The entropy of each row, then its sum over each person's actions.
    score = detections["score"].to_numpy(float).clip(1e-12, 1 - 1e-12)
    entropy = -score * np.log2(score) - (1 - score) * np.log2(1 - score)
    rows = detections.assign(uncertainty=entropy)
    keys = ["time_s", "frame", "person_id", *BOX_COLUMNS]
    people = rows.groupby(keys, as_index=False)["uncertainty"].sum()
    times = people.sort_values("uncertainty", ascending=False, kind="stable").drop_duplicates("time_s")
    times = times.merge(people.groupby("time_s").size().to_frame("people"), on="time_s")
    # Of each time's least certain person the action with the highest entropy.
    rows = rows.sort_values("uncertainty", ascending=False, kind="stable").drop_duplicates(["time_s", "person_id"])
    times = times.merge(rows[["time_s", "person_id", "action", "score"]], on=["time_s", "person_id"])
    return _drop_neighbors(times, min_gap_s)[COLUMNS].reset_index(drop=True)


def _drop_neighbors(times, min_gap_s):
    """The rows whose time is at least min_gap_s away from those of all rows before them that stay."""
    selected_times_s = []
    is_selected = []
    for time_s in times["time_s"]:
        is_far = all(abs(time_s - other_s) >= min_gap_s for other_s in selected_times_s)
        is_selected.append(is_far)
        if is_far:
            selected_times_s.append(time_s)
    return times[is_selected]
