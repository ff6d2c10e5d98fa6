"""Frames resized: for networks to a short side, boxes with them; for pictures to a width."""

import numpy as np
from PIL import Image

from avalib.utils.boxes import rescale_boxes


def compute_resized_shape(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after the short side becomes `short_side`: int(side * short_side / min + 0.5)."""
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resize_frames_and_boxes(frames: np.ndarray, boxes_px: np.ndarray, short_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale frames and their boxes so that the short side is `short_side`.

    Bilinear on uint8 without antialias, within 1 level of the OpenCV call the published weights were trained with.
    Boxes are scaled per axis by float32(new/old); the two axes differ by rounding.

    Parameters
    ----------
    frames : (T,H,W,3) uint8
    boxes_px : (N,4) float32
        x1, y1, x2, y2 in pixels.
    short_side : int
        Pixels.

    Returns
    -------
    frames : (T,h,w,3) uint8
    boxes_px : (N,4) float32
    """
    old_shape = frames.shape[1:3]
    new_shape = compute_resized_shape(*old_shape, short_side)
    return resize_frames(frames, new_shape), resize_boxes(boxes_px, old_shape, new_shape)


def resize_frames(frames: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Frames (T,H,W,3) uint8 at another (height, width), as `resize_frames_and_boxes` scales them."""
    if frames.shape[1:3] == shape:
        return frames
    import torch  # not needed by those who only read frames
    from torch.nn import functional as F

    # channels-last in memory, the fast path; numpy gives a lone frame the stride 0, by which torch would miss that
    frames = torch.from_numpy(frames[0])[None] if len(frames) == 1 else torch.from_numpy(frames)
    chw = F.interpolate(frames.permute(0, 3, 1, 2), shape, mode="bilinear")
    return chw.permute(0, 2, 3, 1).contiguous().numpy()


def resize_frame(frame: np.ndarray, short_side: int) -> np.ndarray:
    """One frame (H,W,3) uint8 scaled so that the short side is `short_side`."""
    frames, _ = resize_frames_and_boxes(frame[None], np.zeros((0, 4), np.float32), short_side)
    return frames[0]


def resize_boxes(boxes_px: np.ndarray, old_shape: tuple[int, int], new_shape: tuple[int, int]) -> np.ndarray:
    """Boxes (N,4) of frames that went from one (height, width) to another: per axis by float32(new/old)."""
    return rescale_boxes(boxes_px, np.float32(new_shape[1] / old_shape[1]), np.float32(new_shape[0] / old_shape[0]))


def resize_to_width(frame: np.ndarray, width: int | None) -> np.ndarray:
    """A frame (H,W,3) uint8 at another width, of the same aspect ratio, by Lanczos; width None: unchanged."""
    if width is None or width == frame.shape[1]:
        return frame
    # the height follows, at least one row
    size = (int(width), max(1, round(frame.shape[0] * width / frame.shape[1])))
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.LANCZOS))


def fit_picture(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame (H,W,3) uint8 in the middle of a black picture (height,width,3), as large as fits, not distorted."""
    if frame.shape[:2] == (height, width):
        return frame
    scale = min(height / frame.shape[0], width / frame.shape[1])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    resized = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BILINEAR))
    top = (height - resized.shape[0]) // 2
    left = (width - resized.shape[1]) // 2
    picture = np.zeros((height, width, 3), np.uint8)
    picture[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return picture
