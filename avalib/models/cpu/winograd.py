"""3x1x1 and 1x3x3 convolutions by Winograd's minimal filtering: 2 to 4 times fewer products.

m outputs of a kernel of three, from m + 2 inputs d, are A ((G g) * (B d)): for m = 4, 6 products instead of 12; of 3x3,
36 instead of 144 for 4x4 outputs. The products of all tiles and channels are one batched matrix product; the transforms
go along an axis as small matrix products. In float32 and with m = 4 a result moves by 1e-5 (3x1x1) and 4e-5 (1x3x3) of
results' spread; m = 2 is nearer and takes 16 products instead of 36 for 2x2 outputs.

Source: arXiv:1509.09308, F(4,3) with the points 0, 1, -1, 2, -2 and F(2,3) with 0, 1, -1.
"""

from functools import cache

import torch
from torch.autograd.function import once_differentiable

M = 4  # outputs of a tile along an axis, but where another number is given
B_T = {
    4: ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1)),
    2: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
}  # fmt: skip
G = {
    4: ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1)),
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
}  # fmt: skip
A_T = {
    4: ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    2: ((1, 1, 1, 0), (0, 1, -1, -1)),
}  # fmt: skip
KINDS = {6: (1, 4), 36: (2, 4), 16: (2, 2)}  # products of a tile: (axes, m)
WIDE = 256  # channels from which on the saved products outweigh the transforms


def is_supported(weight, stride):
    """Whether a convolution gains: weight (O,C,3,1,1) or (O,C,1,3,3), stride 1, both widths large."""
    return weight.shape[2:] in ((3, 1, 1), (1, 3, 3)) and set(stride) == {1} and min(weight.shape[:2]) >= WIDE


def transform_weights(weight, m=M, backward=False):
    """weight (O,C,3,1,1) -> (m+2,C,O), or (O,C,1,3,3) -> ((m+2)^2,C,O); float64 gives the most exact ones.

    backward: (…,O,C), with which `convolve` takes the gradient of the outputs to that of the inputs.
    """
    g = _kernel(weight, m)
    found = (g.flip(1) if backward else g) @ weight.flatten(2).permute(2, 0, 1).flatten(1)
    found = found.unflatten(1, weight.shape[:2])
    return found if backward else found.transpose(1, 2)


def convolve_winograd(x, transformed, bias=None):
    """x (B,C,T,H,W), channels last in memory, padded by one -> (B,O,T,H,W), the same layout.

    transformed: what `transform` gives; bias (O,) or None.
    """
    x = x.permute(0, 2, 3, 4, 1)
    into, out = _along_axes(x, *KINDS[len(transformed)])
    y = _from_tiles(torch.bmm(_to_tiles(x, into), transformed), out, x.shape)
    return (y if bias is None else y.add_(bias)).permute(0, 4, 1, 2, 3)


class WinogradConv(torch.autograd.Function):
    """A convolution that `takes` it, in training: x (B,C,T,H,W), weight -> (B,O,T,H,W), channels last in memory.

    Outputs, gradient of the inputs and gradient of the weights are all taken in tiles, with m = 4 along time and 2 over
    space: in float32 they are within 1e-5 of their spread, as those of F.conv3d are. Nothing but x is kept.
    """

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        ctx.m = 4 if weight.shape[2] == 3 else 2
        return convolve_winograd(x, transform_weights(weight, ctx.m))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        wanted_x, wanted_weight = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        grad_x = convolve_winograd(grad, transform_weights(weight, ctx.m, backward=True)) if wanted_x else None
        return grad_x, _of_weight(x, grad, weight, ctx.m) if wanted_weight else None


def _of_weight(x, grad, weight, m):
    """The gradient of the weights: every map of `convolve` the other way round."""
    x, grad = x.permute(0, 2, 3, 4, 1), grad.permute(0, 2, 3, 4, 1)
    g = _kernel(weight, m)
    into, out = _along_axes(x, *KINDS[len(g)])
    seen, seeing = _to_tiles(x, into), _to_tiles(grad, [matrix.permute(1, 2, 0) for matrix in out])
    found = g.T @ torch.bmm(seeing.transpose(1, 2), seen).flatten(1)  # (3 or 9,O*C)
    return found.unflatten(1, weight.shape[:2]).permute(1, 2, 0).unflatten(2, weight.shape[2:])


def _kernel(weight, m):
    """G for a kernel along time (m+2,3) or over space ((m+2)^2,9)."""
    g = torch.tensor(G[m], dtype=weight.dtype, device=weight.device)
    return g if weight.shape[2] == 3 else torch.kron(g, g)


def _along_axes(x, axes, m):
    """What takes x (B,T,H,W,C) to tiles, and from them, along T or along H and W: two tuples of `_matrices`."""
    sides = x.shape[1:2] if axes == 1 else x.shape[2:4]
    return zip(*(_matrices(side, m, x.dtype, x.device) for side in sides), strict=True)


def _to_tiles(x, into):
    """x (B,T,H,W,C) -> (products of a tile, tiles, C)."""
    (b, t, h, w, c), (a, down, _) = x.shape, into[0].shape
    if len(into) == 1:
        x = into[0].flatten(0, 1) @ x.reshape(b, t, -1)
        return x.view(b, a, -1, c).transpose(0, 1).reshape(a, -1, c)
    x = into[1].flatten(0, 1) @ x.reshape(b * t, h, w, c)  # (B*T,H,a*across,C)
    x = into[0].flatten(0, 1) @ x.view(b * t, h, -1)  # (B*T,a*down,a*across*C)
    return x.view(b * t, a, down, a, -1, c).permute(1, 3, 0, 2, 4, 5).reshape(a * a, -1, c)


def _from_tiles(y, out, shape):
    """(products of a tile, tiles, O) -> (B,T,H,W,O), of x's `shape`."""
    (b, t, h, w, _), (_, a, down), o = shape, out[0].shape, y.shape[2]
    if len(out) == 1:
        y = y.view(a, b, -1).transpose(0, 1).reshape(b, a * down, -1)
        return (out[0].flatten(1) @ y).view(b, t, h, w, o)
    y = y.view(a, a, b * t, down, -1, o).permute(2, 0, 3, 1, 4, 5).reshape(b * t, a * down, -1)
    y = (out[0].flatten(1) @ y).view(b * t, h, -1, o)  # (B*T,H,a*across,O)
    return (out[1].flatten(1) @ y).view(b, t, h, w, o)


@cache
@torch.inference_mode(False)  # they are kept, and serve outside of it too
def _matrices(n, m, dtype, device):
    """What takes an axis of n into its tiles (m+2,tiles,n), padding included, and back (n,m+2,tiles)."""
    tiles, a = -(-n // m), m + 2
    into, out = torch.zeros(a, tiles, n + m + 2, dtype=dtype), torch.zeros(n + m, a, tiles, dtype=dtype)
    for i in range(tiles):
        into[:, i, i * m : i * m + a] = torch.tensor(B_T[m], dtype=dtype)
        out[i * m : (i + 1) * m, :, i] = torch.tensor(A_T[m], dtype=dtype)
    return into[:, :, 1 : n + 1].contiguous().to(device), out[:n].contiguous().to(device)
