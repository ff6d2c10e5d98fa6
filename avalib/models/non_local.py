"""Non-local blocks: each position of a map attends to all others.

Source: arXiv:1711.07971; MMAction2 1.x (NonLocal3d, "softmax") and PySlowFast nonlocal_helper.py ("dot_product").
"""

import torch.nn.functional as F
from torch import nn

from avalib.models.conv import ConvBN

POOLING = {"softmax": (1, 2, 2), "dot_product": (2, 2, 2)}  # of the positions that are attended to: (T,H,W)


class PointwiseConv(nn.Module):
    """A 1x1x1 convolution with a bias, without batch norm."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.conv(x)


class NonLocalBlock(nn.Module):
    """x + BN(conv_out(affinity(theta(x), phi(x)) g(x))), (B,C,T,H,W) -> the same shape.

    phi and g are pooled by their maximum. The affinity of two positions is the softmax of their scaled product
    ("softmax"), or the product over the number of positions ("dot_product").
    """

    def __init__(self, channels, kind):
        super().__init__()
        width = channels // 2
        self.kind = kind
        self.g = nn.Sequential(PointwiseConv(channels, width))
        # PySlowFast's last convolution has a bias, MMAction2's has none
        self.conv_out = ConvBN(width, channels, (1, 1, 1), relu=False, bias=kind == "dot_product")
        self.theta = PointwiseConv(channels, width)
        self.phi = nn.Sequential(PointwiseConv(channels, width))

    def pool(self, x):
        """The maximum of each cell of POOLING positions; frames beyond a whole cell are left out."""
        return F.max_pool3d(x, POOLING[self.kind], POOLING[self.kind])

    def forward(self, x):
        # keys and values: pooled after the convolutions (MMAction2) or before (PySlowFast)
        if self.kind == "softmax":
            keys, values = self.pool(self.phi(x)), self.pool(self.g(x))
        else:
            pooled = self.pool(x)
            keys, values = self.phi(pooled), self.g(pooled)
        # positions as a sequence: (B,C/2,T,H,W) -> (B,N,C/2), and (B,M,C/2) of the pooled ones
        queries, keys, values = (y.flatten(2).transpose(1, 2) for y in (self.theta(x), keys, values))
        if self.kind == "softmax":
            # with one head, (B,1,N,C/2): the ONNX exporter takes no other form
            y = F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])[:, 0]
        else:
            affinity = queries @ keys.transpose(1, 2) / keys.shape[1]  # (B,N,M)
            y = affinity @ values
        y = y.transpose(1, 2).unflatten(2, x.shape[2:])  # (B,C/2,T,H,W)
        return x + self.conv_out(y)
