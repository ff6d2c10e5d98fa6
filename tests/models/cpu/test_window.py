"""Stages in a window of cells: the cells of the whole stage, from less input."""

import pytest
import torch

from avalib.models.cpu.window import Window, compute_stage_in_window, crop_to_window, find_window
from avalib.models.resnet3d import build_stage


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((100, 0, 150, 126), (0, 9), (5, 11)),  # a cell before and behind: RoIAlign interpolates
        ((0, 100, 20, 120), (5, 9), (0, 3)),
        ((-40, -9, 400, 200), (0, 14), (0, 26)),
        ((-90, 4, -50, 30), (0, 3), (0, 1)),
    ],
)
def test_the_window_has_the_cells_that_boxes_depend_on(box, rows, columns):
    window = find_window(torch.tensor([[0, *box]]).float(), height=128, width=320)
    assert (window.rows, window.columns) == (slice(*rows), slice(*columns))


@pytest.mark.parametrize("rois", [torch.zeros(0, 5), torch.tensor([[0, float("nan"), 4, 20, 30]])])
def test_no_window_without_finite_boxes(rois):
    assert find_window(rois, 128, 320) is None


def test_boxes_move_with_the_window():
    rois = torch.tensor([[0, 100, 40, 150, 90.0]])
    assert Window(slice(2, 5), slice(6, 9)).move_rois(rois).tolist() == [[0, 4, 8, 54, 58]]


@pytest.mark.parametrize("window", [Window(slice(2, 4), slice(5, 9)), Window(slice(0, 1), slice(9, 12))])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_stage_in_a_window_is_the_window_of_the_stage(window, dilation):
    torch.manual_seed(0)
    stage = build_stage(8, 4, n_blocks=3, stride=1, n_inflated=3, dilation=dilation).double().eval()
    x = torch.randn(1, 8, 2, 6, 12, dtype=torch.float64)
    actual = compute_stage_in_window(stage, x, window)
    torch.testing.assert_close(actual, stage(x)[..., window.rows, window.columns], rtol=0, atol=1e-12)


def test_a_crop_ends_with_the_map():
    x = torch.arange(60.0).view(1, 1, 1, 6, 10)
    crop, inner = crop_to_window(x, Window(slice(0, 2), slice(7, 9)), margin=2)
    assert crop.tolist() == x[..., 0:4, 5:10].tolist()
    assert inner == Window(slice(0, 2), slice(2, 4))
