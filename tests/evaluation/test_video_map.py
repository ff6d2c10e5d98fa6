"""Video mAP: what a tube is, overlap in space and time, linking."""

import numpy as np
import pandas as pd
import pytest

from avalib.evaluation.video_map import evaluate_tubes, link_people

LABELS = {12: "stand", 14: "walk"}
COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]


def make_track(seconds, action=12, person=1, x=0.1, video="a", width=0.2):
    rows = [(video, float(second), x, 0.1, x + width, 0.9, action, person) for second in seconds]
    return pd.DataFrame(rows, columns=COLUMNS)


def make_detections(*tracks):
    """Detections of (track, score) …"""
    return pd.concat([table.assign(score=score) for table, score in tracks], ignore_index=True)


def test_perfect_tracks_have_an_map_of_1():
    gt = pd.concat([make_track(range(902, 907)), make_track(range(902, 905), 14, 2, x=0.6)])
    report = evaluate_tubes(gt, make_detections((gt, 0.9)), LABELS)
    assert report.mAP == 1.0
    assert report.per_class["ground_truth"].tolist() == [1, 1]
    assert report.protocol == "tubes"
    assert report.counts["detected_tubes"] == 2


@pytest.mark.parametrize(
    ("track", "overlap"),
    [
        (make_track(range(902, 908)), 6 / 10),
        (make_track(range(907, 922)), 5 / 20),
        (make_track(range(902, 912), x=0.15), 0.6),  # 0.15 of 0.25 wide
        (make_track(range(902, 910), x=0.15), 8 / 10 * 0.6),
    ],
)
def test_overlap_is_time_times_space(track, overlap):
    gt = make_track(range(902, 912))  # 10 keyframes
    detections = make_detections((track, 0.5))
    assert evaluate_tubes(gt, detections, LABELS, iou=overlap - 0.01).mAP == 1.0
    assert evaluate_tubes(gt, detections, LABELS, iou=overlap + 0.01).mAP == 0.0


@pytest.mark.parametrize(("max_gap", "n_tubes"), [(1.0, 2), (5, 1)])
def test_a_tube_ends_at_a_gap(max_gap, n_tubes):
    gt = pd.concat([make_track(range(902, 906)), make_track(range(910, 914))])
    report = evaluate_tubes(gt, make_detections((gt, 0.9)), LABELS, max_gap=max_gap)
    assert report.per_class["ground_truth"][0] == n_tubes


@pytest.mark.parametrize(("min_score", "mAP"), [(0.0, 0.0), (0.5, 1.0)])
def test_a_tube_ends_where_the_score_is_low(min_score, mAP):
    gt = pd.concat([make_track(range(902, 906)), make_track(range(910, 914))])
    # one tube of 12 keyframes, or two of 4
    scores = [(range(902, 906), 0.9), (range(906, 910), 0.1), (range(910, 914), 0.9)]
    detections = make_detections(*[(make_track(seconds), score) for seconds, score in scores])
    assert evaluate_tubes(gt, detections, LABELS, min_score=min_score).mAP == mAP


def test_a_second_tube_of_a_person_is_a_false_positive():
    gt = make_track(range(902, 906))
    detections = make_detections((make_track(range(902, 906)), 0.4), (make_track(range(902, 906), person=2), 0.9))
    report = evaluate_tubes(gt, detections, LABELS)
    assert report.mAP == 1.0
    assert report.compute_pr_curve(12)["precision"].tolist() == [1.0, 0.5]


def test_a_false_positive_with_a_higher_score_lowers_the_map():
    gt = make_track(range(902, 906))
    elsewhere = make_track(range(902, 906), person=2, video="b")
    detections = make_detections((make_track(range(902, 906)), 0.4), (elsewhere, 0.9))
    assert evaluate_tubes(gt, detections, LABELS).mAP == 0.5


@pytest.fixture
def two_people():
    """Rows in random order: one person who walks to the right and does two actions, and one who stands."""
    walking = pd.concat([make_track([902 + i], x=0.1 + 0.05 * i) for i in range(6)])
    standing = make_track(range(902, 908), x=0.6, person=2)
    rows = pd.concat([walking, standing, walking.assign(action_id=14)])
    return rows.sample(frac=1, random_state=0).reset_index(drop=True)


def test_people_are_linked_by_overlap(two_people):
    ids = link_people(two_people)
    assert pd.Series(ids).groupby(two_people["person_id"]).nunique().tolist() == [1, 1]
    assert len(set(ids)) == 2


def test_detections_without_person_ids_are_linked(two_people):
    detections = two_people.drop(columns="person_id").assign(score=0.9)
    assert evaluate_tubes(two_people, detections, LABELS).mAP == 1.0


def test_boxes_apart_in_space_are_two_people():
    jump = pd.concat([make_track([902], x=0.1), make_track([903], x=0.7)], ignore_index=True)
    assert len(set(link_people(jump))) == 2


def test_boxes_apart_in_time_are_two_people():
    assert len(set(link_people(make_track([902, 905])))) == 2


def test_excluded_seconds_are_left_out():
    gt = pd.concat([make_track(range(902, 906)), make_track(range(906, 910), 14)])
    excluded = pd.DataFrame({"video_id": "a", "timestamp": np.arange(906.0, 910.0)})
    report = evaluate_tubes(gt, make_detections((make_track(range(902, 906)), 0.9)), LABELS, excluded)
    assert report.mAP == 1.0
    assert np.isnan(report.per_class["AP"][1])


def test_no_detections_have_an_map_of_0():
    gt = make_track(range(902, 906))
    assert evaluate_tubes(gt, make_detections((gt, 0.9))[:0], LABELS).mAP == 0.0


def test_ground_truth_without_tracks_is_an_error():
    detections = make_detections((make_track([902]), 1))
    with pytest.raises(ValueError, match="person_id.*tracks"):
        evaluate_tubes(make_track([902]).drop(columns="person_id"), detections, LABELS)
