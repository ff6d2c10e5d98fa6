"""Frames in a browser on this machine: a page with moving JPEG pictures, and the measured rate and delay.

Every browser has a thread of its own that takes the newest frame when it is ready for one. A slow browser gets fewer
frames; it neither slows the detection nor collects old frames.
"""

import errno
import http.server
import io
import json
import os
import socket
import threading
from collections.abc import Callable

import numpy as np
from PIL import Image

from avalib.utils.errors import AvalibError

HOST = "127.0.0.1"
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
MAX_VIEWERS = 8
SEND_TIMEOUT_S = 10.0  # a browser that takes nothing for so long has gone
REPEAT_S = 2.0  # without new frames the last one is sent again, which finds browsers that have gone
SEND_BUFFER = 128 * 1024  # bytes that the system holds for a slow browser: a frame or two
JPEG_QUALITY = 80
BOUNDARY = "avalib-frame"

PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>avalib live</title><style>
body { margin: 0; background: #111; color: #ddd; font: 14px sans-serif; text-align: center }
img { max-width: 100%; max-height: 92vh }
</style></head><body>
<img id="picture" src="/stream" alt="live picture"><p id="status">waiting for the first frame</p>
<script>
const picture = document.getElementById("picture"), line = document.getElementById("status");
picture.onerror = () => setTimeout(() => { picture.src = "/stream?" + Date.now(); }, 2000);
async function update() {
  try { line.textContent = (await (await fetch("/status")).json()).status; }
  catch { line.textContent = "the detection has ended, or cannot be reached"; }
}
update(); setInterval(update, 2000);
</script></body></html>
"""


class PortError(AvalibError, OSError):
    """The port for the browser cannot be used; the message says which, why and what to do."""


class MjpegServer:
    """Serves the newest frame on 127.0.0.1 until it is closed: use it in a `with` statement.

    Parameters
    ----------
    port : int
        0 takes any free one.
    describe : callable
        () -> the line below the picture.

    Raises
    ------
    PortError
    """

    def __init__(self, port: int, describe: Callable[[], str] = lambda: ""):
        self.describe = describe
        self._changed = threading.Condition()
        self._frame = None
        self._number = 0  # frames so far
        self._jpeg = None
        self._jpeg_number = 0
        self._encoding = threading.Lock()
        self._is_closed = False
        self._viewers = threading.BoundedSemaphore(MAX_VIEWERS)
        self._server = _open_server(port, self)
        self.url = f"http://{HOST}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="avalib mjpeg", daemon=True).start()

    def publish(self, result: object, frame: np.ndarray) -> None:
        """Replace the newest frame, (H,W,3) uint8. Nothing is encoded while nobody looks."""
        with self._changed:
            self._frame = frame
            self._number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End all connections, and free the port."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def wait_for_jpeg(self, number: int) -> tuple[int, bytes | None]:
        """Wait a moment for a frame behind `number`: (the newest frame's number, its JPEG); None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._number > number, REPEAT_S)
            if self._is_closed:
                return number, None
        # one thread encodes a frame, the others take its result
        with self._encoding:
            with self._changed:
                newest = self._number
                frame = self._frame
            if frame is None:
                return newest, b""
            if newest != self._jpeg_number:
                buffer = io.BytesIO()
                Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
                self._jpeg = buffer.getvalue()
                self._jpeg_number = newest
            return newest, self._jpeg

    def stream(self, write: Callable[[bytes], object]) -> None:
        """Send frames to one browser until the end. Raises OSError when it has gone."""
        number = 0
        while True:
            number, jpeg = self.wait_for_jpeg(number)
            if jpeg is None:
                return
            if jpeg:
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                write(head.encode() + jpeg + b"\r\n")

    def take_place(self) -> bool:
        """Whether one more browser can be served; `leave` afterwards."""
        return self._viewers.acquire(blocking=False)

    def leave(self) -> None:
        self._viewers.release()


def _open_server(port, owner):
    """A listening _Server."""
    try:
        return _Server(port, owner)
    except OverflowError:
        raise PortError(f"port {port}: expected a number from 0 to 65535") from None
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            problem = "is in use by another program" if error.errno == errno.EADDRINUSE else "may not be used"
            raise PortError(f"port {port} {problem}; choose another one, or 0 for any free one") from error
        raise PortError(f"port {port}: {error.strerror or error}") from error


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # on Windows this option would let two programs share a port
    allow_reuse_address = os.name != "nt"

    def __init__(self, port, owner):
        self.owner = owner
        super().__init__((HOST, port), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = SEND_TIMEOUT_S

    def do_GET(self):
        # another site's page must not reach this server through a name that leads here
        if (self.headers.get("Host") or "").rpartition(":")[0] not in LOCAL_NAMES:
            self.send_error(403, "only for this machine")
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(PAGE, "text/html; charset=utf-8")
        elif path == "/status":
            self._send(json.dumps({"status": self.server.owner.describe()}).encode(), "application/json")
        elif path == "/stream":
            self._stream()
        else:
            self.send_error(404, "expected /, /stream or /status")

    def _send(self, content, media_type):
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def _stream(self):
        owner = self.server.owner
        if not owner.take_place():
            self.send_error(503, f"{MAX_VIEWERS} browsers are watching already")
            return
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            owner.stream(self.wfile.write)
        except OSError:
            pass  # the browser has gone, or takes nothing
        finally:
            owner.leave()

    def log_message(self, *arguments):
        pass  # nobody needs a line for each request
