"""Detect people in pictures with torchvision's detectors, an ONNX file, or a function of the user's own."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from avalib.detection.detected_people import DUPLICATE_IOU, DetectedPeople, select_people
from avalib.detection.detector_output import read_detector_output
from avalib.detection.onnx_detector import OnnxDetector
from avalib.detection.person_boxes import PERSON_SCORE
from avalib.detection.torchvision_detectors import TorchvisionDetector, choose_detector
from avalib.utils.device import choose_precision
from avalib.utils.errors import AvalibError

logger = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "failed to allocate memory")


class DetectorMemoryError(AvalibError):
    """The person detector does not fit into memory, even with one picture at once."""


class PersonDetector:
    """Detects people in pictures.

    Parameters
    ----------
    detect_boxes : callable
        Frames (n,H,W,3) uint8 RGB -> for each frame boxes (k,4) and scores (k,), see `load_person_detector`. It may
        have the attributes `person_score` (its default threshold), `max_iou` (of two people) and `description`.
    person_score : float, optional
        People with a lower score are left out; None: the detector's own, else PERSON_SCORE.

    Attributes
    ----------
    person_score : float
    name : str
    description : str
        For notes: which detector, and its published accuracy.
    """

    def __init__(self, detect_boxes: Callable, person_score: float | None = None):
        self.detect_boxes = detect_boxes
        if person_score is None:
            person_score = getattr(detect_boxes, "person_score", PERSON_SCORE)
        self.person_score = person_score
        self.max_iou = getattr(detect_boxes, "max_iou", DUPLICATE_IOU)
        self.name = getattr(detect_boxes, "name", getattr(detect_boxes, "__qualname__", type(detect_boxes).__name__))
        self.description = getattr(detect_boxes, "description", f"{self.name}, given as detector=")

    def __call__(self, pictures: list[np.ndarray], min_score: float | None = None) -> list[DetectedPeople]:
        """Detect the people in each of some pictures.

        Parameters
        ----------
        pictures : list of (H, W, 3) uint8 arrays
            RGB, of any sizes.
        min_score : float, optional
            People with a lower score are left out; None: person_score.

        Returns
        -------
        list of DetectedPeople
            One for each picture.
        """
        min_score = self.person_score if min_score is None else min_score
        people = []
        for frames in stack_pictures(pictures):
            height, width = frames.shape[1:3]
            for boxes_norm, scores in read_detector_output(self._run(frames), len(frames), width, height):
                people.append(select_people(boxes_norm, scores, min_score, self.max_iou))
        return people

    def _run(self, frames):
        """The detector's output for frames (n,H,W,3); in halves where memory does not suffice for all at once."""
        try:
            return self.detect_boxes(frames)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(frames) == 1:
                height, width = frames.shape[1:3]
                raise DetectorMemoryError(
                    f"person detector {self.description}: out of memory with one picture of {width}x{height}; use a "
                    "smaller one (detector='fasterrcnn_mobilenet_320'), device='cpu', or boxes of your own (boxes=…)"
                ) from error
        # Outside of the handler, whose traceback would keep the tensors in memory.
        half = len(frames) // 2
        logger.warning("the person detector is out of memory with %d pictures at once; now %d", len(frames), half)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return [*self._run(frames[:half]), *self._run(frames[half:])]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, onnxruntime or Python says that memory does not suffice."""
    is_memory_error = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return is_memory_error or any(text in str(error).lower() for text in _OUT_OF_MEMORY)


def stack_pictures(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Stack neighboring pictures of one size: a list of (n,H,W,3), in the same order."""
    stacks = []
    for picture in pictures:
        if stacks and stacks[-1][0].shape == picture.shape:
            stacks[-1].append(picture)
        else:
            stacks.append([picture])
    return [np.stack(stack) for stack in stacks]


def load_person_detector(
    detector: str | Path | Callable = "auto",
    weights: str | Path | None = "coco",
    person_score: float | None = None,
    device: str | torch.device = "cpu",
    precision: str | torch.dtype = "auto",
    mirror: str | Path | None = None,
    progress: bool = True,
) -> PersonDetector:
    """Load a person detector.

    Parameters
    ----------
    detector : str, Path or callable
        - "auto": "fasterrcnn" on a CUDA GPU, else the fast "fasterrcnn_mobilenet_320";
        - a name of `torchvision_detectors.DETECTORS`, or torchvision's name of it;
        - a file that ends in .onnx, see `OnnxDetector`;
        - a callable, such as an `OnnxDetector` with options: it gets frames (n,H,W,3) uint8 RGB and returns, for each
          of the n frames, a pair (boxes, scores) or a dict with these keys: boxes (k,4) xyxy in pixels of the frame or
          all in 0..1, scores (k,) in 0..1, of people alone. Arrays, tensors or lists.
    weights : str, Path or None
        Of torchvision's detectors, see `build_torchvision_detector`.
    person_score : float, optional
        People with a lower score are left out; None: the detector's default.
    device : str or torch.device
    precision : str or torch.dtype
        Of torchvision's detectors, see `choose_precision`.
    mirror, progress
        See `build_torchvision_detector`.

    Returns
    -------
    PersonDetector

    Raises
    ------
    ValueError
        There is no detector of this name.
    OnnxDetectorError, DownloadError, CheckpointError
        The file, or the weights, cannot be read.
    """
    if callable(detector):
        return PersonDetector(detector, person_score)
    if not isinstance(detector, (str, Path)):
        raise ValueError(
            f"detector={detector!r}: expected a name, an ONNX file or a callable, not {type(detector).__name__}"
        )
    if str(detector).lower().endswith(".onnx"):
        return PersonDetector(OnnxDetector(detector, device=device), person_score)
    name = choose_detector(str(detector), device).name
    dtype = choose_precision(precision, torch.device(device))
    network = TorchvisionDetector(name, weights, device, dtype, mirror=mirror, progress=progress)
    return PersonDetector(network, person_score)
