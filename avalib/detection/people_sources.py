"""Where the people of a video come from: boxes that are given, or a person detector and a tracker."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.person_detector import PersonDetector
from avalib.utils.motion_tracker import MotionTracker
from avalib.utils.tracker import Tracker
from avalib.video.clip_stream import ClipSample

WEAK_SHARE = 0.5  # of person_score: boxes down to it continue a track, but start none
_ROUNDING_S = 1e-6  # of times


@dataclass(frozen=True)
class SamplePeople:
    """The people at one time of a video, before they are scored."""

    sample: ClipSample
    person_ids: np.ndarray  # (n,) int64
    boxes: np.ndarray  # (n, 4) float64 xyxy, 0..1


class GivenPeople:
    """People whose boxes come with the video; without person_id, they are tracked.

    Parameters
    ----------
    person_boxes : DataFrame
        From `read_person_boxes`.
    max_gap_s : float
        People who are away for longer get a new id.
    """

    def __init__(self, person_boxes: pd.DataFrame, max_gap_s: float):
        self.person_boxes = person_boxes
        self._tracker = Tracker(max_gap_s)
        self._shot = 0

    def iter_people(self, samples: Iterable[ClipSample]) -> Iterator[SamplePeople]:
        """The people at each of some times, in order."""
        for sample in samples:
            rows = self.person_boxes[self.person_boxes["time_s"] == sample.time_s]
            boxes = rows[BOX_COLUMNS].to_numpy()
            if "person_id" in rows:
                person_ids = rows["person_id"].to_numpy()
            else:
                # People after a cut are others.
                if sample.shot != self._shot:
                    self._tracker.reset()
                    self._shot = sample.shot
                person_ids = self._tracker.update(sample.time_s, boxes) if len(boxes) else np.zeros(0, np.int64)
            yield SamplePeople(sample, person_ids, boxes)

    def describe(self) -> list[str]:
        """Notes for the table: none."""
        return []


class DetectedTracks:
    """People who are detected, and tracked from one detection to the next.

    Between two detections their boxes are interpolated; who is there at one of them alone is followed as the tracker
    predicts, or stays where they appear, for half of the time between.

    Parameters
    ----------
    person_detector : PersonDetector
    max_gap_s : float
        People who are away for longer get a new id.
    detector_step : float, optional
        Seconds from one detection to the next; None: at every time.
    batch_size : int
        Pictures at once.
    """

    def __init__(
        self,
        person_detector: PersonDetector,
        max_gap_s: float,
        detector_step: float | None = None,
        batch_size: int = 1,
    ):
        self.person_detector = person_detector
        self.detector_step = detector_step or 0.0
        self.batch_size = batch_size
        self.n_detections = 0
        self._tracker = MotionTracker(person_detector.person_score, max_gap_s)
        self._due_s = -np.inf  # the next detection
        self._shot = 0
        self._last = None  # SamplePeople of the last detection

    def iter_people(self, samples: Iterable[ClipSample]) -> Iterator[SamplePeople]:
        """The people at each of some times, in order; at most one detector_step of samples is kept back."""
        samples = iter(samples)
        waiting = []
        while batch := list(itertools.islice(samples, self.batch_size)):
            # The pictures of the batch that are due, in one call of the detector.
            due = [sample for sample in batch if self._is_due(sample)]
            min_score = WEAK_SHARE * self.person_detector.person_score
            detected = self.person_detector([sample.picture for sample in due], min_score)
            self.n_detections += len(due)
            results = iter(zip(due, detected, strict=True))
            pending = next(results, None)
            for sample in batch:
                if pending is None or sample is not pending[0]:
                    waiting.append(sample)
                    continue
                yield from self._track(sample, pending[1], waiting)
                waiting = []
                pending = next(results, None)
        yield from map(self._follow, waiting)

    def describe(self) -> list[str]:
        """Notes for the table: how people were detected."""
        detector = self.person_detector
        score = f"score from {detector.person_score:g}"
        return [f"people: {detector.description}, {score}, detected at {self.n_detections} times"]

    def _is_due(self, sample):
        """Whether people are detected at the next sample: a step after the last time, or after a cut."""
        is_due = sample.time_s >= self._due_s - _ROUNDING_S or sample.shot != self._shot
        if is_due:
            self._due_s = sample.time_s + self.detector_step
            self._shot = sample.shot
        return is_due

    def _track(self, sample, detected, waiting):
        """The SamplePeople of the samples that waited for this detection, then of its own."""
        # Predictions first, before the tracker moves on.
        filled = [self._follow(waiting_sample) for waiting_sample in waiting]
        is_same_shot = self._last is not None and self._last.sample.shot == sample.shot
        if not is_same_shot:
            self._tracker.reset()
        person_ids = self._tracker.update(sample.time_s, detected.boxes_norm, detected.scores)
        is_tracked = person_ids >= 0  # weak boxes that nobody claims are dropped
        current = SamplePeople(sample, person_ids[is_tracked], detected.boxes_norm[is_tracked])
        if is_same_shot:
            filled = [interpolate_people(people, self._last, current) for people in filled]
        self._last = current
        return [*filled, current]

    def _follow(self, sample):
        """The people of the last detection at a later sample, as the tracker predicts them."""
        since_s = sample.time_s - self._last.sample.time_s
        person_ids, boxes = self._tracker.predict(sample.time_s, max_age_s=since_s)
        return SamplePeople(sample, person_ids, np.clip(boxes, 0, 1))


def interpolate_people(followed: SamplePeople, before: SamplePeople, after: SamplePeople) -> SamplePeople:
    """The people at a time between two detections.

    Parameters
    ----------
    followed : SamplePeople
        Those of `before`, as the tracker predicts them at this time.
    before, after : SamplePeople
        Of the two detections.

    Returns
    -------
    SamplePeople
        Who is in both is interpolated; who is in one alone is there in the half of the time that is nearer to it.
    """
    begin_s = before.sample.time_s
    share = (followed.sample.time_s - begin_s) / (after.sample.time_s - begin_s)
    boxes_before = dict(zip(before.person_ids.tolist(), before.boxes, strict=True))
    boxes_after = dict(zip(after.person_ids.tolist(), after.boxes, strict=True))
    boxes = {}
    for person_id, box in zip(followed.person_ids.tolist(), followed.boxes, strict=True):
        if person_id in boxes_after:
            boxes[person_id] = (1 - share) * boxes_before[person_id] + share * boxes_after[person_id]
        elif share <= 0.5:
            boxes[person_id] = box
    if share > 0.5:
        boxes |= {person_id: box for person_id, box in boxes_after.items() if person_id not in boxes_before}
    person_ids = np.array(list(boxes), np.int64)
    return SamplePeople(followed.sample, person_ids, np.array(list(boxes.values())).reshape(-1, 4))
