"""What a training takes on this machine, before it starts: time, memory, disk, and the batch size that fits.

Short measurements where they are quick (a few real steps, a few real clips), counts elsewhere.
"""

from dataclasses import dataclass

from avalib.data.keyframe_table import load_splits
from avalib.training.checkpoint_sizes import estimate_checkpoint_sizes
from avalib.training.profiling import (
    build_untrained_state,
    find_missing_caches,
    get_free_memory_bytes,
    measure_step_memory,
    time_clip_reading,
    time_micro_batch,
)
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.disk_space import get_free_bytes
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext
from avalib.utils.plurals import format_count
from avalib.utils.process import count_cores
from avalib.video.frame_cache_builder import estimate_frame_caches


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of one training process."""

    gb_per_process: float
    gb_free: float
    max_clips: int  # clips of a micro-batch that fit
    advice: str  # how to get the same step if the recipe's micro-batch does not fit; "" if it fits


@dataclass(frozen=True)
class TimeEstimate:
    """Time of a training with its validations."""

    step_s: float
    timed_clips: int  # clips of the micro-batch that was timed
    read_clip_s: float  # to read and prepare a training clip, in one process
    clips_per_s: float
    training_minutes: float
    validation_minutes: float
    total_hours: float


@dataclass(frozen=True)
class DiskEstimate:
    """Space on the disk."""

    checkpoints_gb: float  # at most
    new_caches_gb: float  # frame caches that are still to be built
    free_gb: float  # on the data set's disk


@dataclass(frozen=True)
class CostEstimate:
    """What a training takes. `run.json` holds its fields under "plan"."""

    model: str
    clip: str
    training_clips: int
    epochs: int
    steps: int
    processes: int
    micro_batches: int  # of each process in a step
    micro_batch_clips: int
    learning_rate: float
    device: str
    precision: str
    time: TimeEstimate
    memory: MemoryEstimate
    disk: DiskEstimate

    @property
    def clips_per_step(self):
        """The global batch size."""
        return self.processes * self.micro_batches * self.micro_batch_clips

    @property
    def minutes_per_epoch(self):
        """Minutes of training, without the validation."""
        return self.time.training_minutes / self.epochs

    def describe(self) -> dict:
        """{label: value}, for printing."""
        rows = {
            "model": self.model,
            "clip": self.clip,
            "training clips": self.training_clips,
            "epochs": self.epochs,
            "steps": self.steps,
            "clips in a step": self.clips_per_step,
            "computed as": f"{format_count(self.processes, 'process', 'processes')} x "
            f"{format_count(self.micro_batches, 'micro-batch', 'micro-batches')} x "
            f"{format_count(self.micro_batch_clips, 'clip')}",
            "learning rate": self.learning_rate,
            "device": self.device,
            "precision": self.precision,
            "seconds for a step": self.time.step_s,
            "timed on": f"{self.time.timed_clips} of the {self.micro_batch_clips} clips of a micro-batch",
            "seconds to read a clip": self.time.read_clip_s,
            "clips per second": self.time.clips_per_s,
            "minutes of training, about": self.time.training_minutes,
            "minutes of validation, about": self.time.validation_minutes,
            "hours in total, about": self.time.total_hours,
            "GB of memory for a process, about": self.memory.gb_per_process,
            "GB of memory free": self.memory.gb_free,
            "clips that fit in a process": self.memory.max_clips,
            "to fit": self.memory.advice,
            "GB of checkpoints, at most": self.disk.checkpoints_gb,
            "GB of frame caches to build": self.disk.new_caches_gb,
            "GB free on the data's disk": self.disk.free_gb,
        }
        return {label: value for label, value in rows.items() if value != ""}


def estimate_cost(
    config: TrainConfig, timed_steps: int = 7, context: DistributedContext = SINGLE_PROCESS
) -> CostEstimate:
    """Estimate what a training takes, from a few steps on noise and a few clips.

    Parameters
    ----------
    config : TrainConfig
    timed_steps : int
        Steps that are timed; their median counts, so that one that another program slowed down does not.
    context : DistributedContext
        How many processes will train; only its size counts.

    Returns
    -------
    CostEstimate

    Raises
    ------
    ValueError
        A split has no keyframes.
    """
    recipe = config.recipe
    entry = config.entry
    crop_height, crop_width = recipe.crop_shape
    keyframes = load_splits(config.layout, recipe)
    # the last step of an epoch may have fewer clips
    steps = -(-len(keyframes["train"]) // config.count_clips_per_step(context)) * recipe.epochs
    state = build_untrained_state(config)
    memory = estimate_memory(config, state)
    return CostEstimate(
        model=entry.alias,
        clip=f"{entry.clip_len} frames, {entry.frame_interval} apart, {crop_width}x{crop_height} px",
        training_clips=len(keyframes["train"]),
        epochs=recipe.epochs,
        steps=steps,
        processes=context.size,
        micro_batches=config.accumulate,
        micro_batch_clips=recipe.videos_per_gpu,
        learning_rate=config.compute_base_lr(context),
        device=str(config.device),
        precision=str(config.dtype).removeprefix("torch."),
        time=estimate_time(config, state, keyframes, steps, timed_steps, memory.max_clips, context),
        memory=memory,
        disk=estimate_disk(config, state, keyframes),
    )


def estimate_time(
    config: TrainConfig,
    state: TrainState,
    keyframes: dict,
    steps: int,
    timed_steps: int,
    max_clips: int,
    context: DistributedContext = SINGLE_PROCESS,
) -> TimeEstimate:
    """Estimate the time of all steps and validations.

    Parameters
    ----------
    config : TrainConfig
    state : TrainState
        For trial steps.
    keyframes : dict
        {split: KeyframeTable}.
    steps : int
        Of the training.
    timed_steps : int
        Steps that are timed.
    max_clips : int
        Clips of a micro-batch that fit into the memory.
    context : DistributedContext
    """
    recipe = config.recipe
    batch_clips = recipe.videos_per_gpu

    # 1. Computation of a micro-batch, extrapolated if it was timed on fewer clips
    timed_clips, seconds = time_micro_batch(config, state, min(batch_clips, max(1, max_clips)), timed_steps)
    compute_s = seconds * batch_clips / timed_clips

    # 2. Reading: in worker processes beside the computation, or before it
    read_train_s = time_clip_reading(config, keyframes["train"], "train")
    read_val_s = time_clip_reading(config, keyframes["val"], "val")
    wait_s = read_train_s * batch_clips
    if config.workers:
        wait_s = max(0, read_train_s * batch_clips / config.workers - compute_s)
        # on a CPU the workers need the same cores
        if config.device.type == "cpu":
            wait_s = max(wait_s, read_train_s * batch_clips / count_cores())
    step_s = config.accumulate * (compute_s + wait_s)

    # 3. Validation: forward is a third of a step; whole frames, about 4:3, instead of crops
    frame_area = (recipe.test_short_side / recipe.crop) ** 2 * 4 / 3 / recipe.crop_aspect
    score_s = compute_s / batch_clips / 3 * frame_area
    validations = -(-recipe.epochs // recipe.validate_every)
    validation_s = validations * len(keyframes["val"]) * (score_s + read_val_s) / context.size
    return TimeEstimate(
        step_s=round(step_s, 3),
        timed_clips=timed_clips,
        read_clip_s=round(read_train_s, 3),
        clips_per_s=round(config.count_clips_per_step(context) / step_s, 2),
        training_minutes=round(step_s * steps / 60, 1),
        validation_minutes=round(validation_s / 60, 1),
        total_hours=round((step_s * steps + validation_s) / 3600, 2),
    )


def estimate_memory(config: TrainConfig, state: TrainState) -> MemoryEstimate:
    """Estimate the memory of a process: a fixed part, and activations in proportion to the clips."""
    step = measure_step_memory(config, state)
    usable_bytes = get_free_memory_bytes(config.device)
    max_clips = max(0, int((usable_bytes - step.fixed_bytes) // step.clip_bytes))
    batch_clips = config.recipe.videos_per_gpu
    return MemoryEstimate(
        gb_per_process=round((step.fixed_bytes + batch_clips * step.clip_bytes) / 1e9, 2),
        gb_free=round(usable_bytes / 1e9, 2),
        max_clips=max_clips,
        advice=advise_batch_size(config, max_clips) if max_clips < batch_clips else "",
    )


def advise_batch_size(config: TrainConfig, max_clips: int) -> str:
    """What to change so that a step of the same global batch size fits, as a sentence."""
    if max_clips < 1:
        return "not even one clip fits: use a smaller short_side, recompute=True, bfloat16 or a larger device"
    # the largest divisor of the micro-batch that fits
    batch_clips = config.recipe.videos_per_gpu
    batch_size = next(size for size in range(max_clips, 0, -1) if batch_clips % size == 0)
    accumulate = config.accumulate * batch_clips // batch_size
    return (
        f"batch_size={batch_size}, accumulate={accumulate}: the same clips in a step, batch norm over {batch_size}; "
        "or recompute=True"
    )


def estimate_disk(config: TrainConfig, state: TrainState, keyframes: dict) -> DiskEstimate:
    """Estimate the space for checkpoints and missing frame caches. keyframes: {split: KeyframeTable}."""
    sizes = estimate_checkpoint_sizes(config, state.model)
    # last.pth old and new; best.pth, final.pth, and one of them while it is replaced
    run_bytes = 2 * sizes.last + 3 * sizes.weights
    missing = find_missing_caches(config, keyframes.values())
    caches = estimate_frame_caches(config.layout, missing, config.recipe.cache_short_side) if missing else None
    return DiskEstimate(
        checkpoints_gb=round(run_bytes / 1e9, 2),
        new_caches_gb=round(caches.size_GB, 2) if caches else 0.0,
        free_gb=round(get_free_bytes(config.layout.root) / 1e9, 1),
    )
