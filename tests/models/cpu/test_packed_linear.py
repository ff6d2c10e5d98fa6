"""A ViT's blocks with packed linear layers: the results of the plain ones."""

import copy

import pytest
import torch

from avalib.models.cpu.packed_linear import PackedAttention, PackedLinear, pack_linear_layers
from avalib.models.vit import Block


@pytest.fixture
def block():
    torch.manual_seed(0)
    block = Block(128).eval().requires_grad_(False)
    for bias in (block.attn.q_bias, block.attn.v_bias):
        torch.nn.init.normal_(bias)
    return block


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_block_gives_the_same_tokens(block, batch, dtype):
    tokens = torch.randn(batch, 50, 128, dtype=dtype)
    block.to(dtype)
    packed = copy.deepcopy(block)
    pack_linear_layers(packed)
    assert type(packed.attn) is PackedAttention
    assert sum(type(module) is PackedLinear for module in packed.modules()) == 4
    atol = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(packed(tokens.clone()), block(tokens), rtol=0, atol=atol)  # it may write over its input
    # fewer tokens than at the first call
    few = tokens[:, :7]
    torch.testing.assert_close(packed(few.clone()), block(few), rtol=0, atol=atol)


def test_products_in_another_type_are_added_in_that_of_the_tokens(block):
    tokens = torch.randn(2, 50, 128)
    packed = copy.deepcopy(block)
    pack_linear_layers(packed)
    packed.attn.bfloat16()
    packed.mlp.bfloat16()
    y = packed(tokens.clone())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, block(tokens), rtol=0, atol=0.05)


def test_gradients_reach_the_tokens(block):
    tokens = torch.randn(2, 50, 128, requires_grad=True)
    packed = copy.deepcopy(block)
    pack_linear_layers(packed)
    (expected,) = torch.autograd.grad(block(tokens).square().sum(), tokens)
    (found,) = torch.autograd.grad(packed(tokens).square().sum(), tokens)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
