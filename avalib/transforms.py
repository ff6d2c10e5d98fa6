"""Clip and boxes together: which frames a clip has, resize, crop, flip, normalise. The published recipe, exactly.

frames are (T,H,W,3) uint8 RGB numpy arrays; boxes_px (N,4) float32 pixels of those frames.

Source: MMAction2 v0.10.0 SampleAVAFrames, RandomRescale, RandomCrop, Flip, Normalize.
"""

import numpy as np
import torch
from torch.nn import functional as F

from avalib import boxes
from avalib.numbering import START

FPS = 30  # the convention of all AVA numbers: videos are read as if extracted at 30 frames a second
MEAN = (123.675, 116.28, 103.53)  # RGB, of 0..255
STD = (58.395, 57.12, 57.375)


def frame_numbers(timestamp, clip_len, interval, last, rng=None, first=0, start=START):
    """The frames of the clip around a keyframe, as 1-based file numbers at 30 fps: int64 (clip_len,).

    timestamp: the annotated second (902.0 …); last: the video's last frame number, to which numbers are clipped.
    rng: every frame is moved by a uniform integer in [-interval//2, (interval+1)//2); None takes the nominal frames.
    first: the lowest number (0 as the original has it; readers of real files pass 1). start: the second at which frame
    number 1 stands.
    """
    centre = int(round(FPS * (timestamp - start))) + 1
    numbers = centre - clip_len // 2 * interval + np.arange(clip_len) * interval
    if rng is not None:
        numbers = numbers + rng.integers(-interval // 2, (interval + 1) // 2, size=clip_len)
    return np.clip(numbers, first, last)


def resized_shape(height, width, short_side):
    """(height, width) after the short side becomes `short_side`: int(side * short / min + 0.5)."""
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resize(frames, boxes_px, short_side):
    """Frames (T,H,W,3) and boxes scaled so that the short side is `short_side`.

    Bilinear on uint8 without antialias, within 1 level of the OpenCV call the published weights were trained with.
    Boxes are scaled per axis by float32(new/old); the two axes differ by rounding.
    """
    height, width = frames.shape[1:3]
    new_height, new_width = resized_shape(height, width, short_side)
    if (new_height, new_width) != (height, width):
        # channels-last in memory, the fast path; numpy gives a lone frame the stride 0, by which torch would miss that
        frames = torch.from_numpy(frames[0])[None] if len(frames) == 1 else torch.from_numpy(frames)
        chw = F.interpolate(frames.permute(0, 3, 1, 2), (new_height, new_width), mode="bilinear")
        frames = chw.permute(0, 2, 3, 1).contiguous().numpy()
    return frames, resize_boxes(boxes_px, (height, width), (new_height, new_width))


def resize_boxes(boxes_px, old, new):
    """Boxes (N,4) of frames that went from old to new (height, width): per axis by float32(new/old)."""
    return boxes.rescale(boxes_px, np.float32(new[1] / old[1]), np.float32(new[0] / old[0]))


def random_crop(frames, boxes_px, size, rng):
    """A square crop (T,size,size,3); offsets uniform in 0..side-size-1, never the last possible one (0 if equal)."""
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise ValueError(f"a crop of {size} does not fit into frames of {width}x{height}")
    left = int(rng.integers(max(width - size, 1)))
    top = int(rng.integers(max(height - size, 1)))
    return frames[:, top : top + size, left : left + size], boxes.crop(boxes_px, left, top, size, size)


def recolour(frames, strength, rng):
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


def for_training(frames, boxes_px, recipe, rng):
    """Random rescale, crop, flip, and colours if the recipe says so.

    -> (T,crop,crop,3) uint8, contiguous, not mirrored yet; boxes (N,4), clipped to the crop and mirrored; whether
    the frames are to be mirrored: `mirror` does it for a whole batch, on the device.
    """
    low, high = recipe.train_short_side
    frames, boxes_px = resize(frames, boxes_px, int(rng.integers(low, high + 1)))
    frames, boxes_px = random_crop(frames, boxes_px, recipe.crop, rng)
    flip = bool(rng.random() < recipe.flip)
    if flip:
        boxes_px = boxes.flip(boxes_px, recipe.crop)
    if recipe.colour:
        frames = recolour(frames, recipe.colour, rng)
    return np.ascontiguousarray(frames), boxes_px, flip


def mirror(clips, flips):
    """clips (B,T,H,W,3), those with flips (B,) bool mirrored left to right; new memory, on the clips' device."""
    return torch.where(flips.to(clips.device)[:, None, None, None, None], clips.flip(3), clips)


def normalise(clips, dtype=torch.float32):
    """(B,T,H,W,3) uint8 tensor, on any device -> (B,3,T,H,W) of `dtype`: (x - mean) / std, channels last in memory."""
    mean, std = (torch.tensor(v, device=clips.device).repeat(clips.shape[3]) for v in (MEAN, STD))
    rows = clips.flatten(3).to(torch.float32, copy=True).sub_(mean).div_(std)  # whole rows: 3 numbers make slow loops
    return rows.view(clips.shape).to(dtype).permute(0, 4, 1, 2, 3)
