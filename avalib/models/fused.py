"""The detector's inference form: batch norms folded into the convolutions; these as 2-D ones, or by Winograd.

The same numbers to float32's rounding, in less time; it is used, not trained and not saved.
"""

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from avalib.models.cpu.winograd import convolve_winograd, is_supported, transform_weights
from avalib.models.detector import STRIDE
from avalib.models.resnet3d import ConvBN, convolve

LAST = torch.channels_last_3d


def fold_batch_norm(unit):
    """A ConvBN's batch norm in its convolution: weight w g/s (O,C,kt,kh,kw) and bias b - m g/s (O,), float64, CPU."""
    bn = unit.bn
    w, g, b, mean, var = (
        v.detach().cpu().double() for v in (unit.conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var)
    )  # on the CPU: not every device has float64
    scale = g / (var + bn.eps).sqrt()
    return w * scale.view(-1, 1, 1, 1, 1), b - mean * scale


class FoldedConv(nn.Module):
    """A convolution that its batch norm (and ReLU) went into, computed in float64 (`folded`).

    as_2d: run as a 2-D one where its shape allows that, faster in PyTorch; else as the 3-D one it is, a shorter graph.
    minimal: by Winograd's algorithm where that is less work; for float32 and float64, whose rounding it keeps.
    """

    def __init__(self, unit, as_2d=True, minimal=False):
        super().__init__()
        conv = unit.conv
        weight, bias = fold_batch_norm(unit)
        self.minimal = minimal and is_supported(weight, conv.stride)
        weight = transform_weights(weight) if self.minimal else weight
        self.register_buffer("weight", weight.to(conv.weight))
        self.register_buffer("bias", bias.to(conv.weight))
        self.convolve = convolve if as_2d else F.conv3d
        self.stride, self.padding, self.relu = conv.stride, conv.padding, unit.relu

    def forward(self, x):
        if self.minimal:
            x = convolve_winograd(x, self.weight, self.bias)
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


class FusedDetector(nn.Module):
    """A detector's folded copy: (clips, rois) -> logits (N,81) float32, as the detector's own forward.

    On a CPU stage 4, two fifths of SlowOnly's work, is computed for the cells that boxes look at, from the first box's
    edge to the last one's. (Not on a GPU, where sizes that change cost more, nor where the whole picture is context.)
    `.deviation` says how far from the plain model it is (None: not measured), `.dtype` what the backbone computes in,
    `.entry` the row.
    """

    deviation = None

    def __init__(self, model, dtype):
        super().__init__()
        self.detector = fuse_model(model, minimal=dtype in (torch.float32, torch.float64))
        self.detector.backbone.to(dtype)
        self.dtype, self.entry = dtype, model.entry

    def forward(self, clips, rois):
        self.detector.check(clips, rois)
        cells, rois = self.looked_at(clips, rois)
        clips = clips.to(self.dtype).contiguous(memory_format=LAST)
        return self.detector.roi_head(self.detector.backbone(clips, cells), rois)

    def looked_at(self, clips, rois):
        """The cells (rows, columns: two slices) of the last maps that boxes depend on, and the boxes as seen there."""
        if clips.device.type != "cpu" or self.detector.roi_head.context:
            return None, rois
        if not len(rois) or not rois.isfinite().all():  # no cells follow from these: as the detector does
            return None, rois
        cells = []
        for axis, side in ((2, clips.shape[3]), (1, clips.shape[4])):
            low, high = rois[:, axis].min() / STRIDE, rois[:, axis + 2].max() / STRIDE
            first = min(max(math.floor(low) - 1, 0), math.ceil(side / STRIDE) - 1)  # RoIAlign interpolates
            cells.append(slice(first, max(math.ceil(high), first) + 1))
        top, left = (STRIDE * c.start for c in cells)
        return cells, rois - rois.new_tensor([0, left, top, left, top])


def fuse_model(model, as_2d=True, minimal=False):
    """A copy of a detector, in eval mode and without gradients, with every conv+BN unit a FoldedConv (see there)."""
    units = (module for module in model.modules() if isinstance(module, ConvBN))
    instead = {id(unit): FoldedConv(unit, as_2d, minimal) for unit in units}  # deepcopy puts these in their places
    return copy.deepcopy(model, instead).eval().requires_grad_(False)


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
    form = FusedDetector(model, dtype)
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
