"""What the checks of check_gpu.py share: networks and sizes, small or real, data without PyAV, times and memory."""

import types
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import tiny_model
import tiny_vit
import torch
from common import time_alternately
from gpu_report import Report
from PIL import Image

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.data.synthetic.generate import annotate_video, build_takes, iter_frames, write_tables
from avalib.data.synthetic.video_specs import VideoSpec, list_videos
from avalib.training.train_config import TrainConfig
from avalib.utils.device import supports_bfloat16
from avalib.utils.files import write_text
from avalib.utils.process import count_cores, ignore_interrupts
from avalib.utils.workers import run_parallel
from avalib.video.frame_numbers import AVA_FPS

SMALL_ENTRIES = {
    "slowonly_r50": tiny_model.ENTRY,
    "slowfast_r50": replace(zoo.get("slowfast_r50"), depth=14),
    "videomae_vit_b_ak": tiny_vit.ENTRY,
}
DATASET = "tiny"
COMPILING_TAKES_LONG = "left out with small networks: compiling them takes a minute"


@dataclass(frozen=True)
class Settings:
    """What check_gpu.py was called with."""

    device: torch.device
    small: bool
    folder: Path  # for data sets and runs; the processes of all sections share it
    report: Report
    models: tuple[str, ...]
    batch: int  # clips in a training step
    repeats: int

    @property
    def low_dtype(self) -> torch.dtype:
        """bfloat16, but float32 where the hardware would have to emulate it."""
        return torch.bfloat16 if supports_bfloat16(self.device) else torch.float32

    @property
    def low_name(self) -> str:
        """The name of low_dtype."""
        return str(self.low_dtype).removeprefix("torch.")

    @property
    def clips(self) -> int:
        """Clips in a training step."""
        return 2 if self.small else self.batch

    @property
    def inner(self) -> int:
        """Calls in one measurement."""
        return 1 if self.small else 5

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the clips in inference."""
        return (48, 64) if self.small else (256, 340)

    def get_entry(self, name: str) -> zoo.ZooEntry:
        """The entry of a model, or of a small one of its kind."""
        return SMALL_ENTRIES[name] if self.small else zoo.get(name)

    def build_config(self, name: str, dtype: torch.dtype, clips: int | None = None, **options) -> TrainConfig:
        """The config of trial steps by the published recipe; weights in channels-last, as on a CPU."""
        recipe = zoo.build_published_recipe(zoo.get(name))
        recipe = replace(recipe, videos_per_gpu=clips or self.clips)
        if self.small:
            recipe = zoo.update_recipe(recipe, short_side=32)
        no_data = types.SimpleNamespace(n_columns=81)
        options = {"workers": 0, "channels_last": True} | options
        return TrainConfig(self.get_entry(name), recipe, no_data, self.device, dtype, **options)


# --- data -------------------------------------------------------------------------------------------------------------


def prepare_pictures(settings: Settings, size: str = DATASET) -> DatasetLayout:
    """The rendered data set with each video as a folder of JPEGs, which needs no PyAV; rendered once for all."""
    layout = DatasetLayout(settings.folder / size, "mini")
    finished = layout.root / "finished"
    if finished.exists():
        return layout
    specs = list_videos(size)[1 if settings.small else 0 :]  # one video for each split, or all
    arguments = {spec: (spec, layout.root / "rawframes" / spec.video_id) for spec in specs}
    workers = 1 if settings.small else min(count_cores(), len(specs))
    annotations = {
        spec: get_result() for spec, get_result in run_parallel(render_pictures, workers, arguments, ignore_interrupts)
    }
    write_tables(layout, specs, {spec: annotations[spec] for spec in specs})
    write_text(finished, "")
    return layout


def render_pictures(spec: VideoSpec, folder: Path):
    """Write a video's frames at 30 a second, whatever its rate, as img_00001.jpg …; returns its annotations."""
    folder.mkdir(parents=True)
    takes = build_takes(spec)
    # (n,) the native frame of each AVA number
    n_numbers = int(spec.n_frames * AVA_FPS / spec.fps)
    shown = np.array([int(Fraction(k, AVA_FPS) * spec.fps) for k in range(n_numbers)])
    for native, frame in enumerate(iter_frames(spec, takes)):
        for number in np.flatnonzero(shown == native) + 1:
            Image.fromarray(frame).save(folder / f"img_{number:05d}.jpg", quality=95)
    return annotate_video(spec, takes)


# --- time and memory --------------------------------------------------------------------------------------------------


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_on_device(work: dict, settings: Settings, inner: int | None = None) -> dict:
    """Median seconds of one call of each of `work` {name: function}, in turns; the device is waited for."""
    inner = inner or settings.inner

    def repeat(run):
        for _ in range(inner):
            run()
        synchronize(settings.device)

    loops = {name: (lambda run=run: repeat(run)) for name, run in work.items()}
    seconds = time_alternately(loops, settings.repeats, warm=1 if settings.small else 2)
    return {name: time_s / inner for name, time_s in seconds.items()}


def measure_peak_gb(run, device: torch.device) -> float | None:
    """GB that a call needs at its peak, beyond what lies there between calls; None without an allocator that counts."""
    if device.type != "cuda":
        return None
    run()
    run()
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 1e9
