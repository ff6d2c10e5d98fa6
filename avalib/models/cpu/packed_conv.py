"""Convolutions of oneDNN with what follows them fused in: the sum with a shortcut, and ReLU.

The weights are brought into oneDNN's own order once instead of at every call, and the outputs are written once. With
few channels, as in SlowFast's fast pathway, that saves half of the time. The packed weights are kept beside the plain
ones, so they take their memory a second time.

The operators are those that PyTorch's compiler emits for a CPU. They are not part of PyTorch's documented interface:
where a version lacks them, `is_available` is False and the layers run as other convolutions do, with the same results.
"""

from functools import cache

import torch
from torch import nn

DTYPES = (torch.float32, torch.bfloat16)


@cache
def is_available() -> bool:
    """Whether this build of PyTorch has oneDNN, and the operators that are needed."""
    operators = (
        (torch.ops.mkldnn, "_convolution_pointwise"),
        (torch.ops.mkldnn, "_convolution_pointwise_"),
        (torch._C._nn, "mkldnn_reorder_conv2d_weight"),
    )
    return torch.backends.mkldnn.is_available() and all(hasattr(place, name) for place, name in operators)


def can_run(x: torch.Tensor) -> bool:
    """Whether a PackedConv can take x: on a CPU, in a type that oneDNN has, without gradients, outside a compiler."""
    return (
        x.device.type == "cpu"
        and x.dtype in DTYPES
        and not (torch.is_grad_enabled() and x.requires_grad)
        and not torch.compiler.is_compiling()
        and is_available()
    )


class PackedConv:
    """A 2-D convolution without groups whose weights are in oneDNN's order. It is neither copied nor saved.

    Parameters
    ----------
    weight : Tensor
        (O,C,kh,kw), in a type of DTYPES.
    bias : Tensor
        (O,), in the same type.
    geometry : tuple
        Stride, padding and dilation, (2,) each.
    input_shape : sequence of int
        (N,C,H,W) of typical inputs, for which the order is chosen. Others work too.
    """

    def __init__(self, weight, bias, geometry, input_shape):
        stride, padding, dilation = geometry
        self.bias = bias
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
            weight.contiguous().to_mkldnn(), padding, stride, dilation, 1, input_shape
        )
        self.geometry = (padding, stride, dilation, 1)  # in the operators' order; one group

    def convolve(self, x, activation="none"):
        """The convolution of x (N,C,H,W), then "relu", "gelu" (the exact one) or "none": (N,O,H',W')."""
        form = "none" if activation == "gelu" else ""  # GELU by erf, without tanh
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.geometry, activation, [], form)

    def convolve_and_add(self, x, shortcut, relu):
        """The convolution of x (N,C,H,W) + shortcut (N,O,H',W'), then ReLU if `relu`, written over the shortcut."""
        activation = "relu" if relu else None
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            shortcut, x, self.weight, self.bias, *self.geometry, "add", 1.0, activation, [], ""
        )


class PackingModule(nn.Module):
    """A module that keeps a PackedConv of its weights, made at the first call, as `packed`.

    It is made anew after a change of type or device, and in a copy.
    """

    def __init__(self):
        super().__init__()
        self.packed = None

    def _apply(self, fn, recurse=True):
        self.packed = None
        return super()._apply(fn, recurse)

    def __getstate__(self):
        return self.__dict__ | {"packed": None}
