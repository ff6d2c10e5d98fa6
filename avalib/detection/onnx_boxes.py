"""Boxes of people from the outputs of detectors. Inputs are of one picture; boxes come as xyxy in input pixels.

Each function takes the outputs {role: array}, the index of the class person, and the input's (height, width), and
returns boxes (k,4) float64 and scores (k,) float64.
"""

import numpy as np

from avalib.detection.onnx_error import OnnxDetectorError

YOLOX_STRIDES = (8, 16, 32)
MAX_LOG_SIZE = 12.0  # of YOLOX's sizes: exp() of more is no box
MIN_SCORE = 0.01  # rows with lower scores are dropped before the slow steps


def decode_yolox(outputs, person_class, input_shape):
    """YOLOX's rows (A,5+C): center x and y, width, height, objectness, classes, the last two in 0..1.

    Exported with or without --decode_in_inference: decoded centers are near their cells, raw ones are offsets in cells.

    Source: YOLOX, models/yolo_head.py, decode_outputs.
    """
    rows = np.asarray(outputs["rows"], np.float64)
    _check_class(person_class, rows.shape[1] - 5)
    cells, strides = _build_yolox_cells(*input_shape)
    if len(rows) != len(cells):
        raise OnnxDetectorError(
            f"{len(rows)} rows for an input of {input_shape[1]}x{input_shape[0]}; YOLOX with strides 8, 16, 32 has "
            f"{len(cells)} (other YOLO versions are not supported)"
        )
    scores = rows[:, 4] * rows[:, 5 + person_class]
    centers = rows[:, :2]
    sizes = rows[:, 2:4]
    # Both readings as distances from the cells' middles, in cells: the right one is near.
    raw_distance = np.abs(centers - 0.5).mean()
    decoded_distance = np.abs(centers / strides - cells - 0.5).mean()
    if raw_distance < decoded_distance:
        centers = (centers + cells) * strides
        sizes = np.exp(np.minimum(sizes, MAX_LOG_SIZE)) * strides
    is_likely = scores >= MIN_SCORE
    return _to_corners(centers[is_likely], sizes[is_likely]), scores[is_likely]


def _build_yolox_cells(height, width):
    """Cells (A,2) x and y, and their strides (A,1), in YOLOX's order."""
    cells = []
    strides = []
    for stride in YOLOX_STRIDES:
        ys, xs = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
        strides.append(np.full((xs.size, 1), stride))
    return np.concatenate(cells).astype(float), np.concatenate(strides).astype(float)


def decode_sigmoid_queries(outputs, person_class, input_shape):
    """Logits (Q,C), one sigmoid each, and boxes (Q,4) center and size in 0..1, as RT-DETR, D-FINE and RF-DETR."""
    logits = np.asarray(outputs["logits"], np.float64)
    _check_class(person_class, logits.shape[1])
    scores = 1 / (1 + np.exp(-np.clip(logits[:, person_class], -60, 60)))
    return _scale_queries(outputs["boxes"], input_shape), scores


def decode_softmax_queries(outputs, person_class, input_shape):
    """Logits (Q,C+1), softmax, the last one for nothing, and boxes (Q,4) center and size in 0..1, as DETR."""
    logits = np.asarray(outputs["logits"], np.float64)
    _check_class(person_class, logits.shape[1] - 1)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = exponentials[:, person_class] / exponentials.sum(axis=1)
    return _scale_queries(outputs["boxes"], input_shape), scores


def _scale_queries(boxes, input_shape):
    """Boxes (Q,4) center and size in 0..1 -> xyxy in input pixels."""
    height, width = input_shape
    boxes = np.asarray(boxes, np.float64) * [width, height, width, height]
    return _to_corners(boxes[:, :2], boxes[:, 2:])


def decode_labels(outputs, person_class, input_shape):
    """Labels (k,), scores (k,) and boxes (k,4) xyxy in input pixels."""
    is_person = outputs["labels"] == person_class
    return np.asarray(outputs["boxes"], np.float64)[is_person], np.asarray(outputs["scores"], np.float64)[is_person]


def _to_corners(centers, sizes):
    """Centers (k,2) and sizes (k,2) -> boxes (k,4) xyxy."""
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def _check_class(person_class, n_classes):
    """Raise OnnxDetectorError unless the outputs have the class."""
    if not 0 <= person_class < n_classes:
        raise OnnxDetectorError(f"person_class={person_class}: the file has {n_classes} classes, from 0")
