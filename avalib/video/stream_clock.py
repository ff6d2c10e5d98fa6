"""The clock of a live stream: when its frames left the source, and seconds that go on after a new connection."""

import time

MAX_STEP_S = 5.0  # from one frame to the next; a longer step, or one back, is a jump of the source's clock
DRIFT = 1e-4  # seconds a second by which the clocks of two machines may differ
MIN_STEP_S = 1e-3  # from one frame's time to the next, where a source gives two frames the same


class StreamClock:
    """Turns the presentation times of a source into one clock of this machine.

    When a frame left the source cannot be known, only when it arrived. The frame that came through fastest of those so
    far counts as not delayed, the others are later than it by what they waited: in the network, in the buffers, for the
    decoder. The constant part (camera, coding, the fastest way) is not visible from here.

    Parameters
    ----------
    now : callable
        () -> seconds.
    """

    def __init__(self, now=time.monotonic):
        self.now = now
        self.last_time_s = None  # of the newest frame, from the first frame of all connections
        self._first_arrived_s = None
        self.reset()

    def reset(self) -> None:
        """Begin a new connection: its presentation times have nothing to do with those before."""
        self._last_pts_s = None
        self._offset_s = None  # between this machine's clock and the presentation time of an undelayed frame

    def is_jump(self, pts_s: float) -> bool:
        """Whether a presentation time cannot follow the last one."""
        return self._last_pts_s is not None and not 0 <= pts_s - self._last_pts_s <= MAX_STEP_S

    def pass_over(self, pts_s: float) -> None:
        """Note a frame that is dropped before it is decoded, so that the next one is no jump."""
        self._last_pts_s = pts_s

    def measure_lag(self, pts_s: float) -> float:
        """By how many seconds data that has arrived now is late; 0 before the first frame."""
        return 0.0 if self._offset_s is None else max(0.0, self.now() - pts_s - self._offset_s)

    def measure_lead(self, pts_s: float) -> float:
        """How many seconds it takes until a frame is due that is played at its own speed; 0 if it is late."""
        return 0.0 if self._offset_s is None else max(0.0, pts_s + self._offset_s - self.now())

    def advance(self, pts_s: float) -> tuple[float, float]:
        """Take the next frame's presentation time.

        Returns
        -------
        time_s : float
            From the first frame, growing from frame to frame.
        captured_s : float
            When it left the source, on this machine's clock.
        """
        arrived_s = self.now()
        if self._first_arrived_s is None:
            self._first_arrived_s = arrived_s
        if self._offset_s is None:
            # after a gap the seconds go on by this machine's clock
            self._offset_s = arrived_s - pts_s
            self._base_s = arrived_s - self._first_arrived_s - pts_s
        else:
            # the fastest frame so far; the clocks drift apart, so it is forgotten slowly
            drift_s = DRIFT * (pts_s - self._last_pts_s)
            self._offset_s = min(self._offset_s + drift_s, arrived_s - pts_s)
        self._last_pts_s = pts_s
        time_s = self._base_s + pts_s
        if self.last_time_s is not None:
            time_s = max(time_s, self.last_time_s + MIN_STEP_S)
        self.last_time_s = time_s
        return time_s, pts_s + self._offset_s
