"""Convolutions with the batch norm behind them folded in, and bottlenecks of them: for inference only."""

import torch
import torch.nn.functional as F

from avalib.models.cpu import frame_pairs
from avalib.models.cpu.frame_layers import choose_planar_form, convolve
from avalib.models.cpu.packed_conv import PackedConv, PackingModule, can_run
from avalib.models.cpu.winograd import convolve_winograd, is_supported, transform_weights
from avalib.models.resnet3d import Bottleneck

CPU = torch.device("cpu")


def fold_batch_norm(unit):
    """The single convolution that equals a ConvBN in evaluation mode.

    Returns
    -------
    weight, bias : Tensor
        w g/s (O,C,kt,kh,kw) and b + (c - m) g/s (O,), c the convolution's own bias; float64, on the CPU: not every
        device has float64.
    """
    bn = unit.bn
    weight, gain, bias, mean, variance = (
        value.detach().cpu().double()
        for value in (unit.conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var)
    )
    # a bias of the convolution itself shifts what the batch norm sees
    if unit.conv.bias is not None:
        mean = mean - unit.conv.bias.detach().cpu().double()
    # g/s (O,) multiplies each output channel
    scale = gain / (variance + bn.eps).sqrt()
    return weight * scale.view(-1, 1, 1, 1, 1), bias - mean * scale


class FoldedConv(PackingModule):
    """A convolution with the batch norm behind it folded in, then ReLU where the unit has it.

    Parameters
    ----------
    unit : ConvBN
    fast : bool
        Run on 2-D kernels where the shape allows that; else as the 3-D convolution that it is, a shorter graph.
    winograd : bool
        Use Winograd's algorithm where that is less work; for float32 and float64, whose rounding it keeps.
    """

    def __init__(self, unit, fast=False, winograd=False):
        super().__init__()
        conv = unit.conv
        weight, bias = fold_batch_norm(unit)
        self.winograd = winograd and conv.dilation[0] == 1 and is_supported(weight, conv.stride)
        if self.winograd:
            weight = transform_weights(weight)
        self.convolve = convolve if fast else F.conv3d
        if fast and frame_pairs.is_supported(conv.weight, conv.stride, conv.dilation):
            weight = frame_pairs.pair_weights(weight)
            self.convolve = frame_pairs.convolve_in_pairs
        self.register_buffer("weight", weight.to(conv.weight))
        self.register_buffer("bias", bias.to(conv.weight))
        # on a CPU the weights are packed at the first call
        can_be_packed = fast and not self.winograd
        self.planar_form = choose_planar_form(conv.weight, conv.stride, CPU) if can_be_packed else None
        self.stride = conv.stride
        self.padding = conv.padding
        self.dilation = conv.dilation
        self.relu = unit.relu

    def forward(self, x, shortcut=None):
        """Convolve x (B,C,T,H,W). With a shortcut (B,O,T',H',W'), which is written over: relu(convolution + it)."""
        if self.planar_form is not None and can_run(x):
            return self._run_packed(x, shortcut)
        if self.winograd:
            x = convolve_winograd(x, self.weight, self.bias, self.dilation[1])
        else:
            x = self.convolve(x, self.weight, self.bias, self.stride, self.padding, self.dilation)
        if shortcut is not None:
            return F.relu(shortcut.add_(x), inplace=True)
        return F.relu(x, inplace=True) if self.relu else x

    def _run_packed(self, x, shortcut):
        form = self.planar_form
        flat = form.flatten(x)
        if self.packed is None:
            geometry = form.get_geometry(self.stride, self.padding, self.dilation)
            self.packed = PackedConv(form.flatten_weight(self.weight), self.bias, geometry, flat.shape)
        if shortcut is None:
            return form.restore(self.packed.convolve(flat, "relu" if self.relu else "none"), x)
        return form.restore(self.packed.convolve_and_add(flat, form.flatten(shortcut), relu=True), x)


class FusedBottleneck(Bottleneck):
    """A Bottleneck of FoldedConvs, the last of which adds the shortcut. The input may be written over."""

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv3(self.conv2(self.conv1(x)), shortcut)
        return x if self.non_local_block is None else self.non_local_block(x)
