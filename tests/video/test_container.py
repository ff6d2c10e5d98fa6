"""Only videos are opened, under their literal names, and everything else is one error that says what it is."""

import gzip
import os
import shutil
import struct

import av
import numpy as np
import pytest
from numbered_videos import draw_number, read_number, write_numbered_video
from PIL import Image

from avalib.video import packet_index
from avalib.video.container_header import check_declared_frames
from avalib.video.reader import Video
from avalib.video.video_error import VideoError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An mp4 of 30 frames, its index in front."""
    return write_numbered_video(tmp_path_factory.mktemp("whole"), "whole.mp4", 25, n=30)


NAMES = "file:a.mp4 a:b.mp4 %03d.mp4 clip%d.mp4 -y.mp4 concat:a|b.mp4 ü日本.mp4 nosuffix pipe:0".split()
NAMES += ["data:x.mp4", "x.jpg.mp4", "a b.mp4", "subfile,,start,0,end,0,,:x.mp4"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name_whatever_is_in_it(tmp_path, monkeypatch, whole, name):
    shutil.copy(whole, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        with Video(path) as v:
            assert v.n_frames == 30 and read_number(v.read_frames([7])[0]) == 7


TEXTS = {
    "ffconcat version 1.0\nfile secret.mp4\n": "a list of files (ffconcat)",
    "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.mp4\n#EXT-X-ENDLIST\n": "a playlist (m3u8)",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n": "sdp",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>': "an XML text",
    "<!DOCTYPE html><html><body>Not found</body></html>": "a web page",
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "Git LFS",
    "hello\n": "a text that begins with 'hello'",
    "": "the file is empty",
}


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ffconcat", "sdp", "mpd"])
@pytest.mark.parametrize("text", TEXTS, ids=TEXTS.values())
def test_a_text_opens_no_other_file(tmp_path, whole, text, suffix):
    shutil.copy(whole, tmp_path / "secret.mp4")
    (tmp_path / f"v.{suffix}").write_text(text, encoding="utf-8")
    with pytest.raises(VideoError, match=rf"v\.{suffix}: not readable as a video: ") as raised:
        Video(tmp_path / f"v.{suffix}")
    assert TEXTS[text] in str(raised.value)


def test_other_kinds_of_files_are_named(tmp_path, whole):
    Image.fromarray(draw_number(1)).save(tmp_path / "jpeg.mp4", "jpeg")
    Image.fromarray(draw_number(1)).save(tmp_path / "png.mp4", "png")
    (tmp_path / "gzip.mp4").write_bytes(gzip.compress(whole.read_bytes()))
    (tmp_path / "zip.mp4").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "zeros.mp4").write_bytes(bytes(5000))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "start.mp4").write_bytes(box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(100)))
    (tmp_path / "folder.mp4").mkdir()
    for name, words in {
        "jpeg.mp4": "a JPEG picture",
        "png.mp4": "a PNG picture",
        "gzip.mp4": "gzip-compressed; unpack it",
        "zip.mp4": "a zip archive",
        "zeros.mp4": "zeros only",
        "cut.mp4": "is the file complete?",
        "start.mp4": "cut off before its table of contents",
        "folder.mp4": "is a folder",
        "missing.mp4": "no such video file",
        "x" * 300 + ".mp4": "no such video file",
        "a\0b.mp4": "no such video file",
    }.items():
        with pytest.raises(VideoError) as raised:
            Video(tmp_path / name)
        assert name in str(raised.value) and words in str(raised.value)


@pytest.mark.parametrize("address", ["rtsp://camera/1", "http://x/a.mp4", "https://x/a.mp4", "udp://@:1234"])
def test_addresses_are_refused_as_they_were_given(address):
    with pytest.raises(VideoError, match=f"{address}: .* streams are not read; record it"):
        Video(address)


def test_sound_with_a_cover_has_no_video(tmp_path):
    with av.open(str(tmp_path / "cover.m4a"), "w", format="mp4") as new:
        sound = new.add_stream("aac", rate=8000)
        cover = new.add_stream("mjpeg", rate=1, width=64, height=32, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        new.mux(cover.encode(av.VideoFrame.from_ndarray(draw_number(1)[::2, ::2].copy(), format="rgb24")))
        for encoder, frame in ((cover, None), (sound, silence), (sound, None)):
            new.mux(encoder.encode(frame))
    with pytest.raises(VideoError, match=r"cover\.m4a: has no video in it, only audio and a still picture"):
        Video(tmp_path / "cover.m4a")


def test_metadata_that_is_no_utf_8_is_no_obstacle(tmp_path):
    with av.open(str(tmp_path / "v.mkv"), "w") as new:
        new.metadata["title"] = "abcdefgh"
        stream = new.add_stream("mpeg4", rate=25, width=128, height=64)
        new.mux(stream.encode(av.VideoFrame.from_ndarray(draw_number(3), format="rgb24")))
        new.mux(stream.encode(None))
    data = (tmp_path / "v.mkv").read_bytes()
    assert b"abcdefgh" in data
    (tmp_path / "v.mkv").write_bytes(data.replace(b"abcdefgh", b"ab\xff\xfe\xe9fgh"))
    with Video(tmp_path / "v.mkv") as v:
        assert v.n_frames == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
def test_whole_is_whole_though_the_sound_is_longer(tmp_path, suffix):
    path = tmp_path / f"v.{suffix}"
    with av.open(str(path), "w") as new:
        pictures = new.add_stream("mpeg4", rate=25, width=128, height=64, options={"qscale": "2"})
        sound = new.add_stream("mp2" if suffix == "avi" else "aac", rate=44100)
        for n in range(25):
            new.mux(pictures.encode(av.VideoFrame.from_ndarray(draw_number(n), format="rgb24")))
        kind = "s16p" if suffix == "avi" else "fltp"
        quiet = np.zeros((2, 44100 * 4), np.int16 if suffix == "avi" else np.float32)
        silence = av.AudioFrame.from_ndarray(quiet, format=kind, layout="stereo")
        silence.rate = 44100
        for encoder, frame in ((pictures, None), (sound, silence), (sound, None)):
            new.mux(encoder.encode(frame))
    with Video(path) as v:
        assert (v.n_frames, v.missing_frames) == (25, 0)
        with pytest.raises(IndexError, match=r"frame 25 .* 0\.\.24"):
            v.read_frames([25])


def test_a_cut_off_mkv_is_truncated(tmp_path):
    path = write_numbered_video(tmp_path, "v.mkv", 25)
    data = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    with Video(path) as v, Video(tmp_path / "cut.mkv") as cut:
        assert v.missing_frames == 0
        assert 0 < cut.n_frames < 40 and cut.n_frames + cut.missing_frames == pytest.approx(40, abs=2)
        with pytest.raises(VideoError, match=r"cut\.mkv: truncated"):
            cut.read_frames([39])


# --- headers that ask for too much ------------------------------------------------------------------------------------


def box(kind, *content):
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def declaring(kind, n_frames):
    """The boxes of an mp4 whose video track declares so many frames, all of one byte."""
    counted = {
        b"stsz": box(b"stsz", bytes(4), struct.pack(">II", 1, n_frames)),
        b"stz2": box(b"stz2", bytes(4), struct.pack(">II", 4, n_frames)),
    }
    head = box(b"ftyp", b"isom", bytes(4), b"isom")
    if kind == b"trun":
        return head + box(b"moof", box(b"traf", box(b"trun", bytes(4), struct.pack(">I", n_frames))))
    handler = box(b"hdlr", bytes(8), b"vide", bytes(13))
    return head + box(b"moov", box(b"trak", box(b"mdia", handler, box(b"minf", box(b"stbl", counted[kind])))))


@pytest.mark.parametrize("kind", [b"stsz", b"stz2", b"trun"])
def test_a_header_cannot_ask_for_more_frames_than_bytes(tmp_path, kind):
    (tmp_path / "v.mp4").write_bytes(declaring(kind, 10**9))
    with pytest.raises(VideoError, match=rf"v\.mp4: the header \({kind.decode()}\) declares 1,000,000,000 frames"):
        Video(tmp_path / "v.mp4")


def test_sound_may_have_millions_of_samples(tmp_path):
    data = declaring(b"stsz", 10**9).replace(b"vide", b"soun")
    (tmp_path / "v.mp4").write_bytes(data)
    check_declared_frames(tmp_path / "v.mp4")


@pytest.mark.parametrize("side", [65535, 12000])
def test_pictures_have_a_largest_size(tmp_path, side):
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as new:
        stream = new.add_stream("rawvideo", rate=25, width=128, height=64, pix_fmt="bgr24")
        new.mux(stream.encode(av.VideoFrame.from_ndarray(draw_number(3), format="rgb24").reformat(format="bgr24")))
        new.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    start = data.index(b"strf") + 8 + 4
    data[start : start + 8] = struct.pack("<ii", side, side)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"v\.avi: .* no picture size, or one above 134,217,728 pixels"):
        Video(path)


def test_the_limit_on_frames_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(packet_index, "MAX_FRAMES", 10)
    with pytest.raises(VideoError, match=r"v\.mkv: over 10 frames \(MAX_FRAMES\)"):
        Video(write_numbered_video(tmp_path, "v.mkv", 25))


# --- a kept index -----------------------------------------------------------------------------------------------------


def test_an_index_that_does_not_fit_is_made_anew(tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 25)
    with Video(path) as v:
        good = v.packet_index
    assert good.is_consistent()
    for field, value in (
        ("order", good.order + 40),
        ("pts", good.pts[:5]),
        ("key", good.pts),
        ("ticks", good.ticks[:0]),
    ):
        bad = good._replace(**{field: value})
        assert not bad.is_consistent()
        with Video(path, packet_index=bad) as v:
            assert [read_number(f) for f in v.read_frames([3, 30])] == [3, 30]


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound\.mp4: has no video in it, only audio"):
        Video(tmp_path / "sound.mp4")
