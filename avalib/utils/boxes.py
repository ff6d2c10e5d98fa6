"""Box arithmetic. Every box is x1, y1, x2, y2; `boxes_px` in pixels, `boxes_norm` in fractions of the frame (0..1).

The functions take and return numpy arrays, `extend_boxes` torch tensors too; none changes its input.
Non-maximum suppression is torchvision's (`torchvision.ops.nms`), for people only: scores of actions are not suppressed.
"""

from collections.abc import Sequence

import numpy as np


def compute_areas(boxes: np.ndarray) -> np.ndarray:
    """Areas (N,) of boxes (N,4): plain (x2-x1)*(y2-y1), no +1; negative sides are not repaired."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def compute_iou_matrix(a: np.ndarray, b: np.ndarray, union_floor: float = 1e-6) -> np.ndarray:
    """Intersection over union of every box in `a` with every box in `b`.

    Parameters
    ----------
    a : (N,4)
    b : (M,4)
        In the same unit as `a`.
    union_floor : float
        The lowest union, so that two zero-area boxes give 0, not NaN (Source: mmdet 2.8 bbox_overlaps).

    Returns
    -------
    (N,M)
        0..1.
    """
    a = np.asarray(a)
    b = np.asarray(b)
    # the overlap's corners and sides (N,M,2)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    inter = sides[..., 0] * sides[..., 1]
    union = compute_areas(a)[:, None] + compute_areas(b)[None, :] - inter
    return inter / np.maximum(union, union_floor)


@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def compute_iou_pairs(a: np.ndarray, b: np.ndarray, union_floor: float | None = None) -> np.ndarray:
    """IoU (N,) float64 of boxes a[i] and b[i], both (N,4).

    Differences and areas have the arrays' own precision, the quotient is float64, as in the AVA evaluators. The union
    is floored at `union_floor` if that is not None. 0 where both areas are 0, or too large for a number.
    """
    # the overlap's sides (N,), 0 where boxes are apart
    width = np.maximum(np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0]), 0)
    height = np.maximum(np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1]), 0)
    inter = width.astype(np.float64) * height
    union = compute_areas(a) + compute_areas(b) - inter
    if union_floor is not None:
        union = np.maximum(union, union_floor)
    return np.nan_to_num(inter / union, nan=0.0, posinf=0.0, neginf=0.0)


def compute_giou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Generalized IoU (N,M), -1..1, of boxes (N,4) and (M,4): it keeps falling with distance where boxes do not touch.

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
    """
    # areas (N,M) of the smallest boxes around both, and of the overlaps
    low = np.minimum(a[:, None, :2], b[None, :, :2])
    high = np.maximum(a[:, None, 2:], b[None, :, 2:])
    hull = (high - low).prod(-1)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = sides.clip(0).prod(-1)
    union = compute_areas(a)[:, None] + compute_areas(b)[None, :] - inter
    return inter / np.maximum(union, 1e-9) - (hull - union) / np.maximum(hull, 1e-9)


def to_pixels(boxes_norm: np.ndarray, width: int, height: int) -> np.ndarray:
    """Fractions of the frame (N,4) -> float32 pixels of a frame `width` x `height` (multiplied in float64)."""
    scale = np.array([width, height, width, height], np.float64)
    return (np.asarray(boxes_norm, np.float64).reshape(-1, 4) * scale).astype(np.float32)


def to_norm(boxes_px: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels (N,4) of a frame `width` x `height` -> float32 fractions of it."""
    scale = np.array([width, height, width, height], np.float32)
    return np.asarray(boxes_px, np.float32).reshape(-1, 4) / scale


def rescale_boxes(boxes_px: np.ndarray, scale_x: float, scale_y: float) -> np.ndarray:
    """Boxes after the picture was resized by float32 factors (the two differ by the rounding of the new size)."""
    return boxes_px * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)


def crop_boxes(boxes_px: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    """Boxes in a crop's own pixels, clipped to 0..width-1 and 0..height-1 on both corners; none is dropped.

    A box wholly outside becomes a zero-area box on the crop's edge, as in the published recipe
    (Source: MMAction2 v0.10.0 RandomCrop).
    """
    shifted = boxes_px - np.array([left, top, left, top], boxes_px.dtype)
    return clip_boxes(shifted, width, height)


def clip_boxes(boxes_px: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes clipped to 0..width-1, 0..height-1."""
    limit = np.array([width - 1, height - 1, width - 1, height - 1], boxes_px.dtype)
    return np.clip(boxes_px, 0, limit)


def flip_boxes(boxes_px: np.ndarray, width: int, shift: int = 1) -> np.ndarray:
    """Boxes after a horizontal flip of a frame `width` wide: x1' = width - x2 - shift.

    Source: Flip of MMAction2; shift is 1 in v0.10.0, as in PySlowFast, and 0 in 1.x.
    """
    flipped = boxes_px.copy()
    flipped[..., 0] = width - boxes_px[..., 2] - shift
    flipped[..., 2] = width - boxes_px[..., 0] - shift
    return flipped


def extend_boxes(boxes_px, extension, width, height):
    """Boxes widened on both sides, then clipped to 0..width-1, 0..height-1.

    Source: unmasked_teacher (AlphAction's ROIAlign3d), which counts a box's sides as x2 - x1 + 1 and y2 - y1 + 1.

    Parameters
    ----------
    boxes_px : (N,4) array or tensor
    extension : two floats
        Shares of the box's width and height, half of which are added on each side.
    width, height : int
        Of the picture in pixels.

    Returns
    -------
    (N,4) array or tensor
    """
    corners = boxes_px.reshape(-1, 2, 2)  # (N, 2 corners, x and y)
    sides = corners[:, 1] - corners[:, 0] + 1  # (N,2)
    extended = corners * 1.0  # a copy
    for axis, (share, side) in enumerate(zip(extension, (width, height), strict=True)):
        margin = sides[:, axis] * share / 2
        extended[:, 0, axis] = (corners[:, 0, axis] - margin).clip(0, side - 1)
        extended[:, 1, axis] = (corners[:, 1, axis] + margin).clip(0, side - 1)
    return extended.reshape(-1, 4)


def build_rois(boxes_per_clip: Sequence[np.ndarray]) -> np.ndarray:
    """RoIs of a batch of clips, from each clip's boxes (n,4) in pixels: (N,5) float32 [batch index, x1, y1, x2, y2]."""
    rois = [np.zeros((0, 5), np.float32)]
    for i, boxes in enumerate(boxes_per_clip):
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        batch_index = np.full((len(boxes), 1), i, np.float32)
        rois.append(np.concatenate([batch_index, boxes], axis=1))
    return np.concatenate(rois)
