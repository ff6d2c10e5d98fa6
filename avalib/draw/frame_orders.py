"""The frames of one clip in order, backwards and in random order: what a model sees of a motion."""

import numpy as np
import pandas as pd
from PIL import Image

from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.sheets import draw_contact_sheet
from avalib.utils.boxes import clip_boxes, to_pixels
from avalib.video.cut_finder import is_cut, make_thumbnail
from avalib.video.frame_numbers import compute_clip_frames
from avalib.video.frame_source import open_video
from avalib.zoo.entry import ZooEntry

MARGIN = 0.6  # around the person's box, as a share of its longer side
MAX_EXAMPLES = 30  # of which the first that is of one shot is drawn
MAX_FRAMES = 8  # of a clip, evenly spread, so that they are large enough


def draw_frame_orders(
    layout: DatasetLayout,
    entry: ZooEntry,
    examples: pd.DataFrame,
    width: int = 220,
    seed: int = 0,
    caption: str | None = "The frames of one clip: in order, backwards, in random order",
) -> Image.Image:
    """Draw the frames of a keyframe's clip around one person in three lines: in order, backwards, in random order.

    The first example whose clip is of one shot is drawn; where there is none, the first one.

    Parameters
    ----------
    layout : DatasetLayout
    entry : ZooEntry
        The model, whose clip is drawn.
    examples : DataFrame
        Annotated people: video_id, timestamp, x1, y1, x2, y2; at least one.
    width : int
        Of a frame, in pixels.
    seed : int
        Of the random order.
    caption : str, optional

    Returns
    -------
    PIL.Image.Image
    """
    first_example = next(examples.itertuples())
    example, frames = first_example, _read_clip(layout, entry, first_example)
    for other in examples.head(MAX_EXAMPLES).itertuples():
        clip = _read_clip(layout, entry, other)
        if _is_one_shot(clip):
            example, frames = other, clip
            break
    box_norm = [getattr(example, column) for column in BOX_COLUMNS]
    frames = [_crop_square(frame, box_norm) for frame in frames]
    places = np.arange(len(frames))
    random_order = np.random.default_rng(seed).permutation(places)
    # Titles name the place in the clip: 1 is the earliest frame.
    orders = [*places, *places[::-1], *random_order]
    titles = [f"frame {i + 1}" for i in orders]
    return draw_contact_sheet([frames[i] for i in orders], len(frames), titles, width, caption=caption)


def _read_clip(layout, entry, example):
    """The frames (T,H,W,3) of the clip around a row's keyframe, at most MAX_FRAMES of them."""
    with open_video(layout, example.video_id) as reader:
        numbers = compute_clip_frames(
            example.timestamp,
            entry.clip_len,
            entry.frame_interval,
            reader.n_ava_frames,
            first=1,
            start_s=layout.get_start_s(example.video_id),
        )
        places = np.linspace(0, len(numbers) - 1, min(len(numbers), MAX_FRAMES)).round().astype(int)
        return reader.read_ava_frames(numbers[places])


def _is_one_shot(frames):
    """Whether no cut lies between frames that follow each other."""
    thumbnails = [make_thumbnail(frame) for frame in frames]
    return not any(is_cut(before, after) for before, after in zip(thumbnails, thumbnails[1:], strict=False))


def _crop_square(frame, box_norm):
    """The square part of a frame (H,W,3) around a person, as far as the frame goes."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = to_pixels(np.asarray(box_norm, float)[None], width, height)[0]
    half = (0.5 + MARGIN) * max(x2 - x1, y2 - y1)
    center_x, center_y = (x1 + x2) / 2, (y1 + y2) / 2
    square = np.array([[center_x - half, center_y - half, center_x + half, center_y + half]])
    left, top, right, bottom = clip_boxes(square, width, height)[0].round().astype(int)
    return frame[top : bottom + 1, left : right + 1]
