"""Training and inference on a GPU beside the published definition; what share of the GPU's rate; what limits it.

    python benchmarks/bench_gpu.py [--repeats 5] [--models slowonly_r50 slowfast_r50] [--batch 16] [--steps 10]

Training: whole steps (256x256 crops, three boxes a clip, the published recipe) on noise that lies on the GPU, at
--batch and at the largest batch that fits; peak memory per clip from the allocator. Model FLOPs are three times the
backbone's forward. Waiting: what part of training --dataset, from its frame cache, the loader makes the GPU wait.
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
from bench_models import build_random_model
from common import build_parser, compare, record

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

SPEED_AIM = 4
MEMORY_AIM = 2
LATENCY_AIM = 3
WAITING_AIM = 5
CACHE_SIDE = 320
SHARE_AIM = {"slowonly_r50": 40}  # percent of the bfloat16 matrix product


def main():
    parser = build_parser("gpu", __doc__)
    parser.add_argument("--models", nargs="+", default=["slowonly_r50", "slowfast_r50"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10, help="in a measurement")
    parser.add_argument("--dataset", default="mini", help="whose frames are loaded to see how long the GPU waits")
    parser.add_argument("--compile", action="store_true", help="torch.compile the backbone in training")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("bench_gpu: this machine, or this build of torch, has no CUDA GPU; nothing was measured")
    device = torch.device("cuda")
    rate = measure_matmul_rate(device, options.repeats)
    print(f"{torch.cuda.get_device_name()}: bfloat16 matrix product {rate:.0f} TFLOP/s")
    rows = []
    profiles = {}
    for name in options.models:
        rows += measure_training(name, device, rate, options, profiles) + measure_latency(name, device, options)
        torch.cuda.empty_cache()
    rows.append(measure_waiting(options.models[0], device, options))
    record("gpu", rows, options, matmul_tflop_s=rate, profiles=profiles)


def measure_matmul_rate(device, repeats, n=8192):
    """TFLOP/s of the bfloat16 matrix product of n x n."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / time_alternately({"product": lambda: a @ b}, repeats, inner=10)["product"] / 1e12


def time_alternately(work, repeats, inner):
    """Median seconds of each, in turns; `inner` calls a measurement, the GPU waited for at both ends."""
    seconds = {name: [] for name in work}
    for run in work.values():
        for _ in range(3):
            run()
    for _ in range(repeats):
        for name, run in work.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(inner):
                run()
            torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - started) / inner)
    return {name: statistics.median(times) for name, times in seconds.items()}


# --- training ---------------------------------------------------------------------------------------------------------


def measure_training(name, device, rate, options, profiles):
    """Rows: clips a second, memory a clip, share of the matrix product's rate."""
    entry = zoo.get(name)
    recipe = replace(zoo.build_published_recipe(entry), videos_per_gpu=options.batch)
    config = TrainConfig(
        entry,
        recipe,
        types.SimpleNamespace(n_columns=81),
        device,
        torch.bfloat16,
        workers=0,
        channels_last=True,
        compile=options.compile,
    )
    batch = {
        key: value.to(device)
        for key, value in build_noise_batch(config, build_untrained_state(config).model, options.batch).items()
    }
    makers = {"ours": lambda: build_step(config), "plain": lambda: build_plain_step(entry, recipe, device)}
    memory = {kind: measure_peak_per_clip(make(), batch, options.batch) for kind, make in makers.items()}
    work = {kind: partial(make(), batch) for kind, make in makers.items()}
    seconds = time_alternately(work, options.repeats, options.steps)
    profiles[name] = profile_step(work["ours"])
    del work
    torch.cuda.empty_cache()
    flop = 3 * count_backbone_flops(build_random_model(entry), recipe.crop, recipe.crop)
    most, fastest = find_largest_batch(config, options)
    clips = {kind: options.batch / s for kind, s in seconds.items()}
    shares = {options.batch: clips["ours"] * flop / rate / 1e10, most: fastest * flop / rate / 1e10}
    what = f"GPU training, {name}"
    rows = [
        compare(f"{what}, batch {options.batch}", clips["ours"], clips["plain"], "clips/s", SPEED_AIM, more=True),
        compare(f"{what}, memory a clip", memory["ours"], memory["plain"], "GB", MEMORY_AIM),
        compare(f"{what}, the largest batch that fits ({most})", fastest, None, "clips/s", more=True),
    ]
    for size, share in shares.items():
        aim = SHARE_AIM.get(name)
        rows.append(
            compare(f"{what}, share of the matrix product's rate, batch {size}", share, None, "%", aim, more=True)
        )
    return rows


def build_step(config):
    state = build_untrained_state(config)
    return lambda batch: train_step(state, [batch], config, lr=0.0)


def build_plain_step(entry, recipe, device):
    """A step of the published definition in float32: forward, loss, backward, clip, SGD."""
    model = Detector(entry, dropout=recipe.dropout).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)

    def run(batch):
        optimizer.zero_grad()
        logits = model(normalize_clips(batch["clips"], entry.mean, entry.std).contiguous(), batch["rois"])
        loss = compute_action_loss(logits, batch["targets"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        return loss.item()

    return run


def measure_peak_per_clip(run, batch, clips):
    """GB of activations and working memory a clip: the allocator's peak in a step, less what lies there between."""
    run(batch)
    run(batch)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run(batch)
    return (torch.cuda.max_memory_allocated() - before) / clips / 1e9


def find_largest_batch(config, options):
    """The largest batch that fits, in steps of 16, and its clips a second."""
    run = build_step(config)
    model = build_untrained_state(config).model
    fits = options.batch
    rate = 0.0
    for size in range(options.batch, 4096, max(16, options.batch)):
        try:
            batch = {key: value.to(config.device) for key, value in build_noise_batch(config, model, size).items()}
            rate = size / time_alternately({"step": partial(run, batch)}, 3, 2)["step"]
            fits = size
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return fits, rate
    return fits, rate


def profile_step(run, count=12):
    """[{kernel, calls, milliseconds, percent}] of one training step, the largest first."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        run()
        torch.cuda.synchronize()
    kernels = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
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


def measure_waiting(name, device, options, epochs=4):
    """A row: percent of a training's time that it waits for the loader, once the first epoch has started that."""
    entry = zoo.get(name)
    workers = os.cpu_count()
    recipe = replace(zoo.build_published_recipe(entry), cache_short_side=CACHE_SIDE, videos_per_gpu=options.batch)
    layout = prepare(options.dataset)
    keyframes = load_keyframes(layout, "train", recipe.person_score, training=True)
    frames = open_frames(layout, recipe, [keyframes])
    order = TrainBatchSampler(len(keyframes), options.batch, seed=0)
    loader = build_loader(ClipDataset(keyframes, entry, recipe, frames, training=True), order, workers)
    config = TrainConfig(entry, recipe, layout, device, torch.bfloat16, workers=workers, channels_last=True)
    state = build_untrained_state(config)
    waiting_s = 0.0
    total_s = 0.0
    for order.epoch in range(epochs):
        ended = time.perf_counter()
        for batch in loader:
            started = time.perf_counter()
            train_step(state, [batch], config, lr=0.0)
            if order.epoch:
                waiting_s += started - ended
                total_s += time.perf_counter() - ended
            ended = time.perf_counter()
    note = f"{workers} processes, {loader.clips_per_s:.0f} clips/s"
    return compare(
        f"GPU training, {name}, waiting for data", 100 * waiting_s / total_s, None, "%", WAITING_AIM, note=note
    )


# --- inference --------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def measure_latency(name, device, options):
    """Rows: milliseconds for one clip, eager and as a CUDA graph."""
    model = build_random_model(zoo.get(name)).to(device)
    network = FusedDetector(model, torch.bfloat16).to(device)
    clip = torch.randn(1, 3, model.entry.clip_len, 256, 340, device=device)
    rois = torch.tensor([[0, 0, 0, 340, 256], [0, 40, 30, 170, 230], [0, 200, 60, 300, 200.0]], device=device)
    replay, logits = capture_graph(network, clip, rois)
    replay()
    difference = (logits - model(clip, rois)).abs().max().item()
    work = {"plain": lambda: model(clip, rois), "eager": lambda: network(clip, rois), "graph": replay}
    ms = {kind: 1000 * s for kind, s in time_alternately(work, options.repeats, 20).items()}
    what = f"GPU latency of a clip, {name}, bfloat16"
    note = f"logits within {difference:.0e}"
    return [
        compare(f"{what}, eager", ms["eager"], ms["plain"], "ms"),
        compare(f"{what}, CUDA graph", ms["graph"], ms["plain"], "ms", LATENCY_AIM, note=note),
    ]


def capture_graph(network, clip, rois):
    """A function that replays network(clip, rois), and the tensor of logits that it fills."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(clip, rois)
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        logits = network(clip, rois)
    return captured.replay, logits


if __name__ == "__main__":
    main()
