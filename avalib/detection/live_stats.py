"""How a live detection keeps up: rates, delays, dropped frames, new connections."""

import time
from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LiveStats:
    """The last seconds of a live detection, and its counts since the beginning.

    Parameters
    ----------
    source_fps, fps : float
        Frames a second that arrived, and that people were detected on.
    delay_s : float
        From a frame's arrival until it was used, drawn and written; the median.
    action_delay_s : float
        From the middle of an action's clip until its scores were there; NaN before the first.
    processed, dropped : int
        Frames.
    reconnects, size_changes, damaged : int
        New connections, changes of the picture's size, packets that could not be decoded.
    people : int
        On the newest frame.
    """

    source_fps: float
    fps: float
    delay_s: float
    action_delay_s: float
    processed: int
    dropped: int
    reconnects: int
    size_changes: int
    damaged: int
    people: int

    def __str__(self):
        parts = [
            f"{self.fps:.1f} of {self.source_fps:.1f} frames/s",
            f"delay {self.delay_s:.2f} s" if np.isfinite(self.delay_s) else "no frames now",
            f"actions {self.action_delay_s:.1f} s" if np.isfinite(self.action_delay_s) else "no actions yet",
            f"{self.people} people",
            f"{self.dropped} frames dropped",
            f"{self.reconnects} reconnects",
        ]
        if self.size_changes:
            parts.append(f"{self.size_changes} changes of size")
        if self.damaged:
            parts.append(f"{self.damaged} damaged packets")
        return ", ".join(parts)


@dataclass(frozen=True)
class _Moment:
    """One frame that was dealt with."""

    at_s: float  # by time.monotonic
    received: int  # frames of the source until then
    delay_s: float


class DelayMeter:
    """Measures rates and delays over the last seconds, in bounded memory.

    Parameters
    ----------
    window_s : float
        Seconds that a rate and a median are taken over.
    """

    MAX_MOMENTS = 1000

    def __init__(self, window_s: float = 5.0):
        self.window_s = window_s
        self.processed = 0
        self.received = 0  # with those that were dropped
        self.people = 0
        self.action_delay_s = np.nan
        self._moments = deque(maxlen=self.MAX_MOMENTS)

    def add(self, received: int, people: int, captured_s: float) -> None:
        """Note that a frame has been dealt with: the `received`-th of its source."""
        now_s = time.monotonic()
        self.processed += 1
        self.received = received
        self.people = people
        self._moments.append(_Moment(now_s, received, now_s - captured_s))

    def measure(self, counts) -> LiveStats:
        """The LiveStats now; counts: the reader's LiveCounts."""
        now_s = time.monotonic()
        recent = [moment for moment in self._moments if now_s - moment.at_s <= self.window_s]
        # rates from the first recent frame until now, so that they fall to zero in a stall
        seconds = max(now_s - recent[0].at_s, 1e-3) if recent else 1.0
        received = recent[-1].received - recent[0].received if recent else 0
        return LiveStats(
            source_fps=received / seconds,
            fps=max(len(recent) - 1, 0) / seconds,
            delay_s=float(np.median([moment.delay_s for moment in recent])) if recent else np.nan,
            action_delay_s=self.action_delay_s,
            processed=self.processed,
            dropped=self.received - self.processed,
            reconnects=counts.reconnects,
            size_changes=counts.size_changes,
            damaged=counts.damaged,
            people=self.people,
        )
