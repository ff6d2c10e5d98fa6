"""Which keyframes of imported annotations are used, and which of them are for training and for validation."""

import numpy as np
import pandas as pd

from avalib.data.row_checks import KEYFRAME_COLUMNS

TIME_TOLERANCE_S = 1e-3  # keyframes that are too near by no more than this still count


def thin_keyframes(table, min_gap_s):
    """Keep the rows of keyframes that are at least `min_gap_s` seconds apart.

    Returns
    -------
    table : DataFrame
    notes : list of str
    """
    if not min_gap_s:
        return table, []
    spaced_frames = set()
    for video_id, timestamps in table.groupby("video_id").timestamp:
        last_time_s = -np.inf
        # Greedy, from the first keyframe on.
        for time_s in np.unique(timestamps):
            if time_s - last_time_s >= min_gap_s - TIME_TOLERANCE_S:
                spaced_frames.add((video_id, time_s))
                last_time_s = time_s
    is_spaced = pd.MultiIndex.from_frame(table[KEYFRAME_COLUMNS]).isin(spaced_frames)
    n_keyframes = len(table[KEYFRAME_COLUMNS].drop_duplicates())
    note = f"{len(spaced_frames)} of {n_keyframes} keyframes kept, at least {min_gap_s:g} s apart"
    return table[is_spaced].reset_index(drop=True), [note]


def assign_splits(table, val_share, seed):
    """The split of every row: the annotations' own, or else by video.

    Videos are drawn at random for validation, but none whose classes would then be missing in training. A single video
    is divided in time: its end is for validation.

    Parameters
    ----------
    table : DataFrame
        With columns video_id, timestamp, action_id and split.
    val_share : float
        The part of the videos for validation, 0..1.
    seed : int

    Returns
    -------
    splits : ndarray (N,)
        "train" or "val".
    notes : list of str
    """
    own_splits = set(table.split)
    if own_splits == {"train", "val"}:
        return table.split.to_numpy().copy(), []
    notes = []
    if own_splits != {""}:
        notes.append(f"the split was only {', '.join(sorted(own_splits - {''}))}: videos were divided again")
    video_ids = sorted(table.video_id.unique())
    if len(video_ids) == 1:
        timestamps = np.unique(table.timestamp)
        # At least one keyframe lies on either side of the border, if there are two.
        index = int(len(timestamps) * (1 - val_share))
        border_s = timestamps[min(max(index, 1), len(timestamps) - 1)]
        notes.append(f"one video: from second {border_s:g} on it is for validation; clips near the border overlap")
        return np.where(table.timestamp < border_s, "train", "val"), notes

    val_videos = _draw_val_videos(table, video_ids, val_share, seed)
    if not val_videos:
        val_videos = {video_ids[-1]}
        notes.append("every video has a class that no other has: the last one is for validation anyway")
    notes.append(f"{len(val_videos)} of {len(video_ids)} videos are for validation, chosen by seed {seed}")
    return np.where(table.video_id.isin(val_videos), "val", "train"), notes


def _draw_val_videos(table, video_ids, val_share, seed):
    """Videos for validation, at random; all their classes occur in the other videos too."""
    n_val = max(1, round(val_share * len(video_ids)))
    # {video_id: set of its actions}
    classes = table.groupby("video_id").action_id.agg(set)
    val_videos = set()
    for video_id in np.random.default_rng(seed).permutation(video_ids):
        # What would be left for training if this video went to val too.
        train_videos = [other for other in video_ids if other not in val_videos and other != video_id]
        train_classes = set().union(*(classes[other] for other in train_videos))
        if len(val_videos) < n_val and classes[video_id] <= train_classes:
            val_videos.add(video_id)
    return val_videos
