"""Proposals are matched with the people that they cover."""

import pandas as pd
from moving_square import list_rows

from avalib.data.proposal_recall import match_proposals

BOX = (0.1, 0.1, 0.3, 0.9)


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
