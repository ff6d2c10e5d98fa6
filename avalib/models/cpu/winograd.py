"""3x1x1 and 1x3x3 convolutions by Winograd's minimal filtering: 2 to 4 times fewer multiplications.

m outputs of a kernel g of three follow from m + 2 inputs d as A^T ((G g) * (B^T d)). For m = 4 that takes 6
multiplications instead of 12; in two dimensions 36 instead of 144 for 4x4 outputs. The products of all tiles and
channels are one batched matrix product. The transforms A, B and G go along an axis as small matrix products.

In float32 and with m = 4 a result moves by 1e-5 (3x1x1) and 4e-5 (1x3x3) of the results' spread. m = 2 is more exact;
it takes 16 multiplications instead of 36 for 2x2 outputs.

Source: arXiv:1509.09308, F(4,3) with the points 0, 1, -1, 2, -2 and F(2,3) with 0, 1, -1.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

TILE = 4  # outputs of a tile along an axis (m), unless another number is passed
B_T = {
    4: (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    2: (
        (1, 0, -1, 0),
        (0, 1, 1, 0),
        (0, -1, 1, 0),
        (0, 1, 0, -1),
    ),
}
G = {
    4: (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    2: (
        (1, 0, 0),
        (1 / 2, 1 / 2, 1 / 2),
        (1 / 2, -1 / 2, 1 / 2),
        (0, 0, 1),
    ),
}
A_T = {
    4: (
        (1, 1, 1, 1, 1, 0),
        (0, 1, -1, 2, -2, 0),
        (0, 1, 1, 4, 4, 0),
        (0, 1, -1, 8, -8, 1),
    ),
    2: (
        (1, 1, 1, 0),
        (0, 1, -1, -1),
    ),
}
# multiplications of a tile -> (axes that the kernel spans, outputs of a tile along each)
AXES_AND_TILE = {6: (1, 4), 36: (2, 4), 16: (2, 2)}
MIN_CHANNELS = 256  # from here on the saved multiplications outweigh the transforms


@dataclass(frozen=True)
class AxisTransform:
    """The matrices that cut an axis of length n into tiles, and join it again; a = m + 2."""

    to_tiles: torch.Tensor  # (a,tiles,n): B^T at each tile's place, padding by one included
    from_tiles: torch.Tensor  # (n,a,tiles): A^T at each tile's place


def is_supported(weight, stride, dilation=(1, 1, 1)):
    """Whether a convolution gains: weight (O,C,3,1,1) or (O,C,1,3,3), undilated at stride 1, many channels on both
    sides."""
    has_kernel = weight.shape[2:] in ((3, 1, 1), (1, 3, 3))
    return has_kernel and set(stride) == {1} and set(dilation) == {1} and min(weight.shape[:2]) >= MIN_CHANNELS


def transform_weights(weight, tile=TILE, backward=False):
    """Transform a kernel for `convolve_winograd`.

    Parameters
    ----------
    weight : Tensor
        (O,C,3,1,1) or (O,C,1,3,3). float64 gives the most exact transform.
    tile : int
        Outputs of a tile along an axis, m: 4, or 2 for 1x3x3.
    backward : bool
        For the convolution that takes gradients of the outputs to gradients of the inputs.

    Returns
    -------
    Tensor
        (m+2,C,O) or ((m+2)^2,C,O); with `backward` (…,O,C).
    """
    g = _build_kernel_transform(weight, tile)  # (a,3) or (a*a,9)
    if backward:
        g = g.flip(1)  # the gradient's convolution has the mirrored kernel
    taps = weight.flatten(2).permute(2, 0, 1)  # (O,C,3 or 9) -> (3 or 9,O,C)
    transformed = (g @ taps.flatten(1)).unflatten(1, weight.shape[:2])  # (a or a*a,O,C)
    return transformed if backward else transformed.transpose(1, 2)


def convolve_winograd(x, transformed, bias=None, dilation=1):
    """A convolution at stride 1 that keeps the size.

    Parameters
    ----------
    x : Tensor
        (B,C,T,H,W), channels last in memory.
    transformed : Tensor
        What `transform_weights` returns.
    bias : Tensor or None
        (O,).
    dilation : int
        Of height and width, for 1x3x3.

    Returns
    -------
    Tensor
        (B,O,T,H,W), channels last in memory.
    """
    if dilation > 1:
        return _convolve_dilated(x, transformed, bias, dilation)
    # tiles of the input, products with the kernel, and back
    x = x.permute(0, 2, 3, 4, 1)  # (B,T,H,W,C), the order in memory
    axes = _get_axis_transforms(x, n_products=len(transformed))
    tiles = _to_tiles(x, [axis.to_tiles for axis in axes])  # (products,tiles,C)
    products = torch.bmm(tiles, transformed)  # (products,tiles,O)
    y = _from_tiles(products, [axis.from_tiles for axis in axes], x.shape)  # (B,T,H,W,O)
    if bias is not None:
        y.add_(bias)
    return y.permute(0, 4, 1, 2, 3)


def _convolve_dilated(x, transformed, bias, dilation):
    """As `convolve_winograd`: every dilation-th row and column form a picture of their own."""
    height, width = x.shape[3:]
    # all pictures have the same size; the zeros at the end are what the padding would be
    x = F.pad(x, (0, -width % dilation, 0, -height % dilation))
    x = x.unflatten(4, (-1, dilation)).unflatten(3, (-1, dilation))  # (B,C,T,h,d,w,d)
    x = x.permute(0, 4, 6, 2, 3, 5, 1).flatten(0, 2)  # (B*d*d,T,h,w,C)
    y = convolve_winograd(x.permute(0, 4, 1, 2, 3), transformed, bias)  # (B*d*d,O,T,h,w)
    # the rows and columns back to their places
    y = y.unflatten(0, (-1, dilation, dilation)).permute(0, 4, 5, 1, 6, 2, 3)  # (B,T,h,d,w,d,O)
    y = y.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]  # (B,T,H,W,O)
    return y.contiguous().permute(0, 4, 1, 2, 3)


class WinogradFunction(torch.autograd.Function):
    """`convolve_winograd` in training: x (B,C,T,H,W), weight -> (B,O,T,H,W), channels last in memory.

    Outputs and both gradients are computed in tiles, with m = 4 along time and 2 over space: in float32 they are within
    1e-5 of their spread, as those of F.conv3d are. Only x is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        ctx.tile = 4 if weight.shape[2] == 3 else 2
        return convolve_winograd(x, transform_weights(weight, ctx.tile))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        grad_x = grad_weight = None
        if needs_x:
            grad_x = convolve_winograd(grad, transform_weights(weight, ctx.tile, backward=True))
        if needs_weight:
            grad_weight = _compute_weight_gradient(x, grad, weight, ctx.tile)
        return grad_x, grad_weight


def _compute_weight_gradient(x, grad, weight, tile):
    """The gradient (O,C,kt,kh,kw) of the weights: each linear map of `convolve_winograd` transposed."""
    x = x.permute(0, 2, 3, 4, 1)  # (B,T,H,W,C)
    grad = grad.permute(0, 2, 3, 4, 1)  # (B,T,H,W,O)
    g = _build_kernel_transform(weight, tile)  # (products,3 or 9)
    axes = _get_axis_transforms(x, n_products=len(g))
    input_tiles = _to_tiles(x, [axis.to_tiles for axis in axes])  # (products,tiles,C)
    # the transposed output transform A: (n,a,tiles) -> (a,tiles,n)
    output_tiles = _to_tiles(grad, [axis.from_tiles.permute(1, 2, 0) for axis in axes])  # (products,tiles,O)
    grad_transformed = torch.bmm(output_tiles.transpose(1, 2), input_tiles)  # (products,O,C)
    grad_taps = g.T @ grad_transformed.flatten(1)  # (3 or 9,O*C)
    grad_taps = grad_taps.unflatten(1, weight.shape[:2])  # (3 or 9,O,C)
    return grad_taps.permute(1, 2, 0).unflatten(2, weight.shape[2:])


def _build_kernel_transform(weight, tile):
    """G for a kernel along time (m+2,3) or over space ((m+2)^2,9)."""
    g = torch.tensor(G[tile], dtype=weight.dtype, device=weight.device)
    return g if weight.shape[2] == 3 else torch.kron(g, g)


def _get_axis_transforms(x, n_products):
    """The AxisTransforms of x (B,T,H,W,C): of T, or of H and W; `n_products`: multiplications of a tile."""
    n_axes, tile = AXES_AND_TILE[n_products]
    sides = x.shape[1:2] if n_axes == 1 else x.shape[2:4]
    return [_build_axis_transform(side, tile, x.dtype, x.device) for side in sides]


def _to_tiles(x, matrices):
    """x (B,T,H,W,C) -> (products of a tile, tiles, C). matrices: (a,tiles,n) of T, or of H and of W."""
    b, t, h, w, c = x.shape
    a, n_tiles, _ = matrices[0].shape
    if len(matrices) == 1:
        along_time = matrices[0].flatten(0, 1)  # (a*tiles,T)
        x = along_time @ x.reshape(b, t, h * w * c)  # (B,a*tiles,H*W*C)
        x = x.view(b, a, n_tiles * h * w, c).transpose(0, 1)  # (a,B,tiles*H*W,C)
        return x.reshape(a, -1, c)
    # over space: along W, along H, then the products of a tile in front
    down, across = (matrix.flatten(0, 1) for matrix in matrices)  # (a*tiles_h,H), (a*tiles_w,W)
    x = across @ x.reshape(b * t, h, w, c)  # (B*T,H,a*tiles_w,C)
    x = down @ x.view(b * t, h, -1)  # (B*T,a*tiles_h,a*tiles_w*C)
    x = x.view(b * t, a, n_tiles, a, -1, c)  # (B*T,a,tiles_h,a,tiles_w,C)
    x = x.permute(1, 3, 0, 2, 4, 5)  # (a,a,B*T,tiles_h,tiles_w,C)
    return x.reshape(a * a, -1, c)


def _from_tiles(y, matrices, shape):
    """(products of a tile, tiles, O) -> (B,T,H,W,O). matrices: (n,a,tiles) of T, or of H and of W; shape: x's."""
    b, t, h, w, _ = shape
    _, a, n_tiles = matrices[0].shape
    o = y.shape[2]
    if len(matrices) == 1:
        y = y.view(a, b, -1).transpose(0, 1)  # (B,a,tiles*H*W*O)
        y = y.reshape(b, a * n_tiles, -1)  # (B,a*tiles,H*W*O)
        y = matrices[0].flatten(1) @ y  # (B,T,H*W*O)
        return y.view(b, t, h, w, o)
    # over space: the products of a tile beside its place, then along H, along W
    down, across = (matrix.flatten(1) for matrix in matrices)  # (H,a*tiles_h), (W,a*tiles_w)
    y = y.view(a, a, b * t, n_tiles, -1, o)  # (a,a,B*T,tiles_h,tiles_w,O)
    y = y.permute(2, 0, 3, 1, 4, 5)  # (B*T,a,tiles_h,a,tiles_w,O)
    y = y.reshape(b * t, a * n_tiles, -1)  # (B*T,a*tiles_h,a*tiles_w*O)
    y = (down @ y).view(b * t, h, -1, o)  # (B*T,H,a*tiles_w,O)
    y = across @ y.view(b * t, h, -1, o)  # (B*T,H,W,O)
    return y.view(b, t, h, w, o)


@cache
@torch.inference_mode(False)  # the cached tensors serve outside of it too
def _build_axis_transform(n, tile, dtype, device):
    """The AxisTransform of an axis of length n."""
    n_tiles = -(-n // tile)
    a = tile + 2
    to_tiles = torch.zeros(a, n_tiles, n + a, dtype=dtype)
    from_tiles = torch.zeros(n + tile, a, n_tiles, dtype=dtype)
    for i in range(n_tiles):
        # tile i reads a inputs, of which the first is padding where i = 0, and writes `tile` outputs
        to_tiles[:, i, i * tile : i * tile + a] = torch.tensor(B_T[tile], dtype=dtype)
        from_tiles[i * tile : (i + 1) * tile, :, i] = torch.tensor(A_T[tile], dtype=dtype)
    # cut off the padding and what the last tile has beyond the end
    to_tiles = to_tiles[:, :, 1 : n + 1].contiguous().to(device)
    from_tiles = from_tiles[:n].contiguous().to(device)
    return AxisTransform(to_tiles, from_tiles)
