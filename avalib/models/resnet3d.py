"""The zoo's backbones: a 3-D bottleneck ResNet, alone (SlowOnly) or as two pathways with laterals (SlowFast).

Tensors are (B,C,T,H,W). Most convolutions here look at one frame (1xkxk) or along time only (kx1x1), so they run as
2-D convolutions on views of the same memory, 1.5 to 2 times faster on a CPU than as 3-D ones: with channels last,
(B,C,T,H,W) is a batch of B*T frames (B*T,C,H,W), and also a picture (B,C,T,H*W) of one column per time step.
Weights keep their published 5-D shapes and names.

Source: MMAction2 v0.10.0 resnet3d.py, resnet3d_slowonly.py, resnet3d_slowfast.py; arXiv:1812.03982.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
SPATIAL_STRIDES = (1, 2, 2, 1)  # stage 4 keeps stride 16, undilated; the Kinetics recognisers use 1,2,2,2
EXPANSION = 4


def merge_time_into_batch(x):
    """(B,C,T,H,W) -> (B*T,C,H,W): a view where memory is channels-last, else a copy."""
    x = x.transpose(1, 2).flatten(0, 1)
    if torch.compiler.is_compiling() or len(x) > 1:  # a compiler plans the layout itself, for any length
        return x
    return x.as_strided(x.shape, (x.numel(), *x.stride()[1:]))  # torch reads the layout also from a lone frame's stride


def split_time_from_batch(x, frames):
    """(B*T,C,H,W) -> (B,C,T,H,W), a view."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def convolve(x, weight, bias, stride, padding):
    """A 3-D convolution of x (B,C,T,H,W) with weight (O,C,kt,kh,kw), as a 2-D one wherever its shape allows that."""
    kt, kh, kw = weight.shape[2:]
    if kt == 1 and stride[0] == 1:
        y = F.conv2d(merge_time_into_batch(x), weight.squeeze(2), bias, stride[1:], padding[1:])
        return split_time_from_batch(y, x.shape[2])
    if kh == kw == 1 and tuple(stride[1:]) == (1, 1):
        y = F.conv2d(x.flatten(3), weight.squeeze(4), bias, (stride[0], 1), (padding[0], 0))  # (B,O,T',H*W)
        return y.unflatten(3, (x.shape[3], x.shape[4]))
    return F.conv3d(x, weight, bias, stride, padding)


def pointwise_conv(x, weight):
    """A 1x1x1 convolution at stride 1 as one matrix product; its gradients are two more."""
    return F.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1)).permute(0, 4, 1, 2, 3)


class Conv(nn.Conv3d):
    """nn.Conv3d without a bias, padded to keep the size at stride 1; same parameters, faster arithmetic.

    in_training: another way to the same, (x, weight) -> y, where that trains faster; train.step.apply_options sets it.
    """

    in_training = None

    def __init__(self, in_channels, out_channels, kernel, stride=(1, 1, 1)):
        super().__init__(in_channels, out_channels, kernel, stride, tuple(k // 2 for k in kernel), bias=False)

    def forward(self, x):
        if self.in_training and self.training:
            return self.in_training(x, self.weight)
        return convolve(x, self.weight, self.bias, self.stride, self.padding)


class FrameBatchNorm(nn.BatchNorm3d):
    """nn.BatchNorm3d for frames (B*T,C,H,W): the same numbers, on the 2-D kernels."""

    def _check_input_dim(self, x):
        if x.dim() != 4:
            raise ValueError(f"expected frames (B*T,C,H,W), got {tuple(x.shape)}")


class ConvBN(nn.Module):
    """A convolution and its batch norm, with ReLU if asked for: the unit that the published keys name."""

    def __init__(self, in_channels, out_channels, kernel, stride=(1, 1, 1), relu=True):
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, stride)
        self.bn = FrameBatchNorm(out_channels)
        self.relu = relu

    def forward(self, x):
        x = self.conv(x)
        y = self.bn(merge_time_into_batch(x))
        if self.relu:  # before it becomes a view: autograd copies gradients three times for views changed in place
            y = F.relu(y, inplace=True)
        return split_time_from_batch(y, x.shape[2])


class Lateral(nn.Module):
    """Fast -> slow: conv (k,1,1) with stride (alpha,1,1); no batch norm, no activation."""

    def __init__(self, channels, kernel, alpha):
        super().__init__()
        self.conv = Conv(channels, 2 * channels, (kernel, 1, 1), (alpha, 1, 1))

    def forward(self, x):
        return self.conv(x)


class Bottleneck(nn.Module):
    """conv1 (1x1x1, or 3x1x1 where inflated) -> conv2 (1x3x3, carries the stride) -> conv3 (1x1x1), plus identity."""

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
        return self.finish(self.conv1(x), identity)

    def finish(self, x, identity):
        """From the output of conv1 on."""
        return F.relu(self.conv3(self.conv2(x)) + identity, inplace=True)


class Stage(nn.Sequential):
    """Bottlenecks in a row.

    cells: rows and columns (two slices) of the output, where nothing else of it is wanted, at stride 1; each block then
    sees no more than these follow from.
    """

    @classmethod
    def of(cls, in_channels, planes, blocks, stride, inflate):
        """The first block carries the stride and widens."""
        first = Bottleneck(in_channels, planes, stride, inflate, project=True)
        rest = [Bottleneck(planes * EXPANSION, planes, 1, inflate, project=False) for _ in range(blocks - 1)]
        return cls(first, *rest)

    def forward(self, x, cells=None):
        if cells is None:
            return super().forward(x)
        for i, block in enumerate(self):
            x, cells = crop_to_window(x, cells, reach=len(self) - i)  # a 3x3 kernel in each block that is still to come
            x = block(x)
        return crop_to_window(x, cells)[0]


def crop_to_window(x, cells, reach=0):
    """Of x (B,C,T,H,W) the `cells` (rows, columns: two slices) and `reach` more around; and where they are in that."""
    outer = [slice(max(c.start - reach, 0), min(c.stop + reach, n)) for c, n in zip(cells, x.shape[3:], strict=True)]
    inner = [slice(c.start - o.start, min(c.stop, o.stop) - o.start) for c, o in zip(cells, outer, strict=True)]
    return x[(..., *outer)].contiguous(memory_format=torch.channels_last_3d), inner


class Pathway(nn.Module):
    """One ResNet: stem and four stages.

    base: channels of the stem; stem_kernel: frames the stem looks at; inflated: stages whose conv1 is 3x1x1;
    lateral_widths: channels that the other pathway appends before each stage (0 where it has none).
    """

    def __init__(self, depth, base, stem_kernel, inflated, lateral_widths=(0, 0, 0, 0)):
        super().__init__()
        self.conv1 = ConvBN(3, base, (stem_kernel, 7, 7), (1, 2, 2))
        width = base
        for stage, blocks in enumerate(BLOCKS[depth], start=1):
            planes = base * 2 ** (stage - 1)
            stride = SPATIAL_STRIDES[stage - 1]
            layer = Stage.of(width + lateral_widths[stage - 1], planes, blocks, stride, stage in inflated)
            self.add_module(f"layer{stage}", layer)
            width = planes * EXPANSION
        self.out_channels = width

    def stem(self, x):
        """(B,3,T,H,W) -> (B,base,T,H/4,W/4): convolution, then max pool over space."""
        x = self.conv1(x)
        return split_time_from_batch(F.max_pool2d(merge_time_into_batch(x), 3, 2, 1), x.shape[2])

    def stages(self):
        """The four stages, in order."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]


class SlowOnly(Pathway):
    """One pathway over all frames: (B,3,T,H,W) -> [(B,2048,T,H/16,W/16)], of which `cells` alone if given (Stage)."""

    def __init__(self, depth):
        super().__init__(depth, base=64, stem_kernel=1, inflated=(3, 4))

    def per_frame(self, clips):
        """(B,3,T,H,W) -> (B,512,T,H/8,W/8): stem and stages 1 and 2, whose kernels see one frame each."""
        return self.layer2(self.layer1(self.stem(clips)))

    def forward(self, clips, cells=None):
        return [self.layer4(self.layer3(self.per_frame(clips)), cells)]


class SlowFast(nn.Module):
    """Two pathways; the fast one feeds the slow one after the stem and after stages 1 to 3.

    (B,3,T,H,W) -> [(B,2048,T/r,H/16,W/16), (B,256,T,H/16,W/16)], r = resample_rate; of these `cells` alone if given.
    """

    def __init__(self, depth, resample_rate, speed_ratio, channel_ratio, fusion_kernel):
        super().__init__()
        self.resample_rate = resample_rate
        fast_base = 64 // channel_ratio
        fed = [fast_base, *(fast_base * EXPANSION * 2**i for i in range(3))]  # fast channels at the four joints
        self.slow_path = Pathway(depth, 64, 1, inflated=(3, 4), lateral_widths=[2 * c for c in fed])
        for name, channels in zip(self.lateral_names(), fed, strict=True):
            self.slow_path.add_module(name, Lateral(channels, fusion_kernel, speed_ratio))
        self.fast_path = Pathway(depth, fast_base, 5, inflated=(1, 2, 3, 4))
        self.out_channels = self.slow_path.out_channels + self.fast_path.out_channels

    @staticmethod
    def lateral_names():
        """Attribute names of the four laterals in slow_path, in the order of the stages they feed."""
        return ("conv1_lateral", "layer1_lateral", "layer2_lateral", "layer3_lateral")

    def forward(self, clips, cells=None):
        slow = self.slow_path.stem(clips[:, :, :: self.resample_rate])  # the first frame of each group
        fast = self.fast_path.stem(clips)
        pairs = zip(self.lateral_names(), self.slow_path.stages(), self.fast_path.stages(), strict=True)
        for lateral, slow_stage, fast_stage in pairs:
            wanted = cells if slow_stage is self.slow_path.layer4 else None
            slow = slow_stage(torch.cat([slow, getattr(self.slow_path, lateral)(fast)], dim=1), wanted)
            fast = fast_stage(fast, wanted)
        return [slow, fast]


def init_backbone(backbone, zero_init_residual=True):
    """Kaiming fan-out normal convolutions; BN weight 1, bias 0, but 0 behind every conv3 if `zero_init_residual`.

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
