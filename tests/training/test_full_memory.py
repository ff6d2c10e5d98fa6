"""A GPU that runs out of memory in training: the error says which batch would fit."""

import pytest
import torch
from tiny_model import make_config

from avalib.training import engine, planner
from avalib.training.engine import train_model
from avalib.training.profiling import build_untrained_state, measure_step_memory
from avalib.training.step import train_step
from avalib.utils.gpu_memory import GpuMemoryError


@pytest.fixture
def full_memory(monkeypatch):
    """Let a training step of more than two clips run out of memory, as CUDA does."""

    def step_with_limit(state, micro_batches, *args):
        if max(len(batch["clips"]) for batch in micro_batches) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return train_step(state, micro_batches, *args)

    monkeypatch.setattr(engine, "train_step", step_with_limit)


def test_the_error_says_which_batch_fits(full_memory, tiny, tmp_path, monkeypatch):
    config = make_config(tiny, videos_per_gpu=6)
    memory = measure_step_memory(config, build_untrained_state(config))
    free_bytes = memory.fixed_bytes + 2.5 * memory.clip_bytes
    monkeypatch.setattr(planner, "get_free_memory_bytes", lambda device: free_bytes)
    advice = "By the estimate 2 of them fit: batch_size=2, accumulate=3: the same clips in a step"
    with pytest.raises(GpuMemoryError, match=f"out of memory with a training step on 6 clips. {advice}"):
        train_model(config, tmp_path / "run", progress=False)


def test_a_smaller_batch_than_the_one_that_failed_is_advised_whatever_the_estimate(full_memory, tiny, tmp_path):
    with pytest.raises(GpuMemoryError, match="By the estimate 3 of them fit: batch_size=2, accumulate=2"):
        train_model(make_config(tiny, videos_per_gpu=4), tmp_path / "run", progress=False)
