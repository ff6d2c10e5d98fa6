"""Array code of the evaluators: which rows of a frame enter, in which order, and which ground truth each one matches.

Rows are addressed by number. `frame` (N,) holds each row's frame number; rows of one frame need not be neighbors.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from avalib.evaluation.row_groups import group_rows_by_frame, rank_within_run
from avalib.utils.boxes import compute_iou_pairs
from avalib.utils.limits import MAX_PAIRS

PAIRS_PER_BLOCK = 1 << 20  # pairs of boxes compared at once, about 150 bytes each


# --- the best rows of a frame, and their order ------------------------------------------------------------------------


def find_kth_largest(values, rows_by_frame, k):
    """The k-th largest value of each frame with more than k rows, -inf for the others: (n_frames,)."""
    count = rows_by_frame.count
    kth = np.full(len(count), -np.inf)
    # the frames of one size make a matrix (frames, size)
    for size in np.unique(count[count > k]):
        frames = np.flatnonzero(count == size)
        matrix = values[rows_by_frame.order[rows_by_frame.start[frames, None] + np.arange(size)]]
        kth[frames] = np.partition(matrix, size - k, axis=1)[:, size - k]
    return kth


def keep_top_per_frame(frame, n_frames, score, tie_keys, cap):
    """Mask (N,) of the rows that remain in a heap of `cap` rows per frame, ordered by (score, *tie_keys).

    Source: the official evaluator, which replaces the smallest row of a full heap by a row with a higher score. The
    same in closed form: t is the frame's cap-th largest score. Rows above t stay. Of the first `cap` rows with a score
    of at least t, those equal to t fill the remaining places, largest tie keys first.
    """
    rows_by_frame = group_rows_by_frame(frame, n_frames)
    threshold = find_kth_largest(score, rows_by_frame, cap)
    keep = np.ones(len(frame), bool)

    # rows of the frames with more than `cap` rows, frame by frame
    rows = rows_by_frame.order
    rows = rows[np.isfinite(threshold)[frame[rows]]]
    keep[rows] = False

    # rows above the threshold stay
    rows = rows[score[rows] >= threshold[frame[rows]]]
    is_above = score[rows] > threshold[frame[rows]]
    keep[rows[is_above]] = True

    # rows equal to the threshold that enter the heap before it is full; they stay where all of them fit
    equal = rows[(rank_within_run(frame[rows]) < cap) & ~is_above]
    n_free = cap - np.bincount(frame[rows[is_above]], minlength=n_frames)
    all_fit = np.bincount(frame[equal], minlength=n_frames) <= n_free
    keep[equal[all_fit[frame[equal]]]] = True

    # in the other frames those with the largest tie keys stay
    equal = equal[~all_fit[frame[equal]]]
    falling_keys = [-key[equal] for key in reversed(tie_keys)]
    equal = equal[np.lexsort([*falling_keys, frame[equal]])]
    keep[equal[rank_within_run(frame[equal]) < n_free[frame[equal]]]] = True
    return keep


def select_heap_order(rows, cap=0):
    """A frame's tuples (score, action, y1, x1, y2, x2) in the order in which the original evaluators list them.

    The originals push the rows on a heap in file order (replacing the smallest when `cap` rows are in it), then sort
    the heap's array stably by falling score.
    """
    heap = []
    for row in rows:
        if not cap or len(heap) < cap:
            heapq.heappush(heap, row)
        elif row[0] > heap[0][0]:
            heapq.heapreplace(heap, row)
    return sorted(heap, key=itemgetter(0), reverse=True)


def select_score_order(rows):
    """A frame's tuples (score, …) by falling score; equal scores stay in file order."""
    return sorted(rows, key=itemgetter(0), reverse=True)


def restore_original_order(position, frames, rows_by_frame, to_tuples, select_order):
    """Put the rows of some frames in an original evaluator's order, by changing `position` (N,) in place.

    This is slow, and meant for the frames in which the order of equal rows can change a result.

    Parameters
    ----------
    position : (N,) int
        The place of each row in the list of all rows.
    frames : array of int
        The frames to reorder; repetitions are allowed.
    rows_by_frame : RowsByFrame
    to_tuples : callable
        Row numbers -> list of tuples (score, action, y1, x1, y2, x2).
    select_order : callable
        A frame's tuples in file order -> the tuples in list order; it may leave some out.
    """
    for frame in np.unique(frames):
        rows = rows_by_frame.get_rows(frame)
        tuples = to_tuples(rows)
        # the rows of each distinct tuple, the last one first; equal tuples are interchangeable
        rows_of_tuple = defaultdict(list)
        for row, item in zip(reversed(rows.tolist()), reversed(tuples), strict=True):
            rows_of_tuple[item].append(row)
        ordered_rows = [rows_of_tuple[item].pop() for item in select_order(tuples)]
        position[ordered_rows] = np.sort(position[rows])[: len(ordered_rows)]


# --- matching boxes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairBlock:
    """Some of the pairs with equal keys on the left and on the right."""

    rows: slice  # the left elements of this block
    left: np.ndarray  # (P,) index on the left, rising
    right: np.ndarray  # (P,) index on the right, rising for each left element
    count: np.ndarray  # pairs of each left element of `rows`


def iter_pair_blocks(left_keys, right_keys, block_size=PAIRS_PER_BLOCK):
    """Yield all pairs (i, j) with left_keys[i] == right_keys[j] in blocks of bounded size.

    right_keys is sorted. Left elements without a pair may be left out. Raises ValueError for more pairs than
    limits.MAX_PAIRS.
    """
    first = np.searchsorted(right_keys, left_keys, "left")
    count = np.searchsorted(right_keys, left_keys, "right") - first
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    if total > MAX_PAIRS:
        raise ValueError(
            f"{total:,} pairs of boxes to compare, the limit (MAX_PAIRS) is {MAX_PAIRS:,}: up to "
            f"{count.max():,} boxes in one frame. Are the rows of many frames in one?"
        )
    # edges between blocks: a block ends with the left element that fills it
    full = np.searchsorted(ends, np.arange(block_size, total, block_size)) + 1
    edges = [0, *full, len(left_keys)]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        if stop > start:
            counts = count[start:stop]
            left = np.repeat(np.arange(start, stop), counts)
            # 0, 1, 2, … for each left element, added to its first partner
            rank = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
            right = np.repeat(first[start:stop], counts) + rank
            yield PairBlock(rows=slice(start, stop), left=left, right=right, count=counts)


@dataclass(frozen=True)
class BestMatches:
    """For each detection the ground truth that it overlaps most; arrays (N,)."""

    target: np.ndarray  # index of the ground truth
    iou: np.ndarray
    is_tied: np.ndarray  # whether it overlaps two different boxes equally


def find_best_matches(group, boxes, gt_group, gt_boxes, gt_position):
    """For each detection the ground truth of its group (frame and action) with the highest IoU, the first of equals.

    Parameters
    ----------
    group : (N,) int
        The detections' groups; each has at least one ground truth.
    boxes : (N,4) float
    gt_group : (M,) int
    gt_boxes : (M,4) float
    gt_position : (M,) int
        The order of the ground truths; of equal IoUs the first one wins.

    Returns
    -------
    BestMatches
    """
    gt_order = np.lexsort((gt_position, gt_group))
    target = np.zeros(len(group), int)
    best_iou = np.zeros(len(group))
    is_tied = np.zeros(len(group), bool)
    for block in iter_pair_blocks(group, gt_group[gt_order]):
        pair_gt = gt_order[block.right]
        iou = compute_iou_pairs(boxes[block.left], gt_boxes[pair_gt])

        # the highest IoU of each detection; its pairs are neighbors
        first_pair = np.cumsum(block.count) - block.count
        best_iou[block.rows] = np.maximum.reduceat(iou, first_pair)

        # the first pair that has it
        is_best = iou == best_iou[block.left]
        pair_number = np.where(is_best, np.arange(len(iou)), len(iou))
        best_gt = pair_gt[np.minimum.reduceat(pair_number, first_pair)]
        target[block.rows] = best_gt

        # whether another, different box has it too
        differs = (gt_boxes[pair_gt] != np.repeat(gt_boxes[best_gt], block.count, axis=0)).any(axis=1)
        is_tied[block.rows] = np.logical_or.reduceat(is_best & differs, first_pair)
    return BestMatches(target=target, iou=best_iou, is_tied=is_tied)


def mark_true_positives(target, is_hit, rank_keys):
    """Mask (N,) of true positives: the first detection of each ground truth.

    Parameters
    ----------
    target : (N,) int
        The ground truth of each detection.
    is_hit : (N,) bool
        Whether the detection overlaps it enough.
    rank_keys : sequence of (N,) arrays
        The order of the detections, most significant key first.
    """
    rows = np.flatnonzero(is_hit)
    keys = [key[rows] for key in reversed(rank_keys)]
    rows = rows[np.lexsort([*keys, target[rows]])]
    is_true = np.zeros(len(target), bool)
    is_true[rows[rank_within_run(target[rows]) == 0]] = True
    return is_true
