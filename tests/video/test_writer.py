"""Written videos and GIFs: whole or not there, the right times and colors."""

import av
import numpy as np
import pytest
from numbered_videos import draw_number, read_number
from PIL import Image

from avalib.video.reader import Video
from avalib.video.writer import write_gif, write_mp4


def test_without_frames_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        write_mp4(tmp_path / "v.mp4", [], 25)
    assert not list(tmp_path.iterdir())


def test_frames_of_two_sizes_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"frame 1 is \(32, 128\)"):
        write_mp4(tmp_path / "v.mp4", [draw_number(0), draw_number(1)[:32]], 25)
    assert not list(tmp_path.iterdir())


def test_an_odd_side_gets_its_last_row_doubled(tmp_path):
    with Video(write_mp4(tmp_path / "odd.mp4", [np.full((33, 41, 3), 90, np.uint8)] * 2, 29.97)) as v:
        assert (v.height, v.width) == (34, 42)
        assert np.abs(v.read_frames([1]).astype(int) - 90).max() <= 2


def test_a_decimal_rate_is_ntscs(tmp_path):
    with Video(write_mp4(tmp_path / "v.mp4", [draw_number(n) for n in range(30)], 29.97)) as v:
        assert abs(v.fps - 30000 / 1001) < 0.001


@pytest.fixture(scope="module")
def scene(tiny):
    """Two seconds of a rendered scene: (60, 240, 320, 3)."""
    with Video(sorted(tiny.videos.glob("*.mp4"))[0]) as reader:
        return np.ascontiguousarray(reader.read_frames(range(60)))


def measure_error(path, frames):
    """The root mean square of (written - original), in gray levels."""
    with Video(path) as reader:
        written = np.stack(list(reader.read_frames(range(len(frames))))).astype(float)
    return np.sqrt(np.mean((written - frames) ** 2))


def test_the_fast_quality_is_a_larger_file_of_the_same_picture(scene, tmp_path):
    good = write_mp4(tmp_path / "good.mp4", scene, 30)
    fast = write_mp4(tmp_path / "fast.mp4", scene, 30, quality="fast")
    assert good.stat().st_size < 0.6 * fast.stat().st_size
    assert max(measure_error(good, scene), measure_error(fast, scene)) < 4


def test_mpeg4_is_the_same_picture_in_the_codec_of_opencv(scene, tmp_path):
    path = write_mp4(tmp_path / "v.mp4", scene, 30, quality="mpeg4")
    assert measure_error(path, scene) < 4
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_mpeg4_keeps_times_of_the_frames_own(scene, tmp_path):
    times_s = np.cumsum(np.linspace(0.02, 0.2, len(scene)))
    path = write_mp4(tmp_path / "v.mkv", scene, 30, times_s=times_s, quality="mpeg4")
    with av.open(str(path)) as container:
        written_s = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(np.diff(written_s), np.diff(times_s), atol=0.0021)  # mkv counts milliseconds


@pytest.mark.parametrize("setting", [{"crf": 20}, {"preset": "slow"}])
def test_settings_of_h264_are_refused_with_mpeg4(setting, scene, tmp_path):
    with pytest.raises(ValueError, match="quality='mpeg4' is not H.264"):
        write_mp4(tmp_path / "v.mp4", scene, 30, quality="mpeg4", **setting)
    assert not list(tmp_path.iterdir())


def test_crf_and_preset_replace_those_of_the_quality(scene, tmp_path):
    usual = write_mp4(tmp_path / "usual.mp4", scene, 30)
    small = write_mp4(tmp_path / "small.mp4", scene, 30, crf=30)
    slow = write_mp4(tmp_path / "slow.mp4", scene, 30, preset="slow")
    assert small.stat().st_size < 0.6 * usual.stat().st_size
    assert measure_error(small, scene) > 1.5 * measure_error(usual, scene)
    assert slow.read_bytes() != usual.read_bytes()


def test_an_unknown_quality_is_named_before_a_file_is_begun(tmp_path):
    with pytest.raises(
        ValueError, match="quality='fsat': expected one of good, fast, mpeg4, data. Did you mean 'fast'"
    ):
        write_mp4(tmp_path / "v.mp4", [draw_number(0)], 25, quality="fsat")
    assert not list(tmp_path.iterdir())


def test_frames_may_be_views_of_other_arrays(tmp_path):
    frames = [draw_number(n)[:, ::-1] for n in range(5)]
    whole = [np.ascontiguousarray(frame) for frame in frames]
    assert (
        write_mp4(tmp_path / "a.mp4", frames, 25).read_bytes() == write_mp4(tmp_path / "b.mp4", whole, 25).read_bytes()
    )


def test_an_array_may_be_drawn_anew_as_soon_as_the_next_frame_is_asked_for(tmp_path):
    def draw_into_one_array():
        array = np.empty_like(draw_number(0))
        for n in range(30):
            array[:] = draw_number(n)
            yield array

    with Video(write_mp4(tmp_path / "v.mp4", draw_into_one_array(), 25)) as video:
        assert [read_number(frame) for frame in video.read_frames(range(30))] == list(range(30))


BLUE = (30, 100, 220)


def draw_numbers_with_a_blue_line(count):
    frames = [draw_number(n) for n in range(count)]
    for frame in frames:
        frame[30:32, 4:20] = BLUE
    return frames


def read_gif(path):
    """(frames, durations in ms, loop) of a GIF."""
    with Image.open(path) as gif:
        frames, durations = [], []
        for n in range(gif.n_frames):
            gif.seek(n)
            durations.append(gif.info["duration"])
            frames.append(np.asarray(gif.convert("RGB")))
        return frames, durations, gif.info["loop"]


def test_a_gif_shows_its_frames_in_order_for_ever(tmp_path):
    frames, _, loop = read_gif(write_gif(tmp_path / "v.gif", draw_numbers_with_a_blue_line(30), fps=15))
    assert [read_number(frame) for frame in frames] == list(range(30))
    assert loop == 0


def test_a_gif_keeps_given_colors_exactly(tmp_path):
    path = write_gif(tmp_path / "v.gif", draw_numbers_with_a_blue_line(30), fps=15, keep_colors=[BLUE])
    frames, _, _ = read_gif(path)
    assert all(tuple(frame[31, 10]) == BLUE for frame in frames)


def test_a_gifs_durations_are_right_on_average(tmp_path):
    _, durations, _ = read_gif(write_gif(tmp_path / "v.gif", draw_numbers_with_a_blue_line(30), fps=15))
    assert sum(durations) == 2000
    assert set(durations) == {60, 70}


def test_a_gif_is_scaled_to_a_width(tmp_path):
    frames, _, _ = read_gif(write_gif(tmp_path / "small.gif", draw_numbers_with_a_blue_line(3), 10, width=64))
    assert frames[0].shape == (32, 64, 3)


def test_a_gif_faster_than_viewers_play_is_refused(tmp_path):
    with pytest.raises(ValueError, match="50 frames a second"):
        write_gif(tmp_path / "fast.gif", draw_numbers_with_a_blue_line(3), 60)
