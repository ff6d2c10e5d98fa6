"""Frames are exact whatever the file, numbered as ffmpeg numbers them; errors name the file; writing is whole."""

import pickle
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from numbered_videos import NTSC, NTSC_FILM, VARIABLE_TIMES_S, draw_number, read_number, write_numbered_video
from PIL import Image

from avalib.video.frame_cache import FrameCache, write_frame_cache
from avalib.video.jpeg_folder import JpegFolder
from avalib.video.frame_numbers import compute_ava_numbering
from avalib.video.reader import Video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_gif, write_mp4


def cut_without_recoding(source, path, ticks):
    """Copy the packets with all times `ticks` earlier: an edit list hides what comes before zero."""
    with av.open(str(source)) as old, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                new.mux(packet)
    return path


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


@pytest.mark.parametrize("options", [{"gop": 250}, {"gop": 5, "bframes": 3}, {"gop": 1}, {"bframes": 0}], ids=str)
def test_frames_in_any_order(tmp_path, options):
    with Video(write_numbered_video(tmp_path, "v.mp4", 25, n=60, **options)) as v:
        order = np.random.default_rng(0).integers(0, 60, 40)
        assert [read_number(f) for f in v.read_frames(order)] == order.tolist()
        assert [read_number(f) for f in v.iter_frames(17, 31)] == list(range(17, 31))
        assert v.read_frames([]).shape == (0, 64, 128, 3)


def test_an_edit_list_hides_frames(tmp_path):
    path = cut_without_recoding(
        write_numbered_video(tmp_path, "v.mp4", 25, n=60, gop=20), tmp_path / "cut.mp4", 30 * 512
    )
    with Video(path) as v:
        assert v.n_frames == 30 and v.missing_frames == 0
        assert [read_number(f) for f in v.read_frames([29, 0, 7])] == [59, 30, 37]
        assert [read_number(f) for f in v.iter_frames()] == list(range(30, 60))


def test_avi_has_an_order_only(tmp_path):
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"bf": "2", "qscale": "2"}, width=128, height=64)
        for n in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw_number(n), format="rgb24")))
        container.mux(stream.encode(None))
    with Video(tmp_path / "v.avi") as v:
        assert [read_number(f) for f in v.read_frames([12, 3, 12, 29])] == [12, 3, 12, 29]


def test_rotation_is_applied(tmp_path):
    source = write_numbered_video(tmp_path, "v.mp4", 25, n=5)
    with av.open(str(source)) as old, av.open(str(tmp_path / "turned.mp4"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(90)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    with Video(source) as flat, Video(tmp_path / "turned.mp4") as turned:
        assert (turned.width, turned.height, turned.rotation % 360) == (64, 128, 90)
        assert np.array_equal(turned.read_frames([3])[0], np.rot90(flat.read_frames([3])[0]))


def test_an_index_saves_reading_the_file(tmp_path):
    path = write_numbered_video(tmp_path, "v.mkv", 25)
    with Video(path) as first, Video(path, index=pickle.loads(pickle.dumps(first.index))) as again:
        assert np.array_equal(again.read_frames([30, 4]), first.read_frames([30, 4]))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_no_packet_is_read_for_nothing(tmp_path, name):
    with Video(write_numbered_video(tmp_path, name, 25)) as reader:
        assert len(reader.key_packets) == 4
        for key in reader.key_packets.tolist()[::-1]:
            assert next(reader.iter_packets(key))[0] == key


def test_errors_name_the_file(tmp_path):
    whole = write_numbered_video(tmp_path, "whole.mp4", 25)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "torn.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    for name, words in (("none.mp4", "no such video"), ("empty.mp4", "not readable")):
        with pytest.raises(VideoError, match=f"{name}.*{words}"):
            Video(tmp_path / name)
    with Video(tmp_path / "torn.mp4") as torn:
        assert 0 < torn.n_frames < 40 and torn.missing_frames > 0
        assert [read_number(f) for f in torn.read_frames([3])] == [3]
        with pytest.raises(VideoError, match=r"torn\.mp4: truncated"):
            torn.read_frames([39])
    with Video(whole) as v:
        with pytest.raises(IndexError, match=r"whole\.mp4: AVA frame number 0 .* 1\.\.48"):
            v.read_ava_frames([5, 0])
        with pytest.raises(IndexError, match=r"frame 40 .* 0\.\.39"):
            v.read_frames([40])
    error = pickle.loads(pickle.dumps(VideoError("a.mp4: torn")))  # as it comes back from a worker
    assert str(error) == "a.mp4: torn"


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound\.mp4: has no video in it, only audio"):
        Video(tmp_path / "sound.mp4")


def test_damage_is_an_error_not_another_frame(tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 25, gop=100)
    with Video(path) as v:
        hurt = int(v.index.pos[10])
    data = bytearray(path.read_bytes())
    data[hurt : hurt + 40] = bytes(40)
    path.write_bytes(data)
    with Video(path) as v:
        assert read_number(v.read_frames([2])[0]) == 2
        with pytest.raises(VideoError, match=r"v\.mp4: frame \d+ of 40 could not be decoded"):
            v.read_frames(range(40))
        with pytest.raises(VideoError, match=r"v\.mp4: frame \d+ of 40 could not be decoded"):
            list(v.iter_frames())


def test_writing_is_whole_or_not_at_all(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        write_mp4(tmp_path / "v.mp4", [], 25)
    with pytest.raises(ValueError, match=r"frame 1 is \(32, 128\)"):
        write_mp4(tmp_path / "v.mp4", [draw_number(0), draw_number(1)[:32]], 25)
    assert not list(tmp_path.iterdir())
    with Video(write_mp4(tmp_path / "odd.mp4", [np.full((33, 41, 3), 90, np.uint8)] * 2, 29.97)) as v:
        assert (v.height, v.width) == (34, 42) and abs(v.fps - 29.97) < 0.001
        assert np.abs(v.read_frames([1]).astype(int) - 90).max() <= 2


def test_gif_has_one_palette_and_keeps_time_and_colours(tmp_path):
    blue = (30, 100, 220)
    frames = [draw_number(n) for n in range(30)]
    for frame in frames:
        frame[30:32, 4:20] = blue
    path = write_gif(tmp_path / "v.gif", frames, fps=15, keep_colours=[blue])
    with Image.open(path) as gif:
        assert gif.n_frames == 30 and gif.info["loop"] == 0
        durations = []
        for n in range(30):
            gif.seek(n)
            durations.append(gif.info["duration"])
            shown = np.asarray(gif.convert("RGB"))
            assert read_number(shown) == n and tuple(shown[31, 10]) == blue
    assert sum(durations) == 2000 and set(durations) == {60, 70}
    with Image.open(write_gif(tmp_path / "small.gif", frames, 10, width=64)) as gif:
        assert gif.size == (64, 32)
    with pytest.raises(ValueError, match="50 frames a second"):
        write_gif(tmp_path / "fast.gif", frames, 60)


def test_packed_frames_are_the_videos(tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 25)
    with Video(path) as v:
        cache = write_frame_cache(v, tmp_path / "cache" / "v.frames", short_side=48)
    with Video(path) as v, FrameCache(cache) as packed:
        assert (packed.n_ava_frames, packed.width, packed.height) == (v.n_ava_frames, 96, 48)
        assert packed.original_size == (128, 64)
        for i in (48, 1, 17, 17):
            big = np.kron(
                packed.read_ava_frames([i])[0][::3, ::3], np.ones((4, 4, 1))
            )  # any scale that keeps the blocks
            assert read_number(big) == read_number(v.read_ava_frames([i])[0])
        assert np.array_equal(packed.read_ava_frames([5]), packed.read_ava_frames([4]))  # 25 fps repeats one in six,
        assert packed._starts[4] == packed._starts[3]  # stored once
        with pytest.raises(IndexError, match=r"v\.frames: AVA frame number 49 .* 1\.\.48"):
            packed.read_ava_frames([49])
    for damage in (cache.read_bytes()[:-9], b"", b"x" * 100):
        cache.write_bytes(damage)
        with pytest.raises(VideoError, match=r"v\.frames: not a whole file"):
            FrameCache(cache)


def folder_of(path, names):
    """A folder of pictures; each shows the number that `names` ({name: number}) gives it."""
    path.mkdir(exist_ok=True)
    for name, n in names.items():
        Image.fromarray(draw_number(n)).save(path / name)
    return path


@pytest.mark.parametrize(
    "pattern", ["img_{:05d}.jpg", "clip_{:06d}.jpg", "frame{}.jpg", "{}.jpeg", "a7_{:03d}.JPG", "frame_{:06d}_l.png"]
)
@pytest.mark.parametrize("first", [0, 1])
def test_the_number_in_a_pictures_name_counts(tmp_path, pattern, first):
    folder = folder_of(tmp_path / "clip", {pattern.format(n): n for n in range(first, 23)})
    with JpegFolder(folder) as opened:
        assert (opened.n_ava_frames, opened.width, opened.height) == (23 - first, 128, 64)
        assert [read_number(f) for f in opened.iter_ava_frames()] == list(range(first, 23))
        assert [read_number(f) for f in opened.read_ava_frames([12, 3])] == [first + 11, first + 2]


def test_folders_may_mix_suffixes_and_hold_optical_flow(tmp_path):
    names = {"f1.jpg": 1, "f2.jpeg": 2, "f3.JPG": 3, "f4.png": 4, "flow_x_00001.jpg": 9, "cover.jpg": 9}
    opened = JpegFolder(folder_of(tmp_path / "clip", names))
    assert [read_number(f) for f in opened.iter_ava_frames()] == [1, 2, 3, 4]
    names = {"img_00001.jpg": 1, "img_00002.jpg": 2, "thumb_1.jpg": 7}
    opened = JpegFolder(folder_of(tmp_path / "other", names))
    assert [read_number(f) for f in opened.iter_ava_frames()] == [1, 2]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({f"frame_{n:06d}.jpg": n for n in range(0, 40, 5)}, r"8 pictures with the numbers 0, 5, 10, 15 … 35; .*1, 2"),
        ({"img_00001.jpg": 1, "img_00003.jpg": 3}, "2 … missing"),
        ({"img_00002.jpg": 2, "img_00003.jpg": 3}, "1 … missing"),
        ({"img_00001.jpg": 1, "img_999999999.jpg": 3}, "2 … missing"),
        ({"frame1.jpg": 1, "frame01.jpg": 1}, r"frame01.jpg and frame1.jpg have the same number"),
        ({"frame1.jpg": 1, "frame1.png": 1}, r"frame1.jpg and frame1.png have the same number"),
        ({"a1.jpg": 1, "b1.jpg": 1}, r"2 series \(a1.jpg, b1.jpg\)"),
        ({"cover.jpg": 1}, "no folder with frames named"),
    ],
    ids=str,
)
def test_folders_that_are_no_videos_frames_are_refused(tmp_path, names, words):
    with pytest.raises(VideoError, match=f"clip.*{words}"):
        JpegFolder(folder_of(tmp_path / "clip", names))


def test_import_is_light():
    code = "import sys, avalib.video; sys.exit(bool({'torch', 'matplotlib', 'pandas'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
