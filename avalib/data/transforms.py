"""Transforms of a clip with its boxes: resize, crop, flip, colors, normalization. Exactly the published recipe.

frames are (T,H,W,3) uint8 RGB arrays; boxes_px (N,4) float32 in pixels of those frames.

Source: MMAction2 v0.10.0 SampleAVAFrames, RandomRescale, RandomCrop, Flip, Normalize.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from avalib.utils.boxes import crop_boxes, flip_boxes
from avalib.video.resize import compute_resized_shape, resize_boxes, resize_frames
from avalib.zoo import Recipe

# of jitter_colors at strength 1
MAX_LOG_GAMMA = 0.6
MAX_GAIN_CHANGE = 0.35
MAX_OFFSET = 0.15  # of 0..1


@dataclass(frozen=True)
class Augmentation:
    """What is done to a clip in training, but for its colors: its frames are resized, cropped and perhaps mirrored."""

    height: int  # of the resized frames
    width: int
    left: int  # of the crop
    top: int
    crop_shape: tuple[int, int]  # height, width
    flip: bool

    def move_boxes(self, boxes_px: np.ndarray, old_shape: tuple[int, int], flip_shift: int) -> np.ndarray:
        """Move boxes (N,4) of frames of old_shape (height, width) as the frames are, and clip them to the crop."""
        boxes_px = resize_boxes(boxes_px, old_shape, (self.height, self.width))
        crop_height, crop_width = self.crop_shape
        boxes_px = crop_boxes(boxes_px, self.left, self.top, crop_width, crop_height)
        return flip_boxes(boxes_px, crop_width, flip_shift) if self.flip else boxes_px

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """Resize and crop frames (T,H,W,3) uint8, without mirroring them: a view (T,*crop_shape,3)."""
        frames = resize_frames(frames, (self.height, self.width))
        crop_height, crop_width = self.crop_shape
        return frames[:, self.top : self.top + crop_height, self.left : self.left + crop_width]


def draw_augmentation(shape: tuple[int, int], recipe: Recipe, rng: np.random.Generator) -> Augmentation:
    """Draw the augmentation of a clip whose frames have a shape (height, width).

    As in the original, offsets of the crop are uniform in 0..side-crop-1 (0 if side equals crop): the last possible one
    never occurs. Frames that are narrower than a crop that is no square, as of a phone, are enlarged to its width.

    Raises
    ------
    ValueError
        If the crop doesn't fit.
    """
    # the draws come in a fixed order: short side, x and y of the crop, flip
    lowest, highest = recipe.train_short_side
    height, width = compute_resized_shape(*shape, int(rng.integers(lowest, highest + 1)))
    if min(height, width) < recipe.crop:
        raise ValueError(f"a crop of {recipe.crop} does not fit into frames of {width}x{height}")
    crop_height, crop_width = recipe.crop_shape
    if width < crop_width:
        height, width = round(height * crop_width / width), crop_width
    left = int(rng.integers(max(width - crop_width, 1)))
    top = int(rng.integers(max(height - crop_height, 1)))
    return Augmentation(height, width, left, top, recipe.crop_shape, flip=bool(rng.random() < recipe.flip))


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
    frames : (T,h,w,3) uint8
        The crop. Contiguous, and not mirrored yet: `flip_clips` mirrors a whole batch on the device.
    boxes_px : (N,4)
        Clipped to the crop, and mirrored if the frames are to be.
    flip : bool
        Whether the frames are to be mirrored.
    """
    augmentation = draw_augmentation(frames.shape[1:3], recipe, rng)
    boxes_px = augmentation.move_boxes(boxes_px, frames.shape[1:3], recipe.flip_shift)
    frames = augmentation.cut(frames)
    if recipe.color_jitter:
        frames = jitter_colors(frames, recipe.color_jitter, rng)
    return np.ascontiguousarray(frames), boxes_px, augmentation.flip


def cut_clips(clips: Sequence[torch.Tensor], augmentations: torch.Tensor, crop_shape: tuple[int, int]) -> torch.Tensor:
    """Resize and crop clips on their device, within one level of `Augmentation.cut`.

    Parameters
    ----------
    clips : sequence of (T,H,W,3) uint8 tensors
        The frames may differ in size.
    augmentations : (B,4) int tensor
        Height and width of the resized frames, left and top of the crop.
    crop_shape : (int, int)
        Height and width of the crop.

    Returns
    -------
    (B,T,*crop_shape,3) uint8 tensor
    """
    cut = []
    crop_height, crop_width = crop_shape
    for clip, (height, width, left, top) in zip(clips, augmentations.tolist(), strict=True):
        # (T,H,W,3) -> (T,3,height,width), rounded as interpolation on uint8 rounds
        frames = F.interpolate(clip.permute(0, 3, 1, 2).float(), (height, width), mode="bilinear")
        frames = frames[:, :, top : top + crop_height, left : left + crop_width].round().to(torch.uint8)
        cut.append(frames.permute(0, 2, 3, 1))
    return torch.stack(cut)


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
