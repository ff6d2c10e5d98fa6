"""Compute a stage only in the window of cells that boxes depend on."""

import math
from dataclasses import dataclass

import torch

from avalib.models.roi_head import FEATURE_STRIDE


@dataclass(frozen=True)
class Window:
    """A rectangle of a feature map's cells: two slices."""

    rows: slice
    columns: slice

    def move_rois(self, rois):
        """Boxes (N,5) in input pixels, as coordinates relative to the window's corner."""
        left, top = FEATURE_STRIDE * self.columns.start, FEATURE_STRIDE * self.rows.start
        return rois - rois.new_tensor([0, left, top, left, top])


def find_window(rois, height, width):
    """The cells of the last maps that RoIAlign reads for some boxes.

    Parameters
    ----------
    rois : Tensor
        (N,5) [batch index, x1, y1, x2, y2] in input pixels.
    height, width : int
        Of the clips in pixels.

    Returns
    -------
    Window or None
        From the first box's edge to the last one's. None without boxes, and where one has a coordinate that is not
        finite: the whole maps are computed then.
    """
    if not len(rois) or not rois.isfinite().all():
        return None
    # one rectangle around the cells of all boxes
    rows = _find_cells(rois[:, 2], rois[:, 4], height)
    columns = _find_cells(rois[:, 1], rois[:, 3], width)
    return Window(rows, columns)


def _find_cells(low, high, side):
    """The slice of cells along one axis for boxes between low and high (N,), in pixels."""
    first_cell = math.floor(low.min() / FEATURE_STRIDE) - 1  # RoIAlign interpolates with the cell before
    # without the half-cell shift RoIAlign takes a box to have at least one cell
    last_cell = math.ceil(torch.maximum(high, low + FEATURE_STRIDE).max() / FEATURE_STRIDE)
    n_cells = math.ceil(side / FEATURE_STRIDE)
    start = min(max(first_cell, 0), n_cells - 1)
    return slice(start, max(last_cell, start) + 1)


def compute_stage_in_window(stage, x, window):
    """A stage's output (B,O,T,rows,columns) in a window of its cells, from its whole input x (B,C,T,H,W).

    stage: bottlenecks at spatial stride 1. Each of them is computed on the cells that later ones depend on.
    """
    for i, block in enumerate(stage):
        # each block that is still to come has a 3x3 kernel, which reaches one cell further, or two if dilated
        x, window = crop_to_window(x, window, margin=(len(stage) - i) * block.conv2.dilation[1])
        x = block(x)
    return crop_to_window(x, window, margin=0)[0]


def crop_to_window(x, window, margin):
    """Of x (B,C,T,H,W) the window and `margin` cells around it; -> the crop, and the window's place in it."""
    outer_rows, inner_rows = _widen(window.rows, margin, x.shape[3])
    outer_columns, inner_columns = _widen(window.columns, margin, x.shape[4])
    crop = x[..., outer_rows, outer_columns].contiguous(memory_format=torch.channels_last_3d)
    return crop, Window(inner_rows, inner_columns)


def _widen(cells, margin, n_cells):
    """A slice widened on both sides within 0..n_cells; -> that, and the slice's own place in it."""
    outer = slice(max(cells.start - margin, 0), min(cells.stop + margin, n_cells))
    inner = slice(cells.start - outer.start, min(cells.stop, outer.stop) - outer.start)
    return outer, inner
