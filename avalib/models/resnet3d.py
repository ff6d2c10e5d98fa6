"""The zoo's backbones as published: a 3-D bottleneck ResNet, alone (SlowOnly) or as two pathways (SlowFast).

Tensors are (B,C,T,H,W). Module names and weight shapes are those of the published checkpoints.
`models/cpu` has faster forms of these layers, which are swapped in from outside.

Source: MMAction2 v0.10.0 resnet3d.py, resnet3d_slowonly.py, resnet3d_slowfast.py; arXiv:1812.03982.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

N_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # bottlenecks in each stage, by depth
SPATIAL_STRIDES = (1, 2, 2, 1)  # stage 4 keeps stride 16, undilated; the Kinetics recognizers use 1,2,2,2
EXPANSION = 4  # a bottleneck's output channels over its inner ones
LATERAL_NAMES = ("conv1_lateral", "layer1_lateral", "layer2_lateral", "layer3_lateral")  # by the stage they feed


def build_conv(in_channels, out_channels, kernel, stride=(1, 1, 1)):
    """A 3-D convolution without a bias, padded to keep the size at stride 1."""
    padding = tuple(k // 2 for k in kernel)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False)


class ConvBN(nn.Module):
    """A convolution and its batch norm, then ReLU unless `relu` is False."""

    def __init__(self, in_channels, out_channels, kernel, stride=(1, 1, 1), relu=True):
        super().__init__()
        self.conv = build_conv(in_channels, out_channels, kernel, stride)
        self.bn = nn.BatchNorm3d(out_channels)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class Lateral(nn.Module):
    """Fast to slow pathway: a convolution (k,1,1) with stride (speed_ratio,1,1), without batch norm and activation."""

    def __init__(self, channels, kernel, speed_ratio):
        super().__init__()
        self.conv = build_conv(channels, 2 * channels, (kernel, 1, 1), (speed_ratio, 1, 1))

    def forward(self, x):
        return self.conv(x)


class Bottleneck(nn.Module):
    """conv1 (1x1x1, or 3x1x1 where inflated), conv2 (1x3x3, carries the stride), conv3 (1x1x1), plus identity."""

    def __init__(self, in_channels, planes, stride, inflate, project):
        super().__init__()
        out_channels = planes * EXPANSION
        self.conv1 = ConvBN(in_channels, planes, (3, 1, 1) if inflate else (1, 1, 1))
        self.conv2 = ConvBN(planes, planes, (1, 3, 3), (1, stride, stride))
        self.conv3 = ConvBN(planes, out_channels, (1, 1, 1), relu=False)
        self.downsample = None
        if project:
            self.downsample = ConvBN(in_channels, out_channels, (1, 1, 1), (1, stride, stride), relu=False)

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        residual = self.conv3(self.conv2(self.conv1(x)))
        return F.relu(residual + identity, inplace=True)


def build_stage(in_channels, planes, n_blocks, stride, inflate):
    """Bottlenecks one after the other; the first carries the stride and widens."""
    first = Bottleneck(in_channels, planes, stride, inflate, project=True)
    others = [Bottleneck(planes * EXPANSION, planes, 1, inflate, project=False) for _ in range(n_blocks - 1)]
    return nn.Sequential(first, *others)


class Pathway(nn.Module):
    """One ResNet: stem and four stages.

    Parameters
    ----------
    depth : int
        50 or 101.
    base : int
        Channels of the stem.
    stem_kernel : int
        Frames that the stem's kernel spans.
    inflated : tuple of int
        Stages (1..4) whose conv1 is 3x1x1.
    lateral_widths : sequence of int
        Channels that the other pathway appends before each stage.
    """

    def __init__(self, depth, base, stem_kernel, inflated, lateral_widths=(0, 0, 0, 0)):
        super().__init__()
        self.conv1 = ConvBN(3, base, (stem_kernel, 7, 7), (1, 2, 2))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        width = base
        for stage, n_blocks in enumerate(N_BLOCKS[depth], start=1):
            planes = base * 2 ** (stage - 1)
            stride = SPATIAL_STRIDES[stage - 1]
            in_channels = width + lateral_widths[stage - 1]
            layer = build_stage(in_channels, planes, n_blocks, stride, inflate=stage in inflated)
            self.add_module(f"layer{stage}", layer)
            width = planes * EXPANSION
        self.out_channels = width

    def run_stem(self, x):
        """(B,3,T,H,W) -> (B,base,T,H/4,W/4)."""
        return self.maxpool(self.conv1(x))

    def list_stages(self):
        """The four stages, in order."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]


class SlowOnly(Pathway):
    """One pathway over all frames: (B,3,T,H,W) -> [(B,2048,T,H/16,W/16)]."""

    def __init__(self, depth):
        super().__init__(depth, base=64, stem_kernel=1, inflated=(3, 4))

    def forward(self, clips):
        x = self.run_stem(clips)
        for stage in self.list_stages():
            x = stage(x)
        return [x]


class SlowFast(nn.Module):
    """Two pathways; the fast one feeds the slow one after the stem and after stages 1 to 3.

    (B,3,T,H,W) -> [(B,2048,T/r,H/16,W/16), (B,256,T,H/16,W/16)], r = resample_rate.

    Parameters
    ----------
    depth : int
        50 or 101, of both pathways.
    resample_rate : int
        The slow pathway sees every resample_rate-th frame of the clip.
    speed_ratio : int
        The paper's alpha: the laterals' stride over time.
    channel_ratio : int
        The inverse of the paper's beta: the slow pathway's channels over the fast one's.
    fusion_kernel : int
        Frames that the laterals' kernel spans.
    """

    def __init__(self, depth, resample_rate, speed_ratio, channel_ratio, fusion_kernel):
        super().__init__()
        self.resample_rate = resample_rate
        fast_base = 64 // channel_ratio
        fast_widths = [fast_base, *(fast_base * EXPANSION * 2**i for i in range(3))]  # channels at the four laterals
        lateral_widths = [2 * channels for channels in fast_widths]
        self.slow_path = Pathway(depth, base=64, stem_kernel=1, inflated=(3, 4), lateral_widths=lateral_widths)
        for name, channels in zip(LATERAL_NAMES, fast_widths, strict=True):
            self.slow_path.add_module(name, Lateral(channels, fusion_kernel, speed_ratio))
        self.fast_path = Pathway(depth, base=fast_base, stem_kernel=5, inflated=(1, 2, 3, 4))
        self.out_channels = self.slow_path.out_channels + self.fast_path.out_channels

    def forward(self, clips):
        # the slow pathway sees the first frame of each group of `resample_rate`
        slow = self.slow_path.run_stem(clips[:, :, :: self.resample_rate])
        fast = self.fast_path.run_stem(clips)
        for name, slow_stage, fast_stage in zip(
            LATERAL_NAMES, self.slow_path.list_stages(), self.fast_path.list_stages(), strict=True
        ):
            lateral = self.slow_path.get_submodule(name)
            slow = slow_stage(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_stage(fast)
        return [slow, fast]


def init_backbone(backbone, zero_init_residual=True):
    """Kaiming fan-out normal convolutions; batch norm weight 1 and bias 0, but weight 0 behind every conv3 if
    `zero_init_residual`.

    Draws from torch's global generator. Source: mmcv 1.2.7 kaiming_init as v0.10.0 calls it.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for module in backbone.modules():
        if zero_init_residual and isinstance(module, Bottleneck):
            nn.init.zeros_(module.conv3.bn.weight)
