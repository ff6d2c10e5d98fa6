"""One step of the optimizer: gradients of all micro-batches of the global batch, averaged, clipped and applied."""

import math
import signal
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from avalib.data.keyframe_table import KeyframeTable
from avalib.data.transforms import cut_clips, flip_clips, normalize_clips
from avalib.models.losses import compute_action_loss, compute_batch_metrics
from avalib.training.checkpointing import CheckpointSaver
from avalib.training.optimizer import set_lr
from avalib.training.reproducibility import seed_everything
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.device import enable_autocast
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext, skip_gradient_sync
from avalib.utils.errors import AvalibError


class LossNotFiniteError(AvalibError, FloatingPointError):
    """The loss is NaN or infinite.

    Parameters
    ----------
    message : str
    batches : list of dict
        Of each micro-batch with such a loss: "process" (its rank), "loss" (as text), "index" (list of int, the
        keyframes' numbers in the training split).
    """

    def __init__(self, message, batches):
        super().__init__(message)
        self.batches = batches


@dataclass(frozen=True)
class StepResult:
    """What one step gives, over all processes."""

    metrics: dict  # {name as in log.jsonl: mean over all micro-batches}
    n_clips: int
    stop_signal: int  # the signal that asked any of the processes to stop; 0: none


def train_step(
    state: TrainState,
    micro_batches: list[dict],
    config: TrainConfig,
    lr: float,
    iteration: int = 0,
    context: DistributedContext = SINGLE_PROCESS,
    saver: CheckpointSaver | None = None,
) -> StepResult:
    """Run one step of the optimizer.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    micro_batches : list of dict
        This process's batches of the step, as `collate_clips` gives them: clips, rois, targets, flips and index (the
        numbers of the keyframes).
    config : TrainConfig
    lr : float
        The learning rate of this step.
    iteration : int
        The number of the step in the run, from 0. It seeds dropout.
    context : DistributedContext
    saver : CheckpointSaver, optional
        Its stop signal is passed on to all processes. With it a single CPU process can also be stopped in mid-step,
        until gradients are applied; the state is then what it was before the step.

    Returns
    -------
    StepResult

    Raises
    ------
    LossNotFiniteError
        In all processes, before the weights change.
    """
    # 1. Gradients: the mean over the micro-batches, and by the last backward over the processes
    set_lr(state.optimizer, lr)
    state.optimizer.zero_grad()
    with _allow_stopping(state, config, saver):
        metrics = [
            _run_micro_batch(state, config, micro_batches, micro_batch_index, iteration, context)
            for micro_batch_index in range(len(micro_batches))
        ]

    # 2. Metrics: the mean over all processes; they carry the stop signal, so that all processes leave together
    result = reduce_metrics(
        metrics,
        n_clips=sum(len(batch["clips"]) for batch in micro_batches),
        stop_signal=saver.stop_signal if saver else 0,  # read as late as possible
        context=context,
        device=config.device,
    )
    if not math.isfinite(result.metrics["loss_action_cls"]):
        _raise_non_finite(result.metrics["loss_action_cls"], metrics, micro_batches, context)

    # 3. Update: gradients clipped to the recipe's norm; with float16 the scaler skips a step whose gradients overflow
    state.scaler.unscale_(state.optimizer)
    grad_norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.recipe.grad_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    result.metrics["loss"] = result.metrics["loss_action_cls"]
    result.metrics["grad_norm"] = grad_norm.item()
    if state.scaler.is_enabled():
        result.metrics["loss_scale"] = state.scaler.get_scale()
    return result


def _run_micro_batch(state, config, micro_batches, micro_batch_index, iteration, context):
    """Add the gradients of one micro-batch. Returns its metrics."""
    count = len(micro_batches)
    # dropout depends on where the run stands, not on how it came there
    seed_everything(config.recipe.seed, iteration, context.rank * count + micro_batch_index)
    # processes exchange gradients in the last backward only
    with skip_gradient_sync(state.ddp_model, skip=micro_batch_index < count - 1):
        loss, metrics = run_forward(state.ddp_model, micro_batches[micro_batch_index], config)
        state.scaler.scale(loss / count).backward()
    return {"loss_action_cls": loss.item(), **metrics}


def run_forward(model: nn.Module, batch: dict, config: TrainConfig) -> tuple[torch.Tensor, dict]:
    """Run the forward pass of one batch. Returns the loss () and the metrics {name: float}."""
    # clips (B,T,H,W,3), flipped and normalized on the device: uint8 is a quarter of the transfer
    if "augmentations" in batch:
        clips = [clip.to(config.device, non_blocking=True) for clip in batch["clips"]]
        clips = cut_clips(clips, batch["augmentations"], config.recipe.crop_shape)
    else:
        clips = batch["clips"].to(config.device, non_blocking=True)
    clips = flip_clips(clips, batch["flips"])
    clips = normalize_clips(clips, config.entry.mean, config.entry.std)  # (B,3,T,H,W) float
    # boxes (N,5) [batch index, x1, y1, x2, y2], labels (N,81) -> logits (N,81)
    rois = batch["rois"].to(config.device, non_blocking=True)
    targets = batch["targets"].to(config.device, non_blocking=True)
    with enable_autocast(config.device, config.dtype):
        logits = model(clips, rois)
    loss = compute_action_loss(logits, targets, config.recipe.focal_alpha, config.recipe.focal_gamma)
    return loss, compute_batch_metrics(logits, targets)


def reduce_metrics(metrics, *, n_clips, stop_signal, context, device):
    """Reduce the metrics of this process's micro-batches over all processes, in one all-reduce. Returns a StepResult.

    Parameters
    ----------
    metrics : list of dict
        {name: float} of each micro-batch.
    n_clips, stop_signal : int
        This process's clips, and the signal that it received (0: none).
    """
    # one tensor: the sum of each metric, the clips, the signal
    names = list(metrics[0])
    values = [sum(batch[name] for batch in metrics) for name in names]
    *sums, n_clips_total, signal_sum = context.all_reduce_sum([*values, n_clips, stop_signal], device)
    n_batches = len(metrics) * context.size
    if signal_sum > 0 and not stop_signal:
        stop_signal = int(signal.SIGTERM)  # another process received the signal
    return StepResult(
        metrics={name: value / n_batches for name, value in zip(names, sums, strict=True)},
        n_clips=int(n_clips_total),
        stop_signal=stop_signal,
    )


@contextmanager
def _allow_stopping(state, config, saver):
    """Let a signal stop a CPU process at once in the block, as a step takes long there.

    Forward changes nothing but the running statistics of batch norm; on any exception they get their old values.
    """
    if saver is None or config.device.type != "cpu":
        yield
        return
    buffers = list(state.model.buffers())
    old_values = [buffer.clone() for buffer in buffers]
    try:
        with saver.allow_interrupts():
            yield
    except BaseException:
        for buffer, value in zip(buffers, old_values, strict=True):
            buffer.copy_(value)
        raise


def _raise_non_finite(loss, metrics, micro_batches, context):
    """Raise LossNotFiniteError with the keyframes of all processes whose loss is not finite."""
    # every process needs all of them: all raise the same error
    own = [
        {"process": context.rank, "loss": str(numbers["loss_action_cls"]), "index": batch["index"].tolist()}
        for numbers, batch in zip(metrics, micro_batches, strict=True)
        if not math.isfinite(numbers["loss_action_cls"])
    ]
    batches = [batch for per_process in context.gather(own) for batch in per_process]
    keyframes = [index for batch in batches for index in batch["index"]]
    raise LossNotFiniteError(
        f"the loss is {loss} on keyframes {keyframes}: use a lower lr, or check the labels of these keyframes", batches
    )


def describe_bad_batches(error: LossNotFiniteError, keyframes: KeyframeTable) -> list[dict]:
    """The micro-batches of a LossNotFiniteError with their keyframes' names.

    Parameters
    ----------
    error : LossNotFiniteError
    keyframes : KeyframeTable
        The training split.

    Returns
    -------
    list of dict
        process, loss, keyframes (list of {"video_id", "timestamp"}).
    """
    return [
        {
            "process": batch["process"],
            "loss": batch["loss"],
            "keyframes": [
                {"video_id": str(keyframes.video_ids[index]), "timestamp": float(keyframes.timestamps[index])}
                for index in batch["index"]
            ],
        }
        for batch in error.batches
    ]
