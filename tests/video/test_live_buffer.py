"""The newest frames of a live stream: bounded, the last picture first, clips by time."""

import numpy as np
import pytest

from avalib.video.live_buffer import LiveBuffer, LiveFrame
from avalib.video.video_error import VideoError


def make_frame(number, fps=30, size=(32, 48)):
    picture = np.full((*size, 3), number % 256, np.uint8)
    return LiveFrame(number, number / fps, 0.0, 0, picture)


def fill(buffer, n, **options):
    for number in range(n):
        buffer.add(make_frame(number, **options))


@pytest.fixture
def buffer():
    return LiveBuffer(short_side=16, span_s=2.0)


def test_the_newest_frame_is_taken_and_older_ones_are_passed_over(buffer):
    fill(buffer, 10)
    assert buffer.wait_for_newer(3, 0).number == 9


def test_without_a_newer_frame_the_wait_ends(buffer):
    fill(buffer, 10)
    assert buffer.wait_for_newer(9, 0.01) is None


@pytest.mark.parametrize(("fps", "kept"), [(10, 20), (30, 60), (60, 60), (100, 66)])
def test_it_holds_the_span_at_any_rate_and_no_more(buffer, fps, kept):
    fill(buffer, 4 * fps, fps=fps)
    clip = buffer.cut_clip(np.linspace(0, 4, 1000))
    assert len(np.unique(clip.numbers)) == pytest.approx(kept, abs=2)


def test_a_clip_has_the_frames_that_are_shown_at_its_times(buffer):
    fill(buffer, 61)
    clip = buffer.cut_clip(np.array([0.5, 1.0, 1.01, 1.0333]))
    assert clip.numbers.tolist() == [15, 30, 30, 31]
    assert clip.frames.shape == (4, 16, 24, 3)
    assert clip.frames[:, 0, 0, 0].tolist() == [15, 30, 30, 31]


def test_times_outside_take_the_first_and_the_last_frame(buffer):
    fill(buffer, 10)
    assert buffer.cut_clip(np.array([-1.0, 9.0])).numbers.tolist() == [0, 9]


def test_an_empty_buffer_has_no_clip(buffer):
    assert buffer.cut_clip(np.array([0.0])) is None
    assert buffer.get_range_s() is None


def test_another_size_of_the_picture_begins_anew(buffer):
    fill(buffer, 10)
    buffer.add(make_frame(10, size=(48, 32)))
    assert buffer.cut_clip(np.array([0.0])).numbers.tolist() == [10]


def test_a_closed_buffer_still_gives_its_last_frame(buffer):
    fill(buffer, 10)
    buffer.close()
    assert not buffer.is_finished(5)
    assert buffer.wait_for_newer(5, 0).number == 9
    assert buffer.is_finished(9)


def test_the_error_that_ended_the_stream_is_raised_behind_the_last_frame(buffer):
    fill(buffer, 2)
    buffer.close(VideoError("gone"))
    assert not buffer.is_finished(0)
    with pytest.raises(VideoError, match="gone"):
        buffer.is_finished(1)
