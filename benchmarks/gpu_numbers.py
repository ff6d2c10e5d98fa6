"""Section a of check_gpu.py: the networks' numbers on the GPU, beside recorded outputs and beside the CPU."""

from contextlib import contextmanager
from dataclasses import replace

import golden_outputs
import torch
from common import compare
from gpu_report import require
from gpu_settings import Settings

from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.losses import compute_action_loss
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.step import train_step

LOGIT_AIM = 1e-4  # of float32 without TF32
EXACT_GRADIENT_AIM = 1e-8  # relative, of float64
STEP_GRADIENT_AIM = 1e-2  # relative, of float32: batch statistics of a few clips amplify rounding
GOLDENS = (*golden_outputs.MODELS, *golden_outputs.LATER_MODELS)
SMALL_GOLDENS = ("slowonly_r50",)
SIDE = 64  # of the clips whose gradients are compared


@contextmanager
def use_tf32(enabled: bool):
    """Inside, float32 products and convolutions do or do not round their factors to TF32's ten bits."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = enabled
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# --- recorded outputs -------------------------------------------------------------------------------------------------


@torch.inference_mode()
def check_goldens(settings: Settings):
    """Rows: the logits of every network beside those of the original code, in float32 and the low precision."""
    for name in SMALL_GOLDENS if settings.small else GOLDENS:
        model = golden_outputs.build_golden_detector(name).to(settings.device)
        inputs = [tensor.to(settings.device) for tensor in golden_outputs.load_inputs(name)]
        expected = golden_outputs.load_logits(name)
        with use_tf32(False):
            yield require(f"goldens, {name}, float32", measure_difference(model, inputs, expected), LOGIT_AIM)
            fused = FusedDetector(model, torch.float32)
            yield require(f"goldens, {name}, fused, float32", measure_difference(fused, inputs, expected), LOGIT_AIM)
        scale = expected.abs().max().item()
        fused = FusedDetector(model, settings.low_dtype)
        difference = measure_difference(fused, inputs, expected)
        note = f"logits up to {scale:.2g}"
        yield compare(f"goldens, {name}, fused, {settings.low_name}", difference, None, "", note=note)


@torch.inference_mode()
def check_tf32(settings: Settings):
    """A row: what float32 deviates by as PyTorch computes it by default, with TF32 in convolutions."""
    name = GOLDENS[0]
    model = golden_outputs.build_golden_detector(name).to(settings.device)
    inputs = [tensor.to(settings.device) for tensor in golden_outputs.load_inputs(name)]
    difference = measure_difference(model, inputs, golden_outputs.load_logits(name))
    yield compare(f"goldens, {name}, float32 by default", difference, None, "")


def measure_difference(network, inputs, expected) -> float:
    """The largest difference of a network's logits from the recorded ones, which may lack the reserved column."""
    logits = network(*inputs).float().cpu()
    return (logits[:, logits.shape[1] - expected.shape[1] :] - expected).abs().max().item()


# --- gradients --------------------------------------------------------------------------------------------------------


def check_exact_gradients(settings: Settings):
    """Rows: gradients in float64 beside the CPU's: the same formulas in every layer and form."""
    for name in settings.models:
        model = build_model(name, settings)
        batch = build_batch(name, settings)
        gradients = [compute_exact_gradients(model, batch, device) for device in ("cpu", settings.device)]
        difference = measure_relative_difference(*gradients)
        yield require(f"gradients, {name}, float64, beside the CPU's", difference, EXACT_GRADIENT_AIM)


def check_step_gradients(settings: Settings):
    """Rows: the gradients that a training step leaves, beside those of the CPU's step in float32."""
    for name in settings.models:
        weights = build_model(name, settings).state_dict()
        batch = build_batch(name, settings)
        expected = compute_step_gradients(name, torch.float32, torch.device("cpu"), weights, batch, settings)
        what = f"gradients of a training step, {name}"
        with use_tf32(False):
            gradients = compute_step_gradients(name, torch.float32, settings.device, weights, batch, settings)
        difference = measure_relative_difference(expected, gradients)
        yield require(f"{what}, float32, beside the CPU's", difference, STEP_GRADIENT_AIM)
        gradients = compute_step_gradients(name, settings.low_dtype, settings.device, weights, batch, settings)
        cosine = torch.nn.functional.cosine_similarity(expected, gradients, dim=0).item()
        note = f"cosine {cosine:.4f}"
        difference = measure_relative_difference(expected, gradients)
        yield compare(f"{what}, {settings.low_name}, beside float32", difference, None, "", note=note)


def build_model(name, settings):
    """A detector whose weights do not depend on the device: random, no residual branch is zero."""
    torch.manual_seed(0)
    model = Detector(replace(settings.get_entry(name), drop_path=0.0), dropout=0.0)
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm3d)):
        torch.nn.init.uniform_(norm.weight, 0.3, 0.6)
    return model


def build_gradient_config(name, dtype, device, settings):
    """A config of two small clips without dropout, whose random numbers differ between devices."""
    config = settings.build_config(name, dtype, clips=2)
    recipe = replace(config.recipe, dropout=0.0, drop_path=0.0, crop=SIDE, crop_aspect=1.0)
    return replace(config, recipe=recipe, device=device)


def build_batch(name, settings):
    """A batch of noise, the same on every device."""
    torch.manual_seed(1)
    config = build_gradient_config(name, torch.float32, torch.device("cpu"), settings)
    return build_noise_batch(config, build_untrained_state(config).model, 2)


def compute_exact_gradients(model, batch, device) -> torch.Tensor:
    """All gradients (n,) of the loss in float64, with the batches' statistics."""
    device = torch.device(device)
    model = use_fast_forms(model).to(device, torch.float64).train()
    model.zero_grad()
    # (B,T,H,W,3) uint8 -> (B,3,T,H,W), around 0
    clips = (batch["clips"].to(device, torch.float64) / 128 - 1).permute(0, 4, 1, 2, 3)
    logits = model(clips, batch["rois"].to(device, torch.float64))
    compute_action_loss(logits.double(), batch["targets"].to(device)).backward()
    return collect_gradients(model)


def compute_step_gradients(name, dtype, device, weights, batch, settings) -> torch.Tensor:
    """All gradients (n,) float32 that a training step on a device leaves."""
    config = build_gradient_config(name, dtype, device, settings)
    state = build_untrained_state(config)
    state.model.load_state_dict(weights)
    train_step(state, [batch], config, lr=0.0)
    return collect_gradients(state.model)


def collect_gradients(model) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten().cpu() for parameter in model.parameters() if parameter.grad is not None])


def measure_relative_difference(expected, values) -> float:
    """|values - expected| / |expected|."""
    return ((values.double() - expected.double()).norm() / expected.double().norm()).item()


CHECKS = {
    "recorded outputs": (check_goldens, 90),
    "gradients of training steps": (check_step_gradients, 40),
    "gradients in float64": (check_exact_gradients, 40),
    "float32 by default": (check_tf32, 20),
}
