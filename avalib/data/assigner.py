"""Which boxes of a frame train the head, and with which labels.

Source: mmdet 2.8.0 MaxIoUAssigner and RandomSampler, MMAction2 v0.10.0 bbox_head.py.
"""

import numpy as np

from avalib.utils.boxes import compute_iou_matrix

NEGATIVE = -1  # the assigned index of a box without ground truth


def assign_boxes(proposals: np.ndarray, ground_truth: np.ndarray, threshold: float = 0.9) -> np.ndarray:
    """Assign a ground-truth box to each proposal.

    A proposal takes its best ground truth, if their IoU is at least `threshold`. Then each ground truth takes the
    proposals that overlap it most, if that is at least `threshold`; later ones overwrite earlier ones. This can replace
    a proposal's own best.

    Parameters
    ----------
    proposals : (N,4)
        In pixels of one frame.
    ground_truth : (M,4)
        In the same pixels.
    threshold : float
        IoU.

    Returns
    -------
    (N,) int64
        The index of the ground truth, or NEGATIVE.
    """
    assigned = np.full(len(proposals), NEGATIVE, np.int64)
    if len(proposals) == 0 or len(ground_truth) == 0:
        return assigned
    iou = compute_iou_matrix(ground_truth, proposals)  # (M,N)
    # each proposal's best ground truth
    is_positive = iou.max(axis=0) >= threshold
    assigned[is_positive] = iou.argmax(axis=0)[is_positive]
    # each ground truth's best proposals; overlaps (N,). The order of the ground truths counts
    for index, overlaps in enumerate(iou):
        if overlaps.max() >= threshold:
            assigned[overlaps == overlaps.max()] = index
    return assigned


def sample_boxes(
    assigned: np.ndarray, limit: int = 32, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the boxes that train: at most `limit` positives, and negatives up to `limit` boxes in all, at random.

    Parameters
    ----------
    assigned : (N,) int64
        From `assign_boxes`.
    limit : int
        How many boxes at most.
    rng : Generator, optional
        Where they are drawn from.

    Returns
    -------
    positives, negatives : (P,) and (Q,) int64
        Indices, each ascending.
    """
    rng = rng or np.random.default_rng()
    positives = np.flatnonzero(assigned != NEGATIVE)
    negatives = np.flatnonzero(assigned == NEGATIVE)
    if len(positives) > limit:
        positives = np.sort(rng.choice(positives, limit, replace=False))
    # negatives fill what the positives leave
    max_negatives = limit - len(positives)
    if len(negatives) > max_negatives:
        negatives = np.sort(rng.choice(negatives, max_negatives, replace=False))
    return positives, negatives


def select_training_boxes(
    ground_truth: np.ndarray,
    labels: np.ndarray,
    proposals: np.ndarray,
    threshold: float = 0.9,
    limit: int = 32,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Select the boxes of one frame that train, with their targets.

    Parameters
    ----------
    ground_truth : (M,4) float32
        In pixels.
    labels : (M,81) float32
        Multi-hot.
    proposals : (P,4) float32
        In pixels.
    threshold, limit, rng
        See `assign_boxes`, `sample_boxes`.

    Returns
    -------
    boxes : (n,4) float32
        n <= limit: positives by index (ground truths first, as positives of themselves), then negatives.
    targets : (n,81) float32
        All 0 for negatives.
    """
    # the ground truths are boxes to train on too: (M+P,4)
    candidates = np.concatenate([ground_truth, proposals]).astype(np.float32)
    # (M+P,): a ground truth is assigned to itself
    assigned = np.concatenate([np.arange(len(ground_truth)), assign_boxes(proposals, ground_truth, threshold)])
    positives, negatives = sample_boxes(assigned, limit, rng)
    # (n,81): the labels of the assigned person; rows of negatives stay 0
    targets = np.zeros((len(positives) + len(negatives), labels.shape[1]), np.float32)
    targets[: len(positives)] = labels[assigned[positives]]
    return candidates[np.concatenate([positives, negatives])], targets
