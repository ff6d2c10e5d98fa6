"""Which video and which seconds to show: those with the most different actions, annotated or correctly detected."""

import numpy as np
import pandas as pd

from avalib.utils.boxes import compute_iou_pairs

MIN_IOU = 0.5  # of a detection with the person that it has found, as in AVA's metric


def find_busiest_video(labels: pd.DataFrame) -> str:
    """Find the video with the most different actions.

    Parameters
    ----------
    labels : DataFrame
        Ground truth, or a part of it: video_id, action_id.

    Returns
    -------
    str
        Its video_id.
    """
    return labels.groupby("video_id", observed=True).action_id.nunique().idxmax()


def find_busiest_start(labels: pd.DataFrame, seconds: float) -> float:
    """The second of one video from which on the most different actions, then labels, are within `seconds`."""
    times = np.unique(labels.timestamp)
    # A stretch of `seconds` from each annotated second on; the first of the busiest ones wins.
    activity = []  # (different actions, labels) from each annotated second on
    for time in times:
        stretch = labels[labels.timestamp.between(time, time + seconds, inclusive="left")]
        activity.append((stretch.action_id.nunique(), len(stretch)))
    return float(times[activity.index(max(activity))])


def select_detected_labels(truth: pd.DataFrame, detections: pd.DataFrame, min_score: float = 0.3) -> pd.DataFrame:
    """Select the annotated actions that a model has detected: same person (IoU 0.5), same action, same time.

    Parameters
    ----------
    truth : DataFrame
        Ground truth: video_id, timestamp, x1, y1, x2, y2, action_id.
    detections : DataFrame
        The same columns, and score.
    min_score : float
        Detections with a lower score do not count.

    Returns
    -------
    DataFrame
        Rows of `truth`, in its order.
    """
    keys = ["video_id", "timestamp", "action_id"]
    corners = ["x1", "y1", "x2", "y2"]
    # every pair of an annotated and a detected action of one time
    annotated = truth[keys + corners].assign(row=np.arange(len(truth)))
    detected = detections.loc[detections.score >= min_score, keys + corners]
    pairs = annotated.merge(detected, on=keys, suffixes=("", "_detected"))
    # those of one person
    boxes = pairs[corners].to_numpy(float)
    detected_boxes = pairs[[f"{corner}_detected" for corner in corners]].to_numpy(float)
    rows = pairs.row[compute_iou_pairs(boxes, detected_boxes) >= MIN_IOU].unique()
    return truth.iloc[np.sort(rows)]
