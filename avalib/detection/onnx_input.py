"""A frame as the input of a detector in an ONNX file: resized, padded, normalized."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from avalib.detection.onnx_error import OnnxDetectorError

GRAY = 114  # level around a letterboxed frame, as in YOLOX
RESIZES = ("stretch", "letterbox", "short_side", "none")
SIZE_MULTIPLE = 32  # of sizes that are chosen here


@dataclass(frozen=True)
class InputForm:
    """How a frame becomes a network's input."""

    resize: str  # "stretch", "letterbox" (same aspect ratio, gray at the right and below), "short_side" or "none"
    size: int = 640  # pixels, where the file leaves it open: of both sides, or of the short side
    channels: str = "rgb"  # or "bgr"
    scale: float = 1 / 255  # by which the levels 0..255 are multiplied
    mean: tuple[float, float, float] = (0, 0, 0)  # subtracted after that
    std: tuple[float, float, float] = (1, 1, 1)


def check_input_options(options: dict) -> None:
    """Raise OnnxDetectorError for a wrong option of the input."""
    for name, choices in (("resize", RESIZES), ("channels", ("rgb", "bgr"))):
        if name in options and options[name] not in choices:
            raise OnnxDetectorError(f"{name}={options[name]!r}: expected one of {', '.join(choices)}")
    for name in ("mean", "std"):
        if name in options and len(options[name]) != 3:
            raise OnnxDetectorError(f"{name}={options[name]!r}: expected three numbers, one for each channel")


def prepare_picture(frame: np.ndarray, form: InputForm, input_shape: list) -> tuple[np.ndarray, tuple[float, float]]:
    """A frame as a network's input.

    Parameters
    ----------
    frame : (H, W, 3) uint8 array
        RGB.
    form : InputForm
    input_shape : list
        Of the file's input, height and width last; what is no number is free.

    Returns
    -------
    picture : (3, h, w) float32 array
    content_shape : (float, float)
        Height and width of the part that the frame fills.
    """
    fixed = [side if isinstance(side, int) else None for side in input_shape[-2:]]
    height, width = _choose_size(frame.shape[:2], form, fixed)
    content_height, content_width = height, width
    if form.resize == "letterbox":
        ratio = min(height / frame.shape[0], width / frame.shape[1])
        content_height, content_width = (max(1, int(side * ratio)) for side in frame.shape[:2])
    # (H,W,3) -> (1,3,h,w) float, bilinear without antialias, as OpenCV does
    levels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    if (content_height, content_width) != tuple(frame.shape[:2]):
        levels = F.interpolate(levels, (content_height, content_width), mode="bilinear")
    levels = F.pad(levels, (0, width - content_width, 0, height - content_height), value=GRAY)[0].numpy()
    if form.channels == "bgr":
        levels = levels[::-1]
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (form.mean, form.std))
    return ((levels * np.float32(form.scale) - mean) / std).astype(np.float32), (content_height, content_width)


def _choose_size(frame_shape, form, fixed):
    """(height, width) of the input: the file's, else by the form."""
    if None not in fixed:
        return tuple(fixed)
    if form.resize == "none":
        return frame_shape
    if form.resize == "short_side":
        ratio = form.size / min(frame_shape)
        return tuple(max(SIZE_MULTIPLE, round(side * ratio / SIZE_MULTIPLE) * SIZE_MULTIPLE) for side in frame_shape)
    return tuple(side or form.size for side in fixed)
