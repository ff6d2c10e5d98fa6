"""The synthetic annotations: their numbers are like AVA's, boxes hold the drawn bodies, labels last half a second."""

import numpy as np
import pytest

from avalib.data.labels import GROUPS, get_action_group, get_evaluated_actions
from avalib.data.row_checks import BOX_COLUMNS
from avalib.data.synthetic.action_ids import ACTIONS, POSE_ACTIONS, STAND, TIME_ACTIONS
from avalib.data.synthetic.generate import build_takes
from avalib.data.synthetic.ground_truth import select_labels
from avalib.data.synthetic.video_specs import list_videos
from avalib.utils.boxes import compute_iou_matrix


def test_actions_are_evaluated_ones_of_all_groups():
    assert set(ACTIONS) <= set(get_evaluated_actions())
    assert set(TIME_ACTIONS) < set(ACTIONS)
    assert {get_action_group(action_id) for action_id in ACTIONS} == set(GROUPS)


@pytest.mark.slow
def test_every_action_occurs_with_a_long_tail(val_annotations):
    counts = val_annotations.truth.action_id.value_counts()
    assert set(counts.index) == set(ACTIONS)
    assert counts.min() >= 25
    assert counts.max() > 8 * counts.min()
    assert counts.idxmax() == STAND


@pytest.mark.slow
def test_people_and_labels_are_as_many_as_in_ava(val_annotations):
    people = val_annotations.people
    keyframes = people.drop_duplicates(["video_id", "timestamp"])
    assert 1.5 < len(val_annotations.truth) / len(people) < 2.5
    assert 2 < len(people) / len(keyframes) < 4
    assert 1 <= len(val_annotations.excluded) < 0.1 * len(keyframes)


@pytest.mark.slow
def test_everybody_has_one_pose(val_annotations):
    truth = val_annotations.truth
    assert len(truth[truth.action_id.isin(POSE_ACTIONS)]) == len(val_annotations.people)


@pytest.mark.slow
def test_sure_proposals_fit_most_people_but_are_no_copies(val_annotations):
    proposals = val_annotations.proposals
    sure = dict(list(proposals[proposals.score >= 0.9].groupby(["video_id", "timestamp"])))
    overlaps = []
    for key, people in val_annotations.people.groupby(["video_id", "timestamp"]):
        boxes = sure[key][BOX_COLUMNS].to_numpy() if key in sure else np.zeros((0, 4))
        overlaps += compute_iou_matrix(people[BOX_COLUMNS].to_numpy(), boxes).max(axis=1, initial=0).tolist()
    assert 0.87 < (np.array(overlaps) >= 0.5).mean() < 0.96
    assert 0.8 < np.median(overlaps) < 0.97


@pytest.mark.slow
def test_some_proposals_are_unsure(val_annotations):
    proposals = val_annotations.proposals
    assert (proposals.score < 0.9).mean() > 0.05
    assert proposals.groupby(["video_id", "timestamp"]).size().mean() < 5


@pytest.mark.slow
def test_person_ids_persist_through_a_video(val_annotations):
    people = val_annotations.people
    assert len(people.drop_duplicates(["video_id", "timestamp", *BOX_COLUMNS])) == len(people)
    seconds = people.groupby(["video_id", "person_id"]).timestamp.nunique()
    assert seconds.median() > 8  # of some 30 annotated


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_a_person_id_is_one_character(index):
    performers = [each for placed in build_takes(list_videos("mini")[index]) for each in placed.take.shot.performers]
    cast = {performer.character.person_id: performer.character for performer in performers}
    assert len(cast) < len(performers)
    assert all(cast[performer.character.person_id] == performer.character for performer in performers)


def test_labels_follow_half_a_second_on_either_side():
    labels = [(12,)] * 40 + [(12, 69)] * 30 + [(5,)] * 40
    assert select_labels(labels, 20, 30) == [12]
    assert select_labels(labels, 55, 30) == [12, 69]
    assert select_labels(labels, 75, 30) == [5]
