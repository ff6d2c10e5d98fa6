"""The layers on 2-D kernels against PyTorch's 3-D ones."""

import pytest
import tiny_model
import torch
from torch import nn

from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.cpu.frame_layers import convolve, convolve_pointwise
from avalib.models.detector import Detector


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 3, 3), (5, 1, 1), (7, 1, 1), (1, 7, 7), (5, 7, 7)])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (4, 1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_every_shape_of_convolution_equals_the_3d_one(kernel, stride, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 9, 11, dtype=torch.float64).contiguous(memory_format=layout)
    weight, bias = torch.randn(4, 3, *kernel, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    padding = tuple(k // 2 for k in kernel)
    expected = nn.functional.conv3d(x, weight, bias, stride, padding)
    torch.testing.assert_close(convolve(x, weight, bias, stride, padding), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_convolution_as_a_matrix_product_and_its_gradients(layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64).contiguous(memory_format=layout)
    weight = torch.randn(7, 3, 1, 1, 1, dtype=torch.float64)
    results = []  # (outputs, both gradients) of each
    for convolution in (nn.functional.conv3d, convolve_pointwise):
        inputs, kernel = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = convolution(inputs, kernel)
        (y * torch.arange(y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        results.append((y, inputs.grad, kernel.grad))
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-9)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_lone_frame_stays_channels_last():
    frame = torch.randn(1, 3, 1, 8, 10).contiguous(memory_format=torch.channels_last_3d)
    y = convolve(frame, torch.randn(4, 3, 1, 3, 3), None, (1, 1, 1), (0, 1, 1))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


def test_nothing_in_training_changes_a_view_in_place():
    """autograd's CopySlices, which copies each gradient three times."""
    model = use_fast_forms(Detector(tiny_model.ENTRY)).train()
    clips = torch.randn(1, 3, 4, 32, 32).contiguous(memory_format=torch.channels_last_3d)
    (features,) = model.backbone(clips)
    visited, queue = set(), [features.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in visited:
            visited.add(node)
            queue += [following for following, _ in node.next_functions]
    names = {node.name() for node in visited}
    assert "ConvolutionBackward0" in names
    assert "CopySlices" not in names
