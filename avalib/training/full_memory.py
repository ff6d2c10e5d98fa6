"""A GPU that runs out of memory in training: the error says which batch would fit."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from avalib.training.planner import advise_batch_size, estimate_memory
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.gpu_memory import GpuMemoryError, build_gpu_memory_error
from avalib.utils.plurals import format_count


@contextmanager
def explain_full_memory(config: TrainConfig, state: TrainState) -> Iterator[None]:
    """Make a GPU that runs out of memory in the block raise GpuMemoryError with the batch size that fits."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        # the frames of the traceback hold the tensors of the step; the plan is measured without them
        traceback.clear_frames(error.__traceback__)
        raise build_training_memory_error(config, state) from None


def build_training_memory_error(config: TrainConfig, state: TrainState) -> GpuMemoryError:
    """Build the error for a step that does not fit. Changes the state: trial steps on noise measure what fits."""
    state.optimizer.zero_grad()
    if config.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        max_clips = estimate_memory(config, state).max_clips
    except torch.OutOfMemoryError:
        max_clips = 0
    # the step itself did not fit, whatever the estimate
    batch_clips = config.recipe.videos_per_gpu
    max_clips = min(max_clips, batch_clips - 1)
    plan = f"By the estimate {max_clips} of them fit: " if max_clips else "The estimate advises: "
    amount = f"a training step on {format_count(batch_clips, 'clip')}"
    return build_gpu_memory_error(amount, config.device, plan + advise_batch_size(config, max_clips))
