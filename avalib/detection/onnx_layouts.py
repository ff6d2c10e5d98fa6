"""The outputs of public detectors as ONNX files: how to recognize them, and what their networks expect as input."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avalib.detection import onnx_boxes
from avalib.detection.onnx_input import InputForm

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class OnnxLayout:
    """One way in which detectors give their boxes."""

    name: str
    outputs: str  # for messages
    assign: Callable  # {output's name: array} -> {role: array}, or None where it is another layout
    decode: Callable  # (roles, index of person, (height, width) of the input) -> boxes (k,4) in input pixels, scores
    input_form: InputForm
    person_class: int
    person_score: float  # the default threshold
    max_iou: float = 0.85  # of two people


def assign_yolox(outputs):
    """One output (1,A,5+C), with a row for each cell of the strides 8, 16 and 32."""
    arrays = list(outputs.values())
    if len(arrays) == 1 and arrays[0].ndim == 3 and 6 <= arrays[0].shape[2] < arrays[0].shape[1]:
        return {"rows": arrays[0][0]}
    return None


def assign_queries(n_classes):
    """A function that recognizes logits (1,Q,n_classes) and boxes (1,Q,4); others may be there."""

    def assign(outputs):
        logits = [array for array in outputs.values() if array.ndim == 3 and array.shape[2] == n_classes]
        named_boxes = [array for name, array in outputs.items() if array.ndim == 3 and array.shape[2] == 4]
        if len(logits) == 1 and len(named_boxes) == 1 and logits[0].shape[1] == named_boxes[0].shape[1]:
            return {"logits": logits[0][0], "boxes": named_boxes[0][0]}
        return None

    return assign


def assign_labels(n_dims):
    """A function that recognizes whole-number labels, scores and boxes; n_dims: of labels."""

    def assign(outputs):
        labels = [array for array in outputs.values() if array.ndim == n_dims and array.dtype.kind in "iu"]
        scores = [array for array in outputs.values() if array.ndim == n_dims and array.dtype.kind == "f"]
        boxes = [array for array in outputs.values() if array.ndim == n_dims + 1 and array.shape[-1] == 4]
        if len(outputs) != 3 or not len(labels) == len(scores) == len(boxes) == 1:
            return None
        roles = {"labels": labels[0], "scores": scores[0], "boxes": boxes[0]}
        return roles if n_dims == 1 else {role: array[0] for role, array in roles.items()}

    return assign


_YOLOX_INPUT = InputForm("letterbox", 640, "bgr", 1.0)
_IMAGENET_STRETCH = InputForm("stretch", 560, mean=IMAGENET_MEAN, std=IMAGENET_STD)

# Sources: the export scripts and image processors of YOLOX, RT-DETR and D-FINE, RF-DETR, Hugging Face's DETR, and
# torchvision.
LAYOUTS = {
    layout.name: layout
    for layout in (
        OnnxLayout(
            "yolox",
            "one output (1,A,5+C): center and size, objectness, classes; whether decoded is measured",
            assign_yolox,
            onnx_boxes.decode_yolox,
            _YOLOX_INPUT,
            person_class=0,
            person_score=0.3,
            max_iou=0.45,
        ),
        OnnxLayout(
            "rtdetr",
            "logits (1,Q,80) and boxes (1,Q,4), center and size in 0..1",
            assign_queries(80),
            onnx_boxes.decode_sigmoid_queries,
            InputForm("stretch", 640),
            person_class=0,
            person_score=0.45,
        ),
        OnnxLayout(
            "rfdetr",
            "logits (1,Q,91) and boxes (1,Q,4), center and size in 0..1",
            assign_queries(91),
            onnx_boxes.decode_sigmoid_queries,
            _IMAGENET_STRETCH,
            person_class=1,
            person_score=0.45,
        ),
        OnnxLayout(
            "detr",
            "logits (1,Q,92), the last one for nothing, and boxes (1,Q,4), center and size in 0..1",
            assign_queries(92),
            onnx_boxes.decode_softmax_queries,
            InputForm("short_side", 800, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            person_class=1,
            person_score=0.7,
        ),
        OnnxLayout(
            "rtdetr_postprocessed",
            "labels (1,Q) whole numbers, boxes (1,Q,4) x1, y1, x2, y2 in pixels, scores (1,Q)",
            assign_labels(2),
            onnx_boxes.decode_labels,
            InputForm("stretch", 640),
            person_class=0,
            person_score=0.45,
        ),
        OnnxLayout(
            "torchvision",
            "boxes (k,4) x1, y1, x2, y2 in pixels, labels (k,) whole numbers, scores (k,)",
            assign_labels(1),
            onnx_boxes.decode_labels,
            InputForm("none"),
            person_class=1,
            person_score=0.5,
        ),
    )
}


def recognize_layout(outputs: dict[str, np.ndarray]) -> OnnxLayout | None:
    """The layout that a file's outputs have; None if it is none of LAYOUTS. outputs: {name: array} of one picture."""
    for layout in LAYOUTS.values():
        if layout.assign(outputs) is not None:
            return layout
    return None


def describe_outputs(outputs: dict[str, np.ndarray]) -> str:
    """A file's outputs in words, for messages."""
    return ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in outputs.items())
