"""The newest frame in a browser on this machine: a page, moving JPEG pictures, slow browsers, a port in use."""

import http.client
import io
import json
import socket
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from avalib.draw.mjpeg_server import MAX_VIEWERS, MjpegServer, PortError


def make_frame(level, size=(48, 64)):
    return np.full((*size, 3), level, np.uint8)


@pytest.fixture
def server():
    with MjpegServer(0, lambda: "12 frames/s") as server:
        yield server


def ask(server, path, host=None):
    """The answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1].strip("/")), timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    return connection.getresponse()


def read_frame(answer):
    """The next picture of a stream, (H,W,3)."""
    length = None
    while line := answer.readline().strip():
        name, _, value = line.decode().partition(": ")
        length = int(value) if name == "Content-Length" else length
    picture = Image.open(io.BytesIO(answer.read(length)))
    answer.readline()
    return np.asarray(picture)


def test_the_page_shows_the_stream_and_the_status(server):
    page = ask(server, "/")
    assert page.status == 200
    assert b'src="/stream"' in page.read()
    assert json.loads(ask(server, "/status").read()) == {"status": "12 frames/s"}


def test_a_browser_gets_the_frames(server):
    server.publish(None, make_frame(50))
    answer = ask(server, "/stream")
    assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace; boundary=")
    assert read_frame(answer).mean() == pytest.approx(50, abs=2)
    server.publish(None, make_frame(200, (32, 32)))
    second = read_frame(answer)
    assert second.shape == (32, 32, 3)
    assert second.mean() == pytest.approx(200, abs=2)


def test_frames_between_two_of_a_browser_are_passed_over(server):
    server.publish(None, make_frame(10))
    answer = ask(server, "/stream")
    read_frame(answer)
    levels = []
    for level in range(20, 120):
        server.publish(None, make_frame(level))
    while not levels or levels[-1] < 118:
        levels.append(read_frame(answer).mean())
    assert len(levels) < 100


def test_a_browser_that_takes_nothing_does_not_slow_anything(server):
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n")
        slow.recv(100)  # it is being served, and reads no more
        server.publish(None, noise)
        time.sleep(0.3)  # its thread is stuck in sending by now
        for level in range(200):
            server.publish(None, make_frame(level))
        # the others get the newest frame meanwhile
        assert read_frame(ask(server, "/stream")).mean() == pytest.approx(199, abs=2)
        assert slow.recv(100)  # it is still connected


def test_too_many_browsers_are_turned_away(server):
    server.publish(None, make_frame(50))
    watching = [ask(server, "/stream") for _ in range(MAX_VIEWERS)]
    assert all(answer.status == 200 for answer in watching)
    assert ask(server, "/stream").status == 503


@pytest.mark.parametrize(("host", "status"), [("localhost:80", 200), ("[::1]:80", 200), ("evil.example:80", 403)])
def test_a_name_that_another_site_has_led_here_is_refused(server, host, status):
    assert ask(server, "/", host).status == status


def test_another_path_is_not_found(server):
    assert ask(server, "/etc/passwd").status == 404


def test_a_port_in_use_is_named(server):
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(PortError, match=f"port {port} is in use by another program; choose another one, or 0"):
        MjpegServer(port)


@pytest.mark.parametrize("port", [-1, 70000])
def test_a_number_that_is_no_port_is_named(port):
    with pytest.raises(PortError, match=f"port {port}: expected a number from 0 to 65535"):
        MjpegServer(port)


def test_it_listens_on_this_machine_alone(server):
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    listening = [connection.laddr for connection in psutil.Process().net_connections("tcp") if not connection.raddr]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]


def test_closing_ends_the_streams_and_frees_the_port():
    with MjpegServer(0) as server:
        server.publish(None, make_frame(50))
        answer = ask(server, "/stream")
        read_frame(answer)
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    assert answer.read() == b""
    MjpegServer(port).close()
