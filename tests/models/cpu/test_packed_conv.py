"""oneDNN's convolutions with fused ends: the results of the plain ones."""

import copy

import pytest
import torch
import torch.nn.functional as F

from avalib.models.conv import ConvBN
from avalib.models.cpu import packed_conv
from avalib.models.folded_conv import FoldedConv

needs_onednn = pytest.mark.skipif(not packed_conv.is_available(), reason="this build of PyTorch has no oneDNN")
# kernel, stride, dilation: within frames, strided, dilated, pointwise, along time
SHAPES = [((1, 3, 3), 1, 1), ((1, 3, 3), 2, 1), ((1, 3, 3), 1, 2), ((1, 1, 1), 2, 1), ((3, 1, 1), 1, 1)]


def build_unit(kernel=(1, 3, 3), stride=1, dilation=1, relu=True):
    """A ConvBN whose batch norm has seen something, and an input (2,12,4,9,7)."""
    torch.manual_seed(0)
    unit = ConvBN(12, 20, kernel, (1, stride, stride), relu=relu, dilation=dilation).eval().requires_grad_(False)
    torch.nn.init.uniform_(unit.bn.weight, 0.5, 1.5)
    torch.nn.init.normal_(unit.bn.running_mean)
    return unit, torch.randn(2, 12, 4, 9, 7).contiguous(memory_format=torch.channels_last_3d)


@needs_onednn
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), SHAPES)
def test_it_is_the_convolution(kernel, stride, dilation, relu):
    unit, x = build_unit(kernel, stride, dilation, relu)
    folded = FoldedConv(unit, fast=True)
    y = folded(x)
    assert folded.packed is not None
    torch.testing.assert_close(y, unit(x), rtol=0, atol=1e-5)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@needs_onednn
@pytest.mark.parametrize(("kernel", "stride", "dilation"), SHAPES)
def test_the_shortcut_is_added_before_relu(kernel, stride, dilation):
    unit, x = build_unit(kernel, stride, dilation, relu=False)
    y = unit(x)
    shortcut = torch.randn_like(y)
    expected = F.relu(y + shortcut)
    torch.testing.assert_close(FoldedConv(unit, fast=True)(x, shortcut.clone()), expected, rtol=0, atol=1e-5)
    # in another layout of memory
    torch.testing.assert_close(FoldedConv(unit, fast=True)(x, shortcut.contiguous()), expected, rtol=0, atol=1e-5)


@needs_onednn
def test_other_sizes_than_the_first_ones_and_lone_frames_work():
    unit, x = build_unit()
    folded = FoldedConv(unit, fast=True)
    for part in (x, x[:1, :, :1], x[..., :5, :4], x.repeat(1, 1, 3, 2, 2)):
        torch.testing.assert_close(folded(part), unit(part), rtol=0, atol=1e-5)


@needs_onednn
def test_after_a_change_of_type_the_weights_are_packed_anew():
    unit, x = build_unit()
    folded = FoldedConv(unit, fast=True)
    folded(x)
    y = folded.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), unit(x), rtol=0, atol=0.05)


@needs_onednn
def test_a_copy_packs_its_own_weights():
    unit, x = build_unit()
    folded = FoldedConv(unit, fast=True)
    y = folded(x)
    torch.testing.assert_close(copy.deepcopy(folded)(x), y, rtol=0, atol=0)


def test_gradients_reach_the_input():
    unit, x = build_unit()
    x.requires_grad_()
    FoldedConv(unit, fast=True)(x).sum().backward()
    (expected,) = torch.autograd.grad(unit(x).sum(), x)
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-5)


def test_without_onednn_the_results_are_the_same(monkeypatch):
    unit, x = build_unit(relu=False)
    shortcut = torch.randn(2, 20, 4, 9, 7)
    monkeypatch.setattr(packed_conv, "is_available", lambda: False)
    folded = FoldedConv(unit, fast=True)
    torch.testing.assert_close(folded(x, shortcut.clone()), F.relu(unit(x) + shortcut), rtol=0, atol=1e-5)
    assert folded.packed is None
