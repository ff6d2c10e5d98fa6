"""Transforms of a clip with its boxes: resize, crop, flip, colors, normalization. Exactly the published recipe.

frames are (T,H,W,3) uint8 RGB arrays; boxes_px (N,4) float32 in pixels of those frames.

Source: MMAction2 v0.10.0 SampleAVAFrames, RandomRescale, RandomCrop, Flip, Normalize.
"""

from collections.abc import Sequence

import numpy as np
import torch

from avalib.utils.boxes import crop_boxes, flip_boxes
from avalib.video.resize import resize_frames_and_boxes
from avalib.zoo import Recipe

# of jitter_colors at strength 1
MAX_LOG_GAMMA = 0.6
MAX_GAIN_CHANGE = 0.35
MAX_OFFSET = 0.15  # of 0..1


def crop_randomly(
    frames: np.ndarray, boxes_px: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Crop a square at a random place.

    As in the original, offsets are uniform in 0..side-size-1 (0 if side equals size): the last possible one never
    occurs.

    Parameters
    ----------
    frames, boxes_px
        The clip and its boxes.
    size : int
        Side of the crop in pixels.
    rng : Generator
        Where the offsets are drawn from.

    Returns
    -------
    frames : (T,size,size,3) uint8
    boxes_px : (N,4)
        Clipped to the crop.

    Raises
    ------
    ValueError
        If the crop doesn't fit.
    """
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise ValueError(f"a crop of {size} does not fit into frames of {width}x{height}")
    # draws in this order, x before y, as the original
    left = int(rng.integers(max(width - size, 1)))
    top = int(rng.integers(max(height - size, 1)))
    return frames[:, top : top + size, left : left + size], crop_boxes(boxes_px, left, top, size, size)


def jitter_colors(frames: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Change the colors of a clip, the same way in all frames.

    Channels are swapped (with probability `strength`); each gets its own gamma, gain and offset. Where people and
    places are few, as in the mini-AVA, a network learns them by their colors instead of by what they do; this takes
    that away.

    Parameters
    ----------
    frames : (T,H,W,3) uint8
        The clip.
    strength : float
        0 (nothing) to 1.
    rng : Generator
        Where the changes are drawn from.

    Returns
    -------
    (T,H,W,3) uint8
    """
    # one lookup table a channel: the new value (0..255) of each old one
    levels = np.arange(256)[:, None] / 255
    gamma = np.exp(rng.uniform(-MAX_LOG_GAMMA, MAX_LOG_GAMMA, 3) * strength)
    gain = 1 + rng.uniform(-MAX_GAIN_CHANGE, MAX_GAIN_CHANGE, 3) * strength
    offset = rng.uniform(-MAX_OFFSET, MAX_OFFSET, 3) * strength
    new_levels = ((levels**gamma * gain + offset).clip(0, 1) * 255).astype(np.uint8)  # (256,3)
    # which old channel each new one is read from
    source_channels = rng.permutation(3) if rng.random() < strength else range(3)
    channels = [new_levels[:, i][frames[..., source]] for i, source in enumerate(source_channels)]
    return np.stack(channels, axis=-1)


def augment_clip(
    frames: np.ndarray, boxes_px: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rescale and crop a clip at random, draw whether it is mirrored, change its colors if the recipe says so.

    Returns
    -------
    frames : (T,crop,crop,3) uint8
        Contiguous, and not mirrored yet: `flip_clips` mirrors a whole batch on the device.
    boxes_px : (N,4)
        Clipped to the crop, and mirrored if the frames are to be.
    flip : bool
        Whether the frames are to be mirrored.
    """
    # the draws come in a fixed order: short side, crop, flip, colors
    lowest, highest = recipe.train_short_side
    short_side = int(rng.integers(lowest, highest + 1))
    frames, boxes_px = resize_frames_and_boxes(frames, boxes_px, short_side)
    frames, boxes_px = crop_randomly(frames, boxes_px, recipe.crop, rng)
    flip = bool(rng.random() < recipe.flip)
    if flip:
        boxes_px = flip_boxes(boxes_px, recipe.crop, recipe.flip_shift)
    if recipe.color_jitter:
        frames = jitter_colors(frames, recipe.color_jitter, rng)
    return np.ascontiguousarray(frames), boxes_px, flip


def flip_clips(clips: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """Mirror those clips (B,T,H,W,3) left to right that have flips (B,) bool; new memory, on the clips' device."""
    return torch.where(flips.to(clips.device)[:, None, None, None, None], clips.flip(3), clips)


def normalize_clips(
    clips: torch.Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Normalize clips to (x - mean) / std, on their device.

    Parameters
    ----------
    clips : (B,T,H,W,3) uint8 tensor
        RGB.
    mean, std : three floats
        RGB, of 0..255: those of the model's entry.
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    (B,3,T,H,W) tensor
        Channels last in memory.
    """
    # whole rows of W*3 numbers at once: loops over the 3 channels alone are slow
    width = clips.shape[3]
    row_mean = torch.tensor(mean, device=clips.device).repeat(width)
    row_std = torch.tensor(std, device=clips.device).repeat(width)
    # in float32, whatever the result's type: float16 has too few digits for the division
    rows = clips.flatten(3).to(torch.float32, copy=True).sub_(row_mean).div_(row_std)  # (B,T,H,W*3)
    return rows.view(clips.shape).to(dtype).permute(0, 4, 1, 2, 3)
