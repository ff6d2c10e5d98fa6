"""The people in one picture, and what is selected from a detector's boxes."""

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import nms

DUPLICATE_IOU = 0.85  # two boxes that overlap more are one person, whatever the detector
MIN_SIDE = 1e-4  # of a box, as a fraction of the frame


@dataclass(frozen=True)
class DetectedPeople:
    """The people in one picture, from the highest score down."""

    boxes_norm: np.ndarray  # (n, 4) float64 xyxy, 0..1
    scores: np.ndarray  # (n,) float32, 0..1


def select_people(
    boxes_norm: np.ndarray, scores: np.ndarray, min_score: float, max_iou: float = DUPLICATE_IOU
) -> DetectedPeople:
    """Select from a detector's boxes: scores of at least min_score, inside the frame, each person once.

    Parameters
    ----------
    boxes_norm : (k, 4) array of float
        xyxy in fractions of the frame.
    scores : (k,) array of float
    min_score : float
    max_iou : float
        Of two boxes that overlap more the one with the higher score stays.
    """
    boxes_norm = np.clip(np.asarray(boxes_norm, np.float64).reshape(-1, 4), 0, 1)
    scores = np.asarray(scores, np.float32)
    sides = boxes_norm[:, 2:] - boxes_norm[:, :2]
    is_selected = (scores >= min_score) & (sides > MIN_SIDE).all(axis=1)
    boxes_norm = boxes_norm[is_selected]
    scores = scores[is_selected]
    # (m,) indices of the boxes that stay, by falling score
    kept = nms(torch.from_numpy(boxes_norm.astype(np.float32)), torch.from_numpy(scores), max_iou).numpy()
    return DetectedPeople(boxes_norm[kept], scores[kept])
