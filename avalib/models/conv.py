"""The convolution that all networks of the zoo are made of."""

import torch.nn.functional as F
from torch import nn


def build_conv(in_channels, out_channels, kernel, stride=(1, 1, 1), dilation=1, bias=False):
    """A 3-D convolution, padded to keep the size at stride 1; `dilation` is that of height and width."""
    dilations = (1, dilation, dilation)
    padding = tuple(k // 2 * d for k, d in zip(kernel, dilations, strict=True))
    return nn.Conv3d(in_channels, out_channels, kernel, stride, padding, dilations, bias=bias)


class ConvBN(nn.Module):
    """A convolution and its batch norm, then ReLU unless `relu` is False."""

    def __init__(self, in_channels, out_channels, kernel, stride=(1, 1, 1), relu=True, dilation=1, bias=False):
        super().__init__()
        self.conv = build_conv(in_channels, out_channels, kernel, stride, dilation, bias)
        self.bn = nn.BatchNorm3d(out_channels)
        self.relu = relu

    @property
    def dilation(self):
        """(T,H,W), the convolution's own."""
        return self.conv.dilation

    def forward(self, x):
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x
