"""Training and inference on a GPU beside the published definition; what share of the GPU's rate; what limits it.

    python benchmarks/bench_gpu.py [--repeats 5] [--models slowonly_r50 slowfast_r50] [--batch 16] [--steps 10]

Training: whole steps (256x256 crops, three boxes a clip, the published recipe) on noise that lies on the GPU, at
--batch and at the largest batch that fits; peak memory per clip from the allocator. Model FLOPs are three times the
backbone's forward. Waiting: what part of training --dataset, from its packed frames, the loader makes the GPU wait.
Inference: latency of one clip of 256x340 with three boxes, as it is and as a CUDA graph. The definition (Detector)
runs in float32, PyTorch's default (TF32 in convolutions, as users get it). Profile: the kernels that take most of a
training step.
Needs an NVIDIA GPU; says so and leaves with status 1 where there is none.
"""

import os
import statistics
import time
import types
from dataclasses import replace
from functools import partial

import torch
from bench_models import drawn
from common import compare, parser, record

from avalib import zoo
from avalib.data.catalog import prepare
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.loader import build_loader
from avalib.data.samplers import TrainBatchSampler
from avalib.data.transforms import normalize_clips
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.losses import compute_action_loss
from avalib.models.summary import count_backbone_flops
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.step import train_step
from avalib.training.train_config import TrainConfig
from avalib.video.dataset_frames import open_frames

SPEED_AIM, MEMORY_AIM, LATENCY_AIM, WAITING_AIM = 4, 2, 3, 5
CACHE_SIDE = 320
SHARE_AIM = {"slowonly_r50": 40}  # percent of the bfloat16 matrix product


def main():
    words = parser("gpu", __doc__)
    words.add_argument("--models", nargs="+", default=["slowonly_r50", "slowfast_r50"])
    words.add_argument("--batch", type=int, default=16)
    words.add_argument("--steps", type=int, default=10, help="in a measurement")
    words.add_argument("--dataset", default="mini", help="whose frames are loaded to see how long the GPU waits")
    words.add_argument("--compile", action="store_true", help="torch.compile the backbone in training")
    given = words.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("bench_gpu: this machine, or this build of torch, has no CUDA GPU; nothing was measured")
    device = torch.device("cuda")
    rate = matmul_rate(device, given.repeats)
    print(f"{torch.cuda.get_device_name()}: bfloat16 matrix product {rate:.0f} TFLOP/s")
    rows, profiles = [], {}
    for name in given.models:
        rows += training(name, device, rate, given, profiles) + latency(name, device, given)
        torch.cuda.empty_cache()
    rows.append(waiting(given.models[0], device, given))
    record("gpu", rows, given, matmul_tflop_s=rate, profiles=profiles)


def matmul_rate(device, repeats, n=8192):
    """TFLOP/s of the bfloat16 matrix product of n x n."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / alternate_gpu({"product": lambda: a @ b}, repeats, inner=10)["product"] / 1e12


def alternate_gpu(work, repeats, inner):
    """Median seconds of each, in turns; `inner` calls a measurement, the GPU waited for at both ends."""
    seconds = {name: [] for name in work}
    for do in work.values():
        for _ in range(3):
            do()
    for _ in range(repeats):
        for name, do in work.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(inner):
                do()
            torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - started) / inner)
    return {name: statistics.median(found) for name, found in seconds.items()}


# --- training ---------------------------------------------------------------------------------------------------------


def training(name, device, rate, given, profiles):
    """Rows: clips a second, memory a clip, share of the matrix product's rate."""
    entry = zoo.get(name)
    recipe = replace(zoo.build_published_recipe(entry), videos_per_gpu=given.batch)
    setup = TrainConfig(
        entry, recipe, types.SimpleNamespace(n_columns=81), device, torch.bfloat16, workers=0, channels_last=True,
        compile=given.compile,
    )  # fmt: skip
    batch = {
        key: value.to(device)
        for key, value in build_noise_batch(setup, build_untrained_state(setup).model, given.batch).items()
    }
    makers = {"ours": lambda: ours_step(setup), "plain": lambda: plain_step(entry, recipe, device)}
    memory = {kind: peak_per_clip(make(), batch, given.batch) for kind, make in makers.items()}
    work = {kind: partial(make(), batch) for kind, make in makers.items()}
    seconds = alternate_gpu(work, given.repeats, given.steps)
    profiles[name] = profile(work["ours"])
    del work
    torch.cuda.empty_cache()
    flop = 3 * count_backbone_flops(drawn(entry), recipe.crop, recipe.crop)
    most, fastest = largest(setup, given)
    clips = {kind: given.batch / s for kind, s in seconds.items()}
    shares = {given.batch: clips["ours"] * flop / rate / 1e10, most: fastest * flop / rate / 1e10}
    what = f"GPU training, {name}"
    rows = [
        compare(f"{what}, batch {given.batch}", clips["ours"], clips["plain"], "clips/s", SPEED_AIM, more=True),
        compare(f"{what}, memory a clip", memory["ours"], memory["plain"], "GB", MEMORY_AIM),
        compare(f"{what}, the largest batch that fits ({most})", fastest, None, "clips/s", more=True),
    ]
    for size, share in shares.items():
        aim = SHARE_AIM.get(name)
        rows.append(
            compare(f"{what}, share of the matrix product's rate, batch {size}", share, None, "%", aim, more=True)
        )
    return rows


def ours_step(setup):
    state = build_untrained_state(setup)
    return lambda batch: train_step(state, [batch], setup, lr=0.0)


def plain_step(entry, recipe, device):
    """A step of the published definition in float32: forward, loss, backward, clip, SGD."""
    model = Detector(entry, dropout=recipe.dropout).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)

    def do(batch):
        optimizer.zero_grad()
        logits = model(normalize_clips(batch["clips"], entry.mean, entry.std).contiguous(), batch["rois"])
        loss = compute_action_loss(logits, batch["targets"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        return loss.item()

    return do


def peak_per_clip(do, batch, clips):
    """GB of activations and working memory a clip: the allocator's peak in a step, less what lies there between."""
    do(batch)
    do(batch)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    do(batch)
    return (torch.cuda.max_memory_allocated() - before) / clips / 1e9


def largest(setup, given):
    """(the largest batch that fits, in steps of 16; its clips a second)."""
    do, model = ours_step(setup), build_untrained_state(setup).model
    fits, rate = given.batch, 0.0
    for size in range(given.batch, 4096, max(16, given.batch)):
        try:
            batch = {key: value.to(setup.device) for key, value in build_noise_batch(setup, model, size).items()}
            rate, fits = size / alternate_gpu({"step": partial(do, batch)}, 3, 2)["step"], size
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return fits, rate
    return fits, rate


def profile(do, count=12):
    """[{kernel, calls, milliseconds, percent}] of one training step, the largest first."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        do()
        torch.cuda.synchronize()
    kernels = sorted(found.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(event.self_device_time_total for event in kernels) or 1
    return [
        {
            "kernel": event.key[:100],
            "calls": event.count,
            "milliseconds": event.self_device_time_total / 1e3,
            "percent": 100 * event.self_device_time_total / total,
        }
        for event in kernels[:count]
    ]


def waiting(name, device, given, epochs=4):
    """A row: percent of a training's time that it waits for the loader, once the first epoch has started that."""
    entry, workers = zoo.get(name), os.cpu_count()
    recipe = replace(zoo.build_published_recipe(entry), cache_short_side=CACHE_SIDE, videos_per_gpu=given.batch)
    layout = prepare(given.dataset)
    keyframes = load_keyframes(layout, "train", recipe.person_score, training=True)
    frames = open_frames(layout, recipe, [keyframes])
    order = TrainBatchSampler(len(keyframes), given.batch, seed=0)
    loader = build_loader(ClipDataset(keyframes, entry, recipe, frames, training=True), order, workers)
    setup = TrainConfig(entry, recipe, layout, device, torch.bfloat16, workers=workers, channels_last=True)
    state, waited, took = build_untrained_state(setup), 0.0, 0.0
    for order.epoch in range(epochs):
        ended = time.perf_counter()
        for batch in loader:
            started = time.perf_counter()
            train_step(state, [batch], setup, lr=0.0)
            if order.epoch:
                waited, took = waited + started - ended, took + time.perf_counter() - ended
            ended = time.perf_counter()
    note = f"{workers} processes, {loader.clips_per_s:.0f} clips/s"
    return compare(f"GPU training, {name}, waiting for data", 100 * waited / took, None, "%", WAITING_AIM, note=note)


# --- inference --------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def latency(name, device, given):
    """Rows: milliseconds for one clip, eager and as a CUDA graph."""
    model = drawn(zoo.get(name)).to(device)
    form = FusedDetector(model, torch.bfloat16).to(device)
    clip = torch.randn(1, 3, model.entry.clip_len, 256, 340, device=device)
    rois = torch.tensor([[0, 0, 0, 340, 256], [0, 40, 30, 170, 230], [0, 200, 60, 300, 200.0]], device=device)
    replay, logits = graph(form, clip, rois)
    replay()
    far = (logits - model(clip, rois)).abs().max().item()
    work = {"plain": lambda: model(clip, rois), "eager": lambda: form(clip, rois), "graph": replay}
    ms = {kind: 1000 * s for kind, s in alternate_gpu(work, given.repeats, 20).items()}
    what = f"GPU latency of a clip, {name}, bfloat16"
    return [
        compare(f"{what}, eager", ms["eager"], ms["plain"], "ms"),
        compare(f"{what}, CUDA graph", ms["graph"], ms["plain"], "ms", LATENCY_AIM, note=f"logits within {far:.0e}"),
    ]


def graph(form, clip, rois):
    """(what replays form(clip, rois), the logits it leaves)."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            form(clip, rois)
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        logits = form(clip, rois)
    return captured.replay, logits


if __name__ == "__main__":
    main()
