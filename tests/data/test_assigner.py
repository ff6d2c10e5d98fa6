"""Assignment and sampling against recorded outputs of the original training flow."""

import json
from pathlib import Path

import numpy as np

from avalib.data.assigner import assign_boxes, sample_boxes, select_training_boxes
from avalib.utils.boxes import build_rois, compute_iou_matrix

FLOW = json.loads((Path(__file__).parents[1] / "golden" / "golden.json").read_text(encoding="utf-8"))["training_flow"]


def multi_hot(actions):
    labels = np.zeros((len(actions), 81), np.float32)
    for row, ids in zip(labels, actions, strict=True):
        row[ids] = 1
    return labels


def test_rois_and_targets_of_a_batch():
    flow = FLOW["train_flow"]
    per_image = [
        select_training_boxes(np.float32(gt), multi_hot(ids), np.float32(proposals))
        for gt, ids, proposals in zip(flow["gt_bboxes"], flow["gt_actions"], flow["proposals"], strict=True)
    ]
    np.testing.assert_array_equal(build_rois([b for b, _ in per_image]), np.float32(flow["sampled_rois"]))
    wanted = np.concatenate([t for _, t in per_image])
    np.testing.assert_array_equal(wanted, multi_hot(flow["targets"]))


def test_iou():
    for gt, proposals, iou in zip(*(FLOW["train_flow"][k] for k in ("gt_bboxes", "proposals", "iou")), strict=True):
        np.testing.assert_allclose(compute_iou_matrix(gt, proposals), iou, rtol=1e-6)


def test_low_quality_matching_beats_a_proposals_own_best():
    case = FLOW["assign_two_gt"]
    assigned = assign_boxes(np.float32(case["proposals"]), np.float32(case["gt"]))
    assert (assigned + 1).tolist() == case["assigned_gt_1based"]


def test_nothing_to_assign():
    assert assign_boxes(np.zeros((2, 4)), np.zeros((0, 4))).tolist() == [-1, -1]
    assert assign_boxes(np.zeros((0, 4)), np.ones((1, 4))).tolist() == []


def test_sampling_keeps_at_most_the_limit_positives_first():
    assigned = np.array([0] * 40 + [-1] * 10)
    positives, negatives = sample_boxes(assigned, 32, np.random.default_rng(0))
    assert len(positives) == 32 and len(negatives) == 0 and (np.diff(positives) > 0).all()
    positives, negatives = sample_boxes(np.array([0, -1, 1, -1, -1]), 4, np.random.default_rng(0))
    assert positives.tolist() == [0, 2] and len(negatives) == 2
