"""The frames of a data set's keyframes: cached first if the recipe says so, and keyframes without frames listed.

Missing frames are reported before training starts, and are an error where they are too many.
"""

import logging
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from avalib.utils.files import is_writable
from avalib.video.frame_cache_builder import build_outdated_caches, find_outdated_caches
from avalib.video.frame_numbers import AVA_FPS, to_frame_number
from avalib.video.frame_source import MISSING_COLUMNS, FrameSource
from avalib.video.video_error import VideoError

MAX_MISSING_SHARE = 0.01  # of the keyframes; training and evaluation go on without as many

logger = logging.getLogger(__name__)


def open_frames(
    layout, recipe, keyframes: Iterable, progress: bool = True, max_missing: float = MAX_MISSING_SHARE
) -> FrameSource:
    """Open the videos of some keyframes, after building the frame cache if the recipe has one.

    Keyframes whose video is missing, broken or too short are logged and left out.

    Parameters
    ----------
    layout : DatasetLayout
    recipe : Recipe
        `cache_short_side` is the frame cache's short side, or None.
    keyframes : iterable of KeyframeTable
        Anything with `video_ids` and `timestamps`.
    progress : bool
        Whether to show a progress bar while the cache is built.
    max_missing : float
        The largest share, 0..1, of keyframes without frames.

    Raises
    ------
    VideoError
        More keyframes have no frames. The message counts the videos and keyframes and gives the reasons.
    """
    keyframes = list(keyframes)
    table = pd.DataFrame(
        {
            "video_id": np.concatenate([k.video_ids for k in keyframes]),
            "timestamp": np.concatenate([k.timestamps for k in keyframes]),
        }
    )
    # videos without a cache, and the reasons why some can't be read at all
    short_side = recipe.cache_short_side
    broken = {}
    uncached = ()
    if short_side:
        existing, broken = _find_videos(layout, table.video_id.unique())
        if outdated := find_outdated_caches(layout, existing, short_side):
            # on a read-only disk training is slower, not impossible
            folder = next(iter(outdated.values())).parent
            if is_writable(folder):
                broken |= build_outdated_caches(layout, outdated, short_side, progress=progress)
            else:
                uncached = outdated
                logger.info(
                    f"{folder} can't be written: frames of {len(outdated)} videos are read from their files, slower"
                )
    # keyframes without frames, before the first step of a training
    missing = find_missing_keyframes(FrameSource(layout, short_side, uncached=uncached), table, broken)
    if len(missing) > max_missing * len(table):
        raise VideoError(
            f"{layout.root}: {_describe_missing(missing, table, f', more than the {max_missing:.0%} allowed')}. "
            "Run notebook 01 (avalib.check), or take their rows out of the csv."
        )
    if len(missing):
        logger.warning(f"left out: {_describe_missing(missing, table)}")
    return FrameSource(layout, short_side, missing_keyframes=missing, uncached=uncached)


def find_missing_keyframes(
    frames: FrameSource, keyframes: pd.DataFrame, broken: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The keyframes that have no frame of their own: their video can't be opened, or ends before them.

    Parameters
    ----------
    frames : FrameSource
    keyframes : pandas.DataFrame
        Columns video_id, timestamp.
    broken : mapping of str to str, optional
        {video_id: reason} of videos that are known to be unreadable.

    Returns
    -------
    pandas.DataFrame
        Columns video_id, timestamp, reason.
    """
    broken = broken or {}
    tables = []
    for video_id, rows in keyframes.groupby("video_id", sort=False):
        reason = broken.get(video_id)
        # (n,) rows of this video: all of them, unless it can be opened
        is_missing = np.ones(len(rows), bool)
        if not reason:
            try:
                last = _count_frames(frames, video_id)
                is_missing = to_frame_number(rows.timestamp.to_numpy(), frames.layout.get_start_s(video_id)) > last
                reason = f"{video_id}: ends at frame {last} ({last / AVA_FPS:.1f} s)"
            except OSError as error:
                reason = str(error)
        if is_missing.any():
            tables.append(rows[is_missing].assign(reason=reason))
    if not tables:
        return pd.DataFrame(columns=MISSING_COLUMNS)
    return pd.concat(tables, ignore_index=True)[MISSING_COLUMNS]


def _count_frames(frames, video_id):
    """The AVA-numbered frames of a video.

    Clips of Kinetics count by the seconds in their name: they were opened when they were prepared, and to open a
    hundred thousand of them takes half an hour.
    """
    clip = frames.layout.get_clip(video_id)
    if clip is None:
        return frames.get_reader(video_id).n_ava_frames
    frames.layout.find_video(video_id)  # raises FileNotFoundError
    return clip.length_s * AVA_FPS


def _describe_missing(missing, keyframes, limit=""):
    """How many videos and keyframes are missing, and the first ten reasons."""
    # one line for each reason, which mostly is a video
    reasons = [f"{len(rows)} of {reason}" for reason, rows in missing.groupby("reason", sort=False)]
    listed = "; ".join(reasons[:10]) + ("" if len(reasons) <= 10 else f"; and {len(reasons) - 10} more")
    return (
        f"{missing.video_id.nunique()} of {keyframes.video_id.nunique()} videos are missing or damaged, with "
        f"{len(missing)} of {len(keyframes)} keyframes ({len(missing) / len(keyframes):.1%}{limit}): {listed}"
    )


def _find_videos(layout, video_ids):
    """(ids of the videos that exist, {id: reason} of the others)."""
    existing = []
    missing = {}
    for video_id in video_ids:
        try:
            layout.find_video(video_id)
            existing.append(video_id)
        except FileNotFoundError as error:
            missing[video_id] = str(error)
    return existing, missing
