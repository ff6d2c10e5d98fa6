"""What a person detector returned, checked and as fractions of the frame."""

from collections.abc import Sequence

import numpy as np
import torch

from avalib.detection.detected_people import DetectedPeople
from avalib.utils.boxes import to_norm
from avalib.utils.errors import AvalibError

MAX_FRACTION = 1.5  # boxes without a larger coordinate are fractions of the frame
MAX_OUTSIDE = 1.0  # by how many frames' sides a box may reach outside
EXPECTED = (
    "for each frame a pair (boxes, scores) of people: boxes (k,4) x1, y1, x2, y2 in pixels or 0..1, scores (k,) in 0..1"
)


class DetectorOutputError(AvalibError, ValueError):
    """A person detector returned something else than boxes and scores; the message says what."""


def read_detector_output(
    output: Sequence, n_frames: int, width: int, height: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Check what a person detector returned for some frames.

    Parameters
    ----------
    output : sequence
        For each frame a pair (boxes, scores), or a dict with these keys.
    n_frames : int
    width, height : int
        Of the frames, in pixels.

    Returns
    -------
    list of (boxes_norm (k,4) float64, scores (k,) float32)

    Raises
    ------
    DetectorOutputError
        It is something else.
    """
    try:
        n_returned = len(output)
    except TypeError as error:
        raise DetectorOutputError(f"detector returned {_describe(output)}; expected {EXPECTED}") from error
    if isinstance(output, (dict, str)) or n_returned != n_frames:
        raise DetectorOutputError(
            f"detector returned {_describe(output)} for {n_frames} frames; expected a list of {n_frames}: {EXPECTED}"
        )
    return [_read_frame(of_frame, i, width, height) for i, of_frame in enumerate(output)]


def _read_frame(of_frame, index, width, height):
    """(boxes_norm, scores) of one frame."""
    if isinstance(of_frame, DetectedPeople):
        of_frame = (of_frame.boxes_norm, of_frame.scores)
    if isinstance(of_frame, dict):
        of_frame = (of_frame.get("boxes"), of_frame.get("scores"))
    if not isinstance(of_frame, (tuple, list)) or len(of_frame) != 2:
        raise DetectorOutputError(f"detector, frame {index}: {_describe(of_frame)}; expected {EXPECTED}")
    boxes = _to_array(of_frame[0], "boxes", index)
    scores = _to_array(of_frame[1], "scores", index)
    if not boxes.size and not scores.size:
        return np.zeros((0, 4)), np.zeros(0, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise DetectorOutputError(
            f"detector, frame {index}: boxes {boxes.shape}, scores {scores.shape}; expected {EXPECTED}"
        )
    _check_scores(scores, index)
    # Pixels or fractions: boxes of at most a pixel are no people.
    boxes_norm = boxes if np.abs(boxes).max() <= MAX_FRACTION else to_norm(boxes, width, height).astype(float)
    _check_boxes(boxes, boxes_norm, index, width, height)
    return boxes_norm, scores.astype(np.float32)


def _to_array(values, name, index):
    """Float64 of an array, a tensor or a list."""
    try:
        if values is None:
            raise TypeError
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().double().numpy()
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DetectorOutputError(f"detector, frame {index}: {name} are {_describe(values)}, no numbers") from error
    if not np.isfinite(array).all():
        raise DetectorOutputError(f"detector, frame {index}: {name} are not all finite numbers")
    return array


def _check_scores(scores, index):
    """Raise DetectorOutputError unless scores (k,) are in 0..1."""
    outside = scores[(scores < 0) | (scores > 1 + 1e-6)]
    if len(outside):
        hint = "percent? divide by 100" if scores.min() >= 0 else "logits? apply a sigmoid or a softmax"
        raise DetectorOutputError(f"detector, frame {index}: score {outside[0]:g}; expected 0..1 ({hint})")


def _check_boxes(boxes, boxes_norm, index, width, height):
    """Raise DetectorOutputError for boxes whose corners are swapped, or that are far outside of the frame."""
    is_swapped = (boxes[:, :2] > boxes[:, 2:]).any(axis=1)
    is_outside = (boxes_norm < -MAX_OUTSIDE).any(axis=1) | (boxes_norm > 1 + MAX_OUTSIDE).any(axis=1)
    for is_wrong, expected in (
        (is_swapped, "x1 <= x2 and y1 <= y2 (center and size, or corner and size? convert them to corners)"),
        (is_outside, f"pixels of the frame as it was given, {width}x{height}, or fractions 0..1"),
    ):
        if is_wrong.any():
            box = ", ".join(f"{value:g}" for value in boxes[np.argmax(is_wrong)])
            raise DetectorOutputError(f"detector, frame {index}: box {box}; expected {expected}")


def _describe(value):
    """A value in a few words: its type, and its length or shape."""
    name = type(value).__name__
    if hasattr(value, "shape"):
        return f"{name} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple, dict)):
        return f"{name} of {len(value)}"
    return "None" if value is None else name
