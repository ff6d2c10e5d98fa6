"""3x1x1 and 1x3x3 convolutions by Winograd's minimal filtering: 2 and 4 times fewer products.

Four outputs of a kernel of three, from six inputs d, are A ((G g) * (B d)): 6 products instead of 12; of 3x3, 36
instead of 144 for 4x4 outputs. The products of all tiles and channels are one batched matrix product; the transforms go
along an axis as small matrix products. In float32 a result moves by 1e-5 (3x1x1) and 4e-5 (1x3x3) of results' spread.

Source: arXiv:1509.09308, F(4,3) with the points 0, 1, -1, 2, -2.
"""

from functools import cache

import torch
from torch.autograd.function import once_differentiable

M, A = 4, 6  # outputs and inputs of a tile
B_T = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
       (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))  # fmt: skip
G = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
     (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))  # fmt: skip
A_T = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
WIDE = 256  # channels from which on the saved products outweigh the transforms


def takes(weight, stride):
    """Whether a convolution gains: weight (O,C,3,1,1) or (O,C,1,3,3), stride 1, both widths large."""
    return weight.shape[2:] in ((3, 1, 1), (1, 3, 3)) and set(stride) == {1} and min(weight.shape[:2]) >= WIDE


def transform(weight, backward=False):
    """weight (O,C,3,1,1) -> (6,C,O), or (O,C,1,3,3) -> (36,C,O); float64 gives the most exact ones.

    backward: -> (6,O,C) or (36,O,C), with which `convolve` takes the gradient of the outputs to that of the inputs.
    """
    g = torch.tensor(G, dtype=weight.dtype, device=weight.device)
    g = g if weight.shape[2] == 3 else torch.kron(g, g)  # (6,3) or (36,9)
    found = (g.flip(1) if backward else g) @ weight.flatten(2).flatten(0, 1).T
    found = found.unflatten(1, weight.shape[:2])
    return found if backward else found.transpose(1, 2)


def convolve(x, transformed, bias=None):
    """x (B,C,T,H,W), channels last in memory, padded by one -> (B,O,T,H,W), the same layout.

    transformed: what `transform` gives; bias (O,) or None.
    """
    along = _along_time if len(transformed) == A else _over_space
    y = along(x.permute(0, 2, 3, 4, 1), transformed)
    return (y if bias is None else y.add_(bias)).permute(0, 4, 1, 2, 3)


class AlongTime(torch.autograd.Function):
    """A 3x1x1 convolution in training: x (B,C,T,H,W), weight (O,C,3,1,1) -> (B,O,T,H,W), channels last in memory.

    The outputs and the inputs' gradient by `convolve`, the weights' gradient as a matrix product for each of their
    three taps; in float32 all are as near the exact ones as those of F.conv3d. Nothing but x is kept.
    """

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return convolve(x, transform(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        wanted_x, wanted_weight = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        grad_x = convolve(grad, transform(weight, backward=True)) if wanted_x else None
        return grad_x, _of_taps(x, grad) if wanted_weight else None


def _of_taps(x, grad):
    """The gradient (O,C,3,1,1) of the weights: tap k has looked from frame t at frame t + k - 1."""
    frames, taps = x.shape[2], []
    for k in range(3):
        seen = slice(max(0, k - 1), frames + min(0, k - 1))
        seeing = slice(max(0, 1 - k), frames + min(0, 1 - k))
        a, b = (v[:, :, at].permute(0, 2, 3, 4, 1).flatten(0, 3) for v, at in ((grad, seeing), (x, seen)))
        taps.append(a.T @ b)
    return torch.stack(taps, 2)[..., None, None]


def _along_time(x, transformed):
    (b, t, h, w, c), o = x.shape, transformed.shape[2]
    into, out = _matrices(t, x.dtype, x.device)
    tiles = len(into) // A
    x = (into @ x.reshape(b, t, -1)).view(b, A, tiles * h * w, c)
    y = torch.bmm(x.transpose(0, 1).reshape(A, -1, c), transformed)  # (6,B*tiles*H*W,O)
    y = y.view(A, b, -1).transpose(0, 1).reshape(b, A * tiles, -1)
    return (out @ y).view(b, t, h, w, o)


def _over_space(x, transformed):
    (b, t, h, w, c), o, n = x.shape, transformed.shape[2], x.shape[0] * x.shape[1]
    (into_h, out_h), (into_w, out_w) = (_matrices(side, x.dtype, x.device) for side in (h, w))
    down, across = len(into_h) // A, len(into_w) // A  # tiles
    x = into_w @ x.reshape(n, h, w, c)  # (N,H,6*across,C)
    x = into_h @ x.view(n, h, -1)  # (N,6*down,6*across*C)
    x = x.view(n, A, down, A, across, c).permute(1, 3, 0, 2, 4, 5).reshape(A * A, -1, c)
    y = torch.bmm(x, transformed).view(A, A, n, down, across, o)
    y = y.permute(2, 0, 3, 1, 4, 5).reshape(n, A * down, -1)
    y = out_w @ (out_h @ y).view(n, h, A * across, o)  # (N,H,W,O)
    return y.view(b, t, h, w, o)


@cache
@torch.inference_mode(False)  # they are kept, and serve outside of it too
def _matrices(n, dtype, device):
    """What takes an axis of n into its tiles (6*tiles,n), padding included, and back (n,6*tiles)."""
    tiles = -(-n // M)
    into, out = torch.zeros(A, tiles, n + M + 2, dtype=dtype), torch.zeros(n + M, A, tiles, dtype=dtype)
    for i in range(tiles):
        into[:, i, i * M : i * M + A] = torch.tensor(B_T, dtype=dtype)
        out[i * M : (i + 1) * M, :, i] = torch.tensor(A_T, dtype=dtype)
    return into[:, :, 1 : n + 1].flatten(0, 1).to(device), out[:n].flatten(1).to(device)
