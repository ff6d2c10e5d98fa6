"""Average precision (AP) of one action, also with resampled videos.

The mAP, the mean of the actions' APs, is `Report.mAP` in report.py. `ranking.rank_detections` makes the rankings by
which the APs are computed here.
"""

from collections.abc import Iterable

import numpy as np

from avalib.evaluation.ranking import Ranking

_MAX_CELLS = 1 << 24  # numbers held at once in a bootstrap


def find_pr_steps(true: np.ndarray, scores: np.ndarray, grouped: bool) -> np.ndarray:
    """Find the indices (P,) into a ranking after which precision and recall are read.

    These are the true positives or, if grouped, the last detection of each score that has a true positive. No other
    point can raise the envelope of the precision.
    """
    hits = np.flatnonzero(true)
    if not grouped or not len(hits):
        return hits
    # the last detection of each score, then the one at or after each hit
    score_ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    return np.unique(score_ends[np.searchsorted(score_ends, hits)])


def compute_average_precision(true: np.ndarray, scores: np.ndarray, n_gt: int, grouped: bool = False) -> float:
    """Compute the area under the envelope of the precision-recall curve (VOC, all points).

    Parameters
    ----------
    true : (N,) bool
        Whether each detection is a true positive, by falling score.
    scores : (N,) float
    n_gt : int
        Number of ground-truth boxes.
    grouped : bool
        Whether detections of one score enter together.

    Returns
    -------
    float
        0..1; NaN without ground truth.
    """
    if n_gt == 0:
        return np.nan
    # true positives and precision at each of the P steps
    steps = find_pr_steps(true, scores, grouped)
    n_true = np.cumsum(true)[steps]
    precision = n_true / (steps + 1)
    # the envelope: the highest precision at this recall or a higher one
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    # each step's gain of recall, times the envelope there
    return float((np.diff(n_true, prepend=0) * envelope).sum() / n_gt)


def compute_resampled_ap(
    ranking: Ranking, true: np.ndarray, video: np.ndarray, draws: np.ndarray, grouped: bool, undetected: float
) -> np.ndarray:
    """Compute the average precision with each video counted as often as it is drawn.

    Parameters
    ----------
    ranking : Ranking
    true : (N,) bool
        The ranking's true positives at one IoU threshold.
    video : (D,) int
        The video number of each row in the table of detections.
    draws : (V,n) float
        How often each video is drawn, in each of n draws.
    grouped : bool
        Whether detections of one score enter together.
    undetected : float
        The AP without detections.

    Returns
    -------
    (n,) float
        NaN in a draw without ground truth.
    """
    # (V,) @ (V,n): ground-truth boxes in each draw (n,)
    n_gt = ranking.gt_video @ draws
    if not len(ranking.rows):
        return np.where(n_gt > 0, undetected, np.nan)
    det_video = video[ranking.rows]
    steps = find_pr_steps(true, ranking.scores, grouped)
    n_videos, n_draws = draws.shape

    # where they fit into memory: the detections and true positives of each video up to each step, (P,V) each
    by_video = (len(steps) + 1) * n_videos <= _MAX_CELLS
    if by_video:
        detections_by_video = _count_up_to_steps(steps, det_video, n_videos)
        true_by_video = _count_up_to_steps(steps, det_video, n_videos, weights=true)

    ap = np.empty(n_draws)
    width = max(1, min(64, _MAX_CELLS // (len(ranking.rows) + 1)))
    # a few draws at a time bound the memory
    for start in range(0, n_draws, width):
        part = slice(start, start + width)
        # (P,width) true positives and detections up to each step, as often as their videos are drawn
        if by_video:
            n_true = true_by_video @ draws[:, part]
            n_detections = detections_by_video @ draws[:, part]
        else:
            weights = draws[det_video, part]  # (N,width) how often each detection is drawn
            n_true = (weights * true[:, None]).cumsum(axis=0)[steps]
            n_detections = weights.cumsum(axis=0)[steps]
        precision = n_true / np.maximum(n_detections, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        ap[part] = (np.diff(n_true, axis=0, prepend=0) * envelope).sum(axis=0)
    return np.divide(ap, n_gt, out=np.full(n_draws, np.nan), where=n_gt > 0)


def _count_up_to_steps(steps, video, n_videos, weights=None):
    """The (weighted) number of detections (P,V) float64 of each video that are ranked up to each step."""
    # the first step that includes each detection; detections behind the last step get a row of their own
    step = np.searchsorted(steps, np.arange(len(video)))
    shape = (len(steps) + 1, n_videos)
    # step and video as one number
    counts = np.bincount(step * n_videos + video, weights, minlength=shape[0] * shape[1]).reshape(shape)
    return counts[:-1].cumsum(axis=0).astype(np.float64)


def compute_mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
