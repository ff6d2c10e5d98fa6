"""Proposals are matched with the people that they cover."""

import pandas as pd
import pytest
from moving_square import list_rows

from avalib.data.proposal_recall import compute_proposal_recall, match_proposals

BOX = (0.1, 0.1, 0.3, 0.9)
PEOPLE = pd.DataFrame({"video_id": "a", "timestamp": [902.0, 902, 903], "x1": [0, 0.5, 0], "y1": 0.0})
PEOPLE = PEOPLE.assign(x2=PEOPLE.x1 + 0.4, y2=1.0)
PROPOSALS = PEOPLE.iloc[[1]].assign(x2=0.75, score=0.9)  # covers 0.25 of 0.4


def test_people_are_matched_with_the_proposals_of_their_keyframe():
    people = pd.DataFrame([row for second in range(5) for row in list_rows("v", second, BOX, [1])])
    proposals = people[people.timestamp < 3].assign(score=0.9)
    matches = match_proposals(people, proposals)
    assert matches.best_iou.tolist() == [1, 1, 1, 0, 0]
    assert matches.best_score.tolist() == [0.9, 0.9, 0.9, -1, -1]


def test_a_person_has_the_best_iou_and_the_highest_score_of_those_that_fit():
    people = pd.DataFrame(list_rows("v", 902, BOX, [1]))
    near = (0.1, 0.1, 0.3, 0.8)
    far = (0.6, 0.1, 0.8, 0.9)
    proposals = [(BOX, 0.5), (near, 0.7), (far, 0.9)]
    proposals = pd.DataFrame([row for box, score in proposals for row in list_rows("v", 902, box, [1], score=[score])])
    matches = match_proposals(people, proposals)
    assert matches.best_iou.tolist() == [1]
    assert matches.best_score.tolist() == [0.7]


def test_recall_is_the_share_of_people_with_a_proposal():
    assert compute_proposal_recall(PEOPLE, PROPOSALS) == pytest.approx(1 / 3)


def test_a_proposal_must_overlap_enough():
    assert compute_proposal_recall(PEOPLE, PROPOSALS, min_iou=0.7) == 0


def test_without_proposals_recall_is_0():
    assert compute_proposal_recall(PEOPLE, PROPOSALS.iloc[:0]) == 0
