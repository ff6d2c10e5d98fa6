"""Optimizer, learning-rate schedule and gradient scaler of a recipe."""

import math

import torch


def compute_lr(recipe, base_lr, iteration, steps_per_epoch):
    """Learning rate of an iteration (from 0): the schedule by epoch, times the linear warm-up by iteration."""
    epoch = iteration // steps_per_epoch
    if recipe.schedule == "step":
        lr = base_lr * recipe.gamma ** sum(epoch >= milestone for milestone in recipe.milestones)
    elif recipe.schedule == "cosine":
        lr = base_lr * 0.5 * (1 + math.cos(math.pi * iteration / (recipe.epochs * steps_per_epoch)))
    else:
        raise ValueError(f"schedule {recipe.schedule!r}: expected 'step' or 'cosine'")
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    if iteration < warmup_steps:
        lr = lr * (recipe.warmup_ratio + (1 - recipe.warmup_ratio) * iteration / warmup_steps)
    return lr


def build_optimizer(model, recipe):
    """One parameter group: weight decay applies to batch norm and biases too, as published."""
    options = dict(lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **options)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), betas=(recipe.momentum, 0.999), **options)
    raise ValueError(f"optimizer {recipe.optimizer!r}: expected 'sgd' or 'adamw'")


def build_scaler(config):
    """The gradient scaler that float16 needs; for other types it does nothing."""
    return torch.amp.GradScaler(config.device.type, enabled=config.dtype == torch.float16)
