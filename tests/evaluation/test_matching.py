"""The closed form of the cap per frame is the original's heap."""

import numpy as np

from avalib.evaluation.matching import keep_top_per_frame, select_heap_order
from avalib.evaluation.row_groups import number_boxes


def test_the_closed_form_of_the_cap_equals_the_heap():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, cap = rng.integers(1, 40), int(rng.integers(1, 12))
        frame, n_frames = rng.integers(0, 3, n), 3
        score = rng.integers(0, 4, n) / 4
        tie_keys = [rng.integers(0, 3, n) for _ in range(5)]
        keep = keep_top_per_frame(frame, n_frames, score, tie_keys, cap)
        tuples = list(zip(score, *tie_keys, strict=True))
        for f in range(n_frames):
            members = np.flatnonzero(frame == f)
            expected = select_heap_order([tuples[i] for i in members], cap)
            assert sorted(expected) == sorted(tuples[i] for i in members if keep[i])


def test_equal_boxes_of_a_frame_have_one_number():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 1, 1], [0, 0, 1, 1]], float)
    number, first_row = number_boxes(np.array([5, 5, 5, 6]), boxes)
    assert number.tolist() == [0, 1, 0, 2]
    assert first_row.tolist() == [0, 1, 3]
