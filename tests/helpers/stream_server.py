"""Live streams for tests, served on loopback by PyAV: MPEG transport streams over HTTP or UDP, with faults."""

import base64
import http.server
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

FPS = 25


@dataclass(frozen=True)
class Play:
    """Send moving pictures for some seconds, as fast as a camera does."""

    seconds: float
    size: tuple = (128, 96)  # width, height
    draw: Callable | None = None  # (number, width, height) -> (H,W,3) uint8


@dataclass(frozen=True)
class Stall:
    """Send nothing for some seconds, with the connection open."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Close the connection."""


def draw_moving_bar(number, width, height):
    """A frame (H,W,3): a gradient with a bright bar that moves to the right."""
    frame = np.tile(np.linspace(40, 160, width, dtype=np.uint8)[None, :, None], (height, 1, 3))
    x = number * 2 % (width - 16)
    frame[height // 4 : -8, x : x + 16] = (230, 200, 180)
    return frame


def send_transport_stream(output, play, first_number, stopped=lambda: False, on_frame=lambda number: None):
    """Encode frames of a `Play` into a file-like object or an address in real time. Returns how many were sent.

    on_frame: called with the number of each frame before it is sent.
    """
    draw = play.draw or draw_moving_bar
    width, height = play.size
    count = round(play.seconds * FPS)
    with av.open(output, "w", format="mpegts", options={"flush_packets": "1"}, buffer_size=1316) as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency", "g": "12"}
        )
        stream.width, stream.height = play.size
        stream.pix_fmt = "yuv420p"
        started_s = time.monotonic()
        for n in range(count):
            if stopped():
                return n
            on_frame(first_number + n)
            frame = av.VideoFrame.from_ndarray(draw(first_number + n, width, height), format="rgb24")
            frame.pts = first_number + n
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
            time.sleep(max(0, started_s + (n + 1) / FPS - time.monotonic()))
        container.mux(stream.encode(None))
    return count


class _UnseekableFile:
    """What a muxer may do with a socket: write."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        self.file.write(data)
        self.file.flush()
        return len(data)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if server.credentials is not None:
            expected = "Basic " + base64.b64encode(server.credentials.encode()).decode()
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        server.connections += 1
        try:
            # one script for all connections, one after the other
            with server.one_at_a_time:
                self._follow_script()
        except (OSError, av.error.FFmpegError):
            pass  # the reader has closed the connection

    def _follow_script(self):
        server = self.server
        while server.script and not server.is_stopped:
            step = server.script.pop(0)
            if isinstance(step, Cut):
                return
            if isinstance(step, Stall):
                server.stop_event.wait(step.seconds)
                continue
            output = _UnseekableFile(self.wfile)
            try:
                send_transport_stream(output, step, server.sent, lambda: server.is_stopped, server.note)
            except (OSError, av.error.FFmpegError):
                # the reader has gone: its next connection gets this step
                server.script.insert(0, step)
                raise
        # after the script: open, and silent
        server.stop_event.wait(60)

    def log_message(self, *args):
        pass


class StreamServer(http.server.ThreadingHTTPServer):
    """Serves a script of Play, Stall and Cut at `url`; a new connection goes on with the script."""

    daemon_threads = True

    def __init__(self, script, credentials=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script)
        self.credentials = credentials  # "user:password"
        self.connections = 0
        self._sent_at_s = []  # of each frame
        self.stop_event = threading.Event()
        self.one_at_a_time = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/live.ts"

    @property
    def sent(self):
        """How many frames were sent."""
        return len(self._sent_at_s)

    def note(self, number):
        self._sent_at_s.append(time.monotonic())

    def sent_at_s(self, number):
        """When a frame was sent, by time.monotonic."""
        return self._sent_at_s[number]

    @property
    def is_stopped(self):
        return self.stop_event.is_set()

    def handle_error(self, request, client_address):
        pass  # a reader that goes away in the middle is no error


@contextmanager
def serve_stream(*script, credentials=None):
    """A running StreamServer."""
    with StreamServer(script, credentials) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.stop_event.set()
        server.shutdown()
