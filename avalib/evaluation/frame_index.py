"""Ground truth and detections side by side: keyframes numbered across both tables, actions as label-map indices."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import format_location
from avalib.data.label_map import load_label_map
from avalib.data.labels import get_action_names, get_evaluated_actions
from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION, NO_PERSON
from avalib.evaluation.protocols import Protocol
from avalib.evaluation.row_groups import find_run_starts, number_frames
from avalib.utils.plurals import format_count

NOT_EVALUATED = -1  # class_index of an action outside the label map
_TUPLE_COLUMNS = ("action_id", "y1", "x1", "y2", "x2")  # what the original evaluators hold after the score


def resolve_label_map(label_map: str | Path | dict | pd.DataFrame | None) -> dict:
    """{action_id: name} of the evaluated actions, by id: AVA's 60 for None, else what `load_label_map` reads."""
    return get_evaluated_actions() if label_map is None else dict(sorted(load_label_map(label_map).items()))


def check_thresholds(iou: float | Sequence[float]) -> tuple[float, ...]:
    """IoU thresholds as a tuple of floats in 0..1; ValueError for others, and for an empty list."""
    try:
        thresholds = tuple(float(t) for t in np.atleast_1d(iou))
    except (TypeError, ValueError):
        thresholds = ()
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise ValueError(f"iou {iou!r}: expected an IoU threshold in 0..1, or several")
    return thresholds


def note_unknown_labels(label_map, gt, det):
    """Notes on rows of actions outside the label map, and on a label map of 80 actions, which changes the mAP."""
    notes = []
    names = get_action_names()
    if set(names) <= set(label_map) and names.items() & label_map.items():
        notes.append(
            "the label map has all 80 actions; AVA's mAP is over the 60 of ..._for_activitynet_2018/2019.pbtxt: this "
            "figure can't be compared with published ones (leave label_map out, or give that file)"
        )
        warnings.warn(notes[0], UserWarning, stacklevel=4)
    for kind, table in (("ground-truth", gt), ("detection", det)):
        # rows per action id; all ids beyond the label map count as one
        counts = np.bincount(np.clip(table["action_id"].to_numpy(), NO_ACTION, max(label_map) + 1))
        counts[[i for i in (NO_ACTION, *label_map) if i < len(counts)]] = 0
        if counts.any():
            notes.append(f"{format_count(counts.sum(), f'{kind} row')} of actions outside the label map left out")
    return notes


@dataclass(frozen=True)
class IndexedTable:
    """A table with each row's frame, video and action as numbers; arrays (N,)."""

    table: pd.DataFrame
    frame: np.ndarray  # frame number, 0..n_frames-1
    video: np.ndarray  # video number, 0..n_videos-1
    class_index: np.ndarray  # index into the label map, or NOT_EVALUATED
    score: np.ndarray  # the original evaluators read the ground truth's person id as its score (1.0 without one)

    @cached_property
    def _tuple_columns(self):
        return [self.table[column].to_numpy() for column in _TUPLE_COLUMNS]

    def get_boxes(self, rows):
        """Boxes (N,4) float64 of some rows."""
        return get_boxes(self.table, rows)

    def to_tuples(self, rows):
        """(score, action, y1, x1, y2, x2) of some rows: a list of tuples as the original evaluators hold them."""
        columns = [column[rows].tolist() for column in self._tuple_columns]
        return list(zip(self.score[rows].tolist(), *columns, strict=True))


@dataclass(frozen=True)
class FrameIndex:
    """Both tables with frames and videos numbered alike; masks (n_frames,) over the frames."""

    gt: IndexedTable
    det: IndexedTable
    n_frames: int
    n_videos: int
    n_classes: int
    excluded: np.ndarray  # frames in the list of excluded seconds
    has_ground_truth: np.ndarray  # frames with a ground-truth row of any action
    has_detections: np.ndarray  # frames with a detection of any action

    def find_evaluated_frames(self, gt_rows):
        """Mask (n_frames,) of the frames of some ground-truth rows."""
        return _mark(self.n_frames, self.gt.frame[gt_rows])

    def count_coverage(self):
        """The number of videos and keyframes with ground truth, and of those keyframes without detections."""
        return {
            "videos": len(np.unique(self.gt.video)),
            "keyframes": int(self.has_ground_truth.sum()),
            "keyframes_without_detections": int((self.has_ground_truth & ~self.has_detections).sum()),
        }


def build_frame_index(
    gt: pd.DataFrame,
    det: pd.DataFrame,
    exclusions: pd.DataFrame | None,
    label_map: dict,
    protocol_name: str,
    rules: Protocol,
) -> FrameIndex:
    """Number the frames of ground truth and detections.

    Parameters
    ----------
    gt, det : DataFrame
        As `ava_csv.load_ava_table` gives them.
    exclusions : DataFrame or None
        Excluded seconds, as `read_exclusions` gives them.
    label_map : dict
        {action_id: name} of the evaluated actions.
    protocol_name : str
        For messages.
    rules : Protocol

    Returns
    -------
    FrameIndex

    Raises
    ------
    ValueError
        If the protocol's evaluator refuses the tables, or if they have no keyframe in common.
    """
    check_tables(gt, det, exclusions, protocol_name, rules)
    tables = [gt, det] if exclusions is None else [gt, det, exclusions]

    # videos of all tables in one list, so that each has one number
    categories = [table["video_id"].astype("category").array for table in tables]
    videos = pd.Index([]).append([category.categories.astype(object) for category in categories]).unique()

    # a frame's rows usually stand together: number the runs of equal frames, then repeat the number for each row
    runs = [find_frame_runs(table, c, videos, rules) for table, c in zip(tables, categories, strict=True)]
    run_numbers, n_frames = number_frames(*[run.key for run in runs])
    frames = [np.repeat(number, run.length) for number, run in zip(run_numbers, runs, strict=True)]

    has_ground_truth = _mark(n_frames, frames[0])
    has_detections = _mark(n_frames, frames[1])
    if len(gt) and len(det) and not (has_ground_truth & has_detections).any():
        raise _build_no_common_keyframe_error(gt, det)

    # what the original evaluators sort by: the 8th column of either table
    person = gt["person_id"].to_numpy()
    gt_score = np.where(person == NO_PERSON, 1.0, person)
    return FrameIndex(
        gt=_index_table(gt, frames[0], runs[0], label_map, score=gt_score),
        det=_index_table(det, frames[1], runs[1], label_map, score=det["score"].to_numpy()),
        n_frames=n_frames,
        n_videos=len(videos),
        n_classes=len(label_map),
        excluded=_mark(n_frames, *frames[2:]),
        has_ground_truth=has_ground_truth,
        has_detections=has_detections,
    )


def _index_table(table, frame, runs, label_map, score):
    """The `IndexedTable` of a table, from the frame (N,) and the score (N,) of its rows and its `FrameRuns`."""
    # index in the label map of each action id; the last element is for all larger ids
    class_of_action = np.full(max(label_map) + 2, NOT_EVALUATED, np.int16)
    class_of_action[list(label_map)] = np.arange(len(label_map))
    return IndexedTable(
        table=table,
        frame=frame,
        video=np.repeat(runs.video, runs.length),
        class_index=class_of_action.take(table["action_id"].to_numpy(), mode="clip"),
        score=score,
    )


def check_tables(gt, det, exclusions, protocol_name, rules: Protocol):
    """Raise ValueError for rows that the protocol's evaluator does not read, and for inverted ground-truth boxes."""
    # seconds and columns of either table
    for table in (gt, det):
        decimal = table.attrs["decimal"]
        if rules.seconds == "whole" and decimal:
            row, text = decimal
            raise ValueError(
                f"{format_location(table, row)}, column timestamp, value {text!r}: protocol {protocol_name} reads "
                'whole seconds (902 or 0902); write them so, or use protocol "activitynet" or "frame"'
            )
        empty = table["x1"].isna().to_numpy()
        if empty.any() and 2 not in rules.columns:
            raise ValueError(
                f"{format_location(table, int(empty.argmax()))}: a row of two columns; "
                f"protocol {protocol_name} takes {rules.columns}"
            )
    if exclusions is not None and rules.seconds == "whole":
        seconds = exclusions["timestamp"]
        fraction = (seconds % 1 != 0).to_numpy()
        if fraction.any():
            row = int(fraction.argmax())
            raise ValueError(
                f"{format_location(exclusions, row)}: excluded second {seconds.iloc[row]}: "
                f"protocol {protocol_name} reads whole seconds"
            )
    # boxes of the ground truth, scores of the detections
    inverted = ((gt["x2"] < gt["x1"]) | (gt["y2"] < gt["y1"])).to_numpy()
    if inverted.any():
        row = int(inverted.argmax())
        raise ValueError(
            f"{format_location(gt, row)}, box {get_boxes(gt, [row])[0].tolist()}: x2 < x1 or y2 < y1 in ground "
            "truth, which nothing can overlap; avalib.lint_csv lists such rows"
        )
    if not det.attrs["has_last"] and 7 not in rules.columns:
        raise ValueError(f"{det.attrs['source']}: no score (8th column); protocol {protocol_name} needs one")


def _build_no_common_keyframe_error(gt, det):
    gt_key, det_key = (f"{table['video_id'].iloc[0]},{table['timestamp'].iloc[0]:g}" for table in (gt, det))
    return ValueError(
        f"ground truth ({gt.attrs['source']}) and detections ({det.attrs['source']}) share no keyframe: the first has "
        f"{gt_key!r}, the second {det_key!r}; are they of the same videos, with the same names and seconds?"
    )


@dataclass(frozen=True)
class FrameRuns:
    """The runs of neighboring rows of one frame; millions of rows are a few thousand runs. Arrays (R,)."""

    key: np.ndarray  # int64, equal for equal frames of all tables
    video: np.ndarray  # int32 video number
    length: np.ndarray  # rows of the run


def find_frame_runs(table, video_categories, videos, rules):
    """The `FrameRuns` of a table. video_categories: its video ids as a categorical; videos: all tables' videos."""
    # runs of rows with equal video and second
    seconds = table["timestamp"].to_numpy()
    start = find_run_starts(video_categories.codes, seconds)
    length = np.diff(np.r_[start, len(seconds)])
    if not len(start):
        return FrameRuns(key=np.zeros(0, np.int64), video=np.zeros(0, np.int32), length=length)
    video = videos.get_indexer(video_categories.categories)[video_categories.codes[start]]

    # the key's lower 42 bits are the time (whole seconds or microseconds, signed), the upper ones the video
    ticks = seconds[start] if rules.seconds == "whole" else np.rint(seconds[start] * 1e6)
    if max(ticks.max(), -ticks.min()) >= 2**40:
        run = int(np.abs(ticks).argmax())
        most = 2**40 if rules.seconds == "whole" else 2**40 // 10**6
        raise ValueError(
            f"{format_location(table, int(start[run]))}, column timestamp, value {seconds[start[run]]:g}: "
            f"expected seconds, up to {most:,}"
        )
    key = np.left_shift(video, 42, dtype=np.int64) + ticks.astype(np.int64)
    return FrameRuns(key=key, video=video.astype(np.int32), length=length)


def get_boxes(table, rows):
    """Boxes (N,4) float64 of some rows of a table."""
    return np.stack([table[column].to_numpy()[rows] for column in BOX_COLUMNS], axis=1)


def _mark(size, *indices):
    """Mask (size,) that is True at the indices."""
    mask = np.zeros(size, bool)
    for index in indices:
        mask[index] = True
    return mask
