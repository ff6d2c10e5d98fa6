"""Tube mAP: overlap in space and time, linking, and what a tube is."""

import numpy as np
import pandas as pd
import pytest

from avalib.evaluation.video_map import evaluate_tubes, link_people

LABELS = {12: "stand", 14: "walk"}
COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]


def track(seconds, action=12, person=1, x=0.1, video="a", width=0.2):
    return pd.DataFrame([(video, float(s), x, 0.1, x + width, 0.9, action, person) for s in seconds], columns=COLUMNS)


def detected(*tracks):
    """Tracks with a score each: (table, score) …"""
    return pd.concat([table.assign(score=score) for table, score in tracks], ignore_index=True)


def test_tracks_found_are_tubes_found():
    gt = pd.concat([track(range(902, 907)), track(range(902, 905), 14, 2, x=0.6)])
    report = evaluate_tubes(gt, detected((gt, 0.9)), LABELS)
    assert report.mAP == 1.0 and report.per_class["ground_truth"].tolist() == [1, 1]
    assert report.protocol == "tubes" and report.counts["detected_tubes"] == 2


def test_overlap_is_time_times_space():
    gt = track(range(902, 912))  # 10 keyframes
    for found, overlap in (
        (track(range(902, 908)), 6 / 10),
        (track(range(907, 922)), 5 / 20),
        (track(range(902, 912), x=0.15), 0.6),  # 0.15 of 0.25 wide
        (track(range(902, 910), x=0.15), 8 / 10 * 0.6),
    ):
        for iou in (overlap - 0.01, overlap + 0.01):
            report = evaluate_tubes(gt, detected((found, 0.5)), LABELS, iou=iou)
            assert report.mAP == (1.0 if iou < overlap else 0.0)


def test_a_tube_ends_at_a_gap_and_with_the_score():
    gt = pd.concat([track(range(902, 906)), track(range(910, 914))])
    assert evaluate_tubes(gt, detected((gt, 0.9)), LABELS).per_class["ground_truth"][0] == 2
    assert evaluate_tubes(gt, detected((gt, 0.9)), LABELS, max_gap=5).per_class["ground_truth"][0] == 1
    whole = detected((track(range(902, 906)), 0.9), (track(range(906, 910)), 0.1), (track(range(910, 914)), 0.9))
    assert evaluate_tubes(gt, whole, LABELS).mAP == 0.0  # 4 of 12 keyframes each
    assert evaluate_tubes(gt, whole, LABELS, min_score=0.5).mAP == 1.0


def test_doubles_and_order():
    gt = track(range(902, 906))
    found = detected((track(range(902, 906), person=1), 0.4), (track(range(902, 906), person=2), 0.9))
    report = evaluate_tubes(gt, found, LABELS)
    assert report.mAP == 1.0 and report.compute_pr_curve(12)["precision"].tolist() == [1.0, 0.5]
    elsewhere = detected((track(range(902, 906)), 0.4), (track(range(902, 906), person=2, video="b"), 0.9))
    assert evaluate_tubes(gt, elsewhere, LABELS).mAP == 0.5


def test_people_are_followed_by_overlap():
    moving = pd.concat([track([902 + i], x=0.1 + 0.05 * i) for i in range(6)])
    other = track(range(902, 908), x=0.6, person=2)
    rows = pd.concat([moving, other, moving.assign(action_id=14)]).sample(frac=1, random_state=0).reset_index(drop=True)
    ids = link_people(rows)
    assert pd.Series(ids).groupby(rows["person_id"]).nunique().tolist() == [1, 1] and len(set(ids)) == 2
    found = rows.drop(columns="person_id").assign(score=0.9)
    assert evaluate_tubes(rows, found, LABELS).mAP == 1.0
    jump = pd.concat([track([902], x=0.1), track([903], x=0.7)], ignore_index=True)
    assert len(set(link_people(jump))) == 2
    assert len(set(link_people(track([902, 905])))) == 2


def test_excluded_seconds_and_nothing_found():
    gt = pd.concat([track(range(902, 906)), track(range(906, 910), 14)])
    out = pd.DataFrame({"video_id": "a", "timestamp": np.arange(906.0, 910.0)})
    report = evaluate_tubes(gt, detected((track(range(902, 906)), 0.9)), LABELS, out)
    assert report.mAP == 1.0 and np.isnan(report.per_class["AP"][1])
    assert evaluate_tubes(gt, detected((gt, 0.9))[:0], LABELS).mAP == 0.0


def test_tracks_are_needed():
    with pytest.raises(ValueError, match="person_id.*tracks"):
        evaluate_tubes(track([902]).drop(columns="person_id"), detected((track([902]), 1)), LABELS)
