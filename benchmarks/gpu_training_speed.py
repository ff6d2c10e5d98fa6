"""Section c of check_gpu.py: training beside the published definition in float32; memory beside the plan; batches.

Whole steps of the published recipe on noise that lies on the device, three boxes a clip. The baseline is `Detector` in
float32 as PyTorch computes it by default (TF32 in convolutions). Model FLOPs are three times the backbone's forward.
"""

import gc

import torch
from common import compare
from gpu_report import require
from gpu_settings import COMPILING_TAKES_LONG, Settings, measure_peak_gb, time_on_device

from avalib.data.transforms import normalize_clips
from avalib.models.detector import Detector
from avalib.models.losses import compute_action_loss
from avalib.models.summary import count_backbone_flops
from avalib.training.model_options import apply_model_options
from avalib.training.optimizer import build_optimizer
from avalib.training.planner import estimate_memory
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.step import train_step

SPEED_AIM = 4
MEMORY_AIM = 2
SHARE_AIM = {"slowonly_r50": 40}  # percent of the bfloat16 matrix product
PLAN_AIM = 15  # percent between the planned and the measured memory
MATRIX_SIDE = 8192
MAX_TRIES = 6  # of batch sizes, to find the largest that fits


# --- steps ------------------------------------------------------------------------------------------------------------


def build_batch(config, model, n_clips: int) -> dict:
    """A batch of noise on the config's device."""
    return {key: value.to(config.device) for key, value in build_noise_batch(config, model, n_clips).items()}


def build_step(config, n_clips: int):
    """A function that runs one of our training steps."""
    state = build_untrained_state(config)
    batch = build_batch(config, state.model, n_clips)
    return lambda: train_step(state, [batch], config, lr=0.0)


def build_plain_step(config, n_clips: int):
    """A function that runs a step of the published definition: forward, loss, backward, clip, SGD or AdamW."""
    recipe = config.recipe
    model = Detector(config.entry, dropout=recipe.dropout).to(config.device).train()
    batch = build_batch(config, model, n_clips)
    options = {"lr": 0.0, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **options)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), **options)

    def run():
        optimizer.zero_grad()
        clips = normalize_clips(batch["clips"], config.entry.mean, config.entry.std).contiguous()
        loss = compute_action_loss(model(clips, batch["rois"]), batch["targets"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        return loss.item()

    return run


def measure_matmul_rate(settings: Settings) -> float:
    """FLOP/s of the matrix product in the low precision."""
    side = 512 if settings.small else MATRIX_SIDE
    a, b = (torch.randn(side, side, device=settings.device, dtype=settings.low_dtype) for _ in range(2))
    return 2 * side**3 / time_on_device({"product": lambda: a @ b}, settings, inner=10)["product"]


def count_training_flops(config) -> float:
    """FLOPs of a clip's training step."""
    with torch.device("meta"):  # counted from the shapes
        model = Detector(config.entry)
    return 3 * count_backbone_flops(model, *config.recipe.crop_shape)


# --- checks -----------------------------------------------------------------------------------------------------------


def check_speed(settings: Settings):
    """Rows of each model: clips a second, memory a clip, share of the matrix product's rate."""
    rate = measure_matmul_rate(settings)
    settings.report.set_facts(matmul_tflop_s=rate / 1e12)
    yield compare(f"GPU, matrix product in {settings.low_name}", rate / 1e12, None, "TFLOP/s", more=True)
    clips = settings.clips
    for name in settings.models:
        config = settings.build_config(name, settings.low_dtype)
        what = f"GPU training, {name}"
        memory = {
            kind: measure_peak_gb(build(config, clips), settings.device)
            for kind, build in (("ours", build_step), ("plain", build_plain_step))
        }
        work = {"ours": build_step(config, clips), "plain": build_plain_step(config, clips)}
        seconds = time_on_device(work, settings)
        rates = {kind: clips / step_s for kind, step_s in seconds.items()}
        yield compare(f"{what}, batch {clips}", rates["ours"], rates["plain"], "clips/s", SPEED_AIM, more=True)
        share = 100 * rates["ours"] * count_training_flops(config) / rate
        aim = SHARE_AIM.get(name)
        yield compare(f"{what}, share of the matrix product's rate, batch {clips}", share, None, "%", aim, more=True)
        if memory["ours"] is None:
            note = "no allocator on a CPU counts it"
            yield compare(f"{what}, memory a clip", None, None, "GB", MEMORY_AIM, note=note)
        else:
            ours, plain = (memory[kind] / clips for kind in ("ours", "plain"))
            yield compare(f"{what}, memory a clip", ours, plain, "GB", MEMORY_AIM)


def check_variants(settings: Settings):
    """Rows of the first model: a step with one thing changed, beside the step as it is."""
    name = settings.models[0]
    config = settings.build_config(name, settings.low_dtype)
    clips = settings.clips
    ours = build_step(config, clips)
    variants = {
        "weights not in channels-last": lambda: build_step(
            settings.build_config(name, settings.low_dtype, channels_last=False), clips
        ),
        "optimizer not fused": lambda: build_unfused_step(config, clips),
        "float32": lambda: build_step(settings.build_config(name, torch.float32), clips),
        "recompute": lambda: build_step(settings.build_config(name, settings.low_dtype, recompute=True), clips),
    }
    for variant, build in variants.items():
        seconds = time_on_device({"ours": ours, "variant": build()}, settings)
        what = f"GPU training step, {name}, beside: {variant}"
        yield compare(what, clips / seconds["ours"], clips / seconds["variant"], "clips/s", more=True)


def build_unfused_step(config, n_clips: int):
    """Our step with the optimizer's loop over single tensors."""
    state = build_untrained_state(config)
    batch = build_batch(config, state.model, n_clips)
    for group in state.optimizer.param_groups:
        group["fused"] = False
        group["foreach"] = False
    return lambda: train_step(state, [batch], config, lr=0.0)


def check_cuda_graph(settings: Settings):
    """A row: forward, backward and update as one CUDA graph, beside the same calls one by one."""
    name = settings.models[0]
    what = f"GPU training, {name}, one CUDA graph beside the same calls"
    clips = settings.clips
    run = build_bare_step(settings.build_config(name, settings.low_dtype), clips)
    if settings.device.type != "cuda":
        run()
        yield compare(what, None, None, "clips/s", note="a CPU has no CUDA graphs")
        return
    seconds = time_on_device({"graph": capture_graph(run), "calls": run}, settings)
    yield compare(what, clips / seconds["graph"], clips / seconds["calls"], "clips/s", more=True)


def build_bare_step(config, n_clips: int):
    """A step that never waits for the device: fixed inputs, no metrics."""
    model = Detector(config.entry, dropout=config.recipe.dropout).to(config.device).train()
    model = apply_model_options(model, config)
    batch = build_batch(config, model, n_clips)
    optimizer = build_optimizer(model, config.recipe)
    clips = normalize_clips(batch["clips"], config.entry.mean, config.entry.std)

    def run():
        optimizer.zero_grad()
        with torch.autocast(config.device.type, config.dtype, enabled=config.dtype != torch.float32):
            logits = model(clips, batch["rois"])
        # every box of the noise has an action
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 1:].float(), batch["targets"][:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.recipe.grad_clip)
        optimizer.step()

    return run


def capture_graph(run):
    """A function that replays the kernels of run() as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def check_plan(settings: Settings):
    """Rows of each model: the planner's memory of a step beside the allocator's peak; the largest batch that fits."""
    for name in settings.models:
        config = settings.build_config(name, settings.low_dtype)
        plan = estimate_memory(config, build_untrained_state(config))
        what = f"GPU training, {name}"
        if settings.device.type != "cuda":
            yield compare(f"{what}, planned memory", plan.gb_per_process, None, "GB", note="not measured on a CPU")
            continue
        measured_gb = measure_process_gb(config, settings)
        error = 100 * abs(plan.gb_per_process - measured_gb) / measured_gb
        note = f"planned {plan.gb_per_process:.2f} GB, measured {measured_gb:.2f}"
        yield require(f"{what}, planned memory beside measured", error, PLAN_AIM, "%", note=note)
        largest, rate = find_largest_batch(config, plan.max_clips, settings)
        error = 100 * abs(plan.max_clips - largest) / largest
        note = f"planned {plan.max_clips}, found {largest}"
        yield compare(f"{what}, planned largest batch beside found", error, None, "%", PLAN_AIM, note=note)
        yield compare(f"{what}, the largest batch that fits ({largest})", rate, None, "clips/s", more=True)


def measure_process_gb(config, settings: Settings) -> float:
    """GB that the allocator holds at the peak of a step, weights and optimizer included."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    run = build_step(config, config.recipe.videos_per_gpu)
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e9


def find_largest_batch(config, planned: int, settings: Settings) -> tuple[int, float]:
    """The largest batch that fits, to about 5 %, and its clips a second; the search starts at the planned one."""
    largest = settings.clips
    too_large = None
    size = max(planned, largest)
    for _ in range(MAX_TRIES):
        if fits(config, size):
            largest = size
        else:
            too_large = size
        if too_large and too_large - largest <= max(1, largest // 20):
            break
        size = int(largest * 1.1) + 1 if too_large is None else (largest + too_large) // 2
    return largest, largest / time_on_device({"step": build_step(config, largest)}, settings, inner=1)["step"]


def fits(config, n_clips: int) -> bool:
    """Whether training steps of a batch size fit into the GPU's memory."""
    gc.collect()
    torch.cuda.empty_cache()
    try:
        run = build_step(config, n_clips)
        run()
        run()
    except torch.OutOfMemoryError:
        return False
    return True


def check_compile(settings: Settings):
    """A row: our step with the compiled backbone, beside the eager one."""
    name = settings.models[0]
    what = f"GPU training, {name}, compiled beside eager"
    if settings.small:
        yield compare(what, None, None, "clips/s", note=COMPILING_TAKES_LONG)
        return
    clips = settings.clips
    compiled = build_step(settings.build_config(name, settings.low_dtype, compile=True), clips)
    eager = build_step(settings.build_config(name, settings.low_dtype), clips)
    seconds = time_on_device({"compiled": compiled, "eager": eager}, settings)
    yield compare(what, clips / seconds["compiled"], clips / seconds["eager"], "clips/s", more=True)


CHECKS = {
    "speed and memory": (check_speed, 70),
    "plan and largest batch": (check_plan, 50),
    "variants of a step": (check_variants, 40),
    "CUDA graph of a step": (check_cuda_graph, 30),
    "compiled step": (check_compile, 90),
}
