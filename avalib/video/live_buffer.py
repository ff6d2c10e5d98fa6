"""The newest frames of a live stream, between the thread that reads them and the one that looks at them.

It never grows: the newest picture replaces the one before, and scaled frames are kept as long as one clip needs them.
"""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from avalib.video.clip_stream import ROUNDING_S
from avalib.video.frame_numbers import AVA_FPS
from avalib.video.resize import resize_frame

MIN_INTERVAL_S = 0.75 / AVA_FPS  # between two scaled frames: clips need 30 a second, and times jitter


@dataclass(frozen=True)
class LiveFrame:
    """One decoded frame."""

    number: int  # 0, 1, …, over all connections
    time_s: float  # from the first frame
    captured_s: float  # when it left the source, by time.monotonic, see StreamClock
    shot: int  # the number of cuts, jumps and new connections before
    picture: np.ndarray  # (H,W,3) uint8


@dataclass(frozen=True)
class LiveClip:
    """The frames around a time."""

    frames: np.ndarray  # (T,h,w,3) uint8, scaled to the short side
    numbers: np.ndarray  # (T,) their LiveFrame numbers


class LiveBuffer:
    """Holds the newest picture, and scaled frames of the last seconds.

    Parameters
    ----------
    short_side : int
        Of the scaled frames, in pixels.
    span_s : float
        Seconds of scaled frames, at most 40 of them a second.
    """

    def __init__(self, short_side: int, span_s: float):
        self.short_side = short_side
        self.span_s = span_s
        self._changed = threading.Condition()
        self._newest = None
        self._scaled = deque(maxlen=int(span_s / MIN_INTERVAL_S) + 2)  # of (time_s, number, frame (h,w,3))
        self._is_closed = False
        self._error = None

    def add(self, frame: LiveFrame) -> None:
        """Put a frame in. Called by the reading thread."""
        # the faster frames of a camera with more than 30 a second are left out
        is_due = not self._scaled or frame.time_s - self._scaled[-1][0] > MIN_INTERVAL_S
        scaled = resize_frame(frame.picture, self.short_side) if is_due else None
        with self._changed:
            if scaled is not None:
                # another size of the picture: no clip can have both
                if self._scaled and self._scaled[-1][2].shape != scaled.shape:
                    self._scaled.clear()
                self._scaled.append((frame.time_s, frame.number, scaled))
                while frame.time_s - self._scaled[0][0] > self.span_s:
                    self._scaled.popleft()
            self._newest = frame
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the scaled frames: what comes next does not follow them."""
        with self._changed:
            self._scaled.clear()

    def close(self, error: Exception | None = None) -> None:
        """No frame comes any more; error: why, if that is for the reader of this buffer to know."""
        with self._changed:
            self._is_closed = True
            self._error = error
            self._changed.notify_all()

    def wait_for_newer(self, number: int, timeout_s: float) -> LiveFrame | None:
        """Wait for a frame behind frame `number`; the newest one, or None after the timeout or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._has_newer(number), timeout_s)
            return self._newest if self._has_newer(number) else None

    def _has_newer(self, number):
        return self._newest is not None and self._newest.number > number

    def is_finished(self, number: int) -> bool:
        """Whether frame `number` was the last one. Raises the error that has ended the stream, if there is one."""
        with self._changed:
            if not self._is_closed or self._has_newer(number):
                return False
            if self._error is not None:
                raise self._error
            return True

    def get_range_s(self) -> tuple[float, float] | None:
        """(oldest, newest) time of the scaled frames, in seconds; None if there are none."""
        with self._changed:
            return (self._scaled[0][0], self._scaled[-1][0]) if self._scaled else None

    def cut_clip(self, times_s: np.ndarray) -> LiveClip | None:
        """The frame that is shown at each of times_s (T,); the oldest or newest one for times outside.

        None where the buffer is empty.
        """
        with self._changed:
            entries = list(self._scaled)
        if not entries:
            return None
        # (T,) the last frame that has begun at each time
        begins_s = np.array([time_s for time_s, _, _ in entries])
        shown = np.searchsorted(begins_s, np.asarray(times_s) + ROUNDING_S, side="right") - 1
        shown = np.clip(shown, 0, len(entries) - 1)
        return LiveClip(
            frames=np.stack([entries[i][2] for i in shown]), numbers=np.array([entries[i][1] for i in shown], np.int64)
        )
