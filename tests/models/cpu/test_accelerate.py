"""The swapped forms: the same network under the same names."""

import pytest
import tiny_model
import torch
from torch import nn

from avalib.models.cpu.accelerate import use_fast_forms, use_fast_training_forms
from avalib.models.cpu.frame_layers import FrameConv3d, PointwiseConv3d, WinogradConv3d
from avalib.models.detector import Detector

ROIS = torch.tensor([[0, 0, 0, 20, 15], [1, 4, 2, 20, 15.0]])


def build_tiny_detector(seed=0):
    torch.manual_seed(seed)
    return Detector(tiny_model.ENTRY, dropout=0.0, zero_init_residual=False)


def run_step(model):
    """Logits and gradients of one forward and backward in training, in float64."""
    model = model.double().train()
    clips = torch.randn(2, 3, 4, 16, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = model(clips, ROIS.double())
    logits.square().mean().backward()
    return [logits.detach(), *(p.grad for p in model.parameters())]


@pytest.mark.slow
def test_logits_and_gradients_are_the_plain_networks():
    for actual, expected in zip(
        run_step(use_fast_forms(build_tiny_detector())), run_step(build_tiny_detector()), strict=True
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.slow
def test_logits_and_gradients_of_the_training_forms_are_the_plain_networks():
    fast = use_fast_training_forms(use_fast_forms(build_tiny_detector()))
    for actual, expected in zip(run_step(fast), run_step(build_tiny_detector()), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-10)


def test_the_state_dict_keeps_its_keys_and_tensors():
    model = build_tiny_detector()
    before = model.state_dict()
    after = use_fast_training_forms(use_fast_forms(model)).state_dict()
    assert list(after) == list(before)
    assert all(after[key].data_ptr() == value.data_ptr() for key, value in before.items())


def test_no_plain_layer_of_the_backbone_is_left():
    model = use_fast_forms(build_tiny_detector())
    assert not {nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d} & {type(module) for module in model.modules()}


def test_a_second_call_changes_nothing():
    model = use_fast_training_forms(use_fast_forms(build_tiny_detector()))
    types = [type(module) for module in model.modules()]
    use_fast_training_forms(use_fast_forms(model))
    assert [type(module) for module in model.modules()] == types


def test_wide_convolutions_have_training_forms():
    model = use_fast_training_forms(use_fast_forms(build_tiny_detector()))
    layers = {"conv1": FrameConv3d, "layer4.0.conv1": WinogradConv3d, "layer4.0.conv2": WinogradConv3d}
    layers |= {"layer4.0.conv3": PointwiseConv3d, "layer1.0.conv3": FrameConv3d, "layer3.0.conv2": FrameConv3d}
    assert {name: type(model.backbone.get_submodule(name).conv) for name in layers} == layers
