import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avalib.utils.boxes import (
    build_rois,
    compute_iou_matrix,
    crop_boxes,
    extend_boxes,
    flip_boxes,
    to_norm,
    to_pixels,
)

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN2 = json.loads((FOLDER / "golden2.json").read_text(encoding="utf-8"))


def test_iou_by_hand():
    a = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    b = np.array([[1.0, 0, 3, 2], [0, 0, 2, 2], [7, 7, 7, 7]])
    assert compute_iou_matrix(a, b) == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))


def test_zero_area_boxes_give_zero_not_nan():
    point = np.array([[1.0, 1, 1, 1]])
    assert compute_iou_matrix(point, point)[0, 0] == 0


def test_pixels_and_back():
    norm = np.array([[0.1, 0.2, 0.5, 0.9]], np.float32)
    px = to_pixels(norm, 340, 256)
    assert px.dtype == np.float32 and px[0] == pytest.approx([34, 51.2, 170, 230.4])
    assert to_norm(px, 340, 256) == pytest.approx(norm)


def test_crop_keeps_a_box_that_lies_outside_on_the_edge():
    cropped = crop_boxes(np.array([[200.0, 10, 220, 50], [10, 10, 50, 50]], np.float32), 0, 0, 100, 100)
    assert cropped.tolist() == [[99, 10, 99, 50], [10, 10, 50, 50]]


def test_flip_twice_is_the_same_and_the_input_is_untouched():
    px = np.array([[3.0, 4, 50, 60]], np.float32)
    assert flip_boxes(px, 100).tolist() == [[49, 4, 96, 60]]
    assert flip_boxes(flip_boxes(px, 100), 100).tolist() == px.tolist() == [[3, 4, 50, 60]]


def test_extended_boxes_are_the_originals():
    """UMT's own widened boxes, of pictures 96 x 64."""
    recorded = GOLDEN2["models"]["umt_vit_b"]
    boxes = np.load(FOLDER / "golden2.npz")["rois_vit"][recorded["row_order"]]
    expected = np.concatenate(recorded["extended_boxes"])
    assert extend_boxes(boxes[:, 1:], (0.1, 0.05), 96, 64) == pytest.approx(expected, abs=1e-5)


def test_extending_takes_tensors_too_and_leaves_them_unchanged():
    boxes = torch.tensor([[10.0, 20, 29, 39]])
    assert extend_boxes(boxes, (0.1, 0.2), 30, 90).tolist() == [[9, 18, 29, 41]]
    assert boxes.tolist() == [[10, 20, 29, 39]]


def test_rois_number_the_clips():
    rois = build_rois([np.ones((2, 4)), np.zeros((0, 4)), np.full((1, 4), 3.0)])
    assert rois.dtype == np.float32 and rois[:, 0].tolist() == [0, 0, 2] and rois.shape == (3, 5)
    assert build_rois([np.zeros((0, 4))]).shape == (0, 5)
