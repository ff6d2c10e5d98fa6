"""Person detectors as ONNX files: YOLOX, RT-DETR, D-FINE, RF-DETR, DETR and exports of torchvision.

docs/detection.md names public models that fit, and their licences.
"""

import logging
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from avalib.detection.onnx_error import OnnxDetectorError
from avalib.detection.onnx_input import GRAY, InputForm, check_input_options, prepare_picture
from avalib.detection.onnx_layouts import LAYOUTS, describe_outputs, recognize_layout
from avalib.utils.suggest import suggest

logger = logging.getLogger(__name__)

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxDetector:
    """A detector in an ONNX file: frames -> boxes and scores of people.

    Parameters
    ----------
    path : str or Path
        The file.
    layout : str, optional
        Of the outputs, a key of `onnx_layouts.LAYOUTS`; None: recognized from a trial run.
    person_class : int, optional
        The index of people among the classes; None: the layout's, COCO's.
    person_score : float, optional
        The default threshold; None: the layout's.
    resize : str, optional
        "stretch" to the input's size, "letterbox" (same aspect ratio, gray at the right and below), "short_side" (same
        aspect ratio, for inputs of any size) or "none"; None: the layout's, as for all that follows.
    size : int, optional
        Pixels, where the file leaves the input's size open: of both sides, or of the short side.
    channels : str, optional
        "rgb" or "bgr".
    scale, mean, std : float, three floats, three floats, optional
        The input is (levels * scale - mean) / std, levels 0..255, mean and std in the order of the channels.
    device : str or torch.device
        Where it runs: with "cuda" on a GPU if onnxruntime-gpu is installed.

    Raises
    ------
    ImportError
        onnxruntime is not installed.
    OnnxDetectorError
        The file cannot be read, or its inputs or outputs are none of a known layout.
    """

    def __init__(
        self,
        path: str | Path,
        layout: str | None = None,
        person_class: int | None = None,
        person_score: float | None = None,
        *,
        resize: str | None = None,
        size: int | None = None,
        channels: str | None = None,
        scale: float | None = None,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
        device: str | torch.device = "cpu",
    ):
        self.path = Path(path)
        if layout is not None and layout not in LAYOUTS:
            raise OnnxDetectorError(
                f"layout={layout!r}: expected one of {', '.join(LAYOUTS)}.{suggest(layout, LAYOUTS)}"
            )
        options = {"resize": resize, "size": size, "channels": channels, "scale": scale, "mean": mean, "std": std}
        options = {name: value for name, value in options.items() if value is not None}
        check_input_options(options)
        self._session = open_session(self.path, torch.device(device))
        self._input = _find_picture_input(self._session, self.path)
        self.layout = LAYOUTS[layout] if layout else self._recognize(options)
        self.input_form = replace(self.layout.input_form, **options)
        self.person_class = self.layout.person_class if person_class is None else person_class
        self.person_score = self.layout.person_score if person_score is None else person_score
        self.max_iou = self.layout.max_iou
        self.name = f"{self.path.name} as {self.layout.name}"
        self.description = f"{self.path.name} (ONNX, outputs as {self.layout.name})"
        # One gray frame: a wrong layout or class is an error now, not after the first clip.
        self(np.full((1, 64, 96, 3), GRAY, np.uint8))

    def __call__(self, frames: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The people in frames (n,H,W,3) uint8 RGB: for each the boxes (k,4) xyxy, 0..1, and their scores (k,)."""
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame):
        """Boxes (k,4) in fractions and scores (k,) of one frame."""
        picture, (content_height, content_width) = prepare_picture(frame, self.input_form, self._input.shape)
        outputs = self._run(picture)
        roles = self.layout.assign(outputs)
        if roles is None:
            raise OnnxDetectorError(
                f"{self.path}: the outputs are {describe_outputs(outputs)}; layout {self.layout.name!r} has "
                f"{self.layout.outputs}"
            )
        try:
            boxes, scores = self.layout.decode(roles, self.person_class, picture.shape[-2:])
        except OnnxDetectorError as error:
            raise OnnxDetectorError(f"{self.path}, layout {self.layout.name!r}: {error}") from error
        # Fractions of the part of the input that the frame fills.
        return boxes / [content_width, content_height, content_width, content_height], scores

    def _recognize(self, options):
        """The layout of the outputs for a gray picture. options: of the input, as the user gave them."""
        form = replace(InputForm("stretch"), **options)
        picture, _ = prepare_picture(np.full((640, 640, 3), GRAY, np.uint8), form, self._input.shape)
        outputs = self._run(picture)
        layout = recognize_layout(outputs)
        if layout is None:
            known = "\n".join(f"  {name}: {known.outputs}" for name, known in LAYOUTS.items())
            raise OnnxDetectorError(
                f"{self.path}: the outputs are {describe_outputs(outputs)}; no known layout has them:\n{known}\n"
                "Export the model in one of these forms, or give a callable as detector= that returns boxes and scores"
            )
        logger.info("%s: outputs as %s (%s)", self.path.name, layout.name, layout.outputs)
        return layout

    def _run(self, picture):
        """{output's name: array} for a picture (3,h,w)."""
        shape = self._input.shape
        feeds = {self._input.name: (picture if len(shape) == 3 else picture[None]).astype(_DTYPES[self._input.type])}
        height, width = picture.shape[-2:]
        for other in self._session.get_inputs():
            # RT-DETR and D-FINE scale their boxes to a size that they are given, width first: the input's own.
            if other.name == "orig_target_sizes":
                feeds[other.name] = np.array([[width, height]], np.int64)
            # DETR masks what is padding: nothing is.
            if other.name == "pixel_mask":
                feeds[other.name] = np.ones((1, height, width), np.int64)
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, feeds), strict=True))


def import_onnxruntime() -> ModuleType:
    """The module onnxruntime; ImportError that says how to install it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "a person detector as ONNX file needs onnxruntime: pip install onnxruntime (or onnxruntime-gpu)"
        ) from error
    return onnxruntime


def open_session(path: Path, device: torch.device):
    """An onnxruntime session of a file, with as many threads as torch has."""
    onnxruntime = import_onnxruntime()
    if not path.is_file():
        raise FileNotFoundError(f"detector {path}: no such file")
    providers = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        else:
            logger.warning("%s runs on the CPU: for the GPU pip install onnxruntime-gpu", path.name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime has an exception class for each kind of damage
        raise OnnxDetectorError(f"{path}: onnxruntime cannot read it: {str(error).splitlines()[0][:300]}") from error


def _find_picture_input(session, path):
    """The input that takes the picture, (1,3,h,w) or (3,h,w). Raises OnnxDetectorError if there is none."""
    inputs = session.get_inputs()
    for candidate in inputs:
        shape = candidate.shape or []
        # A free dimension is a name or None.
        if len(shape) not in (3, 4) or shape[-3] != 3 and isinstance(shape[-3], int):
            continue
        if candidate.type not in _DTYPES:
            raise OnnxDetectorError(
                f"{path}: input {candidate.name} is {candidate.type}; expected {' or '.join(_DTYPES)}"
            )
        if len(shape) == 4 and isinstance(shape[0], int) and shape[0] != 1:
            raise OnnxDetectorError(f"{path}: takes {shape[0]} pictures at once; export it for one, or any number")
        return candidate
    described = ", ".join(f"{candidate.name} {candidate.type} {candidate.shape}" for candidate in inputs)
    raise OnnxDetectorError(
        f"{path}: the inputs are {described}; expected pictures (1,3,height,width) or (3,height,width)"
    )
