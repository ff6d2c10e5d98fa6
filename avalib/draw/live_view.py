"""A live detection in a notebook: a widget with the newest frame, and a picture that stays in the executed copy."""

import contextlib
import io
import time
from pathlib import Path

import ipywidgets as ui
import numpy as np
from IPython.display import display
from PIL import Image

from avalib.detection.live_detector import LiveDetector, LiveResult
from avalib.draw.live_overlay import play_live
from avalib.draw.mjpeg_server import MjpegServer
from avalib.utils.interrupts import Stopped

MIN_INTERVAL_S = 0.1  # between two pictures of the widget: a notebook's connection is not made for video
JPEG_QUALITY = 80


class LiveView:
    """A widget that shows the newest annotated frame.

    Parameters
    ----------
    live : LiveDetector
        For the line below the picture.
    """

    def __init__(self, live: LiveDetector):
        self.live = live
        self.frame = None  # (H,W,3) uint8, the newest
        self.picture = ui.Image(format="jpeg")
        self.status = ui.Label("waiting for the first frame")
        self.widget = ui.VBox([self.picture, self.status])
        self._shown_at_s = -np.inf

    def show(self, result: LiveResult, frame: np.ndarray) -> None:
        """Take the newest frame (H,W,3) uint8; it is shown unless the last one was shown a moment ago."""
        self.frame = frame
        if time.monotonic() - self._shown_at_s >= MIN_INTERVAL_S:
            self._update()

    def _update(self):
        buffer = io.BytesIO()
        Image.fromarray(self.frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
        self.picture.value = buffer.getvalue()
        self.status.value = str(self.live.measure())
        self._shown_at_s = time.monotonic()

    def static_snapshot(self) -> Image.Image | None:
        """The newest frame as a picture; None before the first. The widget then shows the same."""
        if self.frame is None:
            return None
        self._update()
        return Image.fromarray(self.frame)


def show_live(
    live: LiveDetector,
    out: str | Path | None = None,
    port: int | None = None,
    score_threshold: float = 0.3,
    top_k: int | None = 3,
    width: int | None = None,
) -> Image.Image | None:
    """Show a live detection below a notebook's cell until it ends. The stop button ends it, and the file is complete.

    Parameters
    ----------
    live : LiveDetector
        From `avalib.watch_live`. It is closed at the end.
    out : str or Path, optional
        Also write the frames to this .mp4 or .mkv.
    port : int, optional
        Also serve them to a browser on 127.0.0.1, see `MjpegServer`.
    score_threshold, top_k, width
        As for `play_live`.

    Returns
    -------
    PIL.Image.Image or None
        The last frame, for the executed copy of the notebook; None if no frame came.
    """
    view = LiveView(live)
    display(view.widget)
    with contextlib.ExitStack() as stack:
        viewers = [view.show]
        if port is not None:
            server = stack.enter_context(MjpegServer(port, lambda: str(live.measure())))
            viewers.append(server.publish)
            print(f"in a browser on this machine: {server.url}")
        try:
            play_live(live, out, viewers, score_threshold, top_k, width)
        except Stopped as stopped:
            print(stopped)
    return view.static_snapshot()
