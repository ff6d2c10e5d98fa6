"""The right frame from files whose times or keyframes tell little: open GOPs, joined streams, avi, several streams."""

import itertools
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import NTSC_FILM, draw_number, read_number, write_numbered_video

from avalib.video.packet_index import find_jumps
from avalib.video.reader import Video
from avalib.video.video_error import VideoError

DATA = Path(__file__).parents[1] / "assets"
MPEG2 = ("mpeg2video", {"bf": "2", "g": "12", "qscale": "2"})
X264 = ("libx264", {"bf": "2", "g": "15"})


def coded(path, coding, numbers, fps=30, size=(128, 64)):
    """A video whose frames show `numbers`, by (codec, options); `size` crops nothing but scales the picture."""
    codec, options = coding
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.thread_count = *size, "yuv420p", 1
        for n in numbers:
            frame = av.VideoFrame.from_ndarray(draw_number(n), format="rgb24").reformat(*size, "yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def joined(path, coding, counts):
    """Transport streams of so many frames each, one after the other in one file; times begin anew in each."""
    first, content = 0, b""
    for count in counts:
        content += coded(path.with_suffix(".part.ts"), coding, range(first, first + count)).read_bytes()
        first += count
    path.write_bytes(content)
    return path


def assert_exact(path, expected):
    """Every way to read gives the `expected` numbers: alone in any order, in order, from the middle, chosen."""
    with Video(path) as v:
        assert v.n_frames == len(expected)
        order = np.random.default_rng(0).permutation(len(expected))
        assert [read_number(v.read_frames([n])[0]) for n in order] == [expected[n] for n in order]
        assert [read_number(f) for f in v.iter_frames()] == expected
        for start in (5, len(expected) // 2, len(expected) - 7):
            assert [read_number(f) for f in v.iter_frames(start)] == expected[start:]
        numbers = np.arange(1, v.n_ava_frames + 1)
        assert [read_number(f) for _, f in v.iter_numbered_frames(numbers)] == [expected[n] for n in v.ava_index]


# --- groups of pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bframes", [1, 3])
@pytest.mark.parametrize("pyramid", ["none", "strict", "normal"])
@pytest.mark.parametrize("references", [1, 4])
def test_open_gops_are_exact(tmp_path, bframes, pyramid, references):
    params = f"open-gop=1:keyint=12:scenecut=0:bframes={bframes}:b-pyramid={pyramid}:ref={references}:b-adapt=0"
    path = coded(tmp_path / "v.mp4", ("libx264", {"x264-params": params}), range(60))
    assert_exact(path, list(range(60)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    "coding",
    [
        ("libx264", {"x264-params": "open-gop=1:keyint=15:bframes=3:bluray-compat=1"}),
        ("libx264", {"x264-params": "intra-refresh=1:keyint=15:bframes=2"}),
        MPEG2,
    ],
    ids=["open", "intra refresh", "mpeg2"],
)
def test_recovery_points_are_exact_in_every_container(tmp_path, suffix, coding):
    assert_exact(coded(tmp_path / f"v.{suffix}", coding, range(60)), list(range(60)))


def test_hevc_with_open_gops_is_exact(tmp_path):
    options = {"x265-params": "keyint=15:min-keyint=5:open-gop=1:bframes=4:log-level=error:pools=1"}
    assert_exact(coded(tmp_path / "v.mkv", ("libx265", options), range(45)), list(range(45)))


def test_a_stream_that_begins_within_a_group_gives_what_can_be_decoded(tmp_path):
    path = coded(tmp_path / "v.ts", MPEG2, range(48))
    with Video(path) as whole:
        keys = whole.key_packets
        first = int(whole.packet_index.pos[keys[1]])
    path.write_bytes(path.read_bytes()[first // 188 * 188 :])
    with Video(path) as v:
        shown = [read_number(f) for f in v.iter_frames()]
        # the two B-frames before the second keyframe need the first group: no player shows them
        assert shown == list(range(48 - v.n_frames, 48)) and 47 - 12 * 3 <= v.n_frames <= 36
        assert [read_number(v.read_frames([n])[0]) for n in (0, 1, 20)] == [shown[n] for n in (0, 1, 20)]


def test_damage_costs_its_group_and_no_more(tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 30, n=120, gop=30, bframes=0)
    with Video(path) as v:
        hurt = int(v.packet_index.pos[40])
        group_end = int(v.key_packets[v.key_packets > 40][0])
    data = bytearray(path.read_bytes())
    data[hurt : hurt + 40] = bytes(40)
    path.write_bytes(data)
    with Video(path) as v:
        found = [None if f is None else read_number(f) for f in v.iter_frames(allow_missing=True)]
        assert found[:40] == list(range(40)) and found[group_end:] == list(range(group_end, 120)) and group_end < 70
        assert found[40:group_end] == [None] * (group_end - 40)
        with pytest.raises(VideoError, match=r"v\.mp4: frame 45 of 120"):
            v.read_frames([45])


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(30, 30), (45, 20), (20, 20, 20)], ids=str)
@pytest.mark.parametrize("coding", [X264, MPEG2, ("libx264", {"bf": "0", "g": "15"})], ids=["x264", "mpeg2", "no B"])
def test_joined_transport_streams_go_on(tmp_path, counts, coding):
    path = joined(tmp_path / "v.ts", coding, counts)
    assert_exact(path, list(range(sum(counts))))
    with Video(path) as v:
        assert np.abs(np.diff(v.times_s) - 1 / 30).max() < 0.1  # ffmpeg too goes on from where it was
        assert v.n_ava_frames == pytest.approx(sum(counts), abs=2)


def remuxed(source, path, time_of):
    """Copy a video without B-frames, giving packet n the time time_of(n), in its units of a millisecond."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for n, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.stream, packet.pts, packet.dts = stream, time_of(n), time_of(n)
            new.mux(packet)
    return path


@pytest.mark.parametrize("time_of", [lambda n: n // 2 * 66, lambda n: max(0, n - 9) * 33], ids=["pairs", "start"])
def test_frames_of_one_time_are_all_there(tmp_path, time_of):
    source = write_numbered_video(tmp_path, "source.mkv", 30, n=30, bframes=0)
    assert_exact(remuxed(source, tmp_path / "v.mkv", time_of), list(range(30)))


def test_jumps_are_those_that_ffmpeg_takes_out():
    tick_s = 1 / 1000
    dts = np.array([400, 440, 480, 0, 40, 80, 20080, 20120])
    assert (dts + find_jumps(dts, tick_s)).tolist() == [400, 440, 480, 520, 560, 600, 640, 680]
    smooth = np.array([0, 40, 20, 60, 5000, 5040])  # less than 0.1 s back, less than 10 s ahead
    assert not find_jumps(smooth, tick_s).any()


def test_times_that_go_on_for_years_are_bounded(tmp_path):
    source = write_numbered_video(tmp_path, "source.mkv", 30, n=30, bframes=0)
    with Video(remuxed(source, tmp_path / "one.mkv", lambda n: n * 33 + 10**9 * (n == 29))) as v:
        assert v.n_ava_frames < 40  # ffmpeg skips such a frame
    with (
        Video(remuxed(source, tmp_path / "all.mkv", lambda n: n * 10**8)) as v,
        pytest.raises(VideoError, match=r"all\.mkv: its times go on for over 155 hours, from frame \d+"),
    ):
        v.read_ava_frames([1])


# --- avi --------------------------------------------------------------------------------------------------------------

# What FFmpeg 4.2.2 and 5.1.9 (they agree) gave for `ffmpeg -i FILE -r 30 -q:v 1 img_%05d.jpg`: the numbers in the
# pictures. 5x2: frame 5 twice.
FFMPEG_AVI = {
    ("libx264", 0, 25): ("0 1 2 3x2 4 5 6 7 8x2 9 10 11 12 13x2 14 15 16 17 18x2 19 20 21 22 23x2 24 25 26 27 28x2 29"),
    ("libx264", 2, 25): ("0 1x2 2 3 4 5 6x2 7 8 9 10 11x2 12 13 14 15 16x2 17 18 19 20 21x2 22 23 24 25 26x2 27 28 29"),
    ("libx264", 2, NTSC_FILM): (
        "0 1 2 3 4x2 5 6 7 8x2 9 10 11 12x2 13 14 15 16x2 17 18 19 20x2 21 22 23 24x2 25 26 27 28x2 29"
    ),
    ("libx264", 1, 60): ("0 1 2 4 6 8 10 12 14 16 18 20 22 24 26 28"),
    ("libx264", 3, 12): (
        "0x2 1x3 2x2 3x3 4x2 5x3 6x2 7x3 8x2 9x3 10x2 11x3 12x2 13x3 14x2 15x3 16x2 17x3 18x2 19x3 20x2 "
        "21x3 22x2 23x3 24x2 25x3 26x2 27x3 28x2 29x3"
    ),
    ("mpeg4", 0, 25): ("0 1 2 3x2 4 5 6 7 8x2 9 10 11 12 13x2 14 15 16 17 18x2 19 20 21 22 23x2 24 25 26 27 28x2 29"),
    ("mpeg4", 2, 25): ("0 1 2x2 3 4 5 6 7x2 8 9 10 11 12x2 13 14 15 16 17x2 18 19 20 21 22x2 23 24 25 26 27x2 28 29"),
    ("mpeg4", 2, 30): ("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29"),
}
NATIVE_XVID = [*range(21), 23]  # what the encoder left out isn't there
FFMPEG_XVID = "0 1x2 2 3 4 5 6x2 7 8 9 10 11x2 12x2 13 14 15x2 16 17 18 19 20x2 23"
FFMPEG_GROWING = (
    "0 1 2 3 4 6 7 9 10 11 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35x2 36 37x2 38 39"
)


@pytest.mark.parametrize(("codec", "bframes", "fps"), FFMPEG_AVI, ids=str)
def test_avi_is_numbered_as_ffmpeg_numbers_it(tmp_path, codec, bframes, fps):
    coding = (codec, {"bf": str(bframes), "g": "12", **({"qscale": "2"} if codec == "mpeg4" else {})})
    path = coded(tmp_path / "v.avi", coding, range(30), fps)
    assert_exact(path, list(range(30)))
    with Video(path) as v:
        assert [read_number(f) for f in v.iter_ava_frames()] == unpacked(FFMPEG_AVI[codec, bframes, fps])


def unpacked(runs):
    split = [run.split("x") for run in runs.split()]
    return [int(n) for n, *times in split for _ in range(int(*times or [1]))]


def test_xvid_with_two_frames_a_packet():
    path = DATA / "packed_xvid.avi"
    with Video(path) as v:
        native = [read_number(f) for f in v.iter_frames()]
    assert native == NATIVE_XVID
    assert_exact(path, native)
    with Video(path) as v:
        assert [read_number(f) for f in v.iter_ava_frames()] == unpacked(FFMPEG_XVID)


def test_a_torn_avi_ends_before_the_half_packet(tmp_path):
    whole = coded(tmp_path / "whole.avi", ("mpeg4", {"bf": "2", "g": "12", "qscale": "2"}), range(40))
    with Video(whole) as v:
        assert v.missing_frames == 0
        in_whole_packets = np.flatnonzero(v.packet_index.order < 30).tolist()
        cut_at = int(v.packet_index.pos[30]) + 20
    (tmp_path / "torn.avi").write_bytes(whole.read_bytes()[:cut_at])
    with Video(tmp_path / "torn.avi") as torn:
        assert [read_number(f) for f in torn.iter_frames()] == in_whole_packets and torn.missing_frames > 0
        with pytest.raises(VideoError, match=r"torn\.avi: truncated"):
            torn.read_frames([39])


def test_variable_rate_mp4_with_b_frames_and_no_rate_in_the_video(tmp_path):
    times = np.array([(n * n / 40 + n) / 60 for n in range(40)])
    path = write_numbered_video(tmp_path, "v.mp4", 30, n=40, times_s=times)
    with Video(path) as v:
        assert [read_number(f) for f in v.iter_ava_frames()] == unpacked(FFMPEG_GROWING)


# --- which stream, and how it is turned -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
@pytest.mark.parametrize("first", ["small", "large"])
def test_of_two_streams_the_one_with_more_pixels_is_read(tmp_path, suffix, first):
    sizes = {"small": (64, 32), "large": (128, 64)}
    order = [first, *(sizes.keys() - {first})]
    with av.open(str(tmp_path / f"v.{suffix}"), "w") as container:
        streams = {}
        for name in order:
            streams[name] = container.add_stream("mpeg2video", rate=25)
            streams[name].width, streams[name].height = sizes[name]
            streams[name].pix_fmt = "yuv420p"
        for n, (name, stream) in itertools.product(range(20), streams.items()):
            shown = n if name == "large" else 4000
            picture = av.VideoFrame.from_ndarray(draw_number(shown), format="rgb24").reformat(*sizes[name], "yuv420p")
            container.mux(stream.encode(picture))
        for stream in streams.values():
            container.mux(stream.encode(None))
    with Video(tmp_path / f"v.{suffix}") as v:
        assert (v.width, v.height) == (128, 64)
        assert [read_number(f) for f in v.iter_frames()] == list(range(20))


MATRICES = {  # a display matrix's (a, b, c, d), and what ffmpeg 5.1.9 shows
    "as it is": ((1, 0, 0, 1), lambda f: f),
    "left and right": ((-1, 0, 0, 1), lambda f: f[:, ::-1]),
    "top and bottom": ((1, 0, 0, -1), lambda f: f[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda f: f[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),
    "counterclockwise": ((0, -1, 1, 0), lambda f: np.rot90(f)),
    "diagonal": ((0, 1, 1, 0), lambda f: f.swapaxes(0, 1)),
    "other diagonal": ((0, -1, -1, 0), lambda f: f[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("how", MATRICES)
def test_all_eight_display_matrices(tmp_path, how):
    (a, b, c, d), turn = MATRICES[how]
    flat = write_numbered_video(tmp_path, "flat.mp4", 25, n=5)
    data = bytearray(flat.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    with Video(flat) as v, Video(tmp_path / "turned.mp4") as turned:
        assert np.array_equal(turned.read_frames([3])[0], turn(v.read_frames([3])[0]))
        assert (turned.height, turned.width) == turned.read_frames([3])[0].shape[:2]


def test_a_mirrored_phone_video_is_upright():
    with Video(DATA / "mirrored.mp4") as v:
        frame = v.read_frames([0])[0].astype(float).mean(axis=2)
        assert frame[:4].mean() > frame[-4:].mean() + 50  # the bright stripe is at the top
