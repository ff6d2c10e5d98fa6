"""Tracking by motion: ids on rendered people's motion, weak boxes, predictions."""

import numpy as np
import pytest

from avalib.data.synthetic.generate import build_takes
from avalib.data.synthetic.ground_truth import list_visible_people
from avalib.data.synthetic.video_specs import list_videos
from avalib.utils.motion_tracker import MotionTracker
from avalib.utils.tracker import Tracker

LEFT = np.array([0.1, 0.2, 0.3, 0.9])
RIGHT = np.array([0.6, 0.2, 0.8, 0.9])


def shift(box, x):
    return box + [x, 0, x, 0]


def test_people_who_cross_keep_their_ids():
    """Two people walk through each other at the video's rate; their boxes overlap wholly at 1.25 s."""
    tracker = MotionTracker()
    ids = [
        tracker.update(t, [shift(LEFT, 0.2 * t), shift(RIGHT, -0.2 * t)]).tolist() for t in np.arange(0, 2.5, 1 / 30)
    ]
    assert set(map(tuple, ids)) == {(0, 1)}


def test_weak_boxes_continue_tracks_but_start_none():
    tracker = MotionTracker(high_score=0.6)
    assert tracker.update(0.0, [LEFT, RIGHT], [0.9, 0.3]).tolist() == [0, -1]
    assert tracker.update(0.1, [shift(LEFT, 0.01), RIGHT], [0.2, 0.3]).tolist() == [0, -1]
    assert tracker.update(0.2, [shift(LEFT, 0.15)], [0.2]).tolist() == [-1], "where nobody is expected"
    assert tracker.update(0.3, [LEFT, RIGHT], [0.9, 0.6]).tolist() == [0, 1]


def test_a_confident_box_is_matched_before_a_weak_one():
    tracker = MotionTracker(high_score=0.6)
    tracker.update(0.0, [LEFT], [0.9])
    assert tracker.update(0.1, [LEFT, shift(LEFT, 0.02)], [0.3, 0.9]).tolist() == [-1, 0]


def test_ids_end_at_gaps_and_cuts():
    tracker = MotionTracker(max_gap_s=1.0)
    tracker.update(0.0, [LEFT])
    assert tracker.update(1.0, [LEFT]).tolist() == [0]
    assert tracker.update(2.1, [LEFT]).tolist() == [1]
    tracker.reset()
    assert tracker.update(2.2, [LEFT]).tolist() == [2]


def test_prediction_goes_on_as_the_person_moved_then_stops():
    tracker = MotionTracker()
    for t in np.arange(0, 1, 1 / 30):
        tracker.update(t, [shift(LEFT, 0.3 * t)])
    last_s = 29 / 30
    ids, boxes = tracker.predict(last_s + 0.1)
    assert ids.tolist() == [0]
    assert boxes[0, 0] == pytest.approx(LEFT[0] + 0.3 * (last_s + 0.1), abs=0.005)
    assert boxes[0, 2] - boxes[0, 0] == pytest.approx(0.2, abs=0.005)
    _, late = tracker.predict(last_s + 1.2)
    _, later = tracker.predict(last_s + 1.4)
    assert np.allclose(late, later, atol=1e-4)
    assert len(tracker.predict(last_s + 0.2, max_age_s=0.1)[0]) == 0


def test_more_people_than_can_be_tracked_are_an_error():
    with pytest.raises(ValueError, match="5,001 people at 2 s"):
        MotionTracker().update(2.0, np.zeros((5001, 4)))


def count_id_switches(tracker, take, fps, with_weak):
    """(switches, boxes with an id) of noisy detections of a rendered shot at the video's rate."""
    rng = np.random.default_rng(0)
    last_ids = {}
    n_switches = 0
    n_boxes = 0
    for frame in range(min(len(take.times_s), 120)):
        people = [person for person in list_visible_people(take, frame, fps) if rng.random() > 0.05]
        # boxes within 3 % of the truth; one person in five has a low score
        sides = np.array([person.box[[2, 3, 2, 3]] - person.box[[0, 1, 0, 1]] for person in people]).reshape(-1, 4)
        boxes = (
            np.array([person.box for person in people]).reshape(-1, 4) + rng.normal(0, 0.03, (len(people), 4)) * sides
        )
        scores = np.where(rng.random(len(people)) < 0.2, 0.4, 0.9)
        if with_weak:
            ids = tracker.update(frame / fps, boxes, scores)
        else:
            is_high = scores >= 0.7
            people = [person for person, is_kept in zip(people, is_high, strict=True) if is_kept]
            ids = tracker.update(frame / fps, boxes[is_high])
        for person, track_id in zip(people, ids.tolist(), strict=True):
            if track_id >= 0:
                n_boxes += 1
                n_switches += last_ids.get(person.person_id, track_id) != track_id
                last_ids[person.person_id] = track_id
    return n_switches, n_boxes


@pytest.mark.slow
def test_id_switches_on_rendered_shots_at_the_videos_rate():
    """The motion of the mini-AVA's people: at most a third of the plain tracker's switches, on more boxes."""
    spec = list_videos("mini", 0)[0]
    totals = {"motion": np.zeros(2, int), "plain": np.zeros(2, int)}
    for placed in build_takes(spec)[:4]:
        totals["motion"] += count_id_switches(MotionTracker(0.7), placed.take, float(spec.fps), with_weak=True)
        totals["plain"] += count_id_switches(Tracker(), placed.take, float(spec.fps), with_weak=False)
    print("switches and boxes:", totals)
    assert totals["plain"][0] >= 3, "the motion has to be hard"
    assert totals["motion"][0] <= totals["plain"][0] / 3
    assert totals["motion"][1] > totals["plain"][1]
