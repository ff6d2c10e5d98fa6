"""The state that a training starts from, and the weights that it leaves."""

from pathlib import Path

import numpy as np
import torch

from avalib.data.keyframe_table import KeyframeTable
from avalib.data.label_map import read_label_map
from avalib.evaluation.protocols import choose_protocol
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.models.detector import Detector
from avalib.training.logger import MAP
from avalib.training.model_options import apply_model_options
from avalib.training.optimizer import build_optimizer, build_scaler
from avalib.training.reproducibility import seed_everything
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext


def initialize_state(
    config: TrainConfig,
    keyframes: KeyframeTable,
    checkpoint: dict | None = None,
    context: DistributedContext = SINGLE_PROCESS,
) -> TrainState:
    """Build the state at step 0, or where a checkpoint stands; without its log.

    Parameters
    ----------
    config : TrainConfig
    keyframes : KeyframeTable
        The training split, for the classifier's prior.
    checkpoint : dict, optional
        The content of last.pth.
    context : DistributedContext
    """
    with context.main_process_first():  # one process downloads a checkpoint, the others read the file
        model = build_initial_model(config, compute_prior_bias(keyframes))
        model = apply_model_options(model, config)
    state = TrainState(model, build_optimizer(model, config.recipe), model, build_scaler(config))
    # weights, optimizer and position of the run that resumes; only then the copy that communicates
    if checkpoint:
        state.load_checkpoint(checkpoint, config.count_clips_per_step(context))
    state.ddp_model = context.wrap_ddp(model)
    return state


def build_initial_model(config: TrainConfig, prior_bias: torch.Tensor | None = None) -> Detector:
    """Build the model at step 0, with random weights or a checkpoint's; without its options (apply_model_options)."""
    recipe = config.recipe
    seed_everything(recipe.seed)
    if config.checkpoint:
        label_map = read_label_map(config.layout.label_map_path)
        model = build_model(config.entry, config.checkpoint, label_map=label_map, dropout=recipe.dropout)
    else:
        n_classes = config.layout.n_columns - 1
        model = Detector(config.entry, recipe.dropout, recipe.zero_init_residual, n_classes=n_classes)
    # a classifier without weights begins with the actions' frequencies
    has_new_head = not config.checkpoint or model.report.initialized
    if recipe.prior_bias and has_new_head:
        model.init_classifier(prior_bias)
    return model.to(config.device)


def compute_prior_bias(keyframes: KeyframeTable) -> torch.Tensor:
    """Compute classifier biases (81,) with which every action's score is its share of the training boxes."""
    # labels (N,81) of the boxes -> shares (81,), away from 0 and 1, where the inverse sigmoid is infinite
    share = keyframes.labels.mean(axis=0).clip(1e-4, 0.99)
    return torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)


def save_weights(state: TrainState, config: TrainConfig, path: str | Path) -> None:
    """Save a checkpoint that build_model and MMAction2 load, with label map, entry and recipe inside."""
    validations = [row[MAP] for row in state.log.rows if row["mode"] == "val"]
    save_checkpoint(
        state.model,
        path,
        entry=state.model.entry,
        recipe=config.recipe,
        label_map=read_label_map(config.layout.evaluated_label_map_path),
        protocol=choose_protocol(config.layout, config.entry),
        dataset_version=config.layout.version,
        epoch=state.epoch,
        mAP=validations[-1] if validations else None,
    )
