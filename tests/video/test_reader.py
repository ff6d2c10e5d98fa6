"""Frames are exact whatever the file and the order in which they are read; errors name the file."""

import pickle
import subprocess
import sys

import av
import numpy as np
import pytest
from numbered_videos import draw_number, read_number, write_numbered_video

from avalib.video.reader import Video
from avalib.video.video_error import VideoError


def cut_without_recoding(source, path, ticks):
    """Copy the packets with all times `ticks` earlier: an edit list hides what comes before zero."""
    with av.open(str(source)) as old, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                new.mux(packet)
    return path


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
    with Video(path) as first, Video(path, packet_index=pickle.loads(pickle.dumps(first.packet_index))) as again:
        assert np.array_equal(again.read_frames([30, 4]), first.read_frames([30, 4]))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_no_packet_is_read_for_nothing(tmp_path, name):
    with Video(write_numbered_video(tmp_path, name, 25)) as reader:
        assert len(reader.key_packets) == 4
        for key in reader.key_packets.tolist()[::-1]:
            assert next(reader.iter_packets(key))[0] == key


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoError, match="none.mp4.*no such video"):
        Video(tmp_path / "none.mp4")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="empty.mp4.*not readable"):
        Video(tmp_path / "empty.mp4")


def test_a_truncated_file_gives_what_it_has_and_says_so_beyond(tmp_path):
    whole = write_numbered_video(tmp_path, "whole.mp4", 25)
    (tmp_path / "torn.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with Video(tmp_path / "torn.mp4") as torn:
        assert 0 < torn.n_frames < 40
        assert torn.missing_frames > 0
        assert [read_number(f) for f in torn.read_frames([3])] == [3]
        with pytest.raises(VideoError, match=r"torn\.mp4: truncated"):
            torn.read_frames([39])


def test_a_number_outside_a_video_is_an_index_error(tmp_path):
    with Video(write_numbered_video(tmp_path, "whole.mp4", 25)) as v:
        with pytest.raises(IndexError, match=r"whole\.mp4: AVA frame number 0 .* 1\.\.48"):
            v.read_ava_frames([5, 0])
        with pytest.raises(IndexError, match=r"frame 40 .* 0\.\.39"):
            v.read_frames([40])


def test_an_error_is_the_same_when_it_comes_back_from_a_worker():
    error = pickle.loads(pickle.dumps(VideoError("a.mp4: torn")))
    assert str(error) == "a.mp4: torn"


def test_damage_is_an_error_not_another_frame(tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 25, gop=100)
    with Video(path) as v:
        hurt = int(v.packet_index.pos[10])
    data = bytearray(path.read_bytes())
    data[hurt : hurt + 40] = bytes(40)
    path.write_bytes(data)
    with Video(path) as v:
        assert read_number(v.read_frames([2])[0]) == 2
        with pytest.raises(VideoError, match=r"v\.mp4: frame \d+ of 40 could not be decoded"):
            v.read_frames(range(40))
        with pytest.raises(VideoError, match=r"v\.mp4: frame \d+ of 40 could not be decoded"):
            list(v.iter_frames())


def test_import_is_light():
    code = "import sys, avalib.video; sys.exit(bool({'torch', 'matplotlib', 'pandas'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
