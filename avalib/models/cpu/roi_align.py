"""RoIAlign as a matrix product, whose gradient on a CPU is many times faster than the operator's.

Bilinear sampling on a grid is linear and separable. Each of the 8x8 bins is a weighted sum of the map's cells; its
weights are the outer product of those down and those across.
"""

import torch

from avalib.models.detector import FEATURE_STRIDE, ROI_SIZE, RoIHead


class FastRoIHead(RoIHead):
    """RoIHead that averages over time in memory order, and trains with RoIAlign as a matrix product on a CPU."""

    def average_time(self, maps):
        # (B,T,H/16,W/16,C), as it lies in memory, -> (B,H/16,W/16,C); over (B,C,T,…) it takes twenty times as long
        means = [m.permute(0, 2, 3, 4, 1).mean(dim=1) for m in maps]
        return torch.cat(means, dim=-1).permute(0, 3, 1, 2)  # (B,C,H/16,W/16)

    def align(self, features, rois):
        # the matrix form has a deterministic gradient, which torchvision's operator lacks on a GPU
        needs_matmul = features.device.type == "cpu" or torch.are_deterministic_algorithms_enabled()
        if features.requires_grad and needs_matmul:
            return roi_align_by_matmul(features, rois, 1 / FEATURE_STRIDE)
        return super().align(features, rois)


def roi_align_by_matmul(maps, rois, scale):
    """RoIAlign: average mode, aligned (half-pixel shift), adaptive sampling; equal to torchvision's to float noise.

    Parameters
    ----------
    maps : Tensor
        (B,C,H,W) float.
    rois : Tensor
        (N,5) float [batch index, x1, y1, x2, y2] in input pixels.
    scale : float
        Map cells per input pixel.

    Returns
    -------
    Tensor
        (N,C,8,8).
    """
    height, width = maps.shape[2:]
    edges = rois[:, 1:] * scale - 0.5
    across = _compute_bin_weights(edges[:, 0], edges[:, 2], width)  # (N,8,W)
    down = _compute_bin_weights(edges[:, 1], edges[:, 3], height)  # (N,8,H)
    # each bin's weights over all cells of the map: (N,8,8,H,W) -> (N,64,H*W)
    bins = torch.einsum("niy,njx->nijyx", down, across).flatten(3).flatten(1, 2)
    # the map of each box: (N,H*W,C)
    cells = maps.flatten(2).transpose(1, 2).index_select(0, rois[:, 0].long())
    with torch.autocast(maps.device.type, enabled=False):  # torchvision's operator computes in full precision too
        features = bins @ cells  # (N,64,C)
    return features.transpose(1, 2).unflatten(2, (ROI_SIZE, ROI_SIZE))


def _compute_bin_weights(low, high, n_cells):
    """The weight of each of `n_cells` cells in each of the 8 bins between low and high (N,): (N,8,n_cells).

    A bin is the mean of ceil(side / 8) samples. A sample interpolates the two cells beside it. Up to one cell outside
    the map it takes the border cell; beyond that it is 0.
    """
    bin_side = (high - low) / ROI_SIZE  # (N,)
    n_samples = torch.ceil(bin_side).clamp(min=1)  # in a bin, (N,)
    max_samples = int(n_samples.max()) if len(n_samples) else 1
    sample = torch.arange(max_samples, device=low.device, dtype=low.dtype)
    bin_index = torch.arange(ROI_SIZE, device=low.device, dtype=low.dtype)[:, None]  # (8,1)
    # position of each sample, in bins and then in cells: (N,8,max_samples)
    offset = bin_index + (sample + 0.5) / n_samples[:, None, None]
    position = low[:, None, None] + offset * bin_side[:, None, None]
    # boxes with smaller bins have fewer samples; samples outside of the map and boxes without area count nothing
    is_sample = sample < n_samples[:, None, None]
    is_inside = (position >= -1) & (position <= n_cells) & (bin_side > 0)[:, None, None]
    position = position.clamp(0, n_cells - 1)
    # linear interpolation: a cell's weight falls from 1 to 0 within one cell, (N,8,max_samples,n_cells)
    cell = torch.arange(n_cells, device=low.device, dtype=low.dtype)
    nearness = (1 - (position[..., None] - cell).abs()).clamp(min=0) * (is_sample & is_inside)[..., None]
    return nearness.sum(dim=2) / n_samples[:, None, None]
