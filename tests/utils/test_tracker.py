"""Following people: ids last while people can be followed, and end at gaps and cuts."""

import numpy as np
import pytest

from avalib.utils.boxes import compute_giou_matrix, compute_iou_matrix
from avalib.utils.tracker import Tracker, link_boxes

LEFT, RIGHT = np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.6, 0.2, 0.8, 0.9])
STEP = np.array([0.12, 0, 0.12, 0])


def test_people_keep_their_ids_whatever_their_order():
    tracker = Tracker()
    moments = [[LEFT, RIGHT], [RIGHT - STEP, LEFT + STEP], [LEFT + 2 * STEP, RIGHT], [RIGHT], []]
    ids = [tracker.update(t, moment).tolist() for t, moment in enumerate(moments)]
    assert ids == [[0, 1], [1, 0], [0, 1], [1], []]


def test_gaps_cuts_and_absences():
    tracker = Tracker(max_gap_s=1.5)
    assert tracker.update(0, [LEFT]).tolist() == [0]
    assert tracker.update(0.5, [RIGHT + 0.1]).tolist() == [1]  # too far away in half a second
    assert tracker.update(1.0, [LEFT, RIGHT + 0.1]).tolist() == [0, 1]  # away for a moment
    assert tracker.update(4.0, [LEFT]).tolist() == [2]
    tracker.reset()
    assert tracker.update(4.5, [LEFT]).tolist() == [3]


def test_the_best_sum_decides_not_the_best_pair():
    wide = np.array([0.0, 0.0, 1.0, 1.0])
    shift = np.array([0.4, 0, 0.4, 0])
    tracker = Tracker(overlap=compute_iou_matrix, min_overlap=(0.1, 0.1))
    tracker.update(0, [wide, wide + shift])
    # a greedy choice gives the second box of now to the second of before (IoU 0.67) and leaves the first two apart
    assert tracker.update(1, [wide + 1.5 * shift, wide + 0.5 * shift]).tolist() == [1, 0]


def test_a_pair_that_is_too_far_does_not_push_out_a_good_one():
    tracker = Tracker(overlap=compute_iou_matrix, min_overlap=(0.3, 0.3))
    tracker.update(0, [LEFT, RIGHT])
    assert tracker.update(1, [RIGHT]).tolist() == [1]


def test_follow_gives_rows_of_one_box_one_id():
    times = [1, 0, 1, 1, 0]
    table = np.stack([RIGHT, LEFT, LEFT, RIGHT, RIGHT])
    ids = link_boxes(times, table)
    assert ids.tolist() == [1, 0, 0, 1, 1] and link_boxes([], []).shape == (0,)


@pytest.mark.parametrize(("other", "expected"), [(LEFT, 1.0), (LEFT + [0.2, 0, 0.2, 0], 0.0), (RIGHT, -0.3 / 0.7)])
def test_generalised_iou(other, expected):
    assert compute_giou_matrix(LEFT[None], other[None])[0, 0] == pytest.approx(expected)


def test_more_people_than_can_be_tracked_are_an_error():
    with pytest.raises(ValueError, match=r"5,001 people at 2 s; at most 5,000 \(MAX_PEOPLE\)"):
        Tracker().update(2.0, np.zeros((5001, 4)))
