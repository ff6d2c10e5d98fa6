"""Section c of check_gpu.py, continued: the forms that a layer's kernels can have, for avalib/models/kernel_forms.py.

Each layer of the first model's training step on its own, and the whole step with one choice of `KERNEL_FORMS` changed.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from bench_models import build_random_model
from common import compare
from gpu_report import require
from gpu_settings import Settings, time_on_device
from gpu_training_speed import build_step
from torchvision.ops import roi_align

from avalib.models.cpu.frame_layers import convolve
from avalib.models.cpu.roi_align import roi_align_by_matmul
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.kernel_forms import KERNEL_FORMS, get_kernel_forms
from avalib.models.roi_head import FEATURE_STRIDE

ALIGN_AIM = 1e-4  # between the two forms of RoIAlign


@contextmanager
def use_kernel_forms(device: torch.device, **changes):
    """Inside, the layers on a kind of device have other forms; changes: fields of KernelForms."""
    before = get_kernel_forms(device)
    KERNEL_FORMS[device.type] = replace(before, **changes)
    try:
        yield
    finally:
        KERNEL_FORMS[device.type] = before


@dataclass(frozen=True)
class ConvCall:
    """One convolution of a network: its shapes, and how its kernel is moved."""

    input_shape: tuple
    weight_shape: tuple
    stride: tuple
    padding: tuple

    @property
    def kind(self) -> str:
        """The kernel's size, such as 1x3x3."""
        return "x".join(map(str, self.weight_shape[2:]))


def list_conv_calls(config, n_clips: int) -> dict[ConvCall, int]:
    """How often each convolution occurs in a network's forward pass."""
    calls = {}

    def note(conv, inputs, output):
        call = ConvCall(tuple(inputs[0].shape), tuple(conv.weight.shape), conv.stride, conv.padding)
        calls[call] = calls.get(call, 0) + 1

    with torch.device("meta"):
        model = Detector(config.entry)
        clips = torch.zeros(n_clips, 3, config.entry.clip_len, *config.recipe.crop_shape)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.register_forward_hook(note)
    model.backbone(clips)
    return calls


def time_conv(call: ConvCall, settings: Settings) -> dict[str, float]:
    """Seconds of forward and backward of one convolution in each form: {form: seconds}."""
    kind = {"device": settings.device, "dtype": settings.low_dtype}
    x = torch.randn(call.input_shape, **kind).requires_grad_()
    weight = torch.randn(call.weight_shape, **kind).requires_grad_()
    last = torch.channels_last_3d
    x_last, weight_last = (t.detach().contiguous(memory_format=last).requires_grad_() for t in (x, weight))

    def run_3d(x, weight):
        return F.conv3d(x, weight, None, call.stride, call.padding)

    def run_2d(x, weight):
        return convolve(x, weight, None, call.stride, call.padding)

    forms = {"3-D": (run_3d, x, weight), "3-D channels-last": (run_3d, x_last, weight_last)}
    with use_kernel_forms(settings.device, frames_in_2d=True, time_in_2d=True):
        forms["2-D channels-last"] = (run_2d, x_last, weight_last)
        work = {name: prepare_backward(*form) for name, form in forms.items()}
        return time_on_device(work, settings)


def prepare_backward(run, *inputs):
    """A function of forward and backward with a gradient laid out as the output."""
    gradient = torch.ones_like(run(*inputs))

    def run_both():
        torch.autograd.grad(run(*inputs), inputs, gradient)

    return run_both


# --- checks -----------------------------------------------------------------------------------------------------------


def check_convolutions(settings: Settings):
    """Rows: each kind of convolution of the first model, summed over the network: its forms beside the 3-D one."""
    name = settings.models[0]
    calls = list_conv_calls(settings.build_config(name, settings.low_dtype), settings.clips)
    totals = {}  # {kind of kernel: {form: seconds}}
    for call, count in calls.items():
        total = totals.setdefault(call.kind, {})
        for form, seconds in time_conv(call, settings).items():
            total[form] = total.get(form, 0.0) + count * seconds
    for kind, total in totals.items():
        for form in ("3-D channels-last", "2-D channels-last"):
            what = f"convolutions {kind} of {name}, forward and backward, {form} beside 3-D"
            yield compare(what, 1e3 * total[form], 1e3 * total["3-D"], "ms")


def check_forms(settings: Settings):
    """Rows: a training step of the first two models with one choice of KERNEL_FORMS changed, beside as it is."""
    current = get_kernel_forms(settings.device)
    changes = [{field: not getattr(current, field)} for field in ("frames_in_2d", "time_in_2d", "roi_align_by_matmul")]
    changes.append({field: not getattr(current, field) for field in ("frames_in_2d", "time_in_2d")})
    for name in settings.models[:2]:
        step = build_step(settings.build_config(name, settings.low_dtype), settings.clips)
        work = {"as it is": step}
        for change in changes:
            words = ", ".join(f"{field}={value}" for field, value in change.items())
            work[words] = partial(run_with_forms, step, settings.device, change)
        rates = {kind: settings.clips / seconds for kind, seconds in time_on_device(work, settings).items()}
        for words in list(work)[1:]:
            what = f"GPU training step, {name}, as it is beside {words}"
            yield compare(what, rates["as it is"], rates[words], "clips/s", more=True)


def run_with_forms(step, device: torch.device, change: dict) -> None:
    """One training step with other forms of the layers."""
    with use_kernel_forms(device, **change):
        step()


def check_roi_align(settings: Settings):
    """Rows: RoIAlign's forward and backward as torchvision's operator and as a matrix product."""
    side = 2 if settings.small else 16
    channels = 64 if settings.small else 2048
    maps = torch.randn(settings.clips, channels, side, side, device=settings.device, requires_grad=True)
    # three boxes a clip, of various sizes
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.9], [0.3, 0.2, 0.8, 0.7], [0.0, 0.0, 1.0, 1.0]]) * FEATURE_STRIDE * side
    number = torch.arange(settings.clips).repeat_interleave(3)[:, None]
    rois = torch.cat([number, boxes.repeat(settings.clips, 1)], dim=1).to(settings.device)
    work = {
        "operator": prepare_backward(lambda maps: roi_align(maps, rois, 8, 1 / FEATURE_STRIDE, 0, True), maps),
        "product": prepare_backward(lambda maps: roi_align_by_matmul(maps, rois, 1 / FEATURE_STRIDE), maps),
    }
    seconds = time_on_device(work, settings)
    what = "RoIAlign, forward and backward, as a matrix product beside the operator"
    yield compare(what, 1e3 * seconds["product"], 1e3 * seconds["operator"], "ms")
    expected = roi_align(maps, rois, 8, 1 / FEATURE_STRIDE, 0, True)
    difference = (roi_align_by_matmul(maps, rois, 1 / FEATURE_STRIDE) - expected).abs().max().item()
    yield require("RoIAlign as a matrix product beside the operator: features", difference, ALIGN_AIM)


@torch.inference_mode()
def check_winograd(settings: Settings):
    """A row: the fused first model in float32 with Winograd's algorithm, beside without."""
    name = settings.models[0]
    model = build_random_model(settings.get_entry(name)).to(settings.device)
    networks = {}
    for winograd in (True, False):
        with use_kernel_forms(settings.device, winograd=winograd):
            networks[winograd] = FusedDetector(model, torch.float32)
    height, width = settings.picture_size
    clips = torch.randn(1, 3, model.entry.clip_len, height, width, device=settings.device)
    rois = torch.tensor([[0, 0, 0, width, height]], dtype=torch.float32, device=settings.device)
    seconds = time_on_device({key: lambda n=network: n(clips, rois) for key, network in networks.items()}, settings)
    what = f"inference, {name}, fused, float32, with Winograd beside without"
    yield compare(what, 1e3 * seconds[True], 1e3 * seconds[False], "ms")


CHECKS = {
    "kernels: whole steps": (check_forms, 40),
    "kernels: RoIAlign": (check_roi_align, 20),
    "kernels: convolutions": (check_convolutions, 40),
    "kernels: Winograd": (check_winograd, 20),
}
