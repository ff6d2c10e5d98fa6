"""Cameras, streams and files are recognized; errors say what to do and never show credentials."""

import socket
import threading
import traceback
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from numbered_videos import write_numbered_video
from stream_server import Play, serve_stream

from avalib.video.live_source import (
    StreamError,
    StreamRefusedError,
    hide_secrets,
    locate_camera,
    open_live,
    parse_live_source,
)
from avalib.video.video_error import VideoError

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        (0, "camera", "camera 0"),
        ("1", "camera", "camera 1"),
        ("/dev/video2", "camera", "camera 2"),
        ("rtsp://host/a", "stream", "rtsp://host/a"),
        ("UDP://0.0.0.0:5000", "stream", "UDP://0.0.0.0:5000"),
        (Path("films/a.mp4"), "file", "a.mp4"),
        ("C:/films/a.mp4", "file", "a.mp4"),
    ],
)
def test_sources_are_told_apart(source, kind, name):
    parsed = parse_live_source(source)
    assert (parsed.kind, parsed.name) == (kind, name)


@pytest.mark.parametrize("source", [None, True, "", " ", "-i", -1, 0.5])
def test_anything_else_is_refused(source):
    with pytest.raises(ValueError, match="expected a camera's number"):
        parse_live_source(source)


def test_an_unknown_scheme_lists_the_others():
    with pytest.raises(StreamError, match="gopher is not supported; expected a stream by rtsp, rtsps, .*https"):
        parse_live_source("gopher://host/a")


@pytest.mark.parametrize(
    "address",
    [
        f"rtsp://admin:{SECRET}@host:554/live",
        f"rtsp://admin:{SECRET}/@?#x@host:554/live",
        f"rtsp://host:554/live?user=admin&password={SECRET}",
        f"rtsp://host:554/user=admin_password={SECRET}_channel=1/live",
        f"http://host:554/live#{SECRET}",
    ],
)
def test_a_name_has_no_credentials(address):
    name = hide_secrets(address)
    assert SECRET not in name
    assert "admin" not in name
    assert "host:554" in name
    assert SECRET not in repr(parse_live_source(address))


def open_with_credentials(url, **timeouts):
    """What opening an address with a password in it raises, as a whole traceback, and its class."""
    address = url.replace("://", f"://admin:{SECRET}@")
    try:
        open_live(parse_live_source(address), timeouts.get("open_s", 5), 5)
    except StreamError as error:
        return type(error), "".join(traceback.format_exception(error))
    raise AssertionError("it was opened")


def test_wrong_credentials_are_an_error_without_them():
    with serve_stream(credentials="admin:other") as server:
        kind, text = open_with_credentials(server.url)
    assert kind is StreamRefusedError
    assert "access denied: the user name or the password is wrong" in text
    assert f"http://127.0.0.1:{server.server_port}/live.ts" in text
    assert SECRET not in text


def test_missing_credentials_are_asked_for():
    with serve_stream(credentials="admin:other") as server:
        with pytest.raises(
            StreamRefusedError, match="it needs a user name and a password; give them as in rtsp://USER"
        ):
            open_live(parse_live_source(server.url), 5, 5)


def test_right_credentials_open_the_stream():
    with serve_stream(Play(2), credentials=f"admin:{SECRET}") as server:
        address = server.url.replace("://", f"://admin:{SECRET}@")
        container, stream = open_live(parse_live_source(address), 5, 5)
        assert (stream.width, stream.height) == (128, 96)
        container.close()


@contextmanager
def answer_requests(answer):
    """A TCP server that answers every request with the same bytes; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while request := connection.recv(4096).decode():
                        number = request.partition("CSeq: ")[2].partition("\r")[0]
                        connection.sendall(answer.replace(b"NUMBER", number.encode()))

        threading.Thread(target=run, daemon=True).start()
        yield server.getsockname()[1]


def test_wrong_credentials_of_an_rtsp_camera():
    answer = b'RTSP/1.0 401 Unauthorized\r\nCSeq: NUMBER\r\nWWW-Authenticate: Basic realm="camera"\r\n\r\n'
    with answer_requests(answer) as port:
        kind, text = open_with_credentials(f"rtsp://127.0.0.1:{port}/live")
    assert kind is StreamRefusedError
    assert "the password is wrong" in text
    assert SECRET not in text


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_an_unreachable_stream_is_named(scheme):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    kind, text = open_with_credentials(f"{scheme}://127.0.0.1:{port}/live")
    assert kind is StreamError
    assert f"{scheme}://127.0.0.1:{port}/live: cannot be opened: Connection refused" in text
    assert SECRET not in text


def test_a_silent_server_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        kind, text = open_with_credentials(f"http://127.0.0.1:{server.getsockname()[1]}/live", open_s=0.3)
    assert kind is StreamError
    assert "no video within 0.3 s" in text
    assert SECRET not in text


def test_a_missing_camera_says_so():
    with pytest.raises(StreamError, match="camera 97: this machine has no such camera; "):
        locate_camera(97)


def test_a_codec_without_a_decoder_is_named(tmp_path):
    path = write_numbered_video(tmp_path, "v.mkv", 25, n=5)
    content = path.read_bytes()
    assert content.count(b"V_MPEG4/ISO/AVC") == 1
    path.write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"))
    with pytest.raises(StreamRefusedError, match="v.mkv: its video is coded in a way that this PyAV .* has no decoder"):
        open_live(parse_live_source(path), 5, 5)


def test_a_file_that_is_no_video_is_explained(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(VideoError, match="it is a zip archive"):
        open_live(parse_live_source(path), 5, 5)


def test_a_playlist_of_a_stream_reads_no_file_of_this_machine(tmp_path):
    """http may give a playlist (HLS), but what that names is not read from this machine's disk."""
    path = write_numbered_video(tmp_path, "secret.mkv", 25, n=5)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nContent-Length: {len(playlist)}\r\n\r\n"
    with answer_requests(head.encode() + playlist) as port:
        with pytest.raises(StreamError):
            open_live(parse_live_source(f"http://127.0.0.1:{port}/live.m3u8"), 2, 2)
