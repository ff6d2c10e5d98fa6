"""Minimal filtering: the same convolutions, whatever the sizes and the batch."""

import pytest
import torch
import torch.nn.functional as F

from avalib.models.cpu.winograd import (
    MIN_CHANNELS,
    WinogradFunction,
    convolve_winograd,
    is_supported,
    transform_weights,
)


def given(shape, kernel, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=dtype).to(memory_format=torch.channels_last_3d)
    weight = torch.randn(5, shape[1], *kernel, generator=generator, dtype=dtype)
    return x, weight, torch.randn(5, generator=generator, dtype=dtype)


@pytest.mark.parametrize("kernel", [(3, 1, 1), (1, 3, 3)], ids=str)
@pytest.mark.parametrize("shape", [(1, 3, 4, 8, 8), (2, 7, 8, 5, 6), (3, 4, 1, 1, 9), (1, 2, 3, 16, 22)], ids=str)
def test_it_is_the_convolution(shape, kernel):
    x, weight, bias = given(shape, kernel)
    expected = F.conv3d(x, weight, bias, padding=tuple(k // 2 for k in kernel))
    found = convolve_winograd(x, transform_weights(weight), bias)
    assert found.shape == expected.shape and (found - expected).abs().max() < 1e-12
    assert found.permute(0, 2, 3, 4, 1).is_contiguous()  # channels last, as what follows wants it


@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("shape", [(1, 3, 4, 8, 8), (2, 7, 3, 5, 6), (3, 4, 1, 1, 9), (1, 2, 3, 16, 22)], ids=str)
def test_a_dilated_kernel_is_the_convolution(shape, dilation):
    x, weight, bias = given(shape, (1, 3, 3))
    dilations = (1, dilation, dilation)
    expected = F.conv3d(x, weight, bias, padding=(0, dilation, dilation), dilation=dilations)
    found = convolve_winograd(x, transform_weights(weight), bias, dilation)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-12
    assert found.permute(0, 2, 3, 4, 1).is_contiguous()


@pytest.mark.parametrize("kernel", [(3, 1, 1), (1, 3, 3)], ids=str)
@pytest.mark.parametrize("shape", [(1, 3, 4, 8, 8), (2, 7, 8, 5, 6), (3, 4, 1, 2, 9), (2, 2, 2, 3, 1)], ids=str)
def test_its_gradients_in_training_are_the_convolutions(shape, kernel):
    x, weight, _ = given(shape, kernel)
    padding = tuple(k // 2 for k in kernel)
    grad = torch.randn(shape[0], 5, *shape[2:], dtype=x.dtype)  # not channels last
    found, expected = [], []
    for do, into in ((WinogradFunction.apply, found), (lambda x, w: F.conv3d(x, w, padding=padding), expected)):
        a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = do(a, b)
        y.backward(grad)
        into += [y.detach(), a.grad, b.grad]
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and (one - other).abs().max() < 1e-12


@pytest.mark.parametrize("kernel", [(3, 1, 1), (1, 3, 3)], ids=str)
def test_gradients_in_float32_stay_near(kernel):
    x, weight, _ = given((4, 64, 4, 8, 8), kernel)
    grad, padding = torch.randn(4, 5, 4, 8, 8, dtype=x.dtype), tuple(k // 2 for k in kernel)
    a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
    F.conv3d(a, b, padding=padding).backward(grad)
    c, d = x.float().requires_grad_(), weight.float().requires_grad_()
    WinogradFunction.apply(c, d).backward(grad.float())
    for exact, found in ((a.grad, c.grad), (b.grad, d.grad)):
        assert (found - exact).abs().max() / exact.std() < 2e-5


def test_gradients_that_nobody_wants_are_not_computed():
    x, weight, _ = given((1, 3, 4, 2, 2), (3, 1, 1))
    WinogradFunction.apply(x, weight.requires_grad_()).sum().backward()
    assert x.grad is None and weight.grad is not None


@pytest.mark.parametrize("kernel, allowed", [((3, 1, 1), 1e-5), ((1, 3, 3), 5e-5)], ids=str)
def test_float32_stays_near(kernel, allowed):
    x, weight, bias = given((1, 64, 4, 8, 12), kernel)
    expected = F.conv3d(x, weight, bias, padding=tuple(k // 2 for k in kernel))
    found = convolve_winograd(x.float(), transform_weights(weight).float(), bias.float())
    assert (found - expected).abs().max() / expected.std() < allowed


def test_where_it_is_taken():
    wide = MIN_CHANNELS
    takes = [((wide, wide, 3, 1, 1), (1, 1, 1)), ((wide, 2 * wide, 1, 3, 3), (1, 1, 1))]
    leaves = [((wide, wide, 1, 3, 3), (1, 2, 2)), ((wide, wide, 1, 1, 1), (1, 1, 1)), ((wide, 64, 3, 1, 1), (1, 1, 1))]
    assert all(is_supported(torch.empty(shape), stride) for shape, stride in takes)
    assert not any(is_supported(torch.empty(shape), stride) for shape, stride in leaves)
