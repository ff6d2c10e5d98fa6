"""Frames resized so that the short side has a given length, boxes with them."""

import numpy as np
import torch
from torch.nn import functional as F

from avalib.utils.boxes import rescale_boxes


def compute_resized_shape(height, width, short_side):
    """(height, width) after the short side becomes `short_side`: int(side * short / min + 0.5)."""
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resize_frames_and_boxes(frames, boxes_px, short_side):
    """Frames (T,H,W,3) and boxes scaled so that the short side is `short_side`.

    Bilinear on uint8 without antialias, within 1 level of the OpenCV call the published weights were trained with.
    Boxes are scaled per axis by float32(new/old); the two axes differ by rounding.
    """
    height, width = frames.shape[1:3]
    new_height, new_width = compute_resized_shape(height, width, short_side)
    if (new_height, new_width) != (height, width):
        # channels-last in memory, the fast path; numpy gives a lone frame the stride 0, by which torch would miss that
        frames = torch.from_numpy(frames[0])[None] if len(frames) == 1 else torch.from_numpy(frames)
        chw = F.interpolate(frames.permute(0, 3, 1, 2), (new_height, new_width), mode="bilinear")
        frames = chw.permute(0, 2, 3, 1).contiguous().numpy()
    return frames, resize_boxes(boxes_px, (height, width), (new_height, new_width))


def resize_boxes(boxes_px, old, new):
    """Boxes (N,4) of frames that went from old to new (height, width): per axis by float32(new/old)."""
    return rescale_boxes(boxes_px, np.float32(new[1] / old[1]), np.float32(new[0] / old[0]))
