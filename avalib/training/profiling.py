"""Short measurements on this machine: the time and memory of a training step, the time to read a clip."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import KeyframeTable
from avalib.models.detector import Detector
from avalib.training.checkpoint_sizes import estimate_checkpoint_sizes
from avalib.training.model_options import RECOMPUTED_BLOCKS, apply_model_options, find_modules
from avalib.training.optimizer import build_optimizer, build_scaler
from avalib.training.step import run_forward, train_step
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.process import get_available_memory_bytes, get_peak_memory_bytes
from avalib.video.frame_cache import FrameCachePreview
from avalib.video.frame_cache_builder import find_outdated_caches
from avalib.video.frame_source import FrameSource, open_video

TIME_LIMIT_S = 30  # that timing a step may take, about
USABLE_GPU_SHARE = 0.92  # of the free memory
USABLE_RAM_SHARE = 0.8


def build_untrained_state(config: TrainConfig) -> TrainState:
    """Build a state for trial steps: a random model and its optimizer."""
    model = Detector(config.entry, config.recipe.dropout, n_classes=config.layout.n_columns - 1)
    model = apply_model_options(model.to(config.device).train(), config)
    return TrainState(model, build_optimizer(model, config.recipe), model, build_scaler(config))


def build_noise_batch(config: TrainConfig, model: nn.Module, n_clips: int, boxes_per_clip: int = 3) -> dict:
    """Build a batch of noise, as the loader gives it: every box has action 1."""
    height, width = config.recipe.crop_shape
    n_boxes = n_clips * boxes_per_clip
    # every box is the middle of its clip
    box = [width / 4, height / 4, width * 3 / 4, height * 3 / 4]
    targets = torch.zeros(n_boxes, model.n_classes + 1)
    targets[:, 1] = 1
    return {
        "clips": torch.randint(0, 255, (n_clips, config.entry.clip_len, height, width, 3), dtype=torch.uint8),
        "rois": torch.tensor([[i // boxes_per_clip, *box] for i in range(n_boxes)]),  # (N,5)
        "targets": targets,  # (N,81)
        "flips": torch.arange(n_clips) % 2 == 1,
        "index": torch.zeros(n_clips, dtype=torch.int64),
    }


# --- time -------------------------------------------------------------------------------------------------------------


def time_micro_batch(config: TrainConfig, state: TrainState, n_clips: int, repeats: int) -> tuple[int, float]:
    """Time a step on one micro-batch of noise.

    Returns
    -------
    timed_clips : int
        Clips of the micro-batch: `n_clips`, or fewer if that would take longer than TIME_LIMIT_S.
    seconds : float
        The median of `repeats` steps, or of fewer.
    """
    # the first step of a size also chooses kernels, so it is not counted
    _time_step(config, state, 1)
    n_clips, repeats = choose_timed_steps(_time_step(config, state, 1), n_clips, repeats)
    _time_step(config, state, n_clips)
    return n_clips, float(np.median([_time_step(config, state, n_clips) for _ in range(repeats)]))


def choose_timed_steps(one_clip_s: float, n_clips: int, repeats: int) -> tuple[int, int]:
    """What is timed within TIME_LIMIT_S: fewer repeats first, then fewer clips. Returns (n_clips, repeats).

    A clip costs less in a larger micro-batch (the optimizer's step is shared), so few clips overestimate the time.
    """
    max_clips = int(TIME_LIMIT_S / (2 * one_clip_s))  # the first step of a size is not counted
    n_clips = min(n_clips, max(1, max_clips))
    max_repeats = int(TIME_LIMIT_S / (one_clip_s * n_clips)) - 1
    return n_clips, min(repeats, max(1, max_repeats))


def _time_step(config, state, n_clips):
    batch = build_noise_batch(config, state.model, n_clips)
    started = time.perf_counter()
    train_step(state, [batch], config, lr=0.0)  # it reads the loss, so a GPU has finished too
    return time.perf_counter() - started


def time_clip_reading(config: TrainConfig, keyframes: KeyframeTable, split: str, count: int = 4) -> float:
    """Time reading a clip of a split: mean seconds. Frame caches that are still to be built count as built."""
    recipe = config.recipe
    needs_preview = bool(find_missing_caches(config, [keyframes]))
    frames = (PreviewSource if needs_preview else FrameSource)(config.layout, recipe.cache_short_side)
    clips = ClipDataset(keyframes, config.entry, recipe, frames, training=split == "train")
    # clips from all over the split
    chosen = np.linspace(0, len(keyframes) - 1, count).astype(int).tolist()
    if needs_preview:
        for index in chosen:
            clips[index]  # the same frames as below: a clip is drawn from the seed, the epoch and its number
    started = time.perf_counter()
    for index in chosen:
        clips[index]
    return (time.perf_counter() - started) / len(chosen)


class PreviewSource(FrameSource):
    """A FrameSource whose frames are read as from frame caches that are not built yet."""

    def open_reader(self, video_id: str) -> FrameCachePreview:
        return FrameCachePreview(open_video(self.layout, video_id), self.cache_short_side)


def find_missing_caches(config: TrainConfig, keyframes: Iterable[KeyframeTable]) -> list[str]:
    """Find the videos of some keyframes whose frame cache is still to be built; none if the recipe uses no cache."""
    short_side = config.recipe.cache_short_side
    if not short_side:
        return []
    video_ids = [video_id for split in keyframes for video_id in split.video_ids]
    return list(find_outdated_caches(config.layout, video_ids, short_side))


# --- memory -----------------------------------------------------------------------------------------------------------


class StorageCounter:
    """Counts the bytes that autograd stores. Several tensors may share a storage; a model's weights do not count."""

    def __init__(self, model: nn.Module):
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.stored_bytes = {}  # {address: bytes}

    @property
    def total(self) -> int:
        """The bytes so far; what is counted has to be alive still."""
        return sum(self.stored_bytes.values())

    def note(self, tensor: torch.Tensor) -> torch.Tensor:
        """Count a tensor's storage; returns the tensor."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.stored_bytes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def count_stored(self) -> torch.autograd.graph.saved_tensors_hooks:
        """A context in which what autograd stores is counted."""
        return torch.autograd.graph.saved_tensors_hooks(self.note, lambda tensor: tensor)


@dataclass(frozen=True)
class StepMemory:
    """The memory of a training step: fixed_bytes + clips * clip_bytes."""

    fixed_bytes: int  # weights, gradients, the optimizer's values
    clip_bytes: int  # activations of one clip


def measure_step_memory(config: TrainConfig, state: TrainState) -> StepMemory:
    """Measure the memory of a training step, on a GPU by its allocator, elsewhere as what autograd stores."""
    if config.device.type == "cuda":
        return _measure_cuda_steps(config, state)
    sizes = estimate_checkpoint_sizes(config, state.model)
    # weights and the optimizer's values, gradients
    return StepMemory(sizes.last + sizes.weights, measure_activation_bytes(config, state))


def _measure_cuda_steps(config, state, sizes=(1, 2)):
    """The StepMemory from the peaks of steps of two sizes: workspaces and parts of the gradients are in both."""
    peaks = []
    for n_clips in sizes:
        batch = build_noise_batch(config, state.model, n_clips)
        train_step(state, [batch], config, lr=0.0)  # the first step also allocates the optimizer's values
        torch.cuda.reset_peak_memory_stats(config.device)
        train_step(state, [batch], config, lr=0.0)
        peaks.append(torch.cuda.max_memory_allocated(config.device))
    clip_bytes = max(1, (peaks[1] - peaks[0]) // (sizes[1] - sizes[0]))
    return StepMemory(peaks[0] - sizes[0] * clip_bytes, clip_bytes)


def measure_activation_bytes(config: TrainConfig, state: TrainState) -> int:
    """Measure the bytes that the forward pass of one clip stores for backward, as autograd stores them.

    Where blocks are recomputed, that is their inputs, and what the largest of them stores in backward.
    """
    batch = build_noise_batch(config, state.model, 1)
    counter = StorageCounter(state.model)
    block_bytes = []

    def count_block(block, inputs):
        counter.note(inputs[0])
        own_counter = StorageCounter(state.model)
        with own_counter.count_stored():
            # the class's own forward, which stores what it needs; `output` keeps it until it is counted
            output = type(block).forward(block, inputs[0].detach().requires_grad_())
            block_bytes.append(own_counter.total)
        del output

    blocks = find_modules(state.model, RECOMPUTED_BLOCKS) if config.recompute else []
    hooks = [block.register_forward_pre_hook(count_block) for block in blocks]
    with counter.count_stored():
        loss, _ = run_forward(state.model, batch, config)  # `loss` keeps the graph until the sum is taken
    for hook in hooks:
        hook.remove()
    return counter.total + max(block_bytes, default=0)


def get_free_memory_bytes(device: torch.device) -> float:
    """Bytes that a training may take on a device: a share of what is free now, or held by this process already."""
    if device.type == "cuda":
        return USABLE_GPU_SHARE * (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    return USABLE_RAM_SHARE * get_available_memory_bytes()


def measure_peak_memory_mb(device: torch.device) -> int:
    """The peak memory so far, in MiB: of this process's GPU, or else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return (get_peak_memory_bytes() or 0) // 2**20
