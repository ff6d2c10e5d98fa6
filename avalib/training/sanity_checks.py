"""Sanity checks of a training: after each validation, and the one-batch check (--overfit) before it.

A network that can't learn one batch by heart has wrong labels, boxes or arithmetic.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.label_map import read_label_map
from avalib.data.layout import DatasetLayout
from avalib.data.loader import collate_clips
from avalib.data.samplers import TrainBatchSampler
from avalib.evaluation.evaluator import evaluate_split
from avalib.training.existing_run import lock_run
from avalib.training.logger import LOSS, TrainingLog, build_log_table
from avalib.training.profiling import build_untrained_state
from avalib.training.reproducibility import seed_everything
from avalib.training.step import train_step
from avalib.training.train_config import TrainConfig
from avalib.utils.errors import AvalibError
from avalib.utils.plurals import format_count
from avalib.utils.progress import show_progress
from avalib.video.dataset_frames import open_frames

logger = logging.getLogger(__name__)

ZERO_MAP = 0.005  # an mAP@0.5 that no trained detector has; guessing has more if boxes and ids are right
MAX_LOSS_RATIO = 0.8  # of the last loss to the first, in a training that learns

ONE_BATCH_MAX_LOSS = 0.05
ONE_BATCH_MIN_METRICS = {"recall@thr=0.5": 0.95, "prec@thr=0.5": 0.95}
ONE_BATCH_GOAL = (
    f"goal: loss below {ONE_BATCH_MAX_LOSS}, and at score 0.5 recall and precision of at least "
    f"{ONE_BATCH_MIN_METRICS['recall@thr=0.5']} on that batch"
)
ONE_BATCH_LR = 1e-3  # of AdamW, whatever the recipe's optimizer is: the schedule is not what is tested


# --- after a validation: an mAP of 0 ----------------------------------------------------------------------------------


def diagnose_zero_map(rows: list[dict], mAP: float, layout: DatasetLayout, detections: pd.DataFrame) -> str | None:
    """Find out why the validation mAP is about 0 although the loss falls.

    Parameters
    ----------
    rows : list of dict
        The entries of the training log.
    mAP : float
        Of the validation.
    layout : DatasetLayout
    detections : DataFrame
        The table that was evaluated.

    Returns
    -------
    str or None
        The likely reasons, each with what a check on the data gave. None if there is nothing to explain.
    """
    # has the loss fallen? means of the first and the last tenth of the steps
    losses = [row[LOSS] for row in rows if row["mode"] == "train"]
    if mAP >= ZERO_MAP or len(losses) < 2:
        return None
    tenth = max(1, len(losses) // 10)
    first_loss = np.mean(losses[:tenth])
    last_loss = np.mean(losses[-tenth:])
    if last_loss > MAX_LOSS_RATIO * first_loss:
        return None
    # it has: look for a cause in the data
    lines = [
        f"the loss fell from {first_loss:.3f} to {last_loss:.3f}, but the validation mAP@0.5 is {mAP:.4f}. "
        "Likely reasons:"
    ]
    evidence = check_zero_map_causes(layout, detections)
    for reason, finding in evidence.items():
        lines.append(f"  - {reason}: {'FOUND, ' + finding if finding else 'checked, not found'}")
    if not any(evidence.values()):
        lines.append("  none of them: draw annotations over frames (notebook 01), then try overfit=True")
    return "\n".join(lines)


def check_zero_map_causes(layout: DatasetLayout, detections: pd.DataFrame) -> dict:
    """Check the possible causes of an mAP of 0: {cause: the evidence for it, or ""}."""
    truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth").dropna(subset=["action_id"])
    evaluated_ids = set(read_label_map(layout.evaluated_label_map_path))
    return {
        "boxes in pixels instead of 0..1": _check_pixel_boxes(truth, detections),
        "label map without the annotated ids": _check_label_map(truth, evaluated_ids),
        "action ids off by one": _check_shifted_ids(layout, detections, evaluated_ids),
    }


def _check_pixel_boxes(truth, detections):
    for name, table in (("annotated", truth), ("predicted", detections)):
        largest = float(table[["x1", "y1", "x2", "y2"]].to_numpy().max(initial=0))
        if largest > 1.5:
            return f"{name} boxes reach {largest:.0f}"
    return ""


def _check_label_map(truth, evaluated_ids):
    # a few unknown ids are usual, most of the rows are not
    missing_ids = sorted(set(truth.action_id.astype(int)) - evaluated_ids)
    share = truth.action_id.isin(missing_ids).mean()
    if share <= 0.5:
        return ""
    return f"{share:.0%} of the val labels have ids that are not in it: {missing_ids[:8]}"


def _check_shifted_ids(layout, detections, evaluated_ids):
    # would the mAP be right if every predicted id were one more, or one less?
    for shift in (1, -1):
        shifted = detections.assign(action_id=detections.action_id + shift)
        shifted = shifted[shifted.action_id.isin(evaluated_ids)]
        mAP = evaluate_split(layout, shifted).mAP
        if mAP > 10 * ZERO_MAP:
            return f"with predicted ids shifted by {shift:+d} the mAP would be {mAP:.3f}"
    return ""


# --- before a training: one batch -------------------------------------------------------------------------------------


class OverfitError(AvalibError, RuntimeError):
    """The network did not learn the batch; the message says what was reached and what to check."""


def overfit_one_batch(
    config: TrainConfig,
    output_dir: str | Path,
    steps: int = 150,
    progress: bool = True,
    on_log: Callable[[list[dict]], None] | None = None,
) -> pd.DataFrame:
    """Train on the first batch alone until the network knows it (ONE_BATCH_GOAL).

    Every step has the same clips, crops and flips, and no dropout; AdamW with a constant learning rate. Writes
    log.jsonl into output_dir.

    Parameters
    ----------
    config : TrainConfig
    output_dir : str or Path
    steps : int
        At most.
    progress : bool
        Show a progress bar.
    on_log : function, optional
        Called with the log's entries after each step.

    Returns
    -------
    DataFrame
        The log.

    Raises
    ------
    OverfitError
        The goal is not reached.
    """
    recipe = replace(
        config.recipe,
        dropout=0.0,
        drop_path=0.0,
        color_jitter=0.0,
        optimizer="adamw",
        weight_decay=0.0,
        cache_short_side=None,
    )
    config = replace(config, recipe=recipe, accumulate=1)
    # one batch and a fresh network
    logger.info(f"one batch of {format_count(recipe.videos_per_gpu, 'clip')}, at most {steps} steps; {ONE_BATCH_GOAL}")
    batch = _load_first_batch(config)
    seed_everything(recipe.seed)
    state = build_untrained_state(config)
    with lock_run(output_dir):
        log = TrainingLog(Path(output_dir) / "log.jsonl")
        for step in show_progress(range(1, steps + 1), desc="overfitting one batch", disable=not progress):
            started = time.perf_counter()
            result = train_step(state, [batch], config, ONE_BATCH_LR, iteration=step - 1)
            position = {"mode": "train", "epoch": 1, "iter": step, "iteration": step, "lr": ONE_BATCH_LR}
            timing = {"clips": result.n_clips, "time": time.perf_counter() - started}
            log.append(position | result.metrics | timing)
            if on_log:
                on_log(log.rows)
            if is_batch_learned(result.metrics):
                logger.info(f"reached after {format_count(step, 'step')}: {_format_metrics(result.metrics)}")
                return build_log_table(log.rows)
    raise OverfitError(
        f"not reached in {steps} steps: {_format_metrics(result.metrics)}; {ONE_BATCH_GOAL}. Likely reasons: boxes "
        "that are not where the people are, one person with different labels in two clips of the batch, ids in the "
        "wrong columns, a wrong loss"
    )


def _load_first_batch(config):
    """The first batch of epoch 0, collated."""
    recipe = config.recipe
    keyframes = load_keyframes(config.layout, "train", recipe.person_score, training=True)
    frames = open_frames(config.layout, recipe, [keyframes])
    clips = ClipDataset(keyframes, config.entry, recipe, frames, training=True)
    first_items = next(iter(TrainBatchSampler(len(keyframes), recipe.videos_per_gpu, recipe.seed)))
    return collate_clips([clips[item] for item in first_items])


def is_batch_learned(metrics: dict) -> bool:
    """Whether the metrics of a step (or an entry of the log) reach the goal."""
    has_low_loss = metrics[LOSS] < ONE_BATCH_MAX_LOSS
    return has_low_loss and all(metrics[name] >= lowest for name, lowest in ONE_BATCH_MIN_METRICS.items())


def _format_metrics(metrics):
    return ", ".join(f"{name} {metrics[name]:.3f}" for name in (LOSS, *ONE_BATCH_MIN_METRICS))
