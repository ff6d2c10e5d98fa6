"""The validation after an epoch: scores of the split, its mAP in the log, the best weights on the disk."""

import logging
from pathlib import Path

import torch

from avalib.data.keyframe_table import KeyframeTable
from avalib.evaluation.evaluator import evaluate_split
from avalib.evaluation.inference import build_detections_table, score_keyframes
from avalib.evaluation.protocols import choose_protocol
from avalib.training.initial_state import save_weights
from avalib.training.logger import MAP
from avalib.training.sanity_checks import diagnose_zero_map
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext
from avalib.video.frame_source import FrameSource

logger = logging.getLogger(__name__)

MIN_KEYFRAMES_FOR_WORKERS = 1000  # of a validation, for each process: starting worker processes takes seconds


def validate(
    state: TrainState,
    config: TrainConfig,
    keyframes: KeyframeTable,
    frames: FrameSource,
    output_dir: Path,
    *,
    progress: bool = True,
    context: DistributedContext = SINGLE_PROCESS,
) -> None:
    """Score the validation split, log its mAP, and save the weights if they are the best so far.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    config : TrainConfig
    keyframes : KeyframeTable
        Of the split.
    frames : FrameSource
    output_dir : Path
        The folder of best.pth.
    progress : bool
        Show a progress bar.
    context : DistributedContext
    """
    # 1. Scores: every process scores its part, with the main process's running statistics
    context.broadcast_buffers(state.model)
    workers = config.workers if len(keyframes) > MIN_KEYFRAMES_FOR_WORKERS * context.size else 0
    # a compiled network would be compiled again for each size of the videos' frames
    with torch.compiler.set_stance("force_eager" if config.compile else "default"):
        scores = score_keyframes(
            state.model,
            keyframes,
            config.recipe,
            frames,
            config.device,
            config.dtype,
            workers=workers,
            progress=progress,
            context=context,
        )
    state.last_validated_epoch = state.epoch

    # 2. Metric, log and best weights: the main process
    if context.is_main:
        detections = build_detections_table(keyframes, *scores, config.entry)
        protocol = choose_protocol(config.layout, config.entry)
        mAP = evaluate_split(config.layout, detections, protocol=protocol).mAP
        _log_validation(state, mAP, config.layout, detections)
        if mAP > state.best_mAP:
            state.best_mAP = mAP
            state.best_epoch = state.epoch
            save_weights(state, config, output_dir / "best.pth")
        logger.info(f"epoch {state.epoch}: validation mAP@0.5 {mAP:.4f} (best {state.best_mAP:.4f})")
    state.best_mAP, state.best_epoch = context.broadcast((state.best_mAP, state.best_epoch))


def _log_validation(state, mAP, layout, detections):
    """Add a validation to the log, at the iteration of the last step; warn if the mAP makes no sense."""
    last = state.log.rows[-1]
    row = {"mode": "val", "epoch": state.epoch} | {key: last[key] for key in ("iter", "iteration", "lr")}
    row |= {MAP: mAP, "seconds": state.seconds}
    if warning := diagnose_zero_map(state.log.rows, mAP, layout, detections):
        logger.warning(f"WARNING, epoch {state.epoch}: {warning}")
        row["warning"] = warning
    state.log.append(row)
