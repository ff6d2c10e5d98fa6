"""The backbone's layers on 2-D kernels: the same parameters and results, 1.5 to 2 times faster on a CPU.

Most convolutions of the zoo span one frame (1xkxk) or time only (kx1x1). With channels last in memory,
(B,C,T,H,W) is also a batch of B*T frames (B*T,C,H,W), and a picture (B,C,T,H*W) with one row per time step.
Both are views, on which PyTorch's 2-D kernels run. Each class here subclasses the layer whose place it takes.
"""

import torch
import torch.nn.functional as F
from torch import nn

from avalib.models.conv import ConvBN
from avalib.models.cpu.winograd import WinogradFunction
from avalib.models.kernel_forms import get_kernel_forms


def merge_time_into_batch(x):
    """(B,C,T,H,W) -> (B*T,C,H,W): a view where memory is channels-last, else a copy."""
    x = x.transpose(1, 2).flatten(0, 1)
    if torch.compiler.is_compiling() or len(x) > 1:  # a compiler plans the layout itself, for any length
        return x
    # torch reads the layout from the strides, a lone frame's batch stride included: make it that of channels last
    return x.as_strided(x.shape, (x.numel(), *x.stride()[1:]))


def split_time_from_batch(x, n_frames):
    """(B*T,C,H,W) -> (B,C,T,H,W), a view."""
    return x.unflatten(0, (-1, n_frames)).transpose(1, 2)


class WithinFrames:
    """A 1xkxk convolution as a 2-D one on the batch of all frames: (B*T,C,H,W) * (O,C,kh,kw) -> (B*T,O,H',W')."""

    @staticmethod
    def flatten(x):
        return merge_time_into_batch(x)

    @staticmethod
    def restore(y, x):
        return split_time_from_batch(y, x.shape[2])

    @staticmethod
    def flatten_weight(weight):
        return weight.squeeze(2)

    @staticmethod
    def get_geometry(stride, padding, dilation):
        """The stride, padding and dilation (2,) of the 2-D convolution."""
        return stride[1:], padding[1:], dilation[1:]


class AlongTime:
    """A kx1x1 convolution as a 2-D one on pictures of all places by all times: (B,C,T,H*W) * (O,C,kt,1)."""

    @staticmethod
    def flatten(x):
        return x.flatten(3)

    @staticmethod
    def restore(y, x):
        return y.unflatten(3, (x.shape[3], x.shape[4]))

    @staticmethod
    def flatten_weight(weight):
        return weight.squeeze(4)

    @staticmethod
    def get_geometry(stride, padding, dilation):
        """The stride, padding and dilation (2,) of the 2-D convolution."""
        return (1, 1), (padding[0], 0), (dilation[0], 1)


def choose_planar_form(weight, stride, device):
    """How a 3-D convolution with weight (O,C,kt,kh,kw) is a 2-D one: WithinFrames, AlongTime, or None: it isn't.

    Both can be turned off for a kind of device, see `kernel_forms`.
    """
    kt, kh, kw = weight.shape[2:]
    forms = get_kernel_forms(device)
    # a stride along time, as in SlowFast's laterals, is eight times slower in 2-D
    if stride[0] > 1:
        return None
    if kt == 1:
        return WithinFrames if forms.frames_in_2d else None
    if kh == kw == 1 and tuple(stride[1:]) == (1, 1):
        return AlongTime if forms.time_in_2d else None
    return None


def convolve(x, weight, bias, stride, padding, dilation=(1, 1, 1)):
    """A 3-D convolution of x (B,C,T,H,W) with weight (O,C,kt,kh,kw), as a 2-D one by `choose_planar_form`."""
    form = choose_planar_form(weight, stride, x.device)
    if form is None:
        return F.conv3d(x, weight, bias, stride, padding, dilation)
    geometry = form.get_geometry(stride, padding, dilation)
    y = F.conv2d(form.flatten(x), form.flatten_weight(weight), bias, *geometry)
    return form.restore(y, x)


def convolve_pointwise(x, weight):
    """A 1x1x1 convolution at stride 1 as one matrix product; its gradients are two more."""
    # channels last, as they are in memory: (B*T*H*W,C) @ (C,O)
    x = x.permute(0, 2, 3, 4, 1)  # (B,T,H,W,C)
    y = F.linear(x, weight.flatten(1))  # (B,T,H,W,O)
    return y.permute(0, 4, 1, 2, 3)  # (B,O,T,H,W)


class FrameConv3d(nn.Conv3d):
    """nn.Conv3d by `convolve`."""

    def forward(self, x):
        return convolve(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class WinogradConv3d(FrameConv3d):
    """In training a 3x1x1 or 1x3x3 convolution by Winograd's algorithm (winograd.py)."""

    def forward(self, x):
        return WinogradFunction.apply(x, self.weight) if self.training else super().forward(x)


class PointwiseConv3d(FrameConv3d):
    """In training a 1x1x1 convolution as a matrix product."""

    def forward(self, x):
        return convolve_pointwise(x, self.weight) if self.training else super().forward(x)


class FrameBatchNorm3d(nn.BatchNorm3d):
    """nn.BatchNorm3d for frames (B*T,C,H,W): the same numbers, on the 2-D kernels."""

    def _check_input_dim(self, x):
        if x.dim() != 4:
            raise ValueError(f"expected frames (B*T,C,H,W), got {tuple(x.shape)}")


class FrameConvBN(ConvBN):
    """ConvBN with batch norm and ReLU on frames."""

    def forward(self, x):
        # (B,C,T,H,W) -> (B*T,C,H,W) and back
        x = self.conv(x)
        y = self.bn(merge_time_into_batch(x))
        if self.relu:  # before it becomes a view: autograd copies gradients three times for views changed in place
            y = F.relu(y, inplace=True)
        return split_time_from_batch(y, x.shape[2])


class FrameMaxPool3d(nn.MaxPool3d):
    """nn.MaxPool3d within frames."""

    def forward(self, x):
        y = F.max_pool2d(merge_time_into_batch(x), self.kernel_size[1:], self.stride[1:], self.padding[1:])
        return split_time_from_batch(y, x.shape[2])
