"""A video in stretches: the same to the bit wherever they are computed, and people tracked across the seams."""

import numpy as np
import pytest
from detection_inputs import build_network, two_people
from numbered_videos import make_shot

from avalib.detection.detect_video import load_model
from avalib.detection.person_boxes import read_person_boxes
from avalib.detection.stretches import split_times
from avalib.detection.video_detector import VideoDetector, join_stretches
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

TIMES_S = np.arange(0, 6, 0.25)
STRETCH_LEN = 5


@pytest.fixture(scope="module")
def loaded():
    return load_model(build_network(), "published", "cpu", "float32", progress=False)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Six seconds at 50 frames a second with cuts at 1.24 s, behind a seam, and at 3.8 s."""
    shots = [make_shot(level, count) for level, count in ((30, 62), (150, 128), (220, 110))]
    frames = [frame for shot in shots for frame in shot]
    return write_mp4(tmp_path_factory.mktemp("cuts") / "v.mp4", frames, 50, gop=20)


def make_detector(loaded, reader, stretch_len):
    # Without ids: the tracker gives them.
    return VideoDetector(loaded, 2, read_person_boxes(two_people(*TIMES_S), reader, 0.5), stretch_len=stretch_len)


def run(loaded, video, stretch_len):
    with Video(video) as reader:
        return make_detector(loaded, reader, stretch_len).run(reader, TIMES_S, progress=False)


def assert_equal(result, other, exact=True):
    assert result.cut_frames == other.cut_frames
    for a, b in zip(result.frame_results, other.frame_results, strict=True):
        assert (a.time_s, a.frame, a.person_ids.tolist()) == (b.time_s, b.frame, b.person_ids.tolist())
        assert np.array_equal(a.scores, b.scores) if exact else np.allclose(a.scores, b.scores, atol=1e-6)


@pytest.mark.slow
def test_stretches_in_any_order_each_from_its_own_opening_are_the_same_to_the_bit(loaded, video):
    results = {}
    for number in (2, 4, 0, 1, 3):
        with Video(video) as reader:
            detector = make_detector(loaded, reader, STRETCH_LEN)
            stretches = split_times(TIMES_S, STRETCH_LEN)
            results[number] = detector.run_stretch(detector.open_clips(reader, stretches, number))
    joined = join_stretches([results[number] for number in range(5)], TIMES_S, 0, (), 1)
    assert_equal(joined, run(loaded, video, STRETCH_LEN))


@pytest.mark.slow
@pytest.mark.parametrize("stretch_len", [1, 5, 23])
def test_tracks_and_cuts_are_those_of_the_video_in_one_piece(stretch_len, loaded, video):
    whole = run(loaded, video, len(TIMES_S))
    assert whole.cut_frames == [62, 190]
    assert whole.frame_results[-1].person_ids.tolist() == [4, 5]
    assert_equal(run(loaded, video, stretch_len), whole, exact=False)


def test_times_are_split_without_a_rest():
    assert [len(times) for times in split_times(np.arange(480.0))] == [240, 240]
    assert [len(times) for times in split_times(np.arange(481.0))] == [240, 240, 1]
    assert [len(times) for times in split_times(np.arange(0.0))] == [0]
