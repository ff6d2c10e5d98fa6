"""Swap the layers of a detector for faster forms with the same parameters, state_dict keys and results.

A module keeps its identity, parameters and hooks; only its class changes, to a subclass whose `forward` is faster.
"""

import torch
from torch import nn

from avalib.models.conv import ConvBN
from avalib.models.cpu.frame_layers import (
    FrameBatchNorm3d,
    FrameConv3d,
    FrameConvBN,
    FrameMaxPool3d,
    PointwiseConv3d,
    WinogradConv3d,
)
from avalib.models.cpu.roi_align import FastRoIHead
from avalib.models.cpu.winograd import is_supported
from avalib.models.detector import Detector
from avalib.models.roi_head import RoIHead

MIN_POINTWISE_CHANNELS = 128  # from here on a matrix product beats oneDNN's convolution, above all in backward


class ChannelsLastDetector(Detector):
    """Detector that lays clips out as the 2-D kernels need them."""

    def forward(self, clips, rois):
        self.check_inputs(clips, rois)
        maps = self.backbone(clips.contiguous(memory_format=torch.channels_last_3d))
        return self.roi_head(maps, self.prepare_rois(rois, clips))


FAST_FORMS = {
    nn.Conv3d: FrameConv3d,
    nn.BatchNorm3d: FrameBatchNorm3d,
    nn.MaxPool3d: FrameMaxPool3d,
    ConvBN: FrameConvBN,
    RoIHead: FastRoIHead,
    Detector: ChannelsLastDetector,
}


def use_fast_forms(model):
    """Run a detector on 2-D kernels, for inference and training. It pays most on a CPU and works on every device.

    Parameters
    ----------
    model : Detector
        Changed in place. Its state_dict keeps its keys. A second call changes nothing.

    Returns
    -------
    Detector
        The same model.
    """
    for module in model.modules():
        if type(module) in FAST_FORMS:
            module.__class__ = FAST_FORMS[type(module)]
    return model


def use_fast_training_forms(model):
    """Train the wide convolutions of a detector in fast forms by Winograd's algorithm or as matrix products.

    For float32 on a CPU. In evaluation mode the modules compute as before.

    Parameters
    ----------
    model : Detector
        Changed in place, after `use_fast_forms`.

    Returns
    -------
    Detector
        The same model.
    """
    for module in model.modules():
        if type(module) is FrameConv3d:
            module.__class__ = choose_training_form(module)
    return model


def choose_training_form(conv):
    """The class that trains a FrameConv3d fastest in float32 on a CPU."""
    if is_supported(conv.weight, conv.stride, conv.dilation):
        return WinogradConv3d
    # a matrix product, where there are channels enough
    is_pointwise = conv.kernel_size == conv.stride == (1, 1, 1)
    if is_pointwise and min(conv.in_channels, conv.out_channels) >= MIN_POINTWISE_CHANNELS:
        return PointwiseConv3d
    return FrameConv3d
