"""The validation after an epoch: scores of the split, its mAP in the log, the best weights on the disk."""

import logging

import torch

from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.inference import build_detections_table, score_keyframes
from avalib.evaluation.protocols import choose_protocol
from avalib.training.initial_state import save_weights
from avalib.training.logger import MAP
from avalib.training.sanity_checks import diagnose_zero_map
from avalib.utils.distributed import SINGLE_PROCESS

logger = logging.getLogger(__name__)

MIN_KEYFRAMES_FOR_WORKERS = 1000  # of a validation, for each process: starting worker processes takes seconds


def validate(state, config, keyframes, frames, output_dir, *, progress=True, context=SINGLE_PROCESS):
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
    with torch.compiler.set_stance("force_eager" if config.compile else "default"):  # frames have many sizes
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
        mAP = _evaluate_detections(detections, config)
        _log_validation(state, mAP, config.layout, detections)
        if mAP > state.best_mAP:
            state.best_mAP = mAP
            state.best_epoch = state.epoch
            save_weights(state, config, output_dir / "best.pth")
        logger.info(f"epoch {state.epoch}: validation mAP@0.5 {mAP:.4f} (best {state.best_mAP:.4f})")
    state.best_mAP, state.best_epoch = context.broadcast((state.best_mAP, state.best_epoch))


def _evaluate_detections(detections, config):
    """The mAP@0.5 of a table of detections of the validation split."""
    layout = config.layout
    report = evaluate(
        layout.get_csv_path("val"),
        detections,
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path("val"),
        protocol=choose_protocol(layout, config.entry),
    )
    return report.mAP


def _log_validation(state, mAP, layout, detections):
    """Add a validation to the log, at the iteration of the last step; warn if the mAP makes no sense."""
    last = state.log.rows[-1]
    row = {"mode": "val", "epoch": state.epoch} | {key: last[key] for key in ("iter", "iteration", "lr")}
    row |= {MAP: mAP, "seconds": state.seconds}
    if warning := diagnose_zero_map(state.log.rows, mAP, layout, detections):
        logger.warning(f"WARNING, epoch {state.epoch}: {warning}")
        row["warning"] = warning
    state.log.append(row)
