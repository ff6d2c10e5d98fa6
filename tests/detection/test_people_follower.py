"""People are detected at some times and followed in between."""

import numpy as np
import pytest

from avalib.detection.people_follower import PeopleFollower
from avalib.detection.person_detector import PersonDetector
from avalib.video.clip_stream import ClipSample

WIDTH = 100


class PositionDetector:
    """Detects a person in each bright column of a picture; counts its pictures."""

    person_score = 0.5

    def __init__(self):
        self.n_pictures = 0

    def __call__(self, frames):
        self.n_pictures += len(frames)
        output = []
        for frame in frames:
            lefts = np.flatnonzero(frame[0, :, 0]) / WIDTH
            boxes = np.stack([lefts, np.full_like(lefts, 0.2), lefts + 0.2, np.full_like(lefts, 0.8)], axis=1)
            output.append((boxes, frame[0, frame[0, :, 0] > 0, 0] / 255))
        return output


def build_sample(time_s, columns, shot=0, level=255):
    """A time with people at these columns."""
    picture = np.zeros((10, WIDTH, 3), np.uint8)
    picture[:, columns] = level
    return ClipSample(time_s, round(30 * time_s), shot, picture, None, np.zeros(1, int))


def find(samples, **options):
    """(times of detections' pictures, [(time, {id: left side})]) of samples."""
    detector = PositionDetector()
    follower = PeopleFollower(PersonDetector(detector), **options)
    found = [
        (people.sample.time_s, dict(zip(people.person_ids.tolist(), people.boxes[:, 0].round(4).tolist(), strict=True)))
        for people in follower.iter_people(samples)
    ]
    return detector.n_pictures, found


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_people_between_detections_are_on_the_straight_line(batch_size):
    times_s = [0, 0.25, 0.5, 0.75, 1]
    # In between the pictures are empty: nobody looks at them.
    samples = [build_sample(t, [20 + int(20 * t)] if t in (0, 1) else []) for t in times_s]
    n_pictures, found = find(samples, detector_step=1.0, batch_size=batch_size)
    assert n_pictures == 2
    assert found == [(0, {0: 0.2}), (0.25, {0: 0.25}), (0.5, {0: 0.3}), (0.75, {0: 0.35}), (1, {0: 0.4})]


def test_without_a_step_people_are_detected_at_every_time():
    n_pictures, found = find([build_sample(t, [20]) for t in (0, 0.25, 0.5)])
    assert n_pictures == 3
    assert [time_s for time_s, _ in found] == [0, 0.25, 0.5]


def test_who_is_in_one_detection_alone_is_there_for_half_of_the_time():
    times_s = (0, 0.25, 0.75, 1)
    _, found = find([build_sample(t, [10] if t == 0 else []) for t in times_s], detector_step=1.0)
    assert [list(people) for _, people in found] == [[0], [0], [], []]
    _, found = find([build_sample(t, [70] if t == 1 else []) for t in times_s], detector_step=1.0)
    assert [list(people) for _, people in found] == [[], [], [0], [0]]


def test_a_cut_is_a_detection_and_ends_tracks():
    samples = [build_sample(t, [20], shot=int(t >= 0.4)) for t in (0, 0.25, 0.5, 0.75)]
    n_pictures, found = find(samples, detector_step=1.0)
    assert n_pictures == 2
    assert [list(people) for _, people in found] == [[0], [0], [1], [1]]


def test_weak_boxes_continue_a_track():
    """Scores of 0.3 are under the detector's 0.5, and over half of it."""
    levels = [255, 77, 77]
    _, found = find([build_sample(t / 10, [20], level=level) for t, level in enumerate(levels)])
    assert [list(people) for _, people in found] == [[0], [0], [0]]
    _, found = find([build_sample(0, [20], level=77)])
    assert found == [(0, {})]
