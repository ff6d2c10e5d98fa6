"""AVA's numbers are those that ffmpeg's extraction of jpgs gives."""

from fractions import Fraction

import av
import numpy as np
import pytest
from numbered_videos import NTSC, NTSC_FILM, VARIABLE_TIMES_S, draw_number, read_number, write_numbered_video

from avalib.video.frame_numbers import compute_ava_numbering, to_frame_number, to_time_s
from avalib.video.reader import Video

# What FFmpeg 4.2.2 and 5.1.9 (they agree), and 9.0.2, gave for `ffmpeg -i FILE -r 30 -q:v 1 img_%05d.jpg` on the files
# that `write_numbered_video` makes: the numbers in the pictures, img_00001.jpg first.
FFMPEG = {
    ("mp4", 12): (
        "0 0 1 1 1 2 2 3 3 3 4 4 5 5 5 6 6 7 7 7 8 8 9 9 9 10 10 11 11 11 12 12 13 13 13",
        "0 0 1 1 1 2 2 3 3 3 4 4 5 5 5 6 6 7 7 7 8 8 9 9 9 10 10 11 11 11 12 12 13 13 13",
    ),
    ("mkv", 12): (
        "0 0 1 1 2 2 2 3 3 3 4 4 5 5 5 6 6 7 7 8 8 8 9 9 9 10 10 11 11 11 12 12 13 13 14",
        "0 0 1 1 1 2 2 2 3 3 4 4 5 5 5 6 6 7 7 7 8 8 8 9 9 10 10 11 11 11 12 12 13 13 13",
    ),
    ("mp4", NTSC_FILM): (
        "0 1 2 2 3 4 5 6 6 7 8 9 10 10 11 12 13 14 14 15 16 17 18 18 19 20 21 22 22 23 24 25 26 26 27 28",
        "0 1 1 2 3 4 5 5 6 7 8 9 9 10 11 12 13 13 14 15 16 17 17 18 19 20 21 21 22 23 24 25 25 26 27",
    ),
    ("mkv", NTSC_FILM): (
        "0 1 2 3 3 4 5 6 6 7 8 9 10 10 11 12 13 14 14 15 16 17 18 18 19 20 21 22 22 23 24 25 26 26 27 28",
        "0 1 2 2 3 4 5 5 6 7 8 9 10 10 11 12 13 14 14 15 16 17 17 18 19 20 21 21 22 23 24 25 25 26 27",
    ),
    ("mp4", 25): (
        "0 1 2 3 3 4 5 6 7 8 8 9 10 11 12 13 13 14 15 16 17 18 18 19 20 21 22 23 23 24 25 26 27 28 28 29",
        "0 1 2 2 3 4 5 6 7 7 8 9 10 11 12 12 13 14 15 16 17 17 18 19 20 21 22 22 23 24 25 26 27 27 28 29",
    ),
    ("mkv", NTSC): (" ".join(map(str, range(40))),) * 2,
    ("mp4", 30): (" ".join(map(str, range(40))),) * 2,
    ("mp4", 50): (
        "0 1 2 3 4 5 7 9 10 12 14 15 17 19 20 22 24 25 27 29 30 32 34 35 37 39",
        "0 1 2 3 4 6 8 9 11 13 14 16 18 19 21 23 24 26 28 29 31 33 34 36 38 39",
    ),
    ("mkv", 60): ("0 1 2 3 5 7 9 11 13 15 17 19 21 23 25 27 29 31 33 35 37 39",) * 2,
}
FFMPEG_VARIABLE = {  # with times_s=VARIABLE_TIMES_S; 8x14: frame 8 is shown 14 times
    ("mp4", 0): (
        "0 1 2x3 3 4x6 5 6 7 8x14 9 10 11 12x3 13 14x6 15 16 17 18x14 19 20",
        "0 1 2x3 3 4x6 5 6 7 8x14 9 10 11 12x3 13 14x6 15 16 17 18x14 19 20",
    ),
    ("mp4", 2): (
        "0 1 2x2 3 4x6 5 6 7 8x14 9 10 11 12x3 13 14x6 15 16 17 18x14 19 20",
        "0 1 2x2 3x4 4x3 5 6x7 8x9 9x2 10x15 15x3 18x10 19x2 20",
    ),
    ("mkv", 2): (
        "0 1 2x2 3x2 4x5 5x2 6 7 8x13 9x2 10 11 12x2 13x2 14x5 15x2 16 17 18x13 19x2 20",
        "0 1 2x2 3 4x6 5x2 6 7 8x13 9x2 10 11 12x2 13 14x6 15x2 16 17 18x13 19x2 20",
    ),
}


@pytest.mark.parametrize("later", [False, True], ids=["ffmpeg up to 6.0", "since 6.1"])
@pytest.mark.parametrize(("suffix", "fps"), FFMPEG, ids=str)
def test_ava_numbers_are_ffmpegs(tmp_path, suffix, fps, later):
    with Video(write_numbered_video(tmp_path, f"v.{suffix}", fps), since_ffmpeg_6_1=later) as v:
        expected = [int(n) for n in FFMPEG[suffix, fps][later].split()]
        assert [read_number(f) for f in v.iter_ava_frames()][: len(expected)] == expected
        assert [read_number(f) for f in v.read_ava_frames([1, 20, 2, 20, 11])] == [
            expected[i - 1] for i in (1, 20, 2, 20, 11)
        ]
        assert abs(v.fps / float(fps) - 1) < 0.005 and v.n_frames == 40
        assert abs(v.n_ava_frames - 40 * 30 / fps) <= 3


@pytest.mark.parametrize("later", [False, True], ids=["ffmpeg up to 6.0", "since 6.1"])
@pytest.mark.parametrize(("suffix", "bframes"), FFMPEG_VARIABLE, ids=str)
def test_ava_numbers_at_a_variable_rate(tmp_path, suffix, bframes, later):
    path = write_numbered_video(tmp_path, f"v.{suffix}", 30, n=21, bframes=bframes, times_s=VARIABLE_TIMES_S)
    with Video(path, since_ffmpeg_6_1=later) as v:
        runs = [run.split("x") for run in FFMPEG_VARIABLE[suffix, bframes][later].split()]
        expected = [int(n) for n, *times in runs for _ in range(int(*times or [1]))]
        assert [read_number(f) for f in v.iter_ava_frames()] == expected
        assert np.abs(v.times_s - VARIABLE_TIMES_S).max() < 0.002


# What FFmpeg 5.1.9 gave for `ffmpeg -ss 0.7 -t 1 -i FILE -r 30 CUT.mp4` and then `ffmpeg -i CUT.mp4 -r 30 -q:v 1 …`.
FFMPEG_CUT = {
    ("mp4", 12): "9x2 10x3 11x2 12x3 13x2 14x3 15x2 16x3 17x2 18x3 19x2 20x3",
    ("mkv", 12): "9x2 10x2 11x3 12x2 13x2 14x3 15x3 16x2 17x3 18x2 19x2 20x3",
    ("mp4", NTSC_FILM): "17 18x2 19 20 21 22x2 23 24 25 26x2 27 28 29 30x2 31 32 33 34x2 35 36 37 38x2 39 40",
    ("mkv", NTSC_FILM): "17 18x2 19 20 21 22x2 23 24 25 26x2 27 28 29 30x2 31 32 33 34x2 35 36 37 38x2 39 40",
    ("mp4", 24): "17 18 19x2 20 21 22 23x2 24 25 26 27x2 28 29 30 31x2 32 33 34 35x2 36 37 38 39x2 40",
    ("mkv", 25): "18 19 20 21 22 23x2 24 25 26 27 28x2 29 30 31 32 33x2 34 35 36 37 38x2 39 40 41 42",
    ("mp4", NTSC): " ".join(map(str, range(21, 51))),
    ("mp4", 30): " ".join(map(str, range(21, 51))),
    ("mp4", 50): "35 36 37 38 39 40 42 44 45 47 49 50 52 54 55 57 59 60 62 64 65 67 69 70 72 74 75 77 79 80 82 84",
    ("mkv", 60): "42 43 44 45 47 49 51 53 55 57 59 61 63 65 67 69 71 73 75 77 79 81 83 85 87 89 91 93 95 97 99 101",
    ("mp4", None): "9 10 11 12x2 13 14x6 15 16 17 18",  # times_s=VARIABLE_TIMES_S
    ("mkv", None): "9 10 11 12x2 13x2 14x5 15x2 16 17 18",
}


@pytest.mark.parametrize(("suffix", "fps"), FFMPEG_CUT, ids=str)
def test_an_uncut_video_gives_the_documented_cuts_frames(tmp_path, suffix, fps):
    options = {"n": 120} if fps else {"n": 21, "times_s": VARIABLE_TIMES_S}
    with Video(write_numbered_video(tmp_path, f"v.{suffix}", fps or 30, **options), cut=(0.7, 1)) as v:
        runs = [run.split("x") for run in FFMPEG_CUT[suffix, fps].split()]
        expected = [int(n) for n, *times in runs for _ in range(int(*times or [1]))]
        assert [read_number(f) for f in v.iter_ava_frames()] == expected
        assert [read_number(f) for f in v.read_ava_frames([3, 1, 9])] == [expected[i - 1] for i in (3, 1, 9)]


def test_sound_that_starts_before_zero_moves_the_cut(tmp_path):
    with av.open(str(tmp_path / "v.webm"), "w") as container:
        options = {"deadline": "realtime", "cpu-used": "8", "b": "1M"}
        pictures = container.add_stream("libvpx", rate=24, options=options, width=128, height=64)
        sound = container.add_stream("libopus", rate=48000)
        for n in range(60):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(draw_number(n), format="rgb24")))
        container.mux(pictures.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 96000), np.float32), format="flt", layout="mono")
        silence.rate = 48000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with Video(tmp_path / "v.webm", cut=(0.7, 1)) as v:
        runs = "17 18x2 19 20 21 22x2 23 24 25 26 27x2 28 29 30x2 31 32 33 34x2 35 36 37 38 39x2 40".split()
        expected = [int(n) for n, *times in (run.split("x") for run in runs) for _ in range(int(*times or [1]))]
        assert [read_number(f) for f in v.iter_ava_frames()] == expected  # FFmpeg 5.1.9, as above


def test_video_that_starts_after_the_sound_is_padded_in_front():
    late = compute_ava_numbering(
        range(0, 10), [1] * 10, Fraction(1, 30), 30.0, start_s=Fraction(-1, 2), is_only_stream=False
    )
    assert late.tolist() == [0] * 16 + list(range(1, 10))  # half a second is 15 slots
    alone = compute_ava_numbering(
        range(0, 10), [1] * 10, Fraction(1, 30), 30.0, start_s=Fraction(-1, 2), is_only_stream=True
    )
    assert alone.tolist() == list(range(10))


def test_a_timestamps_frame_number_counts_from_the_start():
    assert to_frame_number(902.0) == 61
    assert to_frame_number(1.0, start_s=0) == 31


def test_frame_numbers_of_an_array_are_those_of_its_items():
    times_s = np.array([900.0, 900.016, 900.017, 1000.5])
    assert (
        to_frame_number(times_s).tolist() == [to_frame_number(time_s) for time_s in times_s.tolist()] == [1, 1, 2, 3016]
    )


def test_times_and_frame_numbers_are_inverse():
    numbers = np.arange(1, 27000)
    assert np.array_equal(to_frame_number(to_time_s(numbers)), numbers)
