"""The fused detector: batch norms folded into the convolutions, for inference only.

The same numbers to float32's rounding, in less time. It is neither trained nor saved.
"""

import copy
import logging
from dataclasses import dataclass

import torch
from torch import nn

from avalib.models.conv import ConvBN
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.cpu.packed_linear import pack_linear_layers
from avalib.models.cpu.window import compute_stage_in_window, find_window
from avalib.models.detector import Detector
from avalib.models.folded_conv import FoldedConv, FusedBottleneck
from avalib.models.kernel_forms import get_kernel_forms
from avalib.models.resnet3d import Bottleneck, Pathway
from avalib.models.vit import VisionTransformer, compute_products_in
from avalib.utils.plurals import format_count

logger = logging.getLogger(__name__)

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def fuse_model(model, fast=False, winograd=False):
    """Copy a detector with each ConvBN replaced by a FoldedConv.

    Parameters
    ----------
    model : Detector
        Left unchanged.
    fast, winograd : bool
        As for FoldedConv; `fast` applies to the other layers too.

    Returns
    -------
    Detector
        In evaluation mode, without gradients.
    """
    units = [module for module in model.modules() if isinstance(module, ConvBN)]
    # deepcopy takes memo[id(object)] as the copy of an object
    memo = {id(unit): FoldedConv(unit, fast, winograd) for unit in units}
    fused = copy.deepcopy(model, memo).eval().requires_grad_(False)
    if not fast:
        return fused
    for module in fused.modules():
        if type(module) is Bottleneck:
            module.__class__ = FusedBottleneck
    pack_linear_layers(fused)
    return use_fast_forms(fused)


def set_precision(backbone, dtype):
    """Let a backbone compute in a type; of a ViT in bfloat16 or float16 only the matrix products and the attention."""
    if isinstance(backbone, VisionTransformer) and dtype in (torch.bfloat16, torch.float16):
        compute_products_in(backbone, dtype)
    else:
        backbone.to(dtype)


@dataclass(frozen=True)
class Deviation:
    """The largest differences between a fused detector's outputs and the original's on one sample; not a bound."""

    dtype: str
    logits: float
    scores: float
    largest_logit: float  # of the original, in absolute value: the scale of `logits`
    sample: str

    def __str__(self):
        return (
            f"fused detector in {self.dtype}: logits (up to {self.largest_logit:.2g}) within {self.logits:.1e}, scores "
            f"within {self.scores:.1e} of the plain model on {self.sample}"
        )


class FusedDetector(nn.Module):
    """A detector's fused copy: (clips, rois) -> logits (N,81) float32, as the detector's own forward.

    On a CPU stage 4, two fifths of SlowOnly's work, is computed only for the cells that boxes depend on. Not on a GPU,
    where changing sizes cost more, nor in models with context, which average the whole picture.

    Parameters
    ----------
    model : Detector
        Left unchanged.
    dtype : torch.dtype
        What the backbone computes in.

    Attributes
    ----------
    deviation : Deviation or None
        How far it is from the original, where that was measured (`for_inference`).
    dtype : torch.dtype
    entry : ZooEntry
    """

    deviation = None

    def __init__(self, model, dtype):
        super().__init__()
        device = next(model.parameters()).device
        winograd = dtype in (torch.float32, torch.float64) and get_kernel_forms(device).winograd
        self.detector = fuse_model(model, fast=True, winograd=winograd)
        set_precision(self.detector.backbone, dtype)
        self.dtype = dtype
        self.entry = model.entry
        # the backbone ends with stage 3; stage 4 is run here, in a window
        pathways = [module for module in self.detector.backbone.modules() if isinstance(module, Pathway)]
        self.last_stages = nn.ModuleList(pathway.layer4 for pathway in pathways)
        for pathway in pathways:
            pathway.layer4 = nn.Identity()

    def forward(self, clips, rois):
        self.detector.check_inputs(clips, rois)
        x = clips.to(self.dtype).contiguous(memory_format=torch.channels_last_3d)
        return self._finish(self.detector.backbone(x), clips, self.detector.prepare_rois(rois, clips))

    def _finish(self, maps, clips, rois):
        """Stage 4 and the head. maps: what enters stage 4 of each pathway, (B,C,T,H/16,W/16); a ViT's own maps."""
        if not self.last_stages:
            return self.detector.roi_head(maps, rois)
        # whole maps, or the cells that the boxes need: then the boxes move with the window
        window = None
        if clips.device.type == "cpu" and not self.detector.roi_head.sees_whole_picture:
            window = find_window(rois, *clips.shape[3:])
        if window is None:
            maps = [stage(x) for stage, x in zip(self.last_stages, maps, strict=True)]
        else:
            maps = [compute_stage_in_window(stage, x, window) for stage, x in zip(self.last_stages, maps, strict=True)]
            rois = window.move_rois(rois)
        return self.detector.roi_head(maps, rois)


def for_inference(
    model: Detector,
    dtype: torch.dtype | None = None,
    sample: tuple[torch.Tensor, torch.Tensor] | None = None,
    verbose: bool = True,
) -> FusedDetector:
    """The fused, faster form of a detector for inference.

    Parameters
    ----------
    model : Detector
        Left unchanged.
    dtype : torch.dtype, optional
        What the backbone computes in: float64, float32, bfloat16 or float16; default the model's own. bfloat16 is about
        twice as fast where the processor has it. The head keeps the model's type.
    sample : (Tensor, Tensor), optional
        (clips, rois) on which `.deviation` is measured, best of your own data; default one clip of noise.
    verbose : bool
        Log the deviation.

    Returns
    -------
    FusedDetector
        With its `.deviation`.

    Raises
    ------
    ValueError
        For another dtype, or a sample without boxes.
    """
    own_dtype = model.roi_head.bbox_head.classifier.weight.dtype
    dtype = dtype or own_dtype
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype}: expected torch.float64, float32, bfloat16, float16 or None")
    fused = FusedDetector(model, dtype)
    fused.deviation = measure_deviation(model, fused, sample)
    if verbose:
        logger.info(fused.deviation)
    return fused


def _build_noise_sample(model):
    """One normal clip of 64x80 and three boxes, the same at each call."""
    weight = model.roi_head.bbox_head.classifier.weight
    clip = torch.randn(1, 3, model.entry.clip_len, 64, 80, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0, 0, 0, 79, 63], [0, 10, 5, 45, 60], [0, 50, 20, 75, 50]], dtype=weight.dtype)
    return clip.to(weight), rois.to(weight)


@torch.inference_mode()
def measure_deviation(model, fused, sample=None):
    """The Deviation of a fused detector from its original on a sample (clips, rois), by default noise."""
    clips, rois = sample or _build_noise_sample(model)
    if len(rois) == 0:
        raise ValueError("the sample has no boxes; a deviation needs at least one")
    kind = "this" if sample else "a noise"
    # logits (N,81) of both, in float64 for the differences
    expected = copy.deepcopy(model).eval()(clips, rois).double()
    logits = fused(clips, rois).double()
    return Deviation(
        dtype=str(fused.dtype).removeprefix("torch."),
        logits=(expected - logits).abs().max().item(),
        scores=(expected.sigmoid() - logits.sigmoid()).abs().max().item(),
        largest_logit=expected.abs().max().item(),
        sample=f"{kind} sample {tuple(clips.shape)} with {format_count(len(rois), 'box', 'boxes')}",
    )
