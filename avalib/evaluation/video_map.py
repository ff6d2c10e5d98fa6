"""Video mAP: people tracked over keyframes, instead of boxes of single keyframes.

A tube is one person who does one action over consecutive keyframes. Two tubes overlap by the sum of the IoUs on the
keyframes that they share, divided by the number of keyframes of either (temporal IoU times mean spatial IoU). A
detected tube's score is the mean over its keyframes. Source: Weinzaepfel et al. 2015; Kalogeiton et al. 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_PERSON, check_rows
from avalib.evaluation.evaluator import LabelMap, Source
from avalib.evaluation.frame_index import check_thresholds, resolve_label_map
from avalib.evaluation.matching import iter_pair_blocks, mark_true_positives
from avalib.evaluation.ranking import Ranking
from avalib.evaluation.report import Report
from avalib.evaluation.row_groups import drop_keyframes, find_run_starts
from avalib.utils.boxes import compute_iou_matrix, compute_iou_pairs
from avalib.utils.tracker import link_boxes

MAX_PEOPLE = 2_000  # to be tracked in one frame; the time grows with the third power


def evaluate_tubes(
    ground_truth: Source,
    detections: Source,
    label_map: LabelMap = None,
    exclusions: Source | None = None,
    iou: float | Sequence[float] = 0.5,
    max_gap: float = 1.0,
    min_score: float = 0.0,
    link_iou: float = 0.3,
) -> Report:
    """Compute the video mAP: the mAP over tubes.

    Parameters
    ----------
    ground_truth, detections, label_map, exclusions, iou
        See `evaluator.evaluate`. The ground truth has person ids; a table of detections may have a column person_id.
    max_gap : float
        Largest distance in seconds between consecutive keyframes of a tube.
    min_score : float
        A person's detections of an action with a lower score are dropped, so the tube ends there. With 0 each person
        does each action all the time.
    link_iou : float
        Smallest IoU at which `link_people` links two boxes, in detections without person_id.

    Returns
    -------
    Report
        Its boxes are tubes.

    Raises
    ------
    ValueError
        For ground truth without person ids.
    """
    label_map = resolve_label_map(label_map)
    thresholds = check_thresholds(iou)
    gt = read_ava_csv(ground_truth, "ground_truth")
    if (gt["person_id"] == NO_PERSON).any():
        raise ValueError("ground truth without person_id (8th column): tubes need annotated tracks")
    det = read_ava_csv(detections, "detections")
    if isinstance(detections, pd.DataFrame) and "person_id" in detections:
        person_ids = detections[["person_id"]].reset_index(drop=True)
        det["person_id"] = check_rows(person_ids, "detections table")["person_id"]
    else:
        det["person_id"] = link_people(det, link_iou, max_gap)

    det = det[det["score"] >= min_score]
    # tubes of the evaluated actions, outside the excluded keyframes
    if exclusions is not None:
        excluded = read_exclusions(exclusions)
        gt = drop_keyframes(gt, excluded)
        det = drop_keyframes(det, excluded)
    gt_tubes = build_tubes(gt[gt["action_id"].isin(label_map)], max_gap)
    det_tubes = build_tubes(det[det["action_id"].isin(label_map)], max_gap)
    return rank_tubes(gt_tubes, det_tubes, label_map, thresholds)


@dataclass(frozen=True)
class Tubes:
    """The tubes in a table of N rows."""

    table: pd.DataFrame
    of_row: np.ndarray  # (N,) tube number of each row
    tubes: pd.DataFrame  # one row per tube: video_id, action_id, keyframes and, of detections, score

    def __len__(self):
        return len(self.tubes)


def build_tubes(table, max_gap):
    """Divide a table into `Tubes`; one ends where the next keyframe of its person and action is over max_gap later."""
    group = table.groupby(["video_id", "person_id", "action_id"], sort=False).ngroup().to_numpy()
    seconds = table["timestamp"].to_numpy()
    # in the order of time, a tube begins with a new group or after a gap
    order = np.lexsort((seconds, group))
    is_start = np.ones(len(table), bool)
    is_start[1:] = (np.diff(group[order]) != 0) | (np.diff(seconds[order]) > max_gap)
    of_row = np.empty(len(table), int)
    of_row[order] = np.cumsum(is_start) - 1

    # one row per tube
    columns = {
        "video_id": ("video_id", "first"),
        "action_id": ("action_id", "first"),
        "keyframes": ("timestamp", "nunique"),
    }
    if "score" in table:
        columns["score"] = ("score", "mean")
    tubes = table.groupby(of_row).agg(**columns).reset_index(drop=True)
    return Tubes(table=table, of_row=of_row, tubes=tubes)


def rank_tubes(gt, det, label_map, thresholds):
    """Match detected to ground-truth `Tubes` and rank them by score -> Report."""
    # true positives (T,D) at each threshold: the first detected tube of each ground truth, by falling score
    target, overlap = match_tubes(gt, det)
    score = det.tubes["score"].to_numpy()
    rank_keys = (-score, np.arange(len(det)))
    is_true = np.stack([mark_true_positives(target, overlap >= threshold, rank_keys) for threshold in thresholds])

    # one ranking per action; of equal scores the last tube comes first
    videos = pd.Index(pd.unique(pd.concat([gt.tubes["video_id"], det.tubes["video_id"]])))
    gt_video = videos.get_indexer(gt.tubes["video_id"])
    rankings = {}
    for action in label_map:
        rows = np.flatnonzero(det.tubes["action_id"] == action)
        rows = rows[np.argsort(score[rows], kind="stable")[::-1]]
        rankings[action] = Ranking(
            rows=rows,
            scores=score[rows],
            true=is_true[:, rows],
            gt_video=np.bincount(gt_video[gt.tubes["action_id"] == action], minlength=len(videos)),
        )
    return Report(
        protocol="tubes",
        label_map=label_map,
        rankings=rankings,
        thresholds=thresholds,
        video=videos.get_indexer(det.tubes["video_id"]),
        notes=["boxes are tubes: a person doing one action over neighboring keyframes"],
        counts={"ground_truth_tubes": len(gt), "detected_tubes": len(det), "videos": len(videos)},
    )


def match_tubes(gt, det):
    """The ground-truth tube (D,) that each detected tube overlaps most, and the overlap (D,); 0 and 0 without one."""
    target = np.zeros(len(det), int)
    overlap = np.zeros(len(det))
    if not len(gt) or not len(det):
        return target, overlap

    # only boxes of one keyframe and action are compared
    columns = [*KEYFRAME_COLUMNS, "action_id"]
    group = pd.concat([gt.table[columns], det.table[columns]]).groupby(columns, sort=False).ngroup().to_numpy()
    gt_group = group[: len(gt.table)]
    det_group = group[len(gt.table) :]
    by_group = np.argsort(gt_group, kind="stable")
    boxes = det.table[BOX_COLUMNS].to_numpy()
    gt_boxes = gt.table[BOX_COLUMNS].to_numpy()

    # each pair of tubes as one number, with its shared keyframes and the sum of their IoUs; block by block
    pair_parts = []
    count_parts = []
    sum_parts = []
    for block in iter_pair_blocks(det_group, gt_group[by_group]):
        gt_row = by_group[block.right]
        iou = compute_iou_pairs(boxes[block.left], gt_boxes[gt_row])
        pair, position = np.unique(det.of_row[block.left] * len(gt) + gt.of_row[gt_row], return_inverse=True)
        pair_parts.append(pair)
        count_parts.append(np.bincount(position))
        sum_parts.append(np.bincount(position, iou))

    # the sums over all blocks: (pairs of tubes,)
    pair, position = np.unique(np.concatenate(pair_parts), return_inverse=True)
    shared = np.bincount(position, np.concatenate(count_parts))
    iou_sum = np.bincount(position, np.concatenate(sum_parts))
    det_tube, gt_tube = np.divmod(pair, len(gt))
    n_det = det.tubes["keyframes"].to_numpy()[det_tube]
    n_gt = gt.tubes["keyframes"].to_numpy()[gt_tube]
    ratio = iou_sum / (n_det + n_gt - shared)

    # the best pair of each detected tube; of equals the first ground truth
    order = np.lexsort((gt_tube, -ratio, det_tube))
    best = order[find_run_starts(det_tube[order])]
    target[det_tube[best]] = gt_tube[best]
    overlap[det_tube[best]] = ratio[best]
    return target, overlap


def link_people(detections: pd.DataFrame, min_iou: float = 0.3, max_gap: float = 1.0) -> np.ndarray:
    """Find person ids (N,) for detections by linking boxes from keyframe to keyframe, for the highest sum of IoUs.

    Boxes with an IoU below min_iou, or over max_gap seconds apart, are of two people. See `tracker.Tracker`.
    """
    boxes_per_frame = (
        detections[[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].drop_duplicates().groupby(KEYFRAME_COLUMNS, observed=True).size()
    )
    if len(boxes_per_frame) and boxes_per_frame.max() > MAX_PEOPLE:
        video, second = boxes_per_frame.idxmax()
        raise ValueError(
            f"{boxes_per_frame.max():,} boxes in the frame {video},{second:g}: at most {MAX_PEOPLE:,} "
            "(MAX_PEOPLE) people are tracked in a frame; give person_id"
        )
    # video by video
    ids = np.zeros(len(detections), np.int64)
    seconds = detections["timestamp"].to_numpy()
    boxes = detections[BOX_COLUMNS].to_numpy()
    for rows in detections.groupby("video_id", sort=False, observed=True).indices.values():
        ids[rows] = link_boxes(seconds[rows], boxes[rows], max_gap, (min_iou, min_iou), compute_iou_matrix)
    return ids
