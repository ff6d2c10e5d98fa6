"""Array code under the evaluators: which rows of a frame count, in which order, and which ground truth each one meets.

Rows are addressed by number; `frame` (N,) numbers frames, rows of one frame need not be neighbours.
"""

import heapq
from collections import defaultdict
from operator import itemgetter

import numpy as np
import pandas as pd

from avalib.utils.limits import MAX_PAIRS

PAIRS_AT_ONCE = 1 << 20  # pairs of boxes, some 150 bytes each while they are compared


def number_frames(*keys):
    """Dense frame numbers for several arrays of int64 keys, numbered by first appearance over all of them in turn."""
    starts = [find_run_starts(key) for key in keys]  # a frame's rows usually stand together: look every run up once
    codes = pd.factorize(np.concatenate([key[start] for key, start in zip(keys, starts, strict=True)]))[0]
    parts = np.split(codes.astype(np.int32), np.cumsum([len(start) for start in starts])[:-1])
    counts = [np.diff(np.r_[start, len(key)]) for key, start in zip(keys, starts, strict=True)]
    return list(map(np.repeat, parts, counts)), int(codes.max(initial=-1)) + 1


def find_run_starts(*columns):
    """Where in the rows of some columns (N,) a run of equal neighbours begins: rising indices, 0 first."""
    new = np.ones(len(columns[0]), bool)
    if len(new):
        new[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(new)


def rank_within_run(values):
    """0, 1, 2 … inside every run of equal neighbours."""
    start = find_run_starts(values)
    return np.arange(len(values)) - np.repeat(start, np.diff(np.r_[start, len(values)]))


def sort_by_frame(frame, n_frames):
    """(order, start, count): rows sorted by frame, file order inside; a frame's rows are order[start:start+count]."""
    count = np.bincount(frame, minlength=n_frames)
    ordered = len(frame) < 2 or (frame[1:] >= frame[:-1]).all()
    order = np.arange(len(frame)) if ordered else np.argsort(frame, kind="stable")
    return order, np.cumsum(count) - count, count


def find_kth_largest(values, order, start, count, k):
    """The k-th largest value of every frame that has more than k rows, -inf for the others: (n_frames,)."""
    kth = np.full(len(count), -np.inf)
    for size in np.unique(count[count > k]):  # frames of one size make one matrix
        frames = np.flatnonzero(count == size)
        matrix = values[order[start[frames, None] + np.arange(size)]]
        kth[frames] = np.partition(matrix, size - k, axis=1)[:, size - k]
    return kth


def keep_top_per_frame(frame, n_frames, score, tie_keys, cap):
    """Mask of the rows that survive a cap per frame kept by a min-heap on (score, *tie_keys).

    Closed form: t is the frame's cap-th largest score; of the first `cap` rows in file order with score >= t those
    equal to t leave, smallest tie keys first, until with all rows above t `cap` remain. Source: the official evaluator.
    """
    order, start, count = sort_by_frame(frame, n_frames)
    kth = find_kth_largest(score, order, start, count, cap)
    rows = order[np.isfinite(kth)[frame[order]]]  # those in crowded frames, frame by frame
    keep = np.ones(len(frame), bool)
    keep[rows] = False
    rows = rows[score[rows] >= kth[frame[rows]]]
    above = score[rows] > kth[frame[rows]]
    keep[rows[above]] = True
    first = rows[(rank_within_run(frame[rows]) < cap) & ~above]
    room = cap - np.bincount(frame[rows[above]], minlength=n_frames)
    enough = np.bincount(frame[first], minlength=n_frames) <= room
    keep[first[enough[frame[first]]]] = True
    first = first[~enough[frame[first]]]
    first = first[np.lexsort([-key[first] for key in tie_keys[::-1]] + [frame[first]])]
    keep[first[rank_within_run(frame[first]) < room[frame[first]]]] = True
    return keep


def select_heap_order(rows, cap=0):
    """A frame's tuples (score, action, y1, x1, y2, x2) as the original evaluators hold them: pushed on a heap in file
    order (the smallest replaced once `cap` are held), then the heap's array stably sorted by falling score."""
    heap = []
    for row in rows:
        if not cap or len(heap) < cap:
            heapq.heappush(heap, row)
        elif row[0] > heap[0][0]:
            heapq.heapreplace(heap, row)
    return sorted(heap, key=itemgetter(0), reverse=True)


def restore_original_order(position, frames, frame, n_frames, tuples_of, make_list):
    """Put the rows of some frames in the order an original evaluator's list has, by rewriting `position` (N,) in place.

    Only frames where the order of equals can change a result are worth it. tuples_of: row numbers -> their tuples
    (score, action, y1, x1, y2, x2); make_list: a frame's tuples in file order -> in list order (some may be gone).
    """
    order, start, count = sort_by_frame(frame, n_frames)
    for f in np.unique(frames):
        rows = order[start[f] : start[f] + count[f]]
        tuples = tuples_of(rows)
        waiting = defaultdict(list)  # equal tuples are interchangeable
        for row, item in zip(rows.tolist()[::-1], tuples[::-1], strict=True):
            waiting[item].append(row)
        listed = [waiting[item].pop() for item in make_list(tuples)]
        position[listed] = np.sort(position[rows])[: len(listed)]


@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def compute_iou_pairs(a, b):
    """IoU (N,) of boxes a[i] and b[i], (N,4) each, in the originals' arithmetic: differences and areas in the arrays'
    own precision, intersection and quotient in float64, no +1, no clipping; 0 where both areas are 0, or too large for
    a number (boxes of 1e308)."""
    side_x = np.maximum(np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0]), 0)
    side_y = np.maximum(np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1]), 0)
    inter = side_x.astype(np.float64) * side_y
    areas = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return np.nan_to_num(inter / (areas - inter), nan=0.0, posinf=0.0, neginf=0.0)


def expand_pairs(left, right, part=PAIRS_AT_ONCE):
    """All pairs (i, j) with left[i] == right[j], right sorted, a part at a time, so that memory stays bounded.

    Yields (rows, i, j, number): rows, the slice of `left` that a part is about; i (N,) ascending, j (N,) ascending for
    each i; number, the pairs of each row. Rows without a pair may be left out.

    Raises ValueError for more than limits.MAX_PAIRS pairs.
    """
    first = np.searchsorted(right, left, "left")
    number = np.searchsorted(right, left, "right") - first
    ends = np.cumsum(number)
    total = int(ends[-1]) if len(ends) else 0
    if total > MAX_PAIRS:
        raise ValueError(
            f"{total:,} pairs of boxes to compare, the limit (MAX_PAIRS) is {MAX_PAIRS:,}: up to "
            f"{number.max():,} boxes in one frame. Are the rows of many frames in one?"
        )
    edges = [0, *(np.searchsorted(ends, np.arange(part, total, part)) + 1), len(left)]
    for start, stop in zip(edges, edges[1:], strict=False):
        if stop > start:
            counts = number[start:stop]
            i = np.repeat(np.arange(start, stop), counts)
            j = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first[start:stop], counts)
            yield slice(start, stop), i, j, counts


def find_best_match(group, boxes, gt_group, gt_boxes, gt_position):
    """For every detection the ground truth of its group (frame and action) that it overlaps most, the first of equals.

    group (N,), boxes (N,4), gt_group (M,), gt_boxes (M,4), gt_position (M,): the order of the ground truths.
    Every detection's group must have a ground truth. Returns (index of the ground truth (N,), IoU (N,), mask (N,) of
    detections that overlap two different boxes equally).
    """
    order = np.lexsort((gt_position, gt_group))
    target, best, tied = np.zeros(len(group), int), np.zeros(len(group)), np.zeros(len(group), bool)
    for rows, i, j, number in expand_pairs(group, gt_group[order]):
        overlap = compute_iou_pairs(boxes[i], gt_boxes[order[j]])
        start = np.cumsum(number) - number
        best[rows] = np.maximum.reduceat(overlap, start)
        equal = overlap == best[i]
        first = np.minimum.reduceat(np.where(equal, np.arange(len(i)), len(i)), start)
        other = equal & (gt_boxes[order[j]] != np.repeat(gt_boxes[order[j[first]]], number, axis=0)).any(axis=1)
        target[rows], tied[rows] = order[j[first]], np.logical_or.reduceat(other, start)
    return target, best, tied


def find_first_claims(gt, hit, rank_keys):
    """Mask (N,) of true positives: of the detections with `hit` the first one of each ground truth, in the order of
    rank_keys (most significant first)."""
    rows = np.flatnonzero(hit)
    rows = rows[np.lexsort([key[rows] for key in rank_keys[::-1]] + [gt[rows]])]
    true = np.zeros(len(gt), bool)
    true[rows[rank_within_run(gt[rows]) == 0]] = True
    return true
