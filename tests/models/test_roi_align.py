"""The matrix form of RoIAlign against torchvision's op: values and gradients."""

import pytest
import torch

from avalib.models.roi_align import roi_align

SCALE = 1 / 16


def random_rois(count, height, width, generator):
    """Boxes of every kind: inside, across the border, outside, without width or height, the whole picture."""
    corners = torch.rand(count, 4, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    boxes = corners * torch.tensor([width, height, width, height], dtype=torch.float64)
    boxes = torch.cat([boxes[:, :2].minimum(boxes[:, 2:]), boxes[:, :2].maximum(boxes[:, 2:])], dim=1)
    boxes[0, 2] = boxes[0, 0]
    boxes[1, 3] = boxes[1, 1]
    boxes[2] = torch.tensor([0.0, 0, width, height])
    clip = torch.randint(0, 2, (count, 1), generator=generator).double()
    return torch.cat([clip, boxes], dim=1)


@pytest.mark.parametrize(("height", "width"), [(64, 80), (96, 128), (256, 340)])
def test_values_and_gradients_are_the_ops(height, width):
    generator = torch.Generator().manual_seed(height)
    shape = (2, 5, -(-height // 16), -(-width // 16))
    maps = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = random_rois(200, height, width, generator)
    ours = roi_align(maps, rois, SCALE)
    theirs = roi_align(maps, rois, 8, SCALE, sampling_ratio=0, aligned=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    push = torch.randn(theirs.shape, generator=generator, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(theirs, maps, push)
    (given,) = torch.autograd.grad(ours, maps, push)
    torch.testing.assert_close(given, wanted, rtol=0, atol=1e-11)
    assert theirs[0].eq(0).all() and ours[0].eq(0).all(), "a box without width has no features"


def test_no_boxes():
    maps = torch.randn(1, 3, 4, 5, requires_grad=True)
    assert roi_align(maps, torch.zeros(0, 5), SCALE).shape == (0, 3, 8, 8)


def test_autocast_does_not_round_it():
    maps = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rois = torch.tensor([[0.0, 10, 20, 90, 80]])
    with torch.autocast("cpu", torch.bfloat16):
        ours = roi_align(maps, rois, SCALE)
    torch.testing.assert_close(ours, roi_align(maps, rois, 8, SCALE, 0, True), rtol=0, atol=1e-5)
