"""The detector's inference form: batch norms folded into the convolutions; these as 2-D ones, or by Winograd.

The same numbers to float32's rounding, in less time; it is used, not trained and not saved.
"""

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from avalib.models import winograd
from avalib.models.detector import STRIDE
from avalib.models.resnet3d import ConvBN, convolve

LAST = torch.channels_last_3d


def folded(unit):
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
        weight, bias = folded(unit)
        self.minimal = minimal and winograd.takes(weight, conv.stride)
        weight = winograd.transform(weight) if self.minimal else weight
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

    On a CPU stage 4, two fifths of SlowOnly's work, is computed for the cells that boxes look at, from the first box's
    edge to the last one's. (Not on a GPU, where sizes that change cost more, nor where the whole picture is context.)
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


class SharedFrames(InferenceForm):
    """The inference form for clips that overlap: what follows from the same frames is computed once.

    In SlowOnly stem and stages 1 and 2 look at one frame, and so does each tap of the first convolution over time, in
    the first block of stage 3; that block's output follows from three frames. SlowFast has no such stages, and is
    computed as it is.
    Memory: about 1280 x H/8 x W/8 numbers for each frame that is looked at between the last clip's first and last.
    """

    def __init__(self, model, dtype):
        super().__init__(model, dtype)
        self.computed = 0  # frames
        self._of_frame, self._of_three = {}, {}  # (products of the taps, shortcut); the block's output
        if hasattr(model.backbone, "per_frame"):
            first = model.backbone.layer3[0].conv1
            taps = folded(first)[0].permute(2, 0, 1, 3, 4).flatten(0, 1)[:, :, None]  # (O,C,3,1,1) -> (3*O,C,1,1,1)
            self.register_buffer("taps", taps.to(first.conv.weight).to(dtype))

    def forward(self, clips, rois, numbers):
        """Logits (N,81), as the form's. numbers (B,T) ints say which frame each is: equal ones are equal frames; the
        first of a clip grows from clip to clip and from call to call."""
        if not hasattr(self, "taps"):
            return super().forward(clips, rois)
        self.detector.check(clips, rois)
        cells, rois = self.looked_at(clips, rois)
        new = {n: i for i, n in enumerate(numbers.ravel().tolist()) if n not in self._of_frame}
        if new:
            frames = clips.transpose(1, 2).flatten(0, 1)[list(new.values())].to(self.dtype)  # (n,3,H,W)
            self._of_frame |= zip(new, self._look(frames), strict=True)
            self.computed += len(new)
        threes = [list(zip([None, *row[:-1]], row, [*row[1:], None], strict=True)) for row in numbers.tolist()]
        new = [t for t in dict.fromkeys(three for row in threes for three in row) if t not in self._of_three]
        if new:
            self._of_three |= zip(new, self._first_over_time(new), strict=True)
        x = torch.stack([torch.stack([self._of_three[three] for three in row]) for row in threes])  # (B,T,H',W',C)
        self._forget(numbers[-1].min())
        backbone = self.detector.backbone
        x = backbone.layer3[1:](x.permute(0, 4, 1, 2, 3))
        return self.detector.roi_head([backbone.layer4(x, cells)], rois)

    def _look(self, frames):
        """Frames (n,3,H,W) -> of each: the products of the taps (3,H/8,W/8,O), the shortcut (H/16,W/16,C)."""
        backbone = self.detector.backbone
        x = backbone.per_frame(frames.transpose(0, 1)[None].contiguous(memory_format=LAST))
        products = convolve(x, self.taps, None, (1, 1, 1), (0, 0, 0))
        shortcut = backbone.layer3[0].downsample(x)
        products, shortcut = (v[0].permute(1, 2, 3, 0) for v in (products, shortcut))
        return zip(products.unflatten(3, (3, -1)).permute(0, 3, 1, 2, 4), shortcut, strict=True)

    def _first_over_time(self, threes):
        """The first block of stage 3 at (before, frame, after), None beyond the clip's ends -> (m,H/16,W/16,C)."""
        block = self.detector.backbone.layer3[0]
        seen = [[self._of_frame[n][0][tap] for tap, n in enumerate(three) if n is not None] for three in threes]
        x = torch.stack([sum(rest, one) for one, *rest in seen])
        x = F.relu(x.add_(block.conv1.bias), inplace=True)
        shortcut = torch.stack([self._of_frame[n][1] for _, n, _ in threes])
        x, shortcut = (v.permute(3, 0, 1, 2)[None] for v in (x, shortcut))
        return block.finish(x, shortcut)[0].permute(1, 2, 3, 0)

    def _forget(self, oldest):
        """What no later clip can ask for, nor will often: ends of clips."""
        self._of_frame = {n: kept for n, kept in self._of_frame.items() if n >= oldest}
        self._of_three = {t: kept for t, kept in self._of_three.items() if None not in t and min(t) >= oldest}


def fold(model, as_2d=True, minimal=False):
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
