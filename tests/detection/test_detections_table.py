"""The table of detections: columns, order, smoothing, csv."""

import numpy as np
import pandas as pd
import pytest

from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_table import COLUMNS, FrameResult, build_table, smooth_scores, write_detections

LABEL_MAP = {12: "stand around", 3: "dribble"}


@pytest.fixture
def results():
    """Two people at 1 s, one of them at 2 s; action 3 has the scores 0.1, 0.2, 0.3, action 12 ten times less."""
    boxes = np.array([[0.1, 0.2, 0.3, 0.9], [0.6, 0.2, 0.8, 0.9]])
    scores = np.zeros((3, 81), np.float32)
    scores[:, 3] = (0.1, 0.2, 0.3)
    scores[:, 12] = scores[:, 3] / 10
    return [
        FrameResult(1.0, 25, np.array([7, 9]), boxes, scores[:2]),
        FrameResult(2.0, 50, np.array([9]), boxes[1:], scores[2:]),
    ]


def test_rows_are_ordered_by_time_person_and_action(results):
    table = build_table(results, LABEL_MAP)
    assert list(table) == COLUMNS
    assert table.time_s.tolist() == [1, 1, 1, 1, 2, 2]
    assert table.frame.tolist() == [25, 25, 25, 25, 50, 50]
    assert table.person_id.tolist() == [7, 7, 9, 9, 9, 9]
    assert table.action_id.tolist() == [3, 12] * 3
    assert table.action.tolist() == ["dribble", "stand around"] * 3
    assert table.score.tolist() == pytest.approx([0.1, 0.01, 0.2, 0.02, 0.3, 0.03])
    assert table[BOX_COLUMNS].iloc[2].tolist() == [0.6, 0.2, 0.8, 0.9]


def test_low_scores_are_left_out(results):
    table = build_table(results, LABEL_MAP, score_threshold=0.15)
    assert table[["time_s", "person_id", "action_id"]].to_numpy().tolist() == [[1, 9, 3], [2, 9, 3]]


def test_scores_are_smoothed_for_each_person(results):
    table = build_table(results, {3: "dribble"}, smooth_s=2)
    assert table.score.tolist() == pytest.approx([0.1, 0.25, 0.25])


def test_without_people_the_table_is_empty():
    table = build_table([], LABEL_MAP)
    assert list(table) == COLUMNS
    assert table.empty


def test_scores_are_averaged_within_half_of_the_seconds():
    scores = np.array([[0.0, 1], [9, 9], [1, 1], [2, 0], [9, 9]])
    time_s = np.array([0, 0, 1, 2, 5])
    person_ids = np.array([1, 2, 1, 1, 1])
    smoothed = smooth_scores(scores, time_s, person_ids, seconds=2)
    assert np.allclose(smoothed, [[0.5, 1], [9, 9], [1, 2 / 3], [1.5, 0.5], [9, 9]])


def test_times_of_a_long_video_are_written_to_the_millisecond(tmp_path):
    columns = {"time_s": [1000.04, 36000.0416667, 0.5], "frame": [25001, 900001, 12], "person_id": 0}
    columns |= dict(zip(BOX_COLUMNS, (0.123456789, 0.2, 0.3, 0.4), strict=True))
    table = pd.DataFrame(columns).assign(action_id=3, action="wave, twice", score=0.000123456)
    written = pd.read_csv(write_detections(table, tmp_path / "d.csv"))
    assert list(written) == list(table)
    assert written.time_s.tolist() == [1000.04, 36000.042, 0.5]
    assert written.frame.tolist() == table.frame.tolist()
    assert np.allclose(written[[*BOX_COLUMNS, "score"]], table[[*BOX_COLUMNS, "score"]], rtol=1e-4)
    assert written.action[0] == "wave, twice"
