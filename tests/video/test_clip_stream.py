"""A video as clips: each is what random access gives, each frame is read once, cuts are seen, damage is reported."""

import numpy as np
import pytest
from numbered_videos import NTSC_FILM, VARIABLE_TIMES_S, make_shot, read_number, write_numbered_video

from avalib.video.clip_stream import ROUNDING_S, ClipStream, find_shown_frames
from avalib.video.cut_finder import find_cuts
from avalib.video.frame_numbers import compute_clip_frames
from avalib.video.reader import Video
from avalib.video.resize import resize_frames_and_boxes
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4


@pytest.mark.parametrize("fps", [12, NTSC_FILM, 25, 60], ids=str)
def test_clips_are_those_of_random_access_and_each_frame_is_read_once(tmp_path, fps):
    with Video(write_numbered_video(tmp_path, "v.mp4", fps, n=int(5 * fps))) as reader:
        times, ticks = np.arange(0, 5, 0.5), []
        clips = ClipStream(reader, times, 4, 16, 32, lambda: ticks.append(1))
        found = list(clips)
        assert [m.time_s for m in found] == times.tolist() and len(ticks) == clips.n_read == clips.n_frames
        for moment in found:
            numbers = compute_clip_frames(900 + moment.time_s, 4, 16, reader.n_ava_frames, first=1)
            expected = resize_frames_and_boxes(reader.read_ava_frames(numbers), np.zeros((0, 4)), 32)[0]
            assert np.array_equal(moment.clip, expected) and moment.clip.shape == (4, 32, 64, 3)
            begun = np.flatnonzero(reader.times_s <= moment.time_s + ROUNDING_S)
            assert read_number(moment.picture) == moment.frame == begun[-1]


def test_a_variable_rate_and_a_video_shorter_than_the_clip(tmp_path):
    with Video(write_numbered_video(tmp_path, "v.mkv", 30, n=21, times_s=VARIABLE_TIMES_S)) as reader:
        moments = list(ClipStream(reader, [0, 1, 2], 4, 16, 64))
        assert [m.frame for m in moments] == [np.flatnonzero(reader.times_s <= t + ROUNDING_S)[-1] for t in (0, 1, 2)]
        assert [read_number(m.picture) for m in moments] == [m.frame for m in moments]
    with Video(write_numbered_video(tmp_path, "short.mp4", 25, n=3)) as reader:
        (moment,) = ClipStream(reader, [0], 32, 1, 64)
        assert {read_number(frame) for frame in moment.clip} == {0, 1, 2}
        assert list(ClipStream(reader, [], 4, 16, 64)) == []


@pytest.mark.parametrize("fps", [25, 60, 120, 240])
@pytest.mark.parametrize("decimals", [3, 6])
def test_a_time_means_the_frame_that_is_shown_then(tmp_path, fps, decimals):
    with Video(write_numbered_video(tmp_path, "v.mp4", fps, n=2 * fps)) as reader:
        frames = [fps, fps + 1, fps + 2, fps + 3, 2 * fps - 1]
        times = reader.times_s[frames].round(decimals)
        moments = list(ClipStream(reader, times, 4, 2, 32))
        assert [m.frame for m in moments] == frames
        assert [read_number(m.picture) for m in moments] == frames
        between = find_shown_frames(reader.times_s, times + 0.4 / fps)
        assert between.tolist() == frames


def test_memory_is_bounded_by_one_clips_span(tmp_path):
    with Video(write_numbered_video(tmp_path, "v.mp4", 30, n=600)) as reader:
        clips = iter(ClipStream(reader, np.arange(0, 20, 0.25), 8, 8, 32))
        held = [(len(clips.gi_frame.f_locals["scaled"]), len(clips.gi_frame.f_locals["pictures"])) for _ in clips]
    assert max(n for n, _ in held) <= 64 and max(n for _, n in held) <= 1 + 64 // 7


def test_cuts(tmp_path):
    frames = make_shot(40, 45) + make_shot(150, 45) + make_shot(90, 30)
    times = np.arange(len(frames)) / 30
    assert find_cuts(frames, times) == pytest.approx([1.5, 3.0])
    with Video(write_mp4(tmp_path / "v.mp4", frames, 30)) as reader:
        clips = ClipStream(reader, [0, 1, 1.5, 2, 3.5], 4, 8, 32)
        assert [m.shot for m in clips] == [0, 0, 1, 1, 2] and clips.cuts_s == pytest.approx([1.5, 3.0])


def test_the_shot_is_known_for_a_clip_that_ends_with_its_picture(tmp_path):
    frames = make_shot(40, 45) + make_shot(150, 45)
    with Video(write_mp4(tmp_path / "v.mp4", frames, 30)) as reader:
        clips = ClipStream(reader, [1.4, 1.5, 2.9], 1, 1, 32)
        assert [(m.frame, m.shot) for m in clips] == [(42, 0), (45, 1), (87, 1)]


def test_frames_that_cannot_be_decoded_leave_their_clips_out(tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 30, n=120, gop=30, bframes=0)
    with Video(path) as v:
        spoil = [
            (int(p), int(q) - int(p))
            for p, q in zip(v.packet_index.pos[90:100], v.packet_index.pos[91:101], strict=True)
        ]
    data = bytearray(path.read_bytes())
    for position, length in spoil:
        data[position : position + length] = bytes(length)
    path.write_bytes(data)
    with Video(path) as reader:
        frames = list(reader.iter_frames(allow_missing=True))
        assert len(frames) == 120 and any(frame is None for frame in frames[90:])
        assert [read_number(f) for f in frames[:90]] == list(range(90))
        moments = list(ClipStream(reader, [0, 1, 2, 3, 3.9], 4, 8, 32))
        assert [m.clip is None for m in moments] == [False, False, False, True, True]
        with pytest.raises(VideoError, match="frame 90 of 120 could not be decoded"):
            list(reader.iter_ava_frames())
