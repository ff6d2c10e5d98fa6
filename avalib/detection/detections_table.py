"""What was detected in a video, as a table: one row per time, person and action."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.files import write_table

COLUMNS = ["time_s", "frame", "person_id", *BOX_COLUMNS, "action_id", "action", "score"]
_ROUNDING_S = 1e-6  # two times that are nearer are the same


@dataclass(frozen=True)
class FrameResult:
    """The people at one time of a video, at least one, and their scores."""

    time_s: float  # from the video's first frame
    frame: int  # the native frame (0, 1, …) that is shown then
    person_ids: np.ndarray | None  # (n,) int64; None before people are tracked
    boxes: np.ndarray  # (n, 4) float64 xyxy, 0..1
    scores: np.ndarray  # (n, C) float32, 0..1; column i is action_id i


def build_table(
    results: list[FrameResult], label_map: dict[int, str], smooth_s: float = 0.0, score_threshold: float = 0.0
) -> pd.DataFrame:
    """Build the table of detections.

    Parameters
    ----------
    results : list of FrameResult
        In order of time.
    label_map : dict
        {action_id: name} of the actions that the table has.
    smooth_s : float
        Average scores along a person's track over this many seconds, see `smooth_scores`.
    score_threshold : float
        Rows with a lower score are left out.

    Returns
    -------
    DataFrame
        COLUMNS, ordered by time, person, action.
    """
    actions = np.array(sorted(label_map), np.int64)  # (A,)
    # One row per person and time (P): the results one behind the other.
    # time and frame of each result repeated (P,), ids (P,), boxes (P,4), scores of the label map's actions (P,A).
    counts = [len(result.person_ids) for result in results]
    time_s = np.repeat([result.time_s for result in results], counts).astype(float)
    frames = np.repeat([result.frame for result in results], counts).astype(np.int64)
    person_ids = _concatenate([result.person_ids for result in results], (0,)).astype(np.int64)
    boxes = _concatenate([result.boxes for result in results], (0, 4))
    scores = _concatenate([result.scores[:, actions] for result in results], (0, len(actions)))  # (P, A)
    # The mean over each person's track.
    if smooth_s:
        scores = smooth_scores(scores, time_s, person_ids, smooth_s)

    # One row per person, time and action whose score is high enough (N).
    # person indexes the P rows, action the A actions.
    person, action = np.nonzero(scores >= score_threshold)
    names = np.array([label_map[action_id] for action_id in actions.tolist()], object)
    columns = {"time_s": time_s[person], "frame": frames[person], "person_id": person_ids[person]}
    columns |= dict(zip(BOX_COLUMNS, boxes[person].T, strict=True))
    columns |= {"action_id": actions[action], "action": names[action]}
    columns["score"] = scores[person, action].astype(float)
    return pd.DataFrame(columns)[COLUMNS]


def _concatenate(arrays, empty_shape):
    """np.concatenate that also takes an empty list."""
    return np.concatenate(arrays) if arrays else np.zeros(empty_shape)


def smooth_scores(scores: np.ndarray, time_s: np.ndarray, person_ids: np.ndarray, seconds: float) -> np.ndarray:
    """Average scores along each person's track.

    Parameters
    ----------
    scores : (P, A) array of float
    time_s : (P,) array of float
    person_ids : (P,) array of int
    seconds : float
        Every score becomes the mean over the person's rows within seconds / 2 before and after it.

    Returns
    -------
    (P, A) array, of the dtype of `scores`
    """
    # A time exactly half a window away counts, in spite of rounding.
    smoothed = np.empty_like(scores)
    half = seconds / 2 + _ROUNDING_S
    for person_id in np.unique(person_ids):
        # The person's n rows, in the order of time.
        rows = np.flatnonzero(person_ids == person_id)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        times = time_s[rows]
        # Differences of cumulative sums (n+1, A) are the sums over windows of rows.
        sums = np.zeros((len(rows) + 1, scores.shape[1]))
        np.cumsum(scores[rows], axis=0, dtype=np.float64, out=sums[1:])
        # The window of each row: rows first .. stop-1, (n,) each.
        first = np.searchsorted(times, times - half)
        stop = np.searchsorted(times, times + half, side="right")
        smoothed[rows] = (sums[stop] - sums[first]) / (stop - first)[:, None]
    return smoothed


def write_detections(table: pd.DataFrame, path: str | Path) -> Path:
    """Write the table of `detect` as csv, times to the millisecond, boxes and scores to five digits.

    Returns the path.
    """
    return write_table(round_numbers(table), path)


def round_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `detect` as a csv has it: times to the millisecond, boxes and scores to five digits, as text."""
    rounded = {"time_s": table["time_s"].map("{:.3f}".format)}
    for column in (*BOX_COLUMNS, "score"):
        rounded[column] = table[column].map("{:.5g}".format)
    return table.assign(**rounded)
