"""Optimizer, learning-rate schedule and gradient scaler of a recipe."""

import math

import torch
from torch import nn

from avalib import zoo
from avalib.training.train_config import TrainConfig


def compute_lr(recipe: zoo.Recipe, base_lr: float, iteration: int, steps_per_epoch: int) -> float:
    """Compute the learning rate of a step: the schedule, times the linear warm-up.

    Parameters
    ----------
    recipe : zoo.Recipe
    base_lr : float
        After the warm-up, see `TrainConfig.compute_base_lr`.
    iteration : int
        The number of the step in the run, from 0.
    steps_per_epoch : int
    """
    # the schedule: by epoch, or smoothly by step
    epoch = iteration // steps_per_epoch
    if recipe.schedule == "step":
        lr = base_lr * recipe.gamma ** sum(epoch >= milestone for milestone in recipe.milestones)
    elif recipe.schedule == "cosine":
        lr = base_lr * 0.5 * (1 + math.cos(math.pi * iteration / (recipe.epochs * steps_per_epoch)))
    else:
        raise ValueError(f"schedule {recipe.schedule!r}: expected 'step' or 'cosine'")
    # the warm-up: linear from warmup_ratio to 1
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    if iteration < warmup_steps:
        lr = lr * (recipe.warmup_ratio + (1 - recipe.warmup_ratio) * iteration / warmup_steps)
    return lr


def build_optimizer(model: nn.Module, recipe: zoo.Recipe) -> torch.optim.Optimizer:
    """Build the optimizer. One parameter group: weight decay applies to batch norm and biases too, as published."""
    options = dict(lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **options)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), betas=(recipe.momentum, 0.999), **options)
    raise ValueError(f"optimizer {recipe.optimizer!r}: expected 'sgd' or 'adamw'")


def build_scaler(config: TrainConfig) -> torch.amp.GradScaler:
    """Build the gradient scaler that float16 needs; for other types it does nothing."""
    return torch.amp.GradScaler(config.device.type, enabled=config.dtype == torch.float16)
