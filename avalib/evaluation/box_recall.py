"""Recall of the boxes, actions ignored: Recall@0.5@100 and AR@100, as MMAction2 v0.10.0 measures its proposals.

Every ground-truth row (a box with one label) needs a detection row of its own; the 100 best rows of a frame compete;
the largest IoU in the frame is matched first. Source: MMAction2 v0.10.0, core/evaluation/recall.py.
"""

import numpy as np
import pandas as pd

from avalib.evaluation.matching import expand_pairs, find_kth_largest, select_heap_order, sort_by_frame
from avalib.utils.boxes import compute_areas, compute_iou_matrix

TOP = 100
THRESHOLDS = np.arange(0.5, 0.96, 0.05).astype(np.float32)
WHOLE_FRAME = np.array([[0.0, 0.0, 1.0, 1.0]])


@np.errstate(over="ignore", invalid="ignore")  # boxes of 1e308
def compute_box_recall(gt, det, n_frames, missing="whole_frame"):
    """{"Recall@0.5@100": …, "AR@100": …}, 0..1.

    gt, det: dicts of arrays: frame (N,) numbers below n_frames, boxes (N,4), score (N,) (the ground truth's is what the
    original sorts it by: the person id, or 1), action (N,); detections only of frames with ground truth. missing: for a
    ground-truth frame without detections a "whole_frame" box stands in, as the original meant (there it crashes), or
    it is a "miss".
    """
    check_missing(missing)
    found, hard = _easy_frames(gt, det, n_frames)
    overlaps = [found, *_hard_frames(gt, det, n_frames, hard)]
    if missing == "whole_frame":
        empty = np.bincount(det["frame"], minlength=n_frames) == 0
        rows = np.flatnonzero(empty[gt["frame"]])
        iou = compute_iou_matrix(gt["boxes"][rows], WHOLE_FRAME)[:, 0]
        overlaps.append(pd.Series(iou).groupby(gt["frame"][rows]).max().to_numpy())  # one box finds one ground truth
    overlaps = np.concatenate(overlaps).astype(np.float32)
    n_gt = len(gt["frame"])
    recalls = [(overlaps >= t).sum() / n_gt if n_gt else float("nan") for t in THRESHOLDS]
    return {"Recall@0.5@100": float(recalls[0]), "AR@100": float(np.mean(recalls))}


def check_missing(missing):
    if missing not in ("whole_frame", "miss"):
        raise ValueError(f'missing {missing!r}: expected "whole_frame" or "miss"')


def _easy_frames(gt, det, n_frames):
    """(IoUs of the matches in all frames where order can't matter, the frames where it can).

    A frame is easy where no ground truth overlaps two different boxes, and where every box surely has as many rows
    among the best 100 as ground truths want it: then the best ground truths of a box get its rows, whatever the order.
    """
    box, first = _distinct(det["frame"], det["boxes"])
    order, start, count = sort_by_frame(det["frame"], n_frames)
    limit = find_kth_largest(det["score"], order, start, count, TOP)
    above = np.bincount(box[det["score"] > limit[det["frame"]]], minlength=len(first))
    spare = np.bincount(box) - np.maximum(count - TOP, 0)[det["frame"][first]]  # if all rows cut were this box's
    sure = np.maximum(above, spare)

    first = first[np.argsort(det["frame"][first], kind="stable")]
    parts = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    for _, i, j, _ in expand_pairs(gt["frame"], det["frame"][first]):
        iou = _iou(gt["boxes"][i], det["boxes"][first[j]])
        near = iou.astype(np.float32) >= THRESHOLDS[0]
        parts.append((i[near], box[first[j[near]]], iou[near]))
    i, j, iou = map(np.concatenate, zip(*parts, strict=True))

    wanted = np.bincount(j, minlength=len(sure))
    crowded = np.bincount(i, minlength=len(gt["frame"]))[i] > 1
    short = crowded | ((wanted > sure)[j] & np.isfinite(limit)[gt["frame"][i]])
    hard = np.unique(gt["frame"][i[short]])
    easy = ~np.isin(gt["frame"][i], hard)
    i, j, iou = i[easy], j[easy], iou[easy]
    rank = np.lexsort((-iou, j))
    place = np.arange(len(rank)) - np.searchsorted(j[rank], j[rank])
    return iou[rank][place < sure[j[rank]]], hard


def _iou(a, b):
    """IoU (N,) of a[i] and b[i] with the union floored at 1e-6, as boxes.iou_matrix has it."""
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    inter = sides[:, 0] * sides[:, 1]
    return inter / np.maximum(compute_areas(a) + compute_areas(b) - inter, 1e-6)


def _distinct(frame, values):
    """(number of the distinct box of every row (N,), first row of every distinct box); a box is one of its frame."""
    mixed = frame.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for column in values.T:  # a 64-bit mixture of the bits; boxes that really differ are told apart below
        bits = np.ascontiguousarray(column).view(np.uint64)
        mixed = (mixed ^ bits) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    number, seen = pd.factorize(mixed)
    first = np.empty(len(seen), int)
    first[number[::-1]] = np.arange(len(frame))[::-1]  # the last to be written is the first row
    if len(frame) and not (values[first[number]] == values).all():
        number, first = np.arange(len(frame)), np.arange(len(frame))  # two boxes with one mixture: count rows singly
    return number, first


def _hard_frames(gt, det, n_frames, frames):
    """The original, frame by frame: IoUs of the matches made in `frames`."""
    gt_order, gt_start, gt_count = sort_by_frame(gt["frame"], n_frames)
    order, start, count = sort_by_frame(det["frame"], n_frames)
    for f in frames:
        gt_list = select_heap_order(_tuples(gt, gt_order[gt_start[f] : gt_start[f] + gt_count[f]]))
        det_list = select_heap_order(_tuples(det, order[start[f] : start[f] + count[f]]))
        best = np.argsort([row[0] for row in det_list], kind="stable")[::-1][:TOP]
        iou = compute_iou_matrix(np.array([row[2:] for row in gt_list]), np.array([det_list[k][2:] for k in best]))
        matched = np.zeros(len(iou))
        for n in range(min(iou.shape)):
            i, j = np.unravel_index(iou.argmax(), iou.shape)
            matched[n] = iou[i, j]
            iou[i, :] = iou[:, j] = -1
        yield matched


def _tuples(rows, index):
    x1, y1, x2, y2 = rows["boxes"][index].T.tolist()
    return list(zip(rows["score"][index].tolist(), rows["action"][index].tolist(), y1, x1, y2, x2, strict=True))
