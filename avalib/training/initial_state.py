"""The state that a training starts from, and the weights that it leaves."""

import numpy as np
import torch

from avalib.data.label_map import read_label_map
from avalib.evaluation.protocols import choose_protocol
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.models.detector import Detector
from avalib.training.checkpointing import TrainState
from avalib.training.logger import MAP
from avalib.training.model_options import apply_model_options
from avalib.training.optimizer import build_optimizer, build_scaler
from avalib.training.reproducibility import seed_everything
from avalib.utils.distributed import SINGLE_PROCESS


def initialize_state(config, keyframes, checkpoint=None, context=SINGLE_PROCESS):
    """The TrainState at step 0, or where a checkpoint (the content of last.pth) stands; without its log.

    keyframes: of the training split, for the classifier's prior.
    """
    with context.main_process_first():  # one process downloads a checkpoint, the others read the file
        model = build_initial_model(config, compute_prior_bias(keyframes))
        model = apply_model_options(model, config)
    state = TrainState(model, build_optimizer(model, config.recipe), model, build_scaler(config))
    if checkpoint:
        state.load_checkpoint(checkpoint, config.count_clips_per_step(context))
    state.ddp_model = context.wrap_ddp(model)
    return state


def build_initial_model(config, prior_bias=None):
    """The model at step 0, with random weights or a checkpoint's; without its options (apply_model_options)."""
    recipe = config.recipe
    seed_everything(recipe.seed)
    if config.checkpoint:
        label_map = read_label_map(config.layout.label_map_path)
        model = build_model(config.entry, config.checkpoint, label_map=label_map, dropout=recipe.dropout)
    else:
        n_classes = config.layout.n_columns - 1
        model = Detector(config.entry, recipe.dropout, recipe.zero_init_residual, n_classes=n_classes)
    has_new_head = not config.checkpoint or model.report.initialized
    if recipe.prior_bias and has_new_head:
        model.init_classifier(prior_bias)
    return model.to(config.device)


def compute_prior_bias(keyframes):
    """Classifier biases (81,) with which every action's score is its share of the training boxes."""
    share = keyframes.labels.mean(axis=0).clip(1e-4, 0.99)
    return torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)


def save_weights(state, config, path):
    """Save a checkpoint that build_model and MMAction2 load, with label map, entry and recipe inside."""
    validations = [row[MAP] for row in state.log.rows if row["mode"] == "val"]
    save_checkpoint(
        state.model,
        path,
        entry=state.model.entry,
        recipe=config.recipe,
        label_map=read_label_map(config.layout.evaluated_label_map_path),
        protocol=choose_protocol(config.layout, config.entry),
        epoch=state.epoch,
        mAP=validations[-1] if validations else None,
    )
