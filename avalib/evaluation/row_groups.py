"""Array code that groups rows: runs of equal neighbors, frame numbers, the rows of a frame, distinct boxes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.row_checks import KEYFRAME_COLUMNS

_LARGEST_LOOKUP = 1 << 28  # bytes


def find_run_starts(*columns):
    """The first row of each run of equal neighbors in some columns (N,): rising indices, beginning with 0."""
    is_start = np.ones(len(columns[0]), bool)
    if len(is_start):
        is_start[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            is_start[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_start)


def rank_within_run(values):
    """0, 1, 2, … inside each run of equal neighbors (N,)."""
    start = find_run_starts(values)
    length = np.diff(np.r_[start, len(values)])
    return np.arange(len(values)) - np.repeat(start, length)


def number_frames(*keys):
    """Dense frame numbers for several arrays of int64 keys, in the order of first appearance over all arrays.

    Returns a list of int32 arrays, one for each array of keys, and the number of frames.
    """
    # a frame's rows usually stand together, so each run of equal keys is looked up once
    starts = [find_run_starts(key) for key in keys]
    run_keys = [key[start] for key, start in zip(keys, starts, strict=True)]
    run_numbers = pd.factorize(np.concatenate(run_keys))[0].astype(np.int32)
    n_frames = int(run_numbers.max(initial=-1)) + 1

    # split the numbers by array, then repeat each for the rows of its run
    ends = np.cumsum([len(start) for start in starts])
    parts = np.split(run_numbers, ends[:-1])
    lengths = [np.diff(np.r_[start, len(key)]) for key, start in zip(keys, starts, strict=True)]
    numbers = [np.repeat(part, length) for part, length in zip(parts, lengths, strict=True)]
    return numbers, n_frames


@dataclass(frozen=True)
class RowsByFrame:
    """Rows grouped by frame, in file order inside a frame."""

    order: np.ndarray  # (N,) row numbers, frame by frame
    start: np.ndarray  # (n_frames,) where a frame's rows begin in `order`
    count: np.ndarray  # (n_frames,) rows of a frame

    def get_rows(self, frame):
        """The row numbers of one frame."""
        return self.order[self.start[frame] : self.start[frame] + self.count[frame]]


def group_rows_by_frame(frame, n_frames):
    """The `RowsByFrame` of some rows' frame numbers (N,)."""
    count = np.bincount(frame, minlength=n_frames)
    is_sorted = len(frame) < 2 or (frame[1:] >= frame[:-1]).all()
    order = np.arange(len(frame)) if is_sorted else np.argsort(frame, kind="stable")
    return RowsByFrame(order=order, start=np.cumsum(count) - count, count=count)


def number_boxes(frame, boxes):
    """Number the distinct boxes of all frames.

    Parameters
    ----------
    frame : (N,) int
    boxes : (N,4) float

    Returns
    -------
    (N,) int
        The number of each row's box, by first appearance. Equal boxes of two frames are two.
    (B,) int
        The first row of each distinct box.
    """
    x1, y1, x2, y2 = boxes.T
    keys = [pd.Series(key) for key in (frame, x1, y1, x2, y2)]
    number = pd.concat(keys, axis=1).groupby(list(range(5)), sort=False, dropna=False).ngroup().to_numpy()
    # writing from the last row to the first leaves each box's first row
    first_row = np.empty(number.max(initial=-1) + 1, int)
    first_row[number[::-1]] = np.arange(len(number))[::-1]
    return number, first_row


def drop_keyframes(table: pd.DataFrame, keyframes: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table outside some keyframes, both with video_id and timestamp; rows are numbered anew."""
    dropped = pd.MultiIndex.from_frame(keyframes[KEYFRAME_COLUMNS])
    is_dropped = pd.MultiIndex.from_frame(table[KEYFRAME_COLUMNS]).isin(dropped)
    return table[~is_dropped].reset_index(drop=True)


def is_in(values, elements, n_values):
    """Mask (N,) of the values (N,) that are among the elements; both are whole numbers below n_values."""
    if n_values > _LARGEST_LOOKUP:
        return np.isin(values, elements)
    lookup = np.zeros(n_values, bool)
    lookup[elements] = True
    return lookup[values]
