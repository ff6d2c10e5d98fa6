"""Inference and training beside the published definition (Detector: 3-D layers, float32, eager), on the CPU.

    python benchmarks/bench_models.py [--repeats 5] [--models slowonly_r50 …] [--height 256 --width 340]

Inference: one clip, three boxes; the logits of both must agree in float32 (MAX_DIFFERENCE). Overlapping: clips that
share three of their four frames, beside the same inference form without sharing (the network alone: bench_video.py
times `detect` whole). Training: whole steps of the mini's recipe on noise. bfloat16 is timed where precision="auto"
would take it. ViT: beside attention that stores the matrix of all pairs of tokens, in time and memory. Rates are set
beside the matrix product's, measured in the same turns: over 100 % is possible, as Winograd's algorithm saves
multiplications.
"""

import itertools
import types

import numpy as np
import torch
from common import build_parser, compare, record, run_apart, time_alternately
from materialized_attention import compare_vit_memory, measure_peak_gb, measure_vit_time

from avalib import zoo
from avalib.data.transforms import normalize_clips
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.losses import compute_action_loss
from avalib.models.summary import count_backbone_flops
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.step import train_step
from avalib.training.train_config import TrainConfig
from avalib.utils.device import supports_bfloat16
from avalib.utils.workers import disable_malloc_trim

INFERENCE_AIMS = {
    ("slowonly_r50", "float32"): 1.6,
    ("slowonly_r50", "bfloat16"): 3.0,
    ("slowfast_r50", "float32"): 1.45,
    ("slowfast_r50", "bfloat16"): 2.9,
    ("slowonly_r50_8x8_ak", "float32"): 1.5,
    ("slowonly_r50_16x4_ak_tricks", "float32"): 1.5,
    ("psf_slowfast_r101_32x2_v22", "float32"): 1.5,
}
MODELS = list(dict.fromkeys(name for name, _ in INFERENCE_AIMS))
TRAINING_AIM = 1.75
MAX_DIFFERENCE = 1e-4  # of logits up to 1; more in proportion (random weights in R101 give logits of 94)
CPU = torch.device("cpu")
SIDE = 2048  # of the matrices whose product gives the processor's rate
NO_BFLOAT16 = "no bfloat16 on this processor"


def main():
    parser = build_parser("models", __doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--vit", default="videomae_vit_b_ak")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=340)
    options = parser.parse_args()
    dtypes = [torch.float32] + [torch.bfloat16] * supports_bfloat16(CPU)
    parts = [(measure_inference, name, dtypes, options) for name in options.models]
    parts += [
        (measure_overlapping, options.models[0], dtypes[-1], options),
        (measure_training, options.models[0], dtypes, options),
    ]
    # memory is kept for both sides, as the evaluation, `detect` and training keep it
    parts.append((measure_vit_time, options.vit, dtypes, options))
    rows = [row for part in parts for row in run_apart(disable_malloc_trim, *part)]
    peaks_gb = [run_apart(disable_malloc_trim, measure_peak_gb, options.vit, plain, options) for plain in (False, True)]
    rows.append(compare_vit_memory(options.vit, *peaks_gb))
    record("models", rows, options, clip=[options.height, options.width])


def get_dtype_name(dtype):
    return str(dtype).removeprefix("torch.")


def build_random_model(entry):
    """A detector with weights as a trained one's: no residual branch is zero, batch norms have seen something."""
    torch.manual_seed(0)
    model = Detector(entry, zero_init_residual=False)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)):
        torch.nn.init.uniform_(norm.weight, 0.3, 0.6)
        torch.nn.init.normal_(norm.running_mean, 0, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
    # the last layer; some heads have two
    *_, classifier = (m for m in model.roi_head.bbox_head.modules() if isinstance(m, torch.nn.Linear))
    torch.nn.init.normal_(classifier.weight, 0, 0.2)
    return model.eval()


@torch.inference_mode()
def measure_inference(name, dtypes, options):
    """Rows: one clip through the network."""
    model = build_random_model(zoo.get(name))
    clip = torch.randn(1, 3, model.entry.clip_len, options.height, options.width)
    h, w = options.height, options.width
    rois = torch.tensor([[0, 0, 0, w, h], [0, w / 8, h / 8, w / 2, h * 0.9], [0, w * 0.6, h / 4, w * 0.9, h * 0.8]])
    networks = {get_dtype_name(dtype): FusedDetector(model, dtype) for dtype in dtypes}
    expected = model(clip, rois)
    difference = {kind: (network(clip, rois) - expected).abs().max().item() for kind, network in networks.items()}
    if difference["float32"] > MAX_DIFFERENCE * max(1, expected.abs().max().item()):
        raise SystemExit(f"{name}: float32 logits are {difference['float32']:.1e} from the plain definition's")
    work = {"plain": lambda: model(clip, rois)}
    work |= {kind: (lambda network=network: network(clip, rois)) for kind, network in networks.items()}
    square = {get_dtype_name(dtype): torch.randn(2, SIDE, SIDE).to(dtype) for dtype in dtypes}
    work |= {f"product {kind}": (lambda ab=ab: ab[0] @ ab[1]) for kind, ab in square.items()}
    seconds = time_alternately(work, options.repeats)
    gflop = count_backbone_flops(model, options.height, options.width) / 1e9
    rows = []
    for kind in ("float32", "bfloat16"):
        what = f"inference, {name}, {kind}"
        aim = INFERENCE_AIMS.get((name, kind))
        if kind not in seconds:
            rows.append(compare(what, None, seconds["plain"], "s", aim, note=NO_BFLOAT16))
            continue
        rate = 2 * SIDE**3 / 1e9 / seconds[f"product {kind}"]
        note = (
            f"{gflop / seconds[kind] / rate:.0%} of the matrix product's {rate:.0f} GFLOP/s, logits within "
            f"{difference[kind]:.0e} of {expected.abs().max():.1f}"
        )
        rows.append(compare(what, seconds[kind], seconds["plain"], "s", aim, note=note))
    return rows


@torch.inference_mode()
def measure_overlapping(name, dtype, options, count=12):
    """A row: `count` clips, each a frame further on, one after the other as `detect` takes them."""
    model = build_random_model(zoo.get(name))
    network = FusedDetector(model, dtype)
    length = network.entry.clip_len
    frames = torch.randn(1, 3, length + count - 1, options.height, options.width)
    rois = torch.tensor([[0, 0, 0, options.width, options.height]])

    def alone():
        return torch.cat([network(frames[:, :, i : i + length], rois) for i in range(count)])

    streaming = StreamingDetector(model, dtype)
    first = itertools.count(step=length + count)

    def shared():
        numbers = next(first) + np.arange(length)[None]  # other frames in every turn: none is known yet
        return torch.cat([streaming(frames[:, :, i : i + length], rois, numbers + i) for i in range(count)])

    difference = (alone() - shared()).abs().max().item()
    seconds = time_alternately({"alone": alone, "shared": shared}, options.repeats)
    what = f"overlapping clips, {name}, {length - 1} of {length} frames shared, {get_dtype_name(dtype)}"
    note = f"{count} clips, logits within {difference:.0e}"
    return [compare(what, seconds["shared"], seconds["alone"], "s", note=note)]


def measure_training(name, dtypes, options):
    """Rows: whole steps at the mini's recipe; clips a second."""
    entry = zoo.get(name)
    recipe = zoo.get_recipe(entry, "mini")
    layout = types.SimpleNamespace(n_columns=81)  # all that a step asks of it
    configs = {get_dtype_name(dtype): TrainConfig(entry, recipe, layout, CPU, dtype, workers=0) for dtype in dtypes}
    states = {kind: build_untrained_state(config) for kind, config in configs.items()}
    clips = recipe.videos_per_gpu
    batch = build_noise_batch(configs["float32"], states["float32"].model, clips)
    model = Detector(entry, dropout=recipe.dropout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)

    def plain_step():
        optimizer.zero_grad()
        logits = model(normalize_clips(batch["clips"], entry.mean, entry.std).contiguous(), batch["rois"])
        compute_action_loss(logits, batch["targets"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()

    work = {"plain": plain_step}
    for kind, config in configs.items():
        work[kind] = lambda s=states[kind], config=config: train_step(s, [batch], config, lr=recipe.lr)
    # the first steps page memory in: 187,000 faults, then 44,000
    seconds = time_alternately(work, options.repeats, warm=3)
    plain_rate = clips / seconds["plain"]
    rows = []
    for kind in ("float32", "bfloat16"):
        what = f"training, {name}, mini recipe, {kind}"
        ours = clips / seconds[kind] if kind in seconds else None
        note = "" if ours else NO_BFLOAT16
        rows.append(compare(what, ours, plain_rate, "clips/s", TRAINING_AIM, more=True, note=note))
    return rows


if __name__ == "__main__":
    main()
