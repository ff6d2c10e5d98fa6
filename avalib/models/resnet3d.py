"""The zoo's CNN backbones as published: a 3-D bottleneck ResNet, alone (SlowOnly) or as two pathways (SlowFast).

Tensors are (B,C,T,H,W). Module names and weight shapes are those of MMAction2's checkpoints; for files of other code
bases `key_names` translates. `models/cpu` has faster forms of these layers, which are swapped in from outside.

Source: MMAction2 v0.10.0 and 1.x (resnet3d.py, resnet3d_slowonly.py, resnet3d_slowfast.py), PySlowFast
(video_model_builder.py, resnet_helper.py); arXiv:1812.03982.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from avalib.models.conv import ConvBN, build_conv
from avalib.models.non_local import NonLocalBlock
from avalib.zoo.entry import ZooEntry

N_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # bottlenecks in each stage, by depth
SPATIAL_STRIDES = (1, 2, 2, 1)  # stage 4 keeps stride 16, undilated; the Kinetics recognizers use 1,2,2,2
EXPANSION = 4  # a bottleneck's output channels over its inner ones
LATERAL_NAMES = ("conv1_lateral", "layer1_lateral", "layer2_lateral", "layer3_lateral")  # by the stage they feed


class Lateral(nn.Module):
    """Fast to slow pathway: a convolution (k,1,1) with stride (speed_ratio,1,1), without batch norm and activation."""

    def __init__(self, channels, kernel, speed_ratio):
        super().__init__()
        self.conv = build_conv(channels, 2 * channels, (kernel, 1, 1), (speed_ratio, 1, 1))

    def forward(self, x):
        return self.conv(x)


def build_lateral(channels, entry):
    """The lateral for a fast pathway of this many channels; PySlowFast's have batch norm and ReLU."""
    if not entry.lateral_norm:
        return Lateral(channels, entry.fusion_kernel, entry.speed_ratio)
    return ConvBN(channels, 2 * channels, (entry.fusion_kernel, 1, 1), (entry.speed_ratio, 1, 1))


class Bottleneck(nn.Module):
    """conv1 (1x1x1, or 3x1x1 where inflated), conv2 (1x3x3, carries the stride), conv3 (1x1x1), plus identity.

    A non-local block may follow (`add_non_local`).
    """

    def __init__(self, in_channels, planes, stride, inflate, project, dilation=1):
        super().__init__()
        out_channels = planes * EXPANSION
        self.conv1 = ConvBN(in_channels, planes, (3, 1, 1) if inflate else (1, 1, 1))
        self.conv2 = ConvBN(planes, planes, (1, 3, 3), (1, stride, stride), dilation=dilation)
        self.conv3 = ConvBN(planes, out_channels, (1, 1, 1), relu=False)
        self.downsample = None
        if project:
            self.downsample = ConvBN(in_channels, out_channels, (1, 1, 1), (1, stride, stride), relu=False)
        self.non_local_block = None

    def add_non_local(self, kind):
        """Let a non-local block follow: "softmax" or "dot_product"."""
        self.non_local_block = NonLocalBlock(self.conv3.bn.num_features, kind)

    def forward(self, x):
        # the shortcut and the three convolutions, added; then the non-local block
        identity = x if self.downsample is None else self.downsample(x)
        residual = self.conv3(self.conv2(self.conv1(x)))
        x = F.relu(residual + identity, inplace=True)
        return x if self.non_local_block is None else self.non_local_block(x)


def build_stage(in_channels, planes, n_blocks, stride, n_inflated, dilation):
    """Bottlenecks one after the other; the first carries the stride and widens, the first `n_inflated` see time."""
    blocks = [Bottleneck(in_channels, planes, stride, n_inflated > 0, project=True, dilation=dilation)]
    for i in range(1, n_blocks):
        blocks.append(Bottleneck(planes * EXPANSION, planes, 1, i < n_inflated, project=False, dilation=dilation))
    return nn.Sequential(*blocks)


class Pathway(nn.Module):
    """One ResNet: stem and four stages.

    Parameters
    ----------
    entry : ZooEntry
        The depth; how many bottlenecks of stage 3 see time; the dilation of stage 4.
    base : int
        Channels of the stem.
    stem_kernel : int
        Frames that the stem's kernel spans.
    inflated : tuple of int
        Stages (1..4) whose conv1 is 3x1x1.
    lateral_widths : sequence of int
        Channels that the other pathway appends before each stage.
    """

    def __init__(self, entry, base, stem_kernel, inflated, lateral_widths=(0, 0, 0, 0)):
        super().__init__()
        # the stem: half the size by the convolution, half again by the pool
        self.conv1 = ConvBN(3, base, (stem_kernel, 7, 7), (1, 2, 2))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        width = base
        for stage, n_blocks in enumerate(N_BLOCKS[entry.depth], start=1):
            # how many of its bottlenecks see time
            n_inflated = n_blocks if stage in inflated else 0
            if stage == 3 and entry.inflated_blocks is not None:
                n_inflated = entry.inflated_blocks
            # each stage has twice the channels of the one before
            planes = base * 2 ** (stage - 1)
            layer = build_stage(
                in_channels=width + lateral_widths[stage - 1],
                planes=planes,
                n_blocks=n_blocks,
                stride=SPATIAL_STRIDES[stage - 1],
                n_inflated=n_inflated,
                dilation=entry.last_stage_dilation if stage == 4 else 1,
            )
            self.add_module(f"layer{stage}", layer)
            width = planes * EXPANSION
        self.out_channels = width

    def add_non_local_blocks(self, kind, blocks):
        """Let non-local blocks follow some bottlenecks: "3.6" is number 6 (from 0) of stage 3."""
        for name in blocks:
            self.get_submodule(f"layer{name}").add_non_local(kind)

    def run_stem(self, x):
        """(B,3,T,H,W) -> (B,base,T,H/4,W/4)."""
        return self.maxpool(self.conv1(x))

    def list_stages(self):
        """The four stages, in order."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]


class SlowOnly(Pathway):
    """One pathway over all frames: (B,3,T,H,W) -> [(B,2048,T,H/16,W/16)]."""

    def __init__(self, entry: ZooEntry):
        super().__init__(entry, base=64, stem_kernel=1, inflated=(3, 4))
        self.add_non_local_blocks(entry.non_local, entry.non_local_blocks)

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
    entry : ZooEntry
        depth: of both pathways. resample_rate, slow_frames: which frames the slow pathway sees. speed_ratio: the
        paper's alpha, the laterals' stride over time. channel_ratio: the inverse of its beta, the slow pathway's
        channels over the fast one's. fusion_kernel, lateral_norm: the laterals.
    """

    def __init__(self, entry: ZooEntry):
        super().__init__()
        self.resample_rate = entry.resample_rate
        self.slow_frames = entry.slow_frames
        # channels: the fast pathway's at its four laterals, and what they append to the slow one
        fast_base = 64 // entry.channel_ratio
        fast_widths = [fast_base, *(fast_base * EXPANSION * 2**i for i in range(3))]  # channels at the four laterals
        lateral_widths = [2 * channels for channels in fast_widths]
        self.slow_path = Pathway(entry, base=64, stem_kernel=1, inflated=(3, 4), lateral_widths=lateral_widths)
        for name, channels in zip(LATERAL_NAMES, fast_widths, strict=True):
            self.slow_path.add_module(name, build_lateral(channels, entry))
        self.slow_path.add_non_local_blocks(entry.non_local, entry.non_local_blocks)
        self.fast_path = Pathway(entry, base=fast_base, stem_kernel=5, inflated=(1, 2, 3, 4))
        self.out_channels = self.slow_path.out_channels + self.fast_path.out_channels

    def select_slow_frames(self, clips):
        """The slow pathway's frames of clips (B,3,T,H,W) -> (B,3,T/r,H,W)."""
        if self.slow_frames == "strided":
            return clips[:, :, :: self.resample_rate]
        # spread evenly from the first frame to the last, rounded down: 0, 4, 8, 13, … of 32
        n_frames = clips.shape[2]
        n_slow = n_frames // self.resample_rate
        numbers = [i * (n_frames - 1) // max(n_slow - 1, 1) for i in range(n_slow)]
        return clips[:, :, numbers]

    def forward(self, clips):
        # (B,64,T/r,H/4,W/4) and (B,64/channel_ratio,T,H/4,W/4)
        slow = self.slow_path.run_stem(self.select_slow_frames(clips))
        fast = self.fast_path.run_stem(clips)
        for name, slow_stage, fast_stage in zip(
            LATERAL_NAMES, self.slow_path.list_stages(), self.fast_path.list_stages(), strict=True
        ):
            # before each stage the fast pathway's features are appended to the slow one's
            lateral = self.slow_path.get_submodule(name)
            slow = slow_stage(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_stage(fast)
        return [slow, fast]


def init_backbone(backbone, zero_init_residual=True):
    """Kaiming fan-out normal convolutions; batch norm weight 1 and bias 0, but weight 0 behind every conv3 if
    `zero_init_residual`, and behind every non-local block, which so starts as the identity.

    Draws from torch's global generator. Source: mmcv 1.2.7 kaiming_init as v0.10.0 calls it.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    # blocks that start as the identity
    for module in backbone.modules():
        if zero_init_residual and isinstance(module, Bottleneck):
            nn.init.zeros_(module.conv3.bn.weight)
        if isinstance(module, NonLocalBlock):
            nn.init.zeros_(module.conv_out.bn.weight)
