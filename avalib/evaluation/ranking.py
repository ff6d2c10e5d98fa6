"""One ranking of detections per action, with the true positives marked, by the rules of a protocol.

Three kinds of indices occur. A *row* is a row number of a table. A *candidate* is an index into `Candidates`, the rows
that take part. A *match* is an index into `Matches`, the candidates whose frame and action have ground truth.

The *listed* detections are the candidates that the protocol's evaluator ranks: within its cap of rows per frame, and
with a box that it accepts.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from avalib.data.ava_csv import format_location
from avalib.data.row_checks import BOX_COLUMNS
from avalib.evaluation.frame_index import NOT_EVALUATED, FrameIndex, IndexedTable, get_boxes
from avalib.evaluation.matching import (
    find_best_matches,
    keep_top_per_frame,
    mark_true_positives,
    restore_original_order,
    select_heap_order,
    select_score_order,
)
from avalib.evaluation.protocols import FALSE_POSITIVE, IGNORED, Protocol
from avalib.evaluation.row_groups import group_rows_by_frame, is_in, number_frames, rank_within_run
from avalib.utils.plurals import format_count


@dataclass(frozen=True)
class Candidates:
    """The rows of one table that take part (evaluated actions, seconds and frames), in file order; arrays (N,)."""

    source: IndexedTable
    row: np.ndarray  # row number in the table
    frame: np.ndarray  # frame number, in the order in which the protocol lists frames
    n_frames: int

    def __len__(self):
        return len(self.row)

    @property
    def class_index(self):
        """Index into the label map (N,)."""
        return self.source.class_index[self.row]

    @property
    def score(self):
        """The 8th column (N,) float64: a detection's score, a ground truth's person id."""
        return self.source.score[self.row]

    def get_boxes(self, candidates=slice(None)):
        """Boxes (n,4) of some candidates."""
        return self.source.get_boxes(self.row[candidates])

    def to_tuples(self, candidates):
        """Tuples (score, action, y1, x1, y2, x2) of some candidates."""
        return self.source.to_tuples(self.row[candidates])

    def compute_groups(self, n_classes):
        """Frame and action as one number (N,) int64; only boxes of one group can match."""
        return self.frame.astype(np.int64) * n_classes + self.class_index


@dataclass(frozen=True)
class Matches:
    """The detections whose frame and action have ground truth, and the one that each overlaps most; arrays (M,)."""

    det_index: np.ndarray  # candidate of the detections
    gt_index: np.ndarray  # candidate of the ground truth
    iou: np.ndarray
    group: np.ndarray  # frame and action as one number


@dataclass(frozen=True)
class Ranking:
    """One action's detections by falling score."""

    rows: np.ndarray  # (N,) row numbers in the table of detections
    scores: np.ndarray  # (N,)
    true: np.ndarray  # (T,N) true positives at each IoU threshold
    gt_video: np.ndarray  # (V,) ground-truth boxes in each video

    @property
    def n_gt(self):
        """The number of ground-truth boxes."""
        return int(self.gt_video.sum())


def rank_detections(index: FrameIndex, rules: Protocol, thresholds: Sequence[float], notes: list) -> list[Ranking]:
    """Match detections to ground truth and rank them by score.

    Parameters
    ----------
    index : FrameIndex
    rules : Protocol
    thresholds : tuple of float
        IoU thresholds.
    notes : list of str
        Notes on what is left out are appended.

    Returns
    -------
    list of Ranking
        One per action of the label map.
    """
    gt, det = select_candidates(index, rules, notes)
    is_listed = mark_top_detections(det, rules, notes)
    is_listed &= mark_valid_boxes(det, rules, notes)
    matches = match_detections(gt, det, is_listed, index.n_classes, rules, min(thresholds))
    original_position = order_equal_scores(det, matches, rules, min(thresholds))
    is_true = find_true_positives(det, matches, original_position, rules, thresholds)
    return build_rankings(index, gt, det, original_position, is_listed, is_true, rules)


def select_candidates(index, rules, notes):
    """The `Candidates` of the ground truth and of the detections: rows of evaluated actions, seconds and frames."""
    is_used_gt = index.gt.class_index != NOT_EVALUATED
    is_used_det = index.det.class_index != NOT_EVALUATED

    # excluded seconds
    if index.excluded.any():
        excluded_gt = index.excluded[index.gt.frame] & is_used_gt
        excluded_det = index.excluded[index.det.frame] & is_used_det
        is_used_det &= ~excluded_det
        if rules.excluded == "both":
            is_used_gt &= ~excluded_gt
        gt_fate = "left out" if rules.excluded == "both" else "still counted"
        notes.append(
            f"excluded seconds: {format_count(excluded_det.sum(), 'detection')} left out, "
            f"{format_count(excluded_gt.sum(), 'ground-truth row')} {gt_fate}"
        )

    # detections in frames without ground truth, and in frames whose ground truth is of other actions
    is_evaluated = index.find_evaluated_frames(is_used_gt)
    other_actions = index.has_ground_truth & ~is_evaluated
    for frame_mask, rule, place in (
        (~index.has_ground_truth, rules.unlisted, "in frames without ground truth"),
        (other_actions, rules.unevaluated, "in frames without ground truth of the evaluated actions"),
    ):
        affected = frame_mask[index.det.frame] & is_used_det
        if affected.any():
            is_plural = rule == FALSE_POSITIVE and affected.sum() > 1
            notes.append(f"{format_count(affected.sum(), 'detection')} {place}: {rule}{'s' if is_plural else ''}")
        if rule == IGNORED:
            is_used_det &= ~affected

    # number the frames again, in the order in which the protocol lists them
    gt_rows = np.flatnonzero(is_used_gt)
    det_rows = np.flatnonzero(is_used_det)
    gt_frame = index.gt.frame[gt_rows]
    det_frame = index.det.frame[det_rows]
    if rules.frames == "detections":
        (det_frame, gt_frame), n_frames = number_frames(det_frame, gt_frame)
    else:
        (gt_frame, det_frame), n_frames = number_frames(gt_frame, det_frame)
    gt = Candidates(source=index.gt, row=gt_rows, frame=gt_frame, n_frames=n_frames)
    det = Candidates(source=index.det, row=det_rows, frame=det_frame, n_frames=n_frames)
    return gt, det


def mark_top_detections(det, rules, notes):
    """Mask (N,) of the detections within the protocol's cap of rows per frame."""
    if not rules.cap:
        return np.ones(len(det), bool)
    tie_keys = [det.source.table[column].to_numpy()[det.row] for column in ("action_id", "y1", "x1", "y2", "x2")]
    is_top = keep_top_per_frame(det.frame, det.n_frames, det.score, tie_keys, rules.cap)
    notes.append(f"{format_count((~is_top).sum(), 'detection')} beyond the best {rules.cap} of their frame left out")
    return is_top


def mark_valid_boxes(det, rules, notes):
    """Mask (N,) of the detections whose box the protocol accepts. Raises ValueError for a box that it refuses."""
    table = det.source.table
    x1, y1, x2, y2 = (table[column].to_numpy() for column in BOX_COLUMNS)
    is_inverted = ((x2 < x1) | (y2 < y1))[det.row]
    is_flat = ((x2 == x1) | (y2 == y1))[det.row] & ~is_inverted
    if is_inverted.any() and rules.inverted == "refused":
        row = int(det.row[is_inverted.argmax()])
        raise ValueError(
            f"{format_location(table, row)}, box {get_boxes(table, [row])[0].tolist()}: x2 < x1 or "
            f"y2 < y1, which {rules.evaluator} refuses; avalib.lint_csv lists such rows"
        )
    is_dropped = (is_inverted & (rules.inverted == "dropped")) | (is_flat & (rules.flat == "dropped"))
    if is_dropped.any():
        notes.append(
            f"{format_count(is_dropped.sum(), 'detection')} with an empty or inverted box dropped; "
            "avalib.lint_csv lists them"
        )
    return ~is_dropped


@np.errstate(over="ignore")  # boxes of 1e308 in float32
def match_detections(gt, det, is_listed, n_classes, rules, min_iou):
    """The `Matches` of the listed detections."""
    # few detections share frame and action with a ground truth; the others are false positives without comparing boxes
    gt_group = gt.compute_groups(n_classes)
    det_group = det.compute_groups(n_classes)
    has_target = is_in(det_group, gt_group, n_values=gt.n_frames * n_classes)
    det_index = np.flatnonzero(has_target & is_listed)
    group = det_group[det_index]
    boxes = det.get_boxes(det_index).astype(rules.dtype)
    gt_boxes = gt.get_boxes().astype(rules.dtype)

    # the order in which equally overlapping ground truths are tried: file order, or by falling person id, which the
    # original evaluators sort as if it were a score
    original_gt_position = np.arange(len(gt))
    if rules.gt_order != "file":
        original_gt_position[np.argsort(-gt.score, kind="stable")] = np.arange(len(gt))
    best = find_best_matches(group, boxes, gt_group, gt_boxes, original_gt_position)

    # where two ground truths overlap a detection equally, the order in the original's heap decides
    is_decisive = best.is_tied & (best.iou >= min_iou)
    if is_decisive.any() and rules.gt_order == "heap":
        restore_original_order(
            original_gt_position,
            frames=gt.frame[best.target[is_decisive]],
            rows_by_frame=group_rows_by_frame(gt.frame, gt.n_frames),
            to_tuples=gt.to_tuples,
            select_order=select_heap_order,
        )
        best = find_best_matches(group, boxes, gt_group, gt_boxes, original_gt_position)
    return Matches(det_index=det_index, gt_index=best.target, iou=best.iou, group=group)


def order_equal_scores(det, matches, rules, min_iou):
    """The place (N,) of each detection in the evaluator's list: file order, except where equal scores are decisive."""
    original_position = np.arange(len(det))
    if rules.matched != "score":
        return original_position
    score = det.score[matches.det_index].astype(rules.dtype)
    is_decisive = mark_decisive_ties(matches.group, score, matches.iou >= min_iou)
    select_order = partial(select_heap_order, cap=rules.cap) if rules.order == "heap" else select_score_order
    restore_original_order(
        original_position,
        frames=det.frame[matches.det_index[is_decisive]],
        rows_by_frame=group_rows_by_frame(det.frame, det.n_frames),
        to_tuples=det.to_tuples,
        select_order=select_order,
    )
    return original_position


def mark_decisive_ties(group, score, is_hit):
    """Mask (M,) of the detections with an equal score in their frame and action, if any of these is a hit."""
    # neighbors: equal group, then equal score
    order = np.lexsort((score, group))
    # runs of equal group and score
    is_start = rank_within_run(group[order]) == 0
    is_start[1:] |= score[order][1:] != score[order][:-1]
    run = np.cumsum(is_start) - 1
    is_decisive_run = (np.bincount(run) > 1) & (np.bincount(run, is_hit[order]) > 0)
    mask = np.zeros(len(group), bool)
    mask[order] = is_decisive_run[run]
    return mask


def find_true_positives(det, matches, original_position, rules, thresholds):
    """Mask (T,N) of the detections that are true positives at each IoU threshold."""
    rank_keys = [original_position[matches.det_index]]
    if rules.matched == "score":
        rank_keys.insert(0, -det.score[matches.det_index])
    is_true = np.zeros((len(thresholds), len(det)), bool)
    for t, threshold in enumerate(thresholds):
        is_true[t, matches.det_index] = mark_true_positives(matches.gt_index, matches.iou >= threshold, rank_keys)
    return is_true


def build_rankings(index, gt, det, original_position, is_listed, is_true, rules):
    """One `Ranking` per action: its list (frames in order, positions inside), stably sorted by score and reversed."""
    # listed candidates by frame, then original position
    is_sorted = (det.frame[1:] >= det.frame[:-1]).all()
    listed = np.argsort(original_position, kind="stable") if is_sorted else np.lexsort((original_position, det.frame))
    if not is_listed.all():
        listed = listed[is_listed[listed]]

    # one list per action
    det_class = det.class_index[listed]
    listed = listed[np.argsort(det_class, kind="stable")]
    ends = np.cumsum(np.bincount(det_class, minlength=index.n_classes))
    lists = np.split(listed, ends[:-1])

    score = det.score.astype(rules.dtype)
    gt_class = gt.class_index
    gt_video = index.gt.video[gt.row]

    def rank(k):
        best_first = lists[k][np.argsort(score[lists[k]], kind="stable")[::-1]]
        return Ranking(
            rows=det.row[best_first],
            scores=score[best_first],
            true=is_true[:, best_first],
            gt_video=np.bincount(gt_video[gt_class == k], minlength=index.n_videos),
        )

    with ThreadPoolExecutor() as threads:  # numpy releases the interpreter's lock while it sorts
        return list(threads.map(rank, range(index.n_classes)))
