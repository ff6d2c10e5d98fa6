"""Which kernels compute a layer on which kind of device: the same numbers, by other ways. The one place to choose.

CPU: measured (docs/benchmarks.md). CUDA: not measured yet; `make check-gpu` times every choice ("kernels" in its
record), and the fastest belongs here.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class KernelForms:
    """The forms of the layers on one kind of device."""

    frames_in_2d: bool  # convolutions 1xkxk on a batch of B*T frames; else as 3-D ones
    time_in_2d: bool  # convolutions kx1x1 on a picture of T rows with H*W cells; else as 3-D ones
    winograd: bool  # fused detectors in float32: wide 1x3x3 and 3x1x1 convolutions by Winograd's algorithm
    roi_align_by_matmul: bool  # RoIAlign in training as a matrix product; else torchvision's operator
    shares_frames: bool  # clips of a video that overlap: what depends on the same frames is computed once


KERNEL_FORMS = {  # by torch.device.type
    "cpu": KernelForms(frames_in_2d=True, time_in_2d=True, winograd=True, roi_align_by_matmul=True, shares_frames=True),
    "cuda": KernelForms(
        frames_in_2d=True, time_in_2d=True, winograd=True, roi_align_by_matmul=False, shares_frames=True
    ),
}


def get_kernel_forms(device: torch.device) -> KernelForms:
    """The forms of the layers on a device; other accelerators compute as CUDA does."""
    return KERNEL_FORMS.get(device.type, KERNEL_FORMS["cuda"])
