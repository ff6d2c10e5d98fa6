"""What the head is trained on: which boxes get which labels, the loss, and the numbers that are logged beside it.

Source: mmdet 2.8.0 MaxIoUAssigner and RandomSampler, MMAction2 v0.10.0 bbox_head.py.
"""

import numpy as np

from avalib.utils.boxes import compute_iou_matrix


def assign_boxes(proposals, ground_truth, threshold=0.9):
    """For every proposal (N,4) the index of its ground-truth box (M,4), or -1: int64 (N,). Both in pixels of one frame.

    IoU below `threshold` is negative; otherwise the best ground truth. Then every ground truth takes the proposals that
    overlap it as much as any does, if that is at least `threshold`, later ones overwriting earlier: this can beat a
    proposal's own best.
    """
    assigned = np.full(len(proposals), -1, np.int64)
    if len(proposals) == 0 or len(ground_truth) == 0:
        return assigned
    iou = compute_iou_matrix(ground_truth, proposals)  # (M,N)
    best = iou.max(axis=0)
    assigned[best >= threshold] = iou.argmax(axis=0)[best >= threshold]
    for index, row in enumerate(iou):
        if row.max() >= threshold:
            assigned[row == row.max()] = index
    return assigned


def sample_boxes(assigned, limit=32, rng=None):
    """Indices of the boxes that train: (positives, negatives), each rising; together at most `limit`.

    Up to `limit` positives at random (all if fewer), then negatives at random in what room is left.
    """
    rng = rng or np.random.default_rng()
    positives, negatives = np.flatnonzero(assigned >= 0), np.flatnonzero(assigned < 0)
    if len(positives) > limit:
        positives = np.sort(rng.choice(positives, limit, replace=False))
    room = limit - len(positives)
    if len(negatives) > room:
        negatives = np.sort(rng.choice(negatives, room, replace=False))
    return positives, negatives


def select_training_boxes(ground_truth, labels, proposals, threshold=0.9, limit=32, rng=None):
    """The boxes of one frame that train, with their targets.

    ground_truth (M,4), proposals (P,4) float32 pixels; labels (M,81) multi-hot.
    -> boxes (n,4), targets (n,81), n <= limit: positives by index (ground truths first, as positives of themselves),
    then negatives, whose targets are empty.
    """
    candidates = np.concatenate([ground_truth, proposals]).astype(np.float32)
    assigned = np.concatenate([np.arange(len(ground_truth)), assign_boxes(proposals, ground_truth, threshold)])
    positives, negatives = sample_boxes(assigned, limit, rng)
    targets = np.zeros((len(positives) + len(negatives), labels.shape[1]), np.float32)
    targets[: len(positives)] = labels[assigned[positives]]
    return candidates[np.concatenate([positives, negatives])], targets
