"""Which video and seconds are shown: those with the most different actions, annotated or detected."""

import pandas as pd
import pytest

from avalib.draw.scene_choice import find_busiest_start, find_busiest_video, select_detected_labels

COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
TRUTH = pd.DataFrame(
    [
        ("A", 902, 0.1, 0.1, 0.4, 0.9, 12),
        ("A", 902, 0.5, 0.1, 0.8, 0.9, 12),
        ("A", 902, 0.5, 0.1, 0.8, 0.9, 80),
        ("A", 903, 0.1, 0.1, 0.4, 0.9, 11),
        ("B", 902, 0.1, 0.1, 0.4, 0.9, 12),
    ],
    columns=COLUMNS,
)


def test_the_busiest_video_and_seconds_have_the_most_different_actions():
    assert find_busiest_video(TRUTH) == "A"
    assert find_busiest_start(TRUTH[TRUTH.video_id == "A"], seconds=1) == 902
    assert find_busiest_start(TRUTH[TRUTH.video_id == "A"].iloc[1:2], seconds=5) == 902


def test_of_equally_many_actions_more_labels_win_and_then_the_first_second():
    times = pd.DataFrame({"timestamp": [902, 903, 903, 904, 904], "action_id": [1, 1, 1, 2, 2]})
    assert find_busiest_start(times, seconds=1) == 903


@pytest.mark.parametrize(
    ("detection", "row"),
    [
        (("A", 902, 0.5, 0.1, 0.8, 0.8, 12, 0.3), 1),
        (("A", 902, 0.1, 0.1, 0.4, 0.9, 12, 0.9), 0),
        (("A", 902, 0.5, 0.1, 0.8, 0.9, 12, 0.29), None),  # score
        (("A", 902, 0.5, 0.1, 0.8, 0.4, 12, 0.9), None),  # IoU below 0.5
        (("A", 902, 0.5, 0.1, 0.8, 0.9, 11, 0.9), None),  # another action
        (("A", 903, 0.5, 0.1, 0.8, 0.9, 80, 0.9), None),  # another time
        (("B", 902, 0.5, 0.1, 0.8, 0.9, 80, 0.9), None),  # another video
    ],
)
def test_an_action_is_detected_by_person_action_time_and_score(detection, row):
    detections = pd.DataFrame([detection], columns=[*COLUMNS, "score"])
    assert select_detected_labels(TRUTH, detections).index.tolist() == ([] if row is None else [row])


def test_an_action_that_is_detected_twice_counts_once():
    twice = pd.concat([TRUTH, TRUTH]).assign(score=0.5)
    pd.testing.assert_frame_equal(select_detected_labels(TRUTH, twice), TRUTH)
