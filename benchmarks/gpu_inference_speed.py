"""Section d of check_gpu.py: inference of one clip and of eight; `detect` with frames from memory; person detectors.

The networks have random weights, which cost what trained ones cost. The baseline of a clip is `Detector` in float32,
eager, as PyTorch computes it by default. `detect` is everything behind the decoder: resizing, cuts, the person
detector, tracking, the action network, one keyframe a second. Random weights find odd people or none, so the
detector runs on each keyframe and three given boxes take the place of its own.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import film
import numpy as np
import torch
from bench_detect import PEOPLE, GivenBoxesAfter, run_plain
from bench_models import build_random_model
from common import compare
from gpu_kernels import use_kernel_forms
from gpu_settings import COMPILING_TAKES_LONG, Settings, time_on_device
from gpu_training_speed import capture_graph

from avalib.detection.detect_video import load_model
from avalib.detection.person_detector import PersonDetector
from avalib.detection.torchvision_detectors import TorchvisionDetector, build_torchvision_detector
from avalib.detection.video_detector import VideoDetector
from avalib.models.build import build_model
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.fused import FusedDetector

LATENCY_AIM = 3
DETECT_AIM_S = 0.1  # of work for a second of video
FINDERS = ("fasterrcnn", "fasterrcnn_mobilenet_320")
FILM_FPS = 30


class FramesInMemory:
    """The frames of a video as `VideoDetector` reads them, without a file: native frames are AVA's own."""

    path = Path("film")
    missing_frames = 0

    def __init__(self, frames: list[np.ndarray]):
        self.frames = frames
        self.n_frames = self.n_ava_frames = len(frames)
        self.ava_index = np.arange(len(frames))
        self.times_s = np.arange(len(frames)) / FILM_FPS

    def iter_native_frames(self, native_frames, allow_missing=False):
        """The frames (H,W,3) of some numbers."""
        return (self.frames[n] for n in native_frames.tolist())

    def reset(self):
        """There is no decoder to put back."""


# --- the network ------------------------------------------------------------------------------------------------------


def build_inputs(model, n_clips: int, settings: Settings):
    """(clips, rois): noise, three boxes a clip."""
    height, width = settings.picture_size
    clips = torch.randn(n_clips, 3, model.entry.clip_len, height, width, device=settings.device)
    boxes = torch.tensor(PEOPLE, dtype=torch.float32) * torch.tensor([width, height, width, height])
    number = torch.arange(n_clips).repeat_interleave(len(boxes))[:, None]
    return clips, torch.cat([number, boxes.repeat(n_clips, 1)], dim=1).to(settings.device)


@torch.inference_mode()
def check_latency(settings: Settings):
    """Rows of each model, for one clip and for eight: the fused forms and the CUDA graph beside the definition."""
    for name in settings.models:
        model = build_random_model(settings.get_entry(name)).to(settings.device)
        networks = {
            "fused, float32": FusedDetector(model, torch.float32),
            f"fused, {settings.low_name}": FusedDetector(model, settings.low_dtype),
        }
        for n_clips in (1, 2 if settings.small else 8):
            inputs = build_inputs(model, n_clips, settings)
            what = f"GPU inference, {name}, batch {n_clips}"
            work = {"plain": partial(model, *inputs)}
            work |= {form: partial(network, *inputs) for form, network in networks.items()}
            if settings.device.type == "cuda":
                fused = networks[f"fused, {settings.low_name}"]
                work[f"CUDA graph, {settings.low_name}"] = capture_graph(partial(fused, *inputs))
            ms = {form: 1e3 * seconds for form, seconds in time_on_device(work, settings).items()}
            for form in list(work)[1:]:
                aim = LATENCY_AIM if n_clips == 1 and form.startswith("CUDA graph") else None
                yield compare(f"{what}, {form}", ms[form], ms["plain"], "ms", aim)


@torch.inference_mode()
def check_compiled_latency(settings: Settings):
    """A row: the first model's fused network compiled with CUDA graphs, beside the definition, one clip."""
    name = settings.models[0]
    what = f"GPU inference, {name}, batch 1, compiled, {settings.low_name}"
    if settings.small:
        yield compare(what, None, None, "ms", note=COMPILING_TAKES_LONG)
        return
    model = build_random_model(settings.get_entry(name)).to(settings.device)
    inputs = build_inputs(model, 1, settings)
    fused = FusedDetector(model, settings.low_dtype)
    compiled = torch.compile(fused, mode="reduce-overhead")
    work = {"plain": partial(model, *inputs), "compiled": partial(compiled, *inputs)}
    ms = {form: 1e3 * seconds for form, seconds in time_on_device(work, settings).items()}
    difference = (compiled(*inputs) - fused(*inputs)).abs().max().item()
    note = f"logits within {difference:.0e} of the fused network's"
    yield compare(what, ms["compiled"], ms["plain"], "ms", LATENCY_AIM, note=note)


@torch.inference_mode()
def check_shared_frames(settings: Settings):
    """Rows: clips of a video with what they share computed once, beside each alone."""
    name = settings.models[0]
    model = build_random_model(settings.get_entry(name)).to(settings.device)
    n_clips = 2 if settings.small else 8
    clips, rois = build_inputs(model, n_clips, settings)
    interval = model.entry.frame_interval
    networks = {}
    for shares_frames in (True, False):
        with use_kernel_forms(settings.device, shares_frames=shares_frames):
            networks[shares_frames] = StreamingDetector(model, settings.low_dtype)
    steps = {"a second apart, no frame in two of them": FILM_FPS, "that share all frames but one": interval}
    for kind, step in steps.items():
        # (B,T) the number of each frame
        numbers = np.arange(n_clips)[:, None] * step + np.arange(clips.shape[2]) * interval
        work = {key: partial(run_streaming, network, clips, rois, numbers) for key, network in networks.items()}
        ms = {key: 1e3 * seconds for key, seconds in time_on_device(work, settings).items()}
        what = f"GPU inference, {name}, {n_clips} clips {kind}: with a memory of frames beside without"
        yield compare(what, ms[True], ms[False], "ms")


def run_streaming(network: StreamingDetector, clips, rois, numbers) -> None:
    """One batch of a video's clips, from its beginning."""
    network.forget_frames()
    network(clips, rois, numbers)


# --- detect -----------------------------------------------------------------------------------------------------------


def check_finders(settings: Settings):
    """Rows: the person detectors in their inference form, beside torchvision's own, a picture."""
    width, height = (320, 192) if settings.small else (640, 360)
    for name in FINDERS[1:] if settings.small else FINDERS:
        finder = TorchvisionDetector(name, None, settings.device, settings.low_dtype)
        plain = build_torchvision_detector(name, None, settings.device)
        for n_pictures in (1, 2 if settings.small else 8):
            frames = np.stack(list(film.generate_frames(n_pictures, width, height)))
            work = {"ours": partial(finder, frames), "plain": partial(run_plain, plain, frames)}
            ms = {kind: 1e3 * s / n_pictures for kind, s in time_on_device(work, settings, inner=1).items()}
            what = f"GPU, person detector {name}, {n_pictures} at once"
            yield compare(what, ms["ours"], ms["plain"], "ms/picture", note="random weights")


def check_detect(settings: Settings):
    """Rows: seconds of work for a second of video, with boxes given and with each finder."""
    name = settings.models[0]
    seconds = 3 if settings.small else 16
    width, height = (320, 192) if settings.small else (640, 360)
    frames = list(film.generate_frames(FILM_FPS * seconds, width, height))
    model = build_model(settings.get_entry(name))
    loaded = load_model(model, "", settings.device, settings.low_dtype)
    loaded = replace(loaded, short_side=settings.picture_size[0])
    finders = {"boxes given": lambda frames: [(PEOPLE, np.full(len(PEOPLE), 0.9))] * len(frames)}
    for finder in FINDERS[1:] if settings.small else FINDERS:
        network = TorchvisionDetector(finder, None, settings.device, settings.low_dtype)
        finders[f"person detector {finder}"] = GivenBoxesAfter(network)
    work = {
        kind: partial(run_detector, loaded, finder, frames, 2 if settings.small else 8)
        for kind, finder in finders.items()
    }
    for kind, whole_s in time_on_device(work, settings, inner=1).items():
        aim = DETECT_AIM_S if kind.endswith(FINDERS[0]) else None
        yield compare(f"GPU, detect, {name}, frames from memory, {kind}", whole_s / seconds, None, "s/s of video", aim)


def run_detector(loaded, finder, frames, batch_size: int) -> None:
    """Detect people and actions in frames, at every second."""
    detector = VideoDetector(loaded, batch_size, person_detector=PersonDetector(finder))
    reader = FramesInMemory(frames)
    times_s = np.arange(0, len(frames) / FILM_FPS - 1)
    result = detector.run(reader, times_s, progress=False)
    if not result.frame_results:
        raise RuntimeError("detect found nobody at any time, though three boxes were given")


CHECKS = {
    "latency": (check_latency, 50),
    "detect": (check_detect, 30),
    "person detectors": (check_finders, 30),
    "shared frames": (check_shared_frames, 20),
    "compiled latency": (check_compiled_latency, 70),
}
