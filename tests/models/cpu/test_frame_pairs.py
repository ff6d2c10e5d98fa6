"""Two frames at once: the results of the plain convolution."""

import pytest
import torch
import torch.nn.functional as F

from avalib.models.conv import ConvBN
from avalib.models.cpu import frame_pairs
from avalib.models.folded_conv import FoldedConv


def build_unit():
    """The stem of SlowFast's fast pathway, with a batch norm that has seen something."""
    torch.manual_seed(0)
    unit = ConvBN(3, 8, (5, 7, 7), (1, 2, 2)).eval().requires_grad_(False)
    torch.nn.init.uniform_(unit.bn.weight, 0.5, 1.5)
    torch.nn.init.normal_(unit.bn.running_mean)
    return unit


@pytest.mark.parametrize("n_frames", [1, 2, 5, 8])
def test_it_is_the_convolution(n_frames):
    torch.manual_seed(n_frames)
    x = torch.randn(2, 3, n_frames, 17, 14).contiguous(memory_format=torch.channels_last_3d)
    weight, bias = torch.randn(4, 3, 3, 5, 5), torch.randn(4)
    geometry = (1, 2, 2), (1, 2, 2)
    y = frame_pairs.convolve_in_pairs(x, frame_pairs.pair_weights(weight), bias, *geometry)
    torch.testing.assert_close(y, F.conv3d(x, weight, bias, *geometry), rtol=0, atol=5e-5)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_a_folded_stem_is_the_stem_on_each_processor(capability, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    unit = build_unit()
    folded = FoldedConv(unit, fast=True)
    # pairs, where registers are wide enough
    assert len(folded.weight) == (16 if capability == "AVX512" else 8)
    x = torch.randn(1, 3, 8, 33, 20)
    torch.testing.assert_close(folded(x), unit(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "stride", "dilation"),
    [
        ((16, 3, 5, 7, 7), (1, 2, 2), (1, 1, 1)),  # many channels
        ((8, 3, 1, 7, 7), (1, 2, 2), (1, 1, 1)),  # within frames
        ((8, 8, 5, 1, 1), (1, 1, 1), (1, 1, 1)),  # along time
        ((8, 3, 5, 7, 7), (2, 2, 2), (1, 1, 1)),  # not every frame
        ((8, 3, 5, 7, 7), (1, 2, 2), (2, 1, 1)),
    ],
)
def test_other_layers_run_as_they_are(shape, stride, dilation, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not frame_pairs.is_supported(torch.zeros(shape), stride, dilation)
