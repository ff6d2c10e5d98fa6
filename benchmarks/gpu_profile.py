"""Section e of check_gpu.py: which kernels take most of a training step, and how long a training waits for data."""

import time
from contextlib import closing

import numpy as np
import torch
from common import compare
from gpu_settings import Settings, prepare_pictures, synchronize, time_on_device
from gpu_training_speed import build_step
from torchvision.io import ImageReadMode, decode_image, decode_jpeg

from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.loader import build_loader
from avalib.training.profiling import build_untrained_state
from avalib.training.step import train_step
from avalib.utils.process import count_cores
from avalib.video.frame_cache_builder import build_frame_caches
from avalib.video.frame_source import FrameSource

N_KERNELS = 10  # that are listed
WAITING_AIM = 5  # percent
CACHE_SIDE = 320  # of the frame cache: the largest training size of the published recipes
MAX_WORKERS = 8  # processes that read clips
FIRST_STEPS = 40  # whose clips lie ready when the processes have started
STEPS = 120  # whose waiting is measured, behind those


def check_profile(settings: Settings):
    """Rows of each model: the share of the most expensive kernels; the record's "profiles" lists them."""
    profiles = {}
    for name in settings.models:
        step = build_step(settings.build_config(name, settings.low_dtype), settings.clips)
        step()
        profiles[name] = profile_step(step, settings)
        settings.report.set_facts(profiles=profiles)
        for kernel in profiles[name]["kernels"]:
            print(f"  {kernel['percent']:5.1f} %  {kernel['calls']:4d} calls  {kernel['name']}")
        share = sum(kernel["percent"] for kernel in profiles[name]["kernels"])
        yield compare(f"training step, {name}, the {N_KERNELS} most expensive kernels", share, None, "%")
        busy = profiles[name]["busy_percent"]
        yield compare(f"training step, {name}, part of it that kernels run", busy, None, "%", more=True)


def profile_step(step, settings: Settings) -> dict:
    """The most expensive kernels of a step, and the percent of its time in which the device computes."""
    is_cuda = settings.device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU]
    if is_cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    synchronize(settings.device)
    started_s = time.perf_counter()
    step()
    synchronize(settings.device)
    step_us = 1e6 * (time.perf_counter() - started_s)
    with torch.profiler.profile(activities=activities) as profiler:
        step()
        synchronize(settings.device)
    events = profiler.key_averages()
    times_us = {
        event: event.self_device_time_total if is_cuda else event.self_cpu_time_total
        for event in events
        if not is_cuda or str(event.device_type).endswith("CUDA")
    }
    total_us = sum(times_us.values()) or 1
    largest = sorted(times_us, key=times_us.get, reverse=True)[:N_KERNELS]
    return {
        "step_ms": step_us / 1e3,
        "busy_percent": min(100.0, 100 * total_us / step_us),
        "kernels": [
            {
                "name": event.key[:120],
                "calls": event.count,
                "milliseconds": times_us[event] / 1e3,
                "percent": 100 * times_us[event] / total_us,
            }
            for event in largest
        ],
    }


# --- the loader -------------------------------------------------------------------------------------------------------


def check_waiting(settings: Settings):
    """Rows: percent of a training's time that it waits for the loader, which reads the frame cache."""
    name = settings.models[0]
    side = 48 if settings.small else CACHE_SIDE
    workers = 0 if settings.small else min(MAX_WORKERS, count_cores())
    layout = prepare_pictures(settings)
    keyframes = load_keyframes(layout, "train", training=True)
    build_frame_caches(layout, keyframes.video_ids, side, workers=max(1, min(workers, 4)), progress=False)
    frames = FrameSource(layout, side)
    for resize_on_device in (False, True):
        config = settings.build_config(name, settings.low_dtype, workers=workers, resize_on_device=resize_on_device)
        clips = ClipDataset(keyframes, config.entry, config.recipe, frames, True, resize_on_device)
        waiting, rate = measure_waiting(config, clips, settings)
        where = "on the device" if resize_on_device else "in the processes"
        note = f"{workers} processes, {rate:.0f} clips/s"
        what = f"GPU training, {name}, waiting for data, resized {where}"
        yield compare(what, waiting, None, "%", WAITING_AIM, note=note)


def measure_waiting(config, clips: ClipDataset, settings: Settings) -> tuple[float, float]:
    """(percent of the time that waits for clips, clips a second) of a training, behind its first steps."""
    # the same few keyframes again and again, each time with other random numbers
    rng = np.random.default_rng(0)
    first = 0 if settings.small else FIRST_STEPS
    batches = [draw_items(rng, len(clips), settings.clips) for _ in range(first + (2 if settings.small else STEPS))]
    state = build_untrained_state(config)
    waits_s = []
    steps_s = []
    with closing(build_loader(clips, batches, config.workers, config.device)) as loader:
        ended_s = time.perf_counter()
        for batch in loader:
            waits_s.append(time.perf_counter() - ended_s)
            train_step(state, [batch], config, lr=0.0)  # it reads the loss, so the device has finished too
            steps_s.append(time.perf_counter() - ended_s)
            ended_s += steps_s[-1]
    total_s = sum(steps_s[first:])
    return 100 * sum(waits_s[first:]) / total_s, settings.clips * len(steps_s[first:]) / total_s


def draw_items(rng, n_keyframes: int, n_clips: int) -> list[tuple[int, int]]:
    """The (epoch, keyframe) of each clip of a batch."""
    epochs = rng.integers(0, 1000, n_clips).tolist()
    return list(zip(epochs, rng.integers(0, n_keyframes, n_clips).tolist(), strict=True))


def check_jpeg_decoding(settings: Settings):
    """A row: the frame cache's JPEGs decoded by the GPU, beside one core."""
    layout = prepare_pictures(settings)
    paths = sorted((layout.root / "rawframes").glob("*/*.jpg"))[: 4 if settings.small else 128]
    jpegs = [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in paths]
    work = {"core": lambda: [decode_image(jpeg, ImageReadMode.RGB) for jpeg in jpegs]}
    if settings.device.type == "cuda":
        work["gpu"] = lambda: decode_jpeg(jpegs, ImageReadMode.RGB, device=settings.device)
    rates = {kind: len(jpegs) / seconds for kind, seconds in time_on_device(work, settings, inner=1).items()}
    what = "JPEGs of 320x240, decoded by the GPU beside one core"
    note = "" if "gpu" in rates else "no GPU"
    yield compare(what, rates.get("gpu"), rates["core"], "frames/s", more=True, note=note)


CHECKS = {
    "kernels of a step": (check_profile, 30),
    "waiting for data": (check_waiting, 40),
    "JPEG decoding": (check_jpeg_decoding, 15),
}
