"""Box arithmetic. Every box is x1, y1, x2, y2; `boxes_px` in pixels, `boxes_norm` in fractions of the frame (0..1).

Works on numpy arrays; no function changes its input.
"""

import numpy as np


def compute_areas(boxes):
    """Areas (N,) of boxes (N,4): plain (x2-x1)*(y2-y1), no +1; negative sides are not repaired."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def compute_iou_matrix(a, b, union_floor=1e-6):
    """Intersection over union of every box in `a` (N,4) with every box in `b` (M,4), both in one frame: (N,M).

    The union is floored at `union_floor`, so two zero-area boxes give 0, not NaN (Source: mmdet 2.8 bbox_overlaps).
    """
    a, b = np.asarray(a), np.asarray(b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    inter = sides[..., 0] * sides[..., 1]
    union = compute_areas(a)[:, None] + compute_areas(b)[None, :] - inter
    return inter / np.maximum(union, union_floor)


@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def compute_iou_pairs(a, b, union_floor=None):
    """IoU (N,) float64 of boxes a[i] and b[i], both (N,4).

    Differences and areas have the arrays' own precision, the quotient is float64, as in the AVA evaluators. The union
    is floored at `union_floor` if that is not None. 0 where both areas are 0, or too large for a number.
    """
    width = np.maximum(np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0]), 0)
    height = np.maximum(np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1]), 0)
    inter = width.astype(np.float64) * height
    union = compute_areas(a) + compute_areas(b) - inter
    if union_floor is not None:
        union = np.maximum(union, union_floor)
    return np.nan_to_num(inter / union, nan=0.0, posinf=0.0, neginf=0.0)


def compute_giou_matrix(a, b):
    """Generalised IoU (N,M), -1..1, of boxes (N,4) and (M,4): goes on falling where boxes no longer touch.

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
    """
    low, high = np.minimum(a[:, None, :2], b[None, :, :2]), np.maximum(a[:, None, 2:], b[None, :, 2:])
    hull = (high - low).prod(-1)
    inside = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = inside.clip(0).prod(-1)
    union = compute_areas(a)[:, None] + compute_areas(b)[None, :] - inter
    return inter / np.maximum(union, 1e-9) - (hull - union) / np.maximum(hull, 1e-9)


def to_pixels(boxes_norm, width, height):
    """Fractions of the frame -> float32 pixels of a frame `width` x `height` (multiplied in float64, then rounded)."""
    scale = np.array([width, height, width, height], np.float64)
    return (np.asarray(boxes_norm, np.float64).reshape(-1, 4) * scale).astype(np.float32)


def to_norm(boxes_px, width, height):
    """Pixels of a frame `width` x `height` -> float32 fractions of it."""
    scale = np.array([width, height, width, height], np.float32)
    return np.asarray(boxes_px, np.float32).reshape(-1, 4) / scale


def rescale_boxes(boxes_px, scale_x, scale_y):
    """Boxes after the picture was resized by float32 factors (the two differ by the rounding of the new size)."""
    return boxes_px * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)


def crop_boxes(boxes_px, left, top, width, height):
    """Boxes in a crop's own pixels, clipped to 0..width-1 and 0..height-1 on both corners; none is dropped.

    A box wholly outside becomes a zero-area box on the crop's edge, as in the published recipe
    (Source: MMAction2 v0.10.0 RandomCrop).
    """
    shifted = boxes_px - np.array([left, top, left, top], boxes_px.dtype)
    return clip_boxes(shifted, width, height)


def clip_boxes(boxes_px, width, height):
    """Boxes clipped to 0..width-1, 0..height-1."""
    limit = np.array([width - 1, height - 1, width - 1, height - 1], boxes_px.dtype)
    return np.clip(boxes_px, 0, limit)


def flip_boxes(boxes_px, width):
    """Boxes after a horizontal flip of a frame `width` wide: x1' = width - x2 - 1 (Source: MMAction2 v0.10.0 Flip)."""
    flipped = boxes_px.copy()
    flipped[..., 0] = width - boxes_px[..., 2] - 1
    flipped[..., 2] = width - boxes_px[..., 0] - 1
    return flipped


def build_rois(boxes_per_clip):
    """Boxes of a batch: [(n_0,4), (n_1,4), …] pixels -> (n_0+n_1+…, 5) float32 [batch index, x1, y1, x2, y2]."""
    rows = [
        np.concatenate([np.full((len(b), 1), i, np.float32), np.asarray(b, np.float32).reshape(-1, 4)], axis=1)
        for i, b in enumerate(boxes_per_clip)
    ]
    return np.concatenate(rows) if rows else np.zeros((0, 5), np.float32)
