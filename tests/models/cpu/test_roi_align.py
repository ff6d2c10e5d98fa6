"""The matrix form of RoIAlign against torchvision's operator: values and gradients."""

import dataclasses

import pytest
import torch
from torchvision.ops import roi_align

from avalib import zoo
from avalib.models.cpu.roi_align import FastRoIHead, roi_align_by_matmul
from avalib.models.roi_head import RoIHead

SCALE = 1 / 16


def draw_rois(count, height, width, generator):
    """Boxes of every kind: inside, across the border, outside, without width or height, the whole picture."""
    corners = torch.rand(count, 4, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    boxes = corners * torch.tensor([width, height, width, height], dtype=torch.float64)
    boxes = torch.cat([boxes[:, :2].minimum(boxes[:, 2:]), boxes[:, :2].maximum(boxes[:, 2:])], dim=1)
    boxes[0, 2] = boxes[0, 0]
    boxes[1, 3] = boxes[1, 1]
    boxes[2] = torch.tensor([0.0, 0, width, height])
    clip = torch.randint(0, 2, (count, 1), generator=generator).double()
    return torch.cat([clip, boxes], dim=1)


@pytest.mark.parametrize(("size", "aligned"), [(8, True), (7, False)])
@pytest.mark.parametrize(("height", "width"), [(64, 80), (96, 128), (256, 340)])
def test_values_and_gradients_are_the_operators(height, width, size, aligned):
    generator = torch.Generator().manual_seed(height)
    shape = (2, 5, -(-height // 16), -(-width // 16))
    maps = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = draw_rois(200, height, width, generator)
    actual = roi_align_by_matmul(maps, rois, SCALE, size, aligned)
    expected = roi_align(maps, rois, size, SCALE, sampling_ratio=0, aligned=aligned)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    grad = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (expected_grad,) = torch.autograd.grad(expected, maps, grad)
    (actual_grad,) = torch.autograd.grad(actual, maps, grad)
    torch.testing.assert_close(actual_grad, expected_grad, rtol=0, atol=1e-11)


def test_a_box_without_width_has_no_features():
    rois = torch.tensor([[0.0, 20, 10, 20, 60]])
    assert roi_align_by_matmul(torch.ones(1, 3, 6, 8), rois, SCALE).eq(0).all()


def test_no_boxes():
    maps = torch.randn(1, 3, 4, 5, requires_grad=True)
    assert roi_align_by_matmul(maps, torch.zeros(0, 5), SCALE).shape == (0, 3, 8, 8)


def test_autocast_does_not_round_it():
    maps = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rois = torch.tensor([[0.0, 10, 20, 90, 80]])
    with torch.autocast("cpu", torch.bfloat16):
        actual = roi_align_by_matmul(maps, rois, SCALE)
    torch.testing.assert_close(actual, roi_align(maps, rois, 8, SCALE, 0, True), rtol=0, atol=1e-5)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("changes", [{}, {"temporal_pool": "max"}, {"roi_size": 7, "roi_aligned": False}], ids=str)
def test_the_head_has_the_plain_heads_features(requires_grad, context, changes):
    entry = dataclasses.replace(zoo.get("slowonly_r50"), context=context, **changes)
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, c, t, 4, 5, generator=generator, requires_grad=requires_grad) for c, t in ((6, 4), (2, 8))]
    rois = torch.tensor([[0, 0, 0, 40, 30], [1, 8, 4, 20, 30.0]])
    expected = RoIHead(8, entry).extract_roi_features(maps, rois)
    actual = FastRoIHead(8, entry).extract_roi_features(maps, rois)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_training_on_a_cpu_takes_the_matrix_form():
    features = torch.randn(1, 8, 4, 5, requires_grad=True)
    aligned = FastRoIHead(8, zoo.get("slowonly_r50")).align(features, torch.tensor([[0, 0, 0, 40, 30.0]]))
    assert "RoiAlign" not in type(aligned.grad_fn).__name__
