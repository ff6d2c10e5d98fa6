"""How many annotated people have a proposal, and how many proposals a keyframe has."""

import pandas as pd
import pytest

from avalib.data.proposal_recall import match_proposals

PEOPLE = pd.DataFrame({"video_id": "a", "timestamp": [902.0, 902, 903], "x1": [0, 0.5, 0], "y1": 0.0})
PEOPLE = PEOPLE.assign(x2=PEOPLE.x1 + 0.4, y2=1.0)
BOXES = PEOPLE.iloc[[1]].assign(x2=0.75, score=0.9)  # covers 0.25 of 0.4


def test_recall_is_the_share_of_people_with_a_proposal():
    assert match_proposals(PEOPLE, BOXES).compute_recall() == pytest.approx(1 / 3)


def test_a_proposal_must_overlap_enough():
    assert match_proposals(PEOPLE, BOXES).compute_recall(min_iou=0.7) == 0


def test_without_proposals_recall_is_0():
    assert match_proposals(PEOPLE, BOXES.iloc[:0]).compute_recall() == 0


def test_a_person_with_several_labels_counts_once():
    truth = pd.concat([PEOPLE, PEOPLE.iloc[:1]])
    assert len(match_proposals(truth, PEOPLE.assign(score=1.0)).best_iou) == 3


def test_the_best_score_is_of_a_proposal_that_covers_the_person():
    boxes = pd.concat([BOXES, BOXES.assign(score=0.4), BOXES.assign(x2=0.55, score=1.0)])
    assert match_proposals(PEOPLE, boxes).best_score.tolist() == [-1, 0.9, -1]


def test_proposals_are_counted_by_keyframe():
    matches = match_proposals(PEOPLE, BOXES)
    assert matches.count_per_keyframe(0) == 0.5
    assert matches.count_per_keyframe(0.95) == 0
