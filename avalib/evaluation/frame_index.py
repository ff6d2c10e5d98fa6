"""Ground truth and detections side by side: keyframes numbered across both, actions as indices of the label map."""

import warnings

import numpy as np
import pandas as pd

from avalib.data.ava_csv import format_location
from avalib.data.label_map import load_label_map
from avalib.data.labels import get_action_names, get_evaluated_actions
from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION, NO_PERSON
from avalib.evaluation.matching import find_run_starts, number_frames


def resolve_label_map(label_map):
    """{action_id: name} of the actions that count, by id: AVA's 60 for None, else what `load_label_map` reads."""
    return get_evaluated_actions() if label_map is None else dict(sorted(load_label_map(label_map).items()))


def check_thresholds(iou):
    """IoU thresholds as a tuple of floats in 0..1; ValueError for others, and for none."""
    try:
        thresholds = tuple(float(t) for t in np.atleast_1d(iou))
    except (TypeError, ValueError):
        thresholds = ()
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise ValueError(f"iou {iou!r}: expected an IoU threshold in 0..1, or several")
    return thresholds


def note_unknown_labels(label_map, gt, det):
    """What is dropped because its action doesn't count, and the mistake that has cost people 6 points of mAP."""
    notes = []
    if set(get_action_names()) <= set(label_map) and get_action_names().items() & label_map.items():
        notes.append(
            "the label map has all 80 actions; AVA's mAP is over the 60 of ..._for_activitynet_2018/2019.pbtxt: this "
            "figure can't be compared with published ones (leave label_map out, or give that file)"
        )
        warnings.warn(notes[0], UserWarning, stacklevel=4)
    for kind, table in (("ground-truth", gt), ("detection", det)):
        counts = np.bincount(np.clip(table["action_id"].to_numpy(), NO_ACTION, max(label_map) + 1))
        counts[[i for i in (NO_ACTION, *label_map) if i < len(counts)]] = 0
        if counts.any():
            notes.append(f"{counts.sum():,} {kind} rows of actions outside the label map left out")
    return notes


class FrameIndex:
    """Both files' rows with their frames numbered and their actions as indices of the label map (-1: doesn't count)."""

    def __init__(self, gt, det, exclusions, label_map, name, rules):
        self.gt, self.det, self.n_classes = gt, det, len(label_map)
        _check(gt, det, exclusions, name, rules)
        tables = [table for table in (gt, det, exclusions) if table is not None]
        cats = [table["video_id"].astype("category").array for table in tables]
        self.videos = pd.Index([]).append([c.categories.astype(object) for c in cats]).unique()
        runs = [_runs(table, c, self.videos, rules) for table, c in zip(tables, cats, strict=True)]
        keys, videos, counts = zip(*runs, strict=True)
        numbers, self.n_frames = number_frames(*keys)
        self.gt_frame, self.det_frame, *rest = map(np.repeat, numbers, counts)
        self.gt_video, self.det_video = map(np.repeat, videos[:2], counts[:2])
        self.excluded, self.listed, detected = (np.zeros(self.n_frames, bool) for _ in range(3))
        if rest:
            self.excluded[rest[0]] = True
        self.listed[self.gt_frame] = True
        detected[self.det_frame] = True
        self.missed = int((self.listed & ~detected).sum())
        if len(gt) and len(det) and not (self.listed & detected).any():
            key = [f"{t['video_id'].iloc[0]},{t['timestamp'].iloc[0]:g}" for t in (gt, det)]
            files = f"ground truth ({gt.attrs['source']}) and detections ({det.attrs['source']})"
            raise ValueError(
                f"{files} share no keyframe: the first has {key[0]!r}, the second {key[1]!r}; are they of the same "
                "videos, with the same names and seconds?"
            )
        size = max(label_map) + 2  # index of the ids beyond the label map
        classes = np.full(size, -1, np.int16)
        classes[list(label_map)] = np.arange(len(label_map))
        self.gt_class, self.det_class = (
            classes.take(table["action_id"].to_numpy(), mode="clip") for table in (gt, det)
        )
        person = gt["person_id"].to_numpy()
        ordered = ("action_id", "y1", "x1", "y2", "x2")
        self.gt_columns, self.det_columns = ([table[c].to_numpy() for c in ordered] for table in (gt, det))
        self.gt_score = np.where(person == NO_PERSON, 1.0, person)  # the originals read person ids as scores
        self.det_score = det["score"].to_numpy()

    def coverage(self):
        return {
            "videos": len(np.unique(self.gt_video)),
            "keyframes": int(self.listed.sum()),
            "keyframes_without_detections": self.missed,
        }

    def gt_tuples(self, rows):
        return self._tuples(self.gt_score, self.gt_columns, rows)

    def det_tuples(self, rows):
        return self._tuples(self.det_score, self.det_columns, rows)

    @staticmethod
    def _tuples(score, columns, rows):
        """(score, action, y1, x1, y2, x2) of some rows, as the originals hold them."""
        return list(zip(score[rows].tolist(), *(c[rows].tolist() for c in columns), strict=True))


def _check(gt, det, exclusions, name, rules):
    """Raise for what the protocol's evaluator doesn't read, and for ground truth that can't be met."""
    for table in (gt, det):
        decimal = table.attrs["decimal"]
        if rules.seconds == "whole" and decimal:
            raise ValueError(
                f"{format_location(table, decimal[0])}, column timestamp, value {decimal[1]!r}: protocol {name} reads whole "
                'seconds (902 or 0902); write them so, or use protocol "activitynet" or "frame"'
            )
        empty = table["x1"].isna().to_numpy()
        if empty.any() and 2 not in rules.columns:
            raise ValueError(
                f"{format_location(table, int(empty.argmax()))}: a row of two columns; protocol {name} takes {rules.columns}"
            )
    if exclusions is not None and rules.seconds == "whole":
        seconds = exclusions["timestamp"]
        if (fraction := (seconds % 1 != 0).to_numpy()).any():
            row = int(fraction.argmax())
            raise ValueError(
                f"{format_location(exclusions, row)}: excluded second {seconds.iloc[row]}: protocol {name} reads whole seconds"
            )
    inverted = ((gt["x2"] < gt["x1"]) | (gt["y2"] < gt["y1"])).to_numpy()
    if inverted.any():
        row = int(inverted.argmax())
        raise ValueError(
            f"{format_location(gt, row)}, box {get_boxes(gt, [row])[0].tolist()}: x2 < x1 or y2 < y1 in ground "
            "truth, which nothing can overlap; avalib.lint_csv lists such rows"
        )
    if not det.attrs["has_last"] and 7 not in rules.columns:
        raise ValueError(f"{det.attrs['source']}: no score (8th column); protocol {name} needs one")


def _runs(table, cats, videos, rules):
    """(keys, videos, counts) of the runs of rows of one frame: a frame's rows usually stand together, so that millions
    of them are a few thousand runs."""
    seconds = table["timestamp"].to_numpy()
    start = find_run_starts(cats.codes, seconds)
    video = videos.get_indexer(cats.categories)[cats.codes[start]] if len(start) else np.zeros(0, int)
    return _keys(table, start, video, rules), video.astype(np.int32), np.diff(np.r_[start, len(seconds)])


def _keys(table, rows, video, rules):
    """A number (int64) for the frame of each of some rows; video (N,): the numbers of their videos."""
    seconds = table["timestamp"].to_numpy()[rows]
    ticks = seconds if rules.seconds == "whole" else np.rint(seconds * 1e6)
    if len(ticks) and max(ticks.max(), -ticks.min()) >= 2**40:
        row = int(np.abs(ticks).argmax())
        most = 2**40 if rules.seconds == "whole" else 2**40 // 10**6
        raise ValueError(
            f"{format_location(table, int(rows[row]))}, column timestamp, value {seconds[row]:g}: expected seconds, up to "
            f"{most:,}"
        )
    return np.left_shift(video, 42, dtype=np.int64) + ticks.astype(np.int64)


def get_boxes(table, rows):
    """Boxes (N,4) float64 of some rows."""
    return np.stack([table[column].to_numpy()[rows] for column in BOX_COLUMNS], axis=1)
