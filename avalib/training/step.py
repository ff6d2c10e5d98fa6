"""One step of the optimiser: the schedule, the arithmetic's options, gradients from all shares of the global batch."""

import functools
import math
import os
import random
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from avalib.data.transforms import flip_clips, normalize_clips
from avalib.models.cpu.accelerate import use_fast_forms, use_fast_training_forms
from avalib.models.losses import compute_action_loss, compute_batch_metrics
from avalib.models.resnet3d import Bottleneck
from avalib.utils.device import enable_autocast
from avalib.utils.distributed import SINGLE_PROCESS, skip_gradient_sync
from avalib.utils.workers import disable_malloc_trim


class NonFiniteError(FloatingPointError):
    """A loss that is NaN or infinite. `found`: [{"process", "loss", "index": keyframes}] of the shares it came from."""

    def __init__(self, message, found):
        super().__init__(message)
        self.found = found


def apply_model_options(model, setup):
    """channels_last, recompute and compile, on a model in place; its state_dict keeps its keys. -> the model.

    On a CPU weights always lie channels-last (3 % of a step saved), and in float32 wide convolutions are by Winograd's
    algorithm (3x1x1 and 1x3x3: a fifth of SlowOnly R50's step saved) or matrix products (1x1x1: a twentieth).
    """
    disable_malloc_trim()
    use_fast_forms(model)
    if setup.device.type == "cpu" and setup.dtype == torch.float32 and not setup.compile:
        use_fast_training_forms(model)
    if setup.channels_last or setup.device.type == "cpu":
        model.to(memory_format=torch.channels_last_3d)
    if setup.device.type == "cpu" and not setup.compile:
        for block in (m for m in model.modules() if isinstance(m, Bottleneck)):
            block.register_forward_hook(_let_signals_in)
    if setup.recompute:
        for block in (m for m in model.modules() if isinstance(m, Bottleneck)):
            block.forward = functools.partial(_recomputed, block, block.forward)
    if setup.compile:
        model.backbone.compile()
    return model


def _let_signals_in(block, inputs, output):
    """Have backward pass through Python behind each block, where a signal is noticed; it is one call else."""
    if output.requires_grad:
        output.register_hook(lambda gradient: None)


def _recomputed(block, forward, x):
    if not torch.is_grad_enabled():
        return forward(x)
    return checkpoint(forward, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(block)))


@contextmanager
def _statistics_kept(block):
    """While a block is computed a second time its batch norms see the same clips again, which must not count twice."""
    norms = [m for m in block.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked -= 1


def find_compiler_problem(device):
    """Why torch.compile can't work here (a line), or None where a small function was compiled and run."""
    try:
        with torch.enable_grad():
            compiled = torch.compile(lambda x: (x.sin() + 1).sum(), fullgraph=True)
            compiled(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:  # whatever a missing compiler, header or driver raises is the reason
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
    return None


@contextmanager
def use_deterministic_algorithms(wanted):
    """While inside, torch uses deterministic algorithms only and raises where an operation has none."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def seed_everything(*numbers):
    """Set every global generator (python, numpy, torch on all devices) from non-negative integers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def run_forward(replica, batch, setup):
    """Loss (a tensor) and logged numbers of one batch of clips."""
    clips = batch["clips"].to(setup.device, non_blocking=True)
    clips = normalize_clips(flip_clips(clips, batch["flips"]))
    wanted = batch["targets"].to(setup.device, non_blocking=True)
    with enable_autocast(setup.device, setup.dtype):
        logits = replica(clips, batch["rois"].to(setup.device, non_blocking=True))
    return compute_action_loss(logits, wanted), compute_batch_metrics(logits, wanted)


def train_step(state, shares, setup, lr, iteration=0, context=SINGLE_PROCESS, saver=None):
    """One step: every share's gradient, the mean of them over all processes, clipped, applied.

    shares: this process's batches of the step; saver: a state.Saver, whose signal is passed on. Until gradients are
    applied, a lone CPU process can be stopped in mid-step: the state is then what it was before. Loss and numbers are
    means over all shares.
    -> (the row that is logged, the signal that any process was asked to stop by, or 0).
    Raises NotFinite, in all processes and before anything is changed.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.zero_grad()
    rows = []
    with _stoppable(state, setup, saver):
        for i, batch in enumerate(shares):
            seed_everything(setup.recipe.seed, iteration, context.rank * len(shares) + i)
            with skip_gradient_sync(state.replica, skip=i < len(shares) - 1):
                loss, numbers = run_forward(state.replica, batch, setup)
                state.scaler.scale(loss / len(shares)).backward()
            rows.append({"loss_action_cls": loss.item(), **numbers})
    clips = sum(len(batch["clips"]) for batch in shares)
    asked = saver.asked if saver else 0  # as late as possible: a signal is obeyed after the step in which it arrives
    sums = context.all_reduce_sum([sum(row[key] for row in rows) for key in rows[0]] + [clips, asked], setup.device)
    row = {key: value / (len(shares) * context.size) for key, value in zip(rows[0], sums, strict=False)}
    if not math.isfinite(row["loss_action_cls"]):
        _raise_not_finite(row["loss_action_cls"], rows, shares, context)
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), setup.recipe.grad_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    row |= {"loss": row["loss_action_cls"], "grad_norm": norm.item(), "clips": int(sums[-2])}
    if state.scaler.is_enabled():
        row["loss_scale"] = state.scaler.get_scale()
    return row, int(sums[-1] > 0) and (asked or 15)  # SIGTERM, if it was another process that was asked


@contextmanager
def _stoppable(state, setup, saver):
    """A signal stops the body at once, on a CPU, where a step takes long. Forward alone changes the state, in batch
    norms' running statistics: they are put back."""
    if saver is None or setup.device.type != "cpu":
        yield
        return
    buffers = list(state.model.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        with saver.interruptible():
            yield
    except BaseException:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        raise


def _raise_not_finite(value, rows, shares, context):
    found = [
        {"process": context.rank, "loss": str(row["loss_action_cls"]), "index": batch["index"].tolist()}
        for row, batch in zip(rows, shares, strict=True)
        if not math.isfinite(row["loss_action_cls"])
    ]
    found = sum(context.gather(found), [])
    keys = [k for share in found for k in share["index"]]
    raise NonFiniteError(f"the loss is {value} on keyframes {keys}: lower lr, or look at these labels", found)
