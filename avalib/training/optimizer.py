"""Optimizer, learning-rate schedule and gradient scaler of a recipe."""

import math
import re

import torch
from torch import nn

from avalib import zoo
from avalib.training.train_config import TrainConfig

_BLOCK_NUMBER = re.compile(r"backbone\.blocks\.(\d+)\.")


# --- schedule ---------------------------------------------------------------------------------------------------------


def compute_lr(recipe: zoo.Recipe, base_lr: float, iteration: int, steps_per_epoch: int) -> float:
    """Compute the learning rate of a step, before the factors of a ViT's layers.

    Parameters
    ----------
    recipe : zoo.Recipe
        Its schedule: "step" and "cosine" are multiplied by the warm-up. Source: mmcv 1.2.7 StepLrUpdaterHook; with
        warmup_by="epoch" mmengine 0.10.7 LinearLR and MultiStepLR.
        "warmup_cosine": the warm-up reaches base_lr in its last step; a cosine over the other epochs follows. Source:
        mmengine 0.10.7 LinearLR and CosineAnnealingLR by iteration; unmasked_teacher cosine_scheduler.
    base_lr : float
        After the warm-up, see `TrainConfig.compute_base_lr`.
    iteration : int
        The number of the step in the run, from 0.
    steps_per_epoch : int

    Returns
    -------
    float
    """
    n_steps = recipe.epochs * steps_per_epoch
    if recipe.schedule == "warmup_cosine":
        warmup_steps = round(recipe.warmup_epochs * steps_per_epoch)
        if iteration < warmup_steps:
            return base_lr * _compute_rise(recipe.warmup_ratio, iteration, warmup_steps - 1)
        progress = (iteration - warmup_steps) / (n_steps - warmup_steps)
        return base_lr * (recipe.final_ratio + (1 - recipe.final_ratio) * _compute_cosine(progress))
    if recipe.schedule == "cosine":
        factor = _compute_cosine(iteration / n_steps)
    elif recipe.schedule == "step":
        epoch = iteration // steps_per_epoch
        factor = recipe.gamma ** sum(epoch >= milestone for milestone in recipe.milestones)
    else:
        raise ValueError(f"schedule {recipe.schedule!r}: expected 'step', 'cosine' or 'warmup_cosine'")
    return base_lr * factor * _compute_warmup(recipe, iteration, steps_per_epoch)


def _compute_warmup(recipe, iteration, steps_per_epoch):
    """The factor of the warm-up of "step" and "cosine"; 1 after it."""
    if recipe.warmup_by == "epoch":
        epoch = iteration // steps_per_epoch
        return _compute_rise(recipe.warmup_ratio, epoch, recipe.warmup_epochs - 1)
    if recipe.warmup_by == "iteration":
        return _compute_rise(recipe.warmup_ratio, iteration, recipe.warmup_epochs * steps_per_epoch)
    raise ValueError(f"warmup_by {recipe.warmup_by!r}: expected 'iteration' or 'epoch'")


def _compute_rise(ratio, position, end):
    """The factor that rises linearly from `ratio` at position 0 to 1 at `end`, and stays 1."""
    return ratio + (1 - ratio) * position / end if position < end else 1.0


def _compute_cosine(progress):
    """The factor that falls from 1 at progress 0 to 0 at progress 1, along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))


# --- optimizer --------------------------------------------------------------------------------------------------------


def build_optimizer(model: nn.Module, recipe: zoo.Recipe) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe.

    Without `layer_decay`, and with `decay_1d`, there is one group: weight decay applies to batch norm and biases too.
    Else parameters of the same learning rate and decay share a group, whose "lr_scale" `set_lr` applies.
    """
    options = dict(lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    groups = build_parameter_groups(model, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, **options)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(recipe.momentum, 0.999), **options)
    raise ValueError(f"optimizer {recipe.optimizer!r}: expected 'sgd' or 'adamw'")


def build_parameter_groups(model: nn.Module, recipe: zoo.Recipe) -> list[dict]:
    """Group the parameters of a model by learning rate and weight decay, in the order of their first one.

    Source: MMAction2 1.x layer_decay_optim_constructor.py, as unmasked_teacher optim_factory.py.
    """
    if recipe.layer_decay == 1 and recipe.decay_1d:
        return [{"params": list(model.parameters())}]
    groups = {}  # (lr_scale, weight_decay): group
    for name, parameter in model.named_parameters():
        lr_scale = compute_lr_scale(model, name, recipe.layer_decay)
        weight_decay = recipe.weight_decay if recipe.decay_1d or parameter.dim() > 1 else 0.0
        new_group = {"params": [], "lr_scale": lr_scale, "weight_decay": weight_decay}
        groups.setdefault((lr_scale, weight_decay), new_group)["params"].append(parameter)
    return list(groups.values())


def compute_lr_scale(model: nn.Module, name: str, layer_decay: float) -> float:
    """Compute the factor of a parameter's learning rate: layer_decay^(blocks + 1 - layer).

    The patch embedding of a ViT is layer 0, its first block layer 1; the last norm and the head have the factor 1.
    Raises ValueError for layer_decay in a model without such blocks.
    """
    if layer_decay == 1:
        return 1.0
    if not hasattr(model.backbone, "blocks"):
        raise ValueError(f"layer_decay={layer_decay}: only a ViT has blocks with learning rates of their own")
    n_blocks = len(model.backbone.blocks)
    if name.startswith("backbone.patch_embed."):
        layer = 0
    elif match := _BLOCK_NUMBER.match(name):
        layer = int(match[1]) + 1
    else:
        layer = n_blocks + 1
    return layer_decay ** (n_blocks + 1 - layer)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of the next step; each group multiplies it by its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def build_scaler(config: TrainConfig) -> torch.amp.GradScaler:
    """Build the gradient scaler that float16 needs; for other types it does nothing."""
    return torch.amp.GradScaler(config.device.type, enabled=config.dtype == torch.float16)
