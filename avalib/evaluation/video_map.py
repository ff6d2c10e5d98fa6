"""Tube (video) mAP: people followed over keyframes instead of looked at one by one.

A tube is one person doing one action over keyframes that follow each other. Two tubes overlap by the sum of the IoUs on
the keyframes they share over the number of keyframes of either (temporal IoU times mean spatial IoU). A detected
tube's score is the mean over its keyframes. Source: Weinzaepfel et al. 2015; Kalogeiton et al. 2017.
"""

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_PERSON, check_rows
from avalib.evaluation.average_precision import Ranking
from avalib.evaluation.frame_index import check_thresholds, resolve_label_map
from avalib.evaluation.matching import iter_pair_blocks, mark_true_positives
from avalib.evaluation.report import Report
from avalib.utils.boxes import compute_iou_matrix, compute_iou_pairs
from avalib.utils.tracker import link_boxes

MAX_PEOPLE = 2_000  # in one frame, to be followed; the time grows with the third power


def evaluate_tubes(
    ground_truth, detections, label_map=None, exclusions=None, iou=0.5, max_gap=1.0, min_score=0.0, link_iou=0.3
):
    """Score tubes: a `Report` whose boxes are tubes; arguments as `metrics.evaluate`'s, and:

    max_gap: seconds between two keyframes that still follow each other. min_score: a person's keyframes below it don't
    belong to the action's tube, which ends there; with 0 every person does every action all the time. link_iou: people
    in detections without `person_id` are followed by `link` first.

    Raises ValueError for ground truth without person ids.
    """
    label_map, thresholds = resolve_label_map(label_map), check_thresholds(iou)
    gt = read_ava_csv(ground_truth, "ground_truth")
    if (gt["person_id"] == NO_PERSON).any():
        raise ValueError("ground truth without person_id (8th column): tubes need annotated tracks")
    det = read_ava_csv(detections, "detections")
    tracked = isinstance(detections, pd.DataFrame) and "person_id" in detections
    if tracked:
        people = check_rows(detections[["person_id"]].reset_index(drop=True), "detections table")["person_id"]
    det["person_id"] = people if tracked else link_people(det, link_iou, max_gap)
    if exclusions is not None:
        left_out = pd.MultiIndex.from_frame(read_exclusions(exclusions))
        gt, det = (t[~pd.MultiIndex.from_frame(t[KEYFRAME_COLUMNS]).isin(left_out)] for t in (gt, det))
    det = det[det["score"] >= min_score]
    gt, det = (t[t["action_id"].isin(label_map)].reset_index(drop=True) for t in (gt, det))
    gt_tube, det_tube = _tubes(gt, max_gap), _tubes(det, max_gap)
    gts, dets = _describe(gt, gt_tube), _describe(det, det_tube)
    target, overlap = _best(gt, gt_tube, gts, det, det_tube, dets)

    score = dets["score"].to_numpy()
    true = np.stack([mark_true_positives(target, overlap >= t, (-score, np.arange(len(dets)))) for t in thresholds])
    videos = pd.Index(pd.unique(pd.concat([gts["video_id"], dets["video_id"]])))
    gt_video, det_video = videos.get_indexer(gts["video_id"]), videos.get_indexer(dets["video_id"])
    rankings = {}
    for action in label_map:
        rows = np.flatnonzero(dets["action_id"] == action)
        rows = rows[np.argsort(score[rows], kind="stable")[::-1]]
        n_gt = np.bincount(gt_video[gts["action_id"] == action], minlength=len(videos))
        rankings[action] = Ranking(rows, score[rows], true[:, rows], n_gt)
    counts = {"ground_truth_tubes": len(gts), "detected_tubes": len(dets), "videos": len(videos)}
    notes = ["boxes are tubes: a person doing one action over neighbouring keyframes"]
    return Report("tubes", label_map, rankings, thresholds, det_video, notes=notes, counts=counts)


def _tubes(table, max_gap):
    """The tube's number of every row (N,)."""
    if table.empty:
        return np.zeros(0, int)
    who = table.groupby(["video_id", "person_id", "action_id"], sort=False).ngroup().to_numpy()
    seconds = table["timestamp"].to_numpy()
    order = np.lexsort((seconds, who))
    new = np.r_[True, (np.diff(who[order]) != 0) | (np.diff(seconds[order]) > max_gap)]
    tube = np.empty(len(table), int)
    tube[order] = np.cumsum(new) - 1
    return tube


def _describe(table, tube):
    """One row per tube: video_id, action_id, keyframes and (detections) mean score."""
    columns = {"video_id": ("video_id", "first"), "action_id": ("action_id", "first")}
    columns |= {"keyframes": ("timestamp", "nunique")} | ({"score": ("score", "mean")} if "score" in table else {})
    return table.groupby(tube).agg(**columns).reset_index(drop=True)


def _best(gt, gt_tube, gts, det, det_tube, dets):
    """For every detected tube the ground-truth tube it overlaps most, and how much: (D,), (D,)."""
    target, overlap = np.zeros(len(dets), int), np.zeros(len(dets))
    if gt.empty or det.empty:
        return target, overlap
    both = pd.concat([gt[[*KEYFRAME_COLUMNS, "action_id"]], det[[*KEYFRAME_COLUMNS, "action_id"]]])
    group = both.groupby([*KEYFRAME_COLUMNS, "action_id"], sort=False).ngroup().to_numpy()
    gt_group, det_group = group[: len(gt)], group[len(gt) :]
    order = np.argsort(gt_group, kind="stable")
    boxes, gt_boxes, parts = det[BOX_COLUMNS].to_numpy(), gt[BOX_COLUMNS].to_numpy(), []
    for block in iter_pair_blocks(det_group, gt_group[order]):
        i, j = block.left, order[block.right]
        pair, where = np.unique(det_tube[i] * len(gts) + gt_tube[j], return_inverse=True)
        parts.append((pair, np.bincount(where), np.bincount(where, compute_iou_pairs(boxes[i], gt_boxes[j]))))
    pairs, counts, sums = map(np.concatenate, zip(*parts, strict=True))
    pair, where = np.unique(pairs, return_inverse=True)
    shared, total = np.bincount(where, counts), np.bincount(where, sums)
    d, g = pair // len(gts), pair % len(gts)
    union = dets["keyframes"].to_numpy()[d] + gts["keyframes"].to_numpy()[g] - shared
    ratio = total / union
    rank = np.lexsort((g, -ratio, d))  # the first of equals, as for boxes
    first = rank[np.r_[True, np.diff(d[rank]) != 0]]
    target[d[first]], overlap[d[first]] = g[first], ratio[first]
    return target, overlap


def link_people(detections, min_iou=0.3, max_gap=1.0):
    """Person ids (N,) for detections, per video: boxes followed from keyframe to keyframe by the best sum of IoUs; a
    pair under min_iou, or over max_gap seconds apart, is two people. See tracks.Tracker."""
    people = (
        detections[[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].drop_duplicates().groupby(KEYFRAME_COLUMNS, observed=True).size()
    )
    if len(people) and people.max() > MAX_PEOPLE:
        video, second = people.idxmax()
        raise ValueError(
            f"{people.max():,} boxes in the frame {video},{second:g}: people are followed up to {MAX_PEOPLE:,} "
            "(MAX_PEOPLE) of a frame; give person_id"
        )
    ids = np.zeros(len(detections), np.int64)
    seconds, boxes = detections["timestamp"].to_numpy(), detections[BOX_COLUMNS].to_numpy()
    for rows in detections.groupby("video_id", sort=False, observed=True).indices.values():
        ids[rows] = link_boxes(seconds[rows], boxes[rows], max_gap, (min_iou, min_iou), compute_iou_matrix)
    return ids
