"""What a recipe needs on this machine, before it is trained: time, memory, disk, and which batch fits.

Measured where that is quick (a few real steps, a few real clips, one picture), counted elsewhere; what is extrapolated
says so.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avalib.data.dataset import ClipDataset, load_splits
from avalib.models.detector import Detector
from avalib.training.checkpointing import TrainState, estimate_checkpoint_bytes
from avalib.training.existing_run import RunExistsError, describe_run, format_refusal, has_begun, is_finished
from avalib.training.optimizer import build_optimizer, build_scaler
from avalib.training.step import apply_model_options, run_forward, train_step
from avalib.utils.distributed import SINGLE_PROCESS
from avalib.utils.files import free_bytes
from avalib.utils.process import count_cores, total_memory_bytes
from avalib.video.frame_source import FrameSource, get_cache_path
from avalib.video.resize import resize_frames_and_boxes

PATIENCE = 30  # seconds that timing may take, about
UNKNOWN_MEMORY = 8 << 30  # bytes, where the system does not tell how much it has
GPU_SHARE, RAM_SHARE = 0.92, 0.8  # of the free memory that a training may fill


def estimate_cost(setup, timed_steps=3, context=SINGLE_PROCESS):
    """What training will take, before it starts, from `timed_steps` real steps on noise. -> {what: value}."""
    recipe, entry = setup.recipe, setup.entry
    keyframes = load_splits(setup.layout, recipe)
    global_batch = setup.clips_per_step(context)
    steps = -(-len(keyframes["train"]) // global_batch) * recipe.epochs
    found = {
        "model": entry.alias,
        "clip": f"{entry.clip_len} frames, {entry.frame_interval} apart, {recipe.crop}x{recipe.crop} px",
        "training clips": len(keyframes["train"]),
        "epochs": recipe.epochs,
        "steps": steps,
        "clips a step": global_batch,
        "made of": f"{context.size} processes x {setup.accumulate} shares x {recipe.videos_per_gpu} clips",
        "learning rate": setup.lr(context),
        "device": str(setup.device),
        "precision": str(setup.dtype).removeprefix("torch."),
    }
    state = build_blank_state(setup)
    memory = measure_memory(setup, state)
    found |= measure_step_times(
        setup, state, keyframes, steps, timed_steps, memory["clips that fit a process"], context
    )
    return found | memory | estimate_disk(setup, state, keyframes)


def measure_step_times(setup, state, keyframes, steps, timed_steps, fits, context=SINGLE_PROCESS):
    """Seconds a step and a training clip's reading, minutes of training, validation and all."""
    recipe = setup.recipe
    timed, seconds = _time_share(setup, state, min(recipe.videos_per_gpu, max(1, fits)), timed_steps)
    share = seconds * recipe.videos_per_gpu / timed
    reading, scoring = _time_clips(setup, keyframes)
    reading_a_share = reading * recipe.videos_per_gpu / max(setup.workers, 1)
    waits = max(0, reading_a_share - share) if setup.workers else reading_a_share
    if setup.device.type == "cpu" and setup.workers:  # the readers take their time from the same cores
        waits = max(waits, reading * recipe.videos_per_gpu / count_cores())
    a_step = setup.accumulate * (share + waits)
    validations = -(-recipe.epochs // recipe.validate_every)
    forward = share / recipe.videos_per_gpu / 3 * (recipe.test_short_side / recipe.crop) ** 2 * 4 / 3  # wider frames
    validation = validations * len(keyframes["val"]) * (forward + scoring) / context.size
    return {
        "seconds a step": round(a_step, 3),
        "timed on": f"{timed} of {recipe.videos_per_gpu} clips a share"
        if timed < recipe.videos_per_gpu
        else "whole shares",
        "seconds to read a clip": round(reading, 3),
        "clips a second": round(setup.clips_per_step(context) / a_step, 2),
        "minutes of training, about": round(a_step * steps / 60, 1),
        "minutes of validation, about": round(validation / 60, 1),
        "hours of all, about": round((a_step * steps + validation) / 3600, 2),
    }


def limit_epochs(setup, found, minutes, folder, existing="stop"):
    """The setup with as many of its recipe's epochs as `minutes` of training allow here (at least one, None: all).

    found: what `plan` gave. A run that was begun in `folder` for as many minutes keeps the number of epochs it set out
    with, whatever a second timing says, so that it goes on; a finished one is used as it is; another unfinished one
    goes on where what it has still to do fits the minutes.
    Raises existing.RunExistsError where it doesn't fit and existing is "stop".
    """
    if minutes is None:
        return setup
    if not minutes > 0:
        raise ValueError(f"minutes={minutes!r}: expected a number above 0, or None for all of the recipe's epochs")
    epochs, an_epoch = setup.recipe.epochs, found["minutes of training, about"] / setup.recipe.epochs
    fitting = max(1, min(epochs, int(minutes / max(an_epoch, 1e-9))))
    begun = has_begun(folder, setup)
    if begun and _goes_on(begun, an_epoch, minutes, folder, existing, fitting):
        print(f"{folder} holds {describe_run(begun)}: it goes on, or is used as it is")
        recipe = replace(setup.recipe, epochs=begun["epochs"])
        return replace(setup, recipe=recipe, minutes=begun.get("minutes"))
    print(f"minutes={minutes:g}: {fitting} of the recipe's {epochs} epochs ({an_epoch:.1f} minutes each here)")
    return replace(setup, recipe=replace(setup.recipe, epochs=fitting), minutes=minutes)


def _goes_on(begun, an_epoch, minutes, folder, existing, fitting):
    """Whether the run that was begun is what these minutes ask for."""
    if is_finished(begun) or begun.get("minutes") == minutes or existing == "continue":
        return True
    left = (begun["epochs"] - begun["epoch"]) * an_epoch
    if left <= minutes:
        return True
    if existing == "new":
        return False
    changed = {"minutes of training": (f"about {left:.0f} more", f"{minutes:g}, that is {fitting} epochs in all")}
    raise RunExistsError(format_refusal(folder, begun, changed))


def _time_share(setup, state, clips, count):
    """(clips, median seconds of a share on noise): one clip alone where the whole would take longer than PATIENCE."""
    _seconds(state, setup, 1)  # the first one also chooses kernels
    one = _seconds(state, setup, 1)
    clips = clips if one * clips * (count + 1) <= PATIENCE else 1
    count = count if one * clips * count <= PATIENCE else 1
    return clips, float(np.median([_seconds(state, setup, clips) for _ in range(count + 1)][1:]))


def _seconds(state, setup, clips):
    batch = build_noise_batch(setup, state.model, clips)
    started = time.perf_counter()
    train_step(state, [batch], setup, lr=0.0)  # ends with reading the loss, so a GPU has finished too
    return time.perf_counter() - started


def build_blank_state(setup):
    """A State to try steps on: a model and an optimiser of its own."""
    model = Detector(setup.entry, setup.recipe.dropout, n_classes=setup.layout.n_columns - 1)
    model = apply_model_options(model.to(setup.device).train(), setup)
    return TrainState(model, build_optimizer(model, setup.recipe), model, build_scaler(setup))


def build_noise_batch(setup, model, clips, boxes=3):
    """A batch as the loader gives it, of noise: `clips` clips with `boxes` boxes each."""
    size = setup.recipe.crop
    columns = model.roi_head.bbox_head.fc_cls.out_features
    box = [size / 4, size / 4, size * 3 / 4, size * 3 / 4]
    wanted = torch.zeros(boxes * clips, columns)
    wanted[:, 1] = 1
    return {
        "clips": torch.randint(0, 255, (clips, setup.entry.clip_len, size, size, 3), dtype=torch.uint8),
        "rois": torch.tensor([[i // boxes, *box] for i in range(boxes * clips)]),
        "targets": wanted,
        "flips": torch.arange(clips) % 2 == 1,
        "index": torch.zeros(clips, dtype=torch.int64),
    }


def _time_clips(setup, keyframes, count=3):
    """Seconds to read and prepare a training clip and a validation clip, as they lie on disk now."""
    seconds = []
    for split, frames in keyframes.items():
        cached = setup.recipe.cache_short_side and _unpacked(setup, {split: frames}) == []
        source = FrameSource(setup.layout, setup.recipe.cache_short_side if cached else None)
        recipe = setup.recipe if cached else replace(setup.recipe, cache_short_side=None)
        clips = ClipDataset(frames, setup.entry, recipe, source, training=split == "train")
        chosen = np.linspace(0, len(frames) - 1, count + 1).astype(int)
        started = time.perf_counter()
        for k in chosen:
            clips[int(k)]
        seconds.append((time.perf_counter() - started) / len(chosen))
    return seconds


def measure_memory(setup, state):
    """GB a process needs for the recipe's share, how many clips would fit it, and what then gives the same step.

    Activations are measured on one clip (by a GPU's allocator, elsewhere as what autograd keeps) and taken as
    proportional to the clips; weights, gradients and the optimiser's values are counted.
    """
    recipe = setup.recipe
    sizes = estimate_checkpoint_bytes(setup, state.model)
    fixed = sizes["last"] + sizes["weights"]  # weights, the optimiser's values, gradients
    a_clip = _activations(state, setup)
    free = get_free_memory(setup.device)
    fits = max(0, int((free - fixed) // a_clip))
    share = recipe.videos_per_gpu
    found = {
        "GB a process, about": round((fixed + share * a_clip) / 1e9, 2),
        "GB free": round(free / 1e9, 2),
        "clips that fit a process": fits,
    }
    if fits < share:
        found["to fit"] = advise_batch_size(setup, fits)
    return found


def advise_batch_size(setup, fits):
    """What to change so that the step fits, with the same global batch; in words."""
    if fits < 1:
        return "not even one clip fits: a smaller short_side, recompute=True, bfloat16 or a larger device"
    share = next(b for b in range(fits, 0, -1) if setup.recipe.videos_per_gpu % b == 0)
    shares = setup.accumulate * setup.recipe.videos_per_gpu // share
    return f"batch_size={share}, accumulate={shares}: the same clips a step, batch norm over {share}; or recompute=True"


def _activations(state, setup):
    """Bytes that one clip's forward pass keeps for backward."""
    batch = build_noise_batch(setup, state.model, 1)
    if setup.device.type == "cuda":
        train_step(state, [batch], setup, lr=0.0)
        before = torch.cuda.memory_allocated(setup.device)
        torch.cuda.reset_peak_memory_stats(setup.device)
        train_step(state, [batch], setup, lr=0.0)
        return max(1, torch.cuda.max_memory_allocated(setup.device) - before)
    kept = {}
    weights = {p.untyped_storage().data_ptr() for p in state.model.parameters()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss, _ = run_forward(state.model, batch, setup)
    return sum(kept.values())


def get_free_memory(device):
    """Bytes that a training may take on a device now: a share of what is free."""
    if device.type == "cuda":
        return GPU_SHARE * torch.cuda.mem_get_info(device)[0]
    return RAM_SHARE * min(_available(), _container_limit())


def _available():
    info = Path("/proc/meminfo")
    if info.exists():
        lines = dict(line.split(":", 1) for line in info.read_text(encoding="utf-8").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return total_memory_bytes() or UNKNOWN_MEMORY


def _container_limit():
    """What a container's limit leaves, in bytes."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text(encoding="utf-8")) - int(
            (folder / "memory.current").read_text(encoding="utf-8")
        )
    except (OSError, ValueError):  # no such limit here, or "max"
        return float("inf")


def estimate_disk(setup, state, keyframes):
    """GB that the run writes (checkpoints, log) and that packed frames still need, and what is free."""
    sizes = estimate_checkpoint_bytes(setup, state.model)
    run = 2 * sizes["last"] + 3 * sizes["weights"]  # last.pth old and new; best, final and one being written
    missing = _unpacked(setup, keyframes)
    return {
        "GB of checkpoints, at most": round(run / 1e9, 2),
        "GB of packed frames to come": round(_packed_bytes(setup, missing) / 1e9, 2) if missing else 0.0,
        "GB free on the data's disk": round(free_bytes(setup.layout.root) / 1e9, 1),
    }


def _unpacked(setup, keyframes):
    """Videos whose frames the recipe wants packed and that are not."""
    if not setup.recipe.cache_short_side:
        return []
    names = dict.fromkeys(v for k in keyframes.values() for v in k.video_ids)
    return [v for v in names if not get_cache_path(setup.layout, v, setup.recipe.cache_short_side).exists()]


def _packed_bytes(setup, names, looked_at=5):
    """Bytes of these videos' packed frames, from one picture and the length of some of them."""
    from torchvision.io import encode_jpeg

    source, sizes = FrameSource(setup.layout), []
    for name in names[:: max(1, len(names) // looked_at)]:
        reader = source.get_reader(name)
        frame = reader.read_ava_frames([reader.n_ava_frames // 2 + 1])
        small, _ = resize_frames_and_boxes(frame, np.zeros((0, 4), np.float32), setup.recipe.cache_short_side)
        jpeg = encode_jpeg(torch.from_numpy(small[0]).permute(2, 0, 1).contiguous(), 90)
        sizes.append(len(jpeg) * reader.n_ava_frames)
    return np.mean(sizes) * len(names)
