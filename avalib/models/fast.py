"""The detector's inference form: batch norms folded into the convolutions; these as 2-D ones, or by Winograd.

The same numbers to float32's rounding, in less time; it is used, not trained and not saved.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from avalib.models import winograd
from avalib.models.resnet3d import ConvBN, convolve

LAST = torch.channels_last_3d


class FoldedConv(nn.Module):
    """A convolution that its batch norm (and ReLU) went into: w' = w g/s, b' = b - m g/s, computed in float64.

    as_2d: run as a 2-D one where its shape allows that, faster in PyTorch; else as the 3-D one it is, a shorter graph.
    minimal: by Winograd's algorithm where that is less work; for float32 and float64, whose rounding it keeps.
    """

    def __init__(self, unit, as_2d=True, minimal=False):
        super().__init__()
        conv, bn = unit.conv, unit.bn
        g, b, mean, var = (v.detach().cpu().double() for v in (bn.weight, bn.bias, bn.running_mean, bn.running_var))
        scale = g / (var + bn.eps).sqrt()  # on the CPU: not every device has float64
        weight = conv.weight.detach().cpu().double() * scale.view(-1, 1, 1, 1, 1)
        bias = b - mean * scale
        self.minimal = minimal and winograd.takes(weight, conv.stride)
        weight = winograd.transform(weight).contiguous() if self.minimal else weight
        self.register_buffer("weight", weight.to(conv.weight))
        self.register_buffer("bias", bias.to(conv.weight))
        self.convolve = convolve if as_2d else F.conv3d
        self.stride, self.padding, self.relu = conv.stride, conv.padding, unit.relu

    def forward(self, x):
        if self.minimal:
            x = winograd.convolve(x, self.weight, self.bias)
        else:
            x = self.convolve(x, self.weight, self.bias, self.stride, self.padding)
        return F.relu(x, inplace=True) if self.relu else x


@dataclass(frozen=True)
class Deviation:
    """How far a form's outputs are from the plain model's, the largest of one sample: measured, not promised."""

    dtype: str
    logits: float
    scores: float
    largest_logit: float  # the plain model's, in absolute value: what the deviation is to be seen beside
    sample: str

    def __str__(self):
        return (
            f"inference form in {self.dtype}: logits (up to {self.largest_logit:.2g}) within {self.logits:.1e}, scores "
            f"within {self.scores:.1e} of the plain model on {self.sample}"
        )


class InferenceForm(nn.Module):
    """A detector's folded copy: (clips, rois) -> logits (N,81) float32, as the detector's own forward.

    `.deviation` says how far from the plain model it is (None: not measured), `.dtype` what the backbone computes in,
    `.entry` the row.
    """

    deviation = None

    def __init__(self, model, dtype):
        super().__init__()
        self.detector = fold(model, minimal=dtype in (torch.float32, torch.float64))
        self.detector.backbone.to(dtype)
        self.dtype, self.entry = dtype, model.entry

    def forward(self, clips, rois):
        return self.detector(clips.to(self.dtype), rois)


class SharedFrames:
    """An InferenceForm for clips that overlap: what looks at one frame alone is computed once a frame.

    That is stem and stages 1 and 2 of SlowOnly; SlowFast has no such stages, and is computed as it is.
    Memory: 512 x H/8 x W/8 numbers for each frame between the last clip's first and last.
    """

    def __init__(self, form):
        self.form, self.computed, self._kept = form, 0, {}

    def __call__(self, clips, rois, numbers):
        """Logits (N,81), as the form's. numbers (B,T) ints say which frame each is: equal ones are equal frames; the
        first of a clip grows from clip to clip and from call to call."""
        detector = self.form.detector
        if not hasattr(detector.backbone, "per_frame"):
            return self.form(clips, rois)
        new = {n: i for i, n in enumerate(numbers.ravel().tolist()) if n not in self._kept}
        if new:
            frames = clips.transpose(1, 2).flatten(0, 1)[list(new.values())].to(self.form.dtype)  # (n,3,H,W)
            found = detector.backbone.per_frame(frames.transpose(0, 1)[None].contiguous(memory_format=LAST))
            self._kept |= zip(new, found[0].permute(1, 2, 3, 0), strict=True)  # (H/8,W/8,512) each
            self.computed += len(new)
        x = torch.stack([torch.stack([self._kept[n] for n in row]) for row in numbers.tolist()])
        self._kept = {n: kept for n, kept in self._kept.items() if n >= numbers[-1].min()}
        return detector.roi_head(detector.backbone.over_time(x.permute(0, 4, 1, 2, 3)), rois)


def fold(model, as_2d=True, minimal=False):
    """A copy of a detector, in eval mode and without gradients, with every conv+BN unit a FoldedConv (see there)."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for name, unit in list(model.named_modules()):
        if isinstance(unit, ConvBN):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, FoldedConv(unit, as_2d, minimal))
    return model


def for_inference(model, dtype=None, sample=None, verbose=True):
    """The inference form of a detector; the detector itself is left as it is.

    dtype: what the backbone computes in: None keeps the model's own, torch.bfloat16 is about twice as fast where the
    processor has it; the head stays as it is. sample: (clips, rois) on which `.deviation` is measured, best of your own
    data; default: one clip of noise. verbose: print the deviation.
    Raises ValueError for a dtype that convolutions don't take.
    """
    own = model.roi_head.bbox_head.fc_cls.weight.dtype
    dtype = dtype or own
    if dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype {dtype}: expected torch.float32, bfloat16, float16 or None")
    form = InferenceForm(model, dtype)
    form.deviation = _deviation(model, form, sample)
    if verbose:
        print(form.deviation)
    return form


def _noise(model):
    """A sample of anything: one normal clip of 64x80 and three boxes, the same at every call."""
    weight = model.roi_head.bbox_head.fc_cls.weight
    clip = torch.randn(1, 3, model.entry.clip_len, 64, 80, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0, 0, 0, 79, 63], [0, 10, 5, 45, 60], [0, 50, 20, 75, 50]], dtype=weight.dtype)
    return clip.to(weight), rois.to(weight)


@torch.inference_mode()
def _deviation(model, form, sample):
    clips, rois = sample or _noise(model)
    if len(rois) == 0:
        raise ValueError("the sample has no boxes; a deviation needs at least one")
    what = f"{'this' if sample else 'a noise'} sample {tuple(clips.shape)} with {len(rois)} boxes"
    plain = copy.deepcopy(model).eval()(clips, rois).double()
    fast = form(clips, rois).double()
    logits, scores = (plain - fast).abs().max(), (plain.sigmoid() - fast.sigmoid()).abs().max()
    name = str(form.dtype).removeprefix("torch.")
    return Deviation(name, logits.item(), scores.item(), plain.abs().max().item(), what)
