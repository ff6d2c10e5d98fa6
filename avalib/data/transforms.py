"""Clip and boxes together: which frames a clip has, resize, crop, flip, normalise. The published recipe, exactly.

frames are (T,H,W,3) uint8 RGB numpy arrays; boxes_px (N,4) float32 pixels of those frames.

Source: MMAction2 v0.10.0 SampleAVAFrames, RandomRescale, RandomCrop, Flip, Normalize.
"""

import numpy as np
import torch

from avalib.utils.boxes import crop_boxes, flip_boxes
from avalib.video.resize import resize_frames_and_boxes

MEAN = (123.675, 116.28, 103.53)  # RGB, of 0..255
STD = (58.395, 57.12, 57.375)


def crop_randomly(frames, boxes_px, size, rng):
    """A square crop (T,size,size,3); offsets uniform in 0..side-size-1, never the last possible one (0 if equal)."""
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise ValueError(f"a crop of {size} does not fit into frames of {width}x{height}")
    left = int(rng.integers(max(width - size, 1)))
    top = int(rng.integers(max(height - size, 1)))
    return frames[:, top : top + size, left : left + size], crop_boxes(boxes_px, left, top, size, size)


def jitter_colors(frames, strength, rng):
    """Frames (T,H,W,3) uint8 with other colours, the same change in all of them: channels swapped (with a chance of
    `strength`), each with a gamma, a gain and an offset of its own.

    Where people and places are few, as in the mini-AVA, a network learns them by their colours instead of by what they
    do; this takes that away. strength: 0 (nothing) to 1.
    """
    levels = np.arange(256)[:, None] / 255
    gamma = np.exp(rng.uniform(-0.6, 0.6, 3) * strength)
    gain, offset = 1 + rng.uniform(-0.35, 0.35, 3) * strength, rng.uniform(-0.15, 0.15, 3) * strength
    table = ((levels**gamma * gain + offset).clip(0, 1) * 255).astype(np.uint8)  # (256,3)
    channels = rng.permutation(3) if rng.random() < strength else range(3)
    return np.stack([table[:, i][frames[..., c]] for i, c in enumerate(channels)], axis=-1)


def augment_clip(frames, boxes_px, recipe, rng):
    """Random rescale, crop, flip, and colours if the recipe says so.

    -> (T,crop,crop,3) uint8, contiguous, not mirrored yet; boxes (N,4), clipped to the crop and mirrored; whether
    the frames are to be mirrored: `mirror` does it for a whole batch, on the device.
    """
    low, high = recipe.train_short_side
    frames, boxes_px = resize_frames_and_boxes(frames, boxes_px, int(rng.integers(low, high + 1)))
    frames, boxes_px = crop_randomly(frames, boxes_px, recipe.crop, rng)
    flip = bool(rng.random() < recipe.flip)
    if flip:
        boxes_px = flip_boxes(boxes_px, recipe.crop)
    if recipe.colour:
        frames = jitter_colors(frames, recipe.colour, rng)
    return np.ascontiguousarray(frames), boxes_px, flip


def flip_clips(clips, flips):
    """clips (B,T,H,W,3), those with flips (B,) bool mirrored left to right; new memory, on the clips' device."""
    return torch.where(flips.to(clips.device)[:, None, None, None, None], clips.flip(3), clips)


def normalize_clips(clips, dtype=torch.float32):
    """(B,T,H,W,3) uint8 tensor, on any device -> (B,3,T,H,W) of `dtype`: (x - mean) / std, channels last in memory."""
    mean, std = (torch.tensor(v, device=clips.device).repeat(clips.shape[3]) for v in (MEAN, STD))
    rows = clips.flatten(3).to(torch.float32, copy=True).sub_(mean).div_(std)  # whole rows: 3 numbers make slow loops
    return rows.view(clips.shape).to(dtype).permute(0, 4, 1, 2, 3)
