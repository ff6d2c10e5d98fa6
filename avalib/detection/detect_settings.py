"""What `detect` computes with, apart from the video: checked before anything is downloaded or loaded."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avalib.detection.person_boxes import PERSON_SCORE
from avalib.detection.stretches import STRETCH_LEN
from avalib.models.detector import Detector

DEFAULT_MODEL = "slowonly_r50"  # a CNN that runs on a laptop
MIN_STEP_S = 0.001


@dataclass(frozen=True)
class DetectSettings:
    """The parameters of `detect` of the same names. Raises ValueError for a number out of range.

    stretch_len: times that are computed on their own, see stretches; `detect` has the default.
    """

    model: str | Detector | None = DEFAULT_MODEL
    checkpoint: str | Path = "published"
    step: float | None = None
    start: float = 0.0
    stop: float | None = None
    detector: str = "fasterrcnn"
    detector_weights: str | Path = "coco"
    person_score: float = PERSON_SCORE
    smooth: float = 0.0
    score_threshold: float = 0.0
    batch_size: int | None = None
    device: str | torch.device = "auto"
    precision: str | torch.dtype = "auto"
    mirror: str | Path | None = None
    stretch_len: int = STRETCH_LEN

    def __post_init__(self):
        _check_number("step", self.step, "seconds above 0, at least 0.001", lambda value: value >= MIN_STEP_S)
        _check_number("start", self.start, "seconds")
        _check_number("stop", self.stop, "seconds")
        _check_number("smooth", self.smooth, "seconds, 0 or more", lambda value: value >= 0)
        _check_number("person_score", self.person_score, "a number")
        _check_number("score_threshold", self.score_threshold, "a number")
        for name in ("batch_size", "stretch_len"):
            value = getattr(self, name)
            _check_number(name, value, "a whole number from 1", lambda value: value >= 1 and value == int(value))


def _check_number(name, value, expected, is_valid=lambda value: True):
    """Raise ValueError unless an option is None or a finite number that is valid."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and is_valid(value)):
        raise ValueError(f"{name}={value!r}: expected {expected}")
