"""RoIAlign: torchvision's, and the same sums as a matrix product, whose gradient on a CPU is many times faster.

Bilinear sampling on a grid is linear and separable: every one of the 8x8 bins is a weighted sum of the map's cells, its
weights the outer product of those down and across.
"""

import torch
from torchvision import ops

SIZE = 8


def roi_align(maps, rois, scale):
    """RoI features (N,C,8,8) of maps (B,C,H,W) for rois (N,5) [batch index, x1, y1, x2, y2] in input pixels.

    Average mode, aligned (half-pixel shift), adaptive sampling, scale = map cells per input pixel. Equal to
    torchvision's op to float noise; training on a CPU, or deterministically, takes the matrix form (tests hold the two
    together).
    """
    if maps.requires_grad and (maps.device.type == "cpu" or torch.are_deterministic_algorithms_enabled()):
        return roi_align_by_matmul(maps, rois, scale)
    return ops.roi_align(maps, rois, SIZE, scale, sampling_ratio=0, aligned=True)


def roi_align_by_matmul(maps, rois, scale):
    """`align` as one matrix product a box: its 64 bins' weights over the map's cells, times the map."""
    height, width = maps.shape[2:]
    edges = rois[:, 1:] * scale - 0.5
    across = _weights(edges[:, 0], edges[:, 2], width)  # (N,8,W)
    down = _weights(edges[:, 1], edges[:, 3], height)  # (N,8,H)
    bins = torch.einsum("niy,njx->nijyx", down, across).flatten(3).flatten(1, 2)  # (N,64,H*W)
    cells = maps.flatten(2).transpose(1, 2).index_select(0, rois[:, 0].long())  # (N,H*W,C)
    with torch.autocast(maps.device.type, enabled=False):  # the op it stands for computes in full precision too
        return (bins @ cells).transpose(1, 2).unflatten(2, (SIZE, SIZE))  # (N,C,8,8)


def _weights(low, high, cells):
    """What each of `cells` cells gives to each of the 8 bins between low and high (N,): (N,8,cells).

    A bin is the mean of ceil(side / 8) samples. A sample takes from the two cells beside it; beyond one cell outside
    the map it is 0, nearer than that it takes the border cell.
    """
    side = (high - low) / SIZE  # of a bin
    count = torch.ceil(side).clamp(min=1)  # samples a bin
    most = int(count.max()) if len(count) else 1
    sample = torch.arange(most, device=low.device, dtype=low.dtype)
    offset = torch.arange(SIZE, device=low.device, dtype=low.dtype)[:, None] + (sample + 0.5) / count[:, None, None]
    at = low[:, None, None] + offset * side[:, None, None]  # (N,8,most)
    used = (sample < count[:, None, None]) & (at >= -1) & (at <= cells) & (side > 0)[:, None, None]
    at = at.clamp(0, cells - 1)
    cell = torch.arange(cells, device=low.device, dtype=low.dtype)
    near = (1 - (at[..., None] - cell).abs()).clamp(min=0) * used[..., None]  # (N,8,most,cells)
    return near.sum(dim=2) / count[:, None, None]
