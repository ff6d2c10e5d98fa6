"""People and their actions on a live stream, frame by frame: always the newest frame, so that delay is bounded."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from avalib.detection.action_scorer import ActionScorer, TrackedPeople
from avalib.detection.detections_table import FrameResult
from avalib.detection.live_people import FramePeople
from avalib.detection.live_stats import DelayMeter, LiveStats
from avalib.video.live_buffer import LiveFrame
from avalib.video.live_reader import LiveReader

logger = logging.getLogger(__name__)

LOG_STEP_S = 5.0
_POLL_S = 0.2  # a wait for frames looks so often whether it has to stop


@dataclass(frozen=True)
class LiveResult(FrameResult):
    """The people on one frame of a live stream, maybe none, with the newest scores of each; zeros before the first.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
        The frame.
    captured_s : float
        When the frame left the source, by time.monotonic.
    scored : FrameResult or None
        A moment, about a second ago, whose scores are new with this frame: its own time, boxes and scores.
    """

    picture: np.ndarray
    captured_s: float
    scored: FrameResult | None = None

    def measure_delay_s(self) -> float:
        """Seconds since the frame left the source."""
        return time.monotonic() - self.captured_s


class LiveDetector:
    """An iterator of LiveResults: one for each frame that there is time for, until a file ends or `stop` is called.

    Use it in a `with` statement, or close it: it reads in a thread.

    Parameters
    ----------
    reader : LiveReader
    scorer : ActionScorer
    follow_people : callable
        LiveFrame -> its FramePeople: a DetectedFollower or GivenFollower.
    seconds : float, optional
        Stop after so long.
    log_step_s : float
        Seconds between two messages about rate and delay.
    """

    def __init__(
        self,
        reader: LiveReader,
        scorer: ActionScorer,
        follow_people: Callable[[LiveFrame], FramePeople],
        seconds: float | None = None,
        log_step_s: float = LOG_STEP_S,
    ):
        self.reader = reader
        self.scorer = scorer
        self.follow_people = follow_people
        self.seconds = seconds
        self.log_step_s = log_step_s
        self._meter = DelayMeter()
        self._newest = None  # the last LiveResult, until the caller comes back for the next one
        self._number = -1  # of the last frame
        self._is_stopped = False
        self._started_s = time.monotonic()
        self._logged_at_s = self._started_s

    @property
    def name(self) -> str:
        """The source, for messages: without credentials."""
        return self.reader.source.name

    @property
    def label_map(self) -> dict[int, str]:
        """{action_id: name} of the actions that have scores."""
        return self.scorer.loaded.label_map

    def stop(self) -> None:
        """End the iteration before the next frame. Other threads and signal handlers may call it."""
        self._is_stopped = True

    def close(self) -> None:
        """Stop reading and computing."""
        self.stop()
        self.reader.close()
        self.scorer.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __del__(self):
        self.close()

    def measure(self) -> LiveStats:
        """The rate, the delay and the counts now."""
        return self._meter.measure(self.reader.counts)

    def __iter__(self) -> Iterator[LiveResult]:
        return self

    def __next__(self) -> LiveResult:
        # the frame before has been drawn and written by now: this is its delay from end to end
        if self._newest is not None:
            self._meter.add(self._number + 1, len(self._newest.boxes), self._newest.captured_s)
            self._newest = None
        frame = self._wait_for_frame()
        if frame is None:
            raise StopIteration
        self._number = frame.number
        followed = self.follow_people(frame)
        people = TrackedPeople(frame.time_s, frame.number, frame.captured_s, followed.person_ids, followed.boxes)
        scored = self._update_scores(people)
        self._newest = LiveResult(
            time_s=people.time_s,
            frame=people.frame,
            person_ids=people.person_ids,
            boxes=people.boxes,
            scores=self.scorer.get_scores(people.person_ids),
            picture=frame.picture,
            captured_s=frame.captured_s,
            scored=scored,
        )
        return self._newest

    def _wait_for_frame(self):
        """The newest LiveFrame that was not used yet; None at the end. Logs meanwhile, also in a stall."""
        while not self._is_stopped:
            now_s = time.monotonic()
            if now_s - self._logged_at_s >= self.log_step_s:
                self._logged_at_s = now_s
                logger.info("%s: %s", self.name, self.measure())
            if self.seconds is not None and now_s - self._started_s >= self.seconds:
                return None
            frame = self.reader.buffer.wait_for_newer(self._number, _POLL_S)
            if frame is not None:
                return frame
            if self.reader.buffer.is_finished(self._number):
                return None
        return None

    def _update_scores(self, people):
        """Take scores that have arrived, start the next ones. Returns the moment that was scored, or None."""
        scored = self.scorer.collect()
        self.scorer.remember(people)
        self.scorer.start_next(self.reader.buffer)
        if scored is None:
            return None
        self._meter.action_delay_s = time.monotonic() - scored.captured_s
        return self.scorer.build_result(scored)
