"""RoIAlign as a matrix product, whose gradient on a CPU is many times faster than the operator's.

Bilinear sampling on a grid is linear and separable. Each of the bins (8x8 or 7x7) is a weighted sum of the map's cells;
its weights are the outer product of those down and those across.
"""

import torch

from avalib.models.kernel_forms import get_kernel_forms
from avalib.models.roi_head import FEATURE_STRIDE, RoIHead


class FastRoIHead(RoIHead):
    """RoIHead that pools over time in memory order, and trains with RoIAlign as a matrix product where chosen."""

    def pool_time(self, maps):
        # (B,T,H/16,W/16,C), as it lies in memory, -> (B,H/16,W/16,C); over (B,C,T,…) it takes twenty times as long
        maps = [m.permute(0, 2, 3, 4, 1) for m in maps]
        pooled = [m.amax(dim=1) if self.temporal_pool == "max" else m.mean(dim=1) for m in maps]
        return torch.cat(pooled, dim=-1).permute(0, 3, 1, 2)  # (B,C,H/16,W/16)

    def align(self, features, rois):
        # the matrix form has a deterministic gradient, which torchvision's operator lacks on a GPU
        is_faster = get_kernel_forms(features.device).roi_align_by_matmul
        if features.requires_grad and (is_faster or torch.are_deterministic_algorithms_enabled()):
            return roi_align_by_matmul(features, rois, 1 / FEATURE_STRIDE, self.roi_size, self.roi_aligned)
        return super().align(features, rois)


def roi_align_by_matmul(maps, rois, scale, size=8, aligned=True):
    """RoIAlign: average mode, adaptive sampling; equal to torchvision's to float noise.

    Parameters
    ----------
    maps : Tensor
        (B,C,H,W) float.
    rois : Tensor
        (N,5) float [batch index, x1, y1, x2, y2] in input pixels.
    scale : float
        Map cells per input pixel.
    size : int
        Bins down and across.
    aligned : bool
        Shift boxes by half a cell; else a box has at least one cell.

    Returns
    -------
    Tensor
        (N,C,size,size).
    """
    # the boxes' edges in cells, (N,) each
    height, width = maps.shape[2:]
    left, top, right, bottom = (rois[:, 1:] * scale - (0.5 if aligned else 0)).unbind(1)
    if not aligned:
        right, bottom = torch.maximum(right, left + 1), torch.maximum(bottom, top + 1)
    # the weights of the bins along each axis
    across = _compute_bin_weights(left, right, width, size)  # (N,size,W)
    down = _compute_bin_weights(top, bottom, height, size)  # (N,size,H)
    # each bin's weights over all cells of the map: (N,size,size,H,W) -> (N,size*size,H*W)
    bins = torch.einsum("niy,njx->nijyx", down, across).flatten(3).flatten(1, 2)
    # the map of each box: (N,H*W,C)
    cells = maps.flatten(2).transpose(1, 2).index_select(0, rois[:, 0].long())
    with torch.autocast(maps.device.type, enabled=False):  # torchvision's operator computes in full precision too
        features = bins @ cells  # (N,size*size,C)
    return features.transpose(1, 2).unflatten(2, (size, size))


def _compute_bin_weights(low, high, n_cells, n_bins):
    """The weight of each of `n_cells` cells in each of the bins between low and high (N,): (N,n_bins,n_cells).

    A bin is the mean of ceil(side / n_bins) samples. A sample interpolates the two cells beside it. Up to one cell
    outside of the map it takes the border cell; beyond that it is 0.
    """
    bin_side = (high - low) / n_bins  # (N,)
    n_samples = torch.ceil(bin_side).clamp(min=1)  # in a bin, (N,)
    max_samples = int(n_samples.max()) if len(n_samples) else 1
    sample = torch.arange(max_samples, device=low.device, dtype=low.dtype)
    bin_index = torch.arange(n_bins, device=low.device, dtype=low.dtype)[:, None]  # (n_bins,1)
    # position of each sample, in bins and then in cells: (N,n_bins,max_samples)
    offset = bin_index + (sample + 0.5) / n_samples[:, None, None]
    position = low[:, None, None] + offset * bin_side[:, None, None]
    # boxes with smaller bins have fewer samples; samples outside of the map and boxes without area count nothing
    is_sample = sample < n_samples[:, None, None]
    is_inside = (position >= -1) & (position <= n_cells) & (bin_side > 0)[:, None, None]
    position = position.clamp(0, n_cells - 1)
    # linear interpolation: a cell's weight falls from 1 to 0 within one cell, (N,n_bins,max_samples,n_cells)
    cell = torch.arange(n_cells, device=low.device, dtype=low.dtype)
    nearness = (1 - (position[..., None] - cell).abs()).clamp(min=0) * (is_sample & is_inside)[..., None]
    return nearness.sum(dim=2) / n_samples[:, None, None]
