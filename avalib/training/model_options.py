"""How a model computes during training: memory layout, recomputation, compilation; and a ViT's drop path."""

import functools
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from avalib.models.cpu.accelerate import use_fast_forms, use_fast_training_forms
from avalib.models.resnet3d import Bottleneck
from avalib.models.vit import Block, VisionTransformer
from avalib.training.train_config import TrainConfig
from avalib.utils.workers import disable_malloc_trim

RECOMPUTED_BLOCKS = (Bottleneck, Block)  # with recompute, whose activations are computed again in backward


def apply_model_options(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Apply channels_last, recompute, compile and drop_path to a model in place; its state_dict keys stay. Returns it.

    Every device trains on 2-D kernels (models/cpu). On a CPU weights always lie channels-last (3 % of a step saved). In
    float32 wide convolutions run by Winograd's algorithm (3x1x1 and 1x3x3: a fifth of SlowOnly R50's step saved) or as
    matrix products (1x1x1: a twentieth).
    """
    on_cpu = config.device.type == "cpu"
    blocks = find_modules(model, RECOMPUTED_BLOCKS)
    if isinstance(model.backbone, VisionTransformer):
        model.backbone.set_drop_path(config.recipe.drop_path)
    disable_malloc_trim()
    # faster forms of the layers, with the same weights
    use_fast_forms(model)
    if on_cpu and config.dtype == torch.float32 and not config.compile:
        use_fast_training_forms(model)
    if config.channels_last or on_cpu:
        model.to(memory_format=torch.channels_last_3d)
    # Ctrl-C in the middle of backward
    if on_cpu and not config.compile:
        for block in blocks:
            block.register_forward_hook(_check_signals_in_backward)
    # activations: computed again, or by a compiled backbone
    if config.recompute:
        for block in blocks:
            block.forward = functools.partial(_forward_recomputed, block, block.forward)
    if config.compile:
        model.backbone.compile()
    return model


def find_modules(model: nn.Module, kind: type | tuple[type, ...]) -> list[nn.Module]:
    """Find the modules of one class, or of some classes, in a model."""
    return [module for module in model.modules() if isinstance(module, kind)]


def _check_signals_in_backward(block, inputs, output):
    """Forward hook: let backward run a line of Python behind each block, where Python handles signals.

    Backward is one call into C++ otherwise, and Ctrl-C waits until it ends.
    """
    if output.requires_grad:
        output.register_hook(lambda gradient: None)


def _forward_recomputed(block, forward, x):
    """A block's forward whose activations are computed again in backward."""
    if not torch.is_grad_enabled():
        return forward(x)
    return checkpoint(
        forward, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _freeze_running_statistics(block))
    )


@contextmanager
def _freeze_running_statistics(block):
    """Keep the running statistics of a block's batch norms: the same clips must not count twice."""
    # momentum 0: forward leaves mean and variance, and only counts the batch
    norms = find_modules(block, nn.BatchNorm3d)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked -= 1
