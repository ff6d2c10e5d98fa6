"""Tables become people, and people move between keyframes."""

import numpy as np
import pandas as pd
import pytest
from moving_square import list_rows

from avalib.draw.people import Person, interpolate_people, resolve_action_names, select_people

BOX = np.array([0.1, 0.1, 0.2, 0.5])
PEOPLE_BY_TIME = {
    902.0: [Person(BOX, ((12, None),), 1), Person(BOX + 0.4, ((11, None),), 2)],
    903.0: [Person(BOX + 0.2, ((14, None),), 1)],
}


@pytest.fixture
def two_people():
    table = list_rows("v", 902, (0.1, 0.1, 0.3, 0.9), [80, 12, 14], score=[0.4, 0.9, 0.1])
    table += list_rows("v", 902, (0.5, 0.1, 0.7, 0.9), [11], score=[0.2])
    return select_people(pd.DataFrame(table))


def test_lines_with_one_box_are_one_person_with_labels_by_score(two_people):
    first, second = two_people
    assert first.labels == ((12, 0.9), (80, 0.4), (14, 0.1))
    assert np.allclose(second.box, (0.5, 0.1, 0.7, 0.9))


def test_annotated_people_have_ids_and_no_scores():
    (person,) = select_people(pd.DataFrame(list_rows("v", 902, (0, 0, 1, 1), [12, 80], person_id=[3, 3])))
    assert person.person_id == 3
    assert person.labels == ((12, None), (80, None))
    assert person.is_annotated


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"score_threshold": 0.3}, ((12, 0.9), (80, 0.4))),
        ({"top_k": 1}, ((12, 0.9),)),
        ({"actions": {14}}, ((14, 0.1),)),
    ],
)
def test_labels_are_filtered(two_people, options, labels):
    assert two_people[0].filter_labels(**options).labels == labels


def test_a_person_below_the_threshold_keeps_its_highest_score(two_people):
    first, second = (person.choose_labels(0.3, top_k=2) for person in two_people)
    assert (first.labels, first.is_unsure) == (((12, 0.9), (80, 0.4)), False)
    assert (second.labels, second.is_unsure) == (((11, 0.2),), True)


def test_of_the_chosen_actions_the_highest_score_is_kept(two_people):
    person = two_people[0].choose_labels(0.5, actions={14, 80})
    assert (person.labels, person.is_unsure) == (((80, 0.4),), True)


def test_between_keyframes_boxes_lie_on_the_line_with_the_nearer_labels():
    (person,) = interpolate_people(PEOPLE_BY_TIME, 902.75)
    assert np.allclose(person.box, BOX + 0.15)
    assert person.labels == ((14, None),)


def test_somebody_in_one_keyframe_only_stays_for_half_a_second():
    assert [person.person_id for person in interpolate_people(PEOPLE_BY_TIME, 902.25)] == [1, 2]


def test_nothing_moves_across_a_cut():
    assert np.allclose(interpolate_people(PEOPLE_BY_TIME, 902.25, cuts_s=[902.5])[0].box, BOX)


def test_far_from_keyframes_is_nobody():
    assert interpolate_people(PEOPLE_BY_TIME, 905.5) == []


def test_names_come_from_the_label_map_the_table_or_ava():
    table = pd.DataFrame({"action_id": [12, 200]})
    assert resolve_action_names(table)[12] == "stand"
    assert resolve_action_names(table)[200] == "action 200"
    assert resolve_action_names(table.assign(action=["rise", "fall"])) == {12: "rise", 200: "fall"}
    assert resolve_action_names(table.assign(action=["carry (a box)", "fall"]))[12] == "carry"
    assert resolve_action_names(table, {12: "up"}) == {12: "up", 200: "action 200"}
