"""Recall of the boxes, actions ignored: Recall@0.5@100 and AR@100, as MMAction2 v0.10.0 measures its proposals.

Every ground-truth row (a box with one label) needs a detection row of its own. The 100 best rows of a frame compete;
the largest IoU in the frame is matched first. Source: MMAction2 v0.10.0, core/evaluation/recall.py.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.evaluation.frame_index import NOT_EVALUATED, FrameIndex
from avalib.evaluation.matching import find_kth_largest, iter_pair_blocks, select_heap_order
from avalib.evaluation.row_groups import group_rows_by_frame, number_boxes, rank_within_run
from avalib.utils.boxes import compute_iou_matrix, compute_iou_pairs

MAX_PER_FRAME = 100
THRESHOLDS = np.arange(0.5, 0.96, 0.05).astype(np.float32)
WHOLE_FRAME = np.array([[0.0, 0.0, 1.0, 1.0]])
_UNION_FLOOR = 1e-6


@dataclass(frozen=True)
class RecallBoxes:
    """The rows of one table that take part; arrays (N,), boxes (N,4)."""

    frame: np.ndarray
    boxes: np.ndarray
    score: np.ndarray
    action: np.ndarray

    def to_tuples(self, rows):
        """(score, action, y1, x1, y2, x2) of some rows, as the original holds them."""
        x1, y1, x2, y2 = self.boxes[rows].T.tolist()
        return list(zip(self.score[rows].tolist(), self.action[rows].tolist(), y1, x1, y2, x2, strict=True))


def check_missing(missing: str) -> None:
    """Raise ValueError for another value than those of `compute_box_recall`."""
    if missing not in ("whole_frame", "miss"):
        raise ValueError(f'missing {missing!r}: expected "whole_frame" or "miss"')


@np.errstate(over="ignore", invalid="ignore")  # boxes of 1e308
def compute_box_recall(index: FrameIndex, missing: str = "whole_frame", exclude: bool = False) -> dict:
    """Compute the recall of the boxes in the frames that have ground truth of evaluated actions.

    Parameters
    ----------
    index : FrameIndex
    missing : str
        What a frame without detections counts as: "whole_frame", one box that covers the frame (as the original
        intended; there it crashes), or "miss".
    exclude : bool
        Whether excluded seconds are left out. The original does not leave them out.

    Returns
    -------
    dict
        {"Recall@0.5@100": …, "AR@100": …}, 0..1; NaN without ground truth.
    """
    check_missing(missing)
    is_evaluated = index.find_evaluated_frames(index.gt.class_index != NOT_EVALUATED)
    if exclude:
        is_evaluated &= ~index.excluded
    gt = select_boxes(index.gt, is_evaluated)
    det = select_boxes(index.det, is_evaluated)

    # IoU of each matched ground-truth box
    easy_ious, hard_frames = match_easy_frames(gt, det, index.n_frames)
    ious = [easy_ious, *match_hard_frames(gt, det, index.n_frames, hard_frames)]
    if missing == "whole_frame":
        ious.append(match_whole_frames(gt, det, index.n_frames))
    ious = np.concatenate(ious).astype(np.float32)

    # the share of the ground-truth rows with at least each threshold
    n_gt = len(gt.frame)
    recalls = [(ious >= threshold).sum() / n_gt if n_gt else float("nan") for threshold in THRESHOLDS]
    return {"Recall@0.5@100": float(recalls[0]), "AR@100": float(np.mean(recalls))}


def select_boxes(indexed, is_evaluated):
    """The `RecallBoxes` of evaluated actions in evaluated frames (mask (n_frames,))."""
    rows = np.flatnonzero((indexed.class_index != NOT_EVALUATED) & is_evaluated[indexed.frame])
    return RecallBoxes(
        frame=indexed.frame[rows],
        boxes=indexed.get_boxes(rows),
        score=indexed.score[rows],
        action=indexed.table["action_id"].to_numpy()[rows],
    )


def match_whole_frames(gt, det, n_frames):
    """IoUs (n,) of one whole-frame box in each frame without detections; it matches one ground-truth box."""
    is_empty = np.bincount(det.frame, minlength=n_frames) == 0
    rows = np.flatnonzero(is_empty[gt.frame])
    # (n,1) -> the best of each frame
    iou = compute_iou_matrix(gt.boxes[rows], WHOLE_FRAME)[:, 0]
    return pd.Series(iou).groupby(gt.frame[rows]).max().to_numpy()


def match_easy_frames(gt, det, n_frames):
    """Match all frames in which the order of the detections cannot change the result.

    A frame is easy if no ground-truth box overlaps two distinct detected boxes, and if each detected box certainly has
    as many rows among the frame's best 100 as there are ground-truth boxes that overlap it. Then the ground-truth boxes
    with the largest IoU get the detected box's rows.

    Returns
    -------
    (n,) float
        IoUs of the matches.
    array of int
        The other frames.
    """
    # detections of one frame usually repeat a box, once for each action: B distinct boxes
    box_of_row, first_row = number_boxes(det.frame, det.boxes)
    box_frame = det.frame[first_row]

    # (B,) a lower bound on the rows of each box among its frame's best 100: the rows above the frame's 100th score,
    # and the rows that would be left if all rows beyond 100 were this box's
    rows_by_frame = group_rows_by_frame(det.frame, n_frames)
    limit = find_kth_largest(det.score, rows_by_frame, MAX_PER_FRAME)
    n_above = np.bincount(box_of_row[det.score > limit[det.frame]], minlength=len(first_row))
    n_beyond = np.maximum(rows_by_frame.count - MAX_PER_FRAME, 0)
    n_certain = np.maximum(n_above, np.bincount(box_of_row) - n_beyond[box_frame])

    pair_gt, pair_box, iou = find_overlaps(gt, det, first_row)

    # hard frames: a ground-truth box with two pairs, or a box with more pairs than certain rows in a crowded frame
    n_overlapping = np.bincount(pair_box, minlength=len(first_row))
    has_choice = np.bincount(pair_gt, minlength=len(gt.frame))[pair_gt] > 1
    is_crowded = np.isfinite(limit)[gt.frame[pair_gt]]
    is_hard = has_choice | ((n_overlapping > n_certain)[pair_box] & is_crowded)
    hard_frames = np.unique(gt.frame[pair_gt[is_hard]])

    # in the easy ones the pairs of each box by falling IoU, as many as it has rows
    is_easy = ~np.isin(gt.frame[pair_gt], hard_frames)
    pair_box = pair_box[is_easy]
    iou = iou[is_easy]
    order = np.lexsort((-iou, pair_box))
    is_matched = rank_within_run(pair_box[order]) < n_certain[pair_box[order]]
    return iou[order][is_matched], hard_frames


def find_overlaps(gt, det, box_rows):
    """Pairs of one frame with an IoU of at least 0.5: ground-truth row (P,), index into box_rows (P,), IoU (P,)."""
    # iter_pair_blocks needs its right side sorted by frame
    by_frame = np.argsort(det.frame[box_rows], kind="stable")
    sorted_rows = box_rows[by_frame]
    pair_gt = [np.zeros(0, int)]
    pair_box = [np.zeros(0, int)]
    ious = [np.zeros(0)]
    for block in iter_pair_blocks(gt.frame, det.frame[sorted_rows]):
        iou = compute_iou_pairs(gt.boxes[block.left], det.boxes[sorted_rows[block.right]], _UNION_FLOOR)
        is_hit = iou.astype(np.float32) >= THRESHOLDS[0]
        pair_gt.append(block.left[is_hit])
        pair_box.append(by_frame[block.right[is_hit]])
        ious.append(iou[is_hit])
    return np.concatenate(pair_gt), np.concatenate(pair_box), np.concatenate(ious)


def match_hard_frames(gt, det, n_frames, frames):
    """Yield the IoUs of the matches in each of some frames: the original's algorithm, frame by frame."""
    gt_by_frame = group_rows_by_frame(gt.frame, n_frames)
    det_by_frame = group_rows_by_frame(det.frame, n_frames)
    for frame in frames:
        # both lists as the original holds them
        gt_list = select_heap_order(gt.to_tuples(gt_by_frame.get_rows(frame)))
        det_list = select_heap_order(det.to_tuples(det_by_frame.get_rows(frame)))
        # the best detections by score, equal scores from the end of the list
        best = np.argsort([score for score, *_ in det_list], kind="stable")[::-1][:MAX_PER_FRAME]
        gt_boxes = np.array([box for _, _, *box in gt_list])
        det_boxes = np.array([det_list[k][2:] for k in best])
        iou = compute_iou_matrix(gt_boxes, det_boxes, _UNION_FLOOR)  # of boxes y1, x1, y2, x2

        # match the largest IoU, remove its row and column, repeat
        matched = np.zeros(len(iou))
        for n in range(min(iou.shape)):
            i, j = np.unravel_index(iou.argmax(), iou.shape)
            matched[n] = iou[i, j]
            iou[i, :] = -1
            iou[:, j] = -1
        yield matched
