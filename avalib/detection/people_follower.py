"""The people at the times of a video: detected at every time, or at some of them and followed in between."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from avalib.detection.person_detector import PersonDetector
from avalib.utils.motion_tracker import MotionTracker
from avalib.video.clip_stream import ClipSample

WEAK_SHARE = 0.5  # of person_score: boxes down to it continue a track, but start none
TRACK_GAP_STEPS = 2.5  # a track ends after so many detections without its person
_ROUNDING_S = 1e-6  # of times


@dataclass(frozen=True)
class SamplePeople:
    """The people at one time of a video, before they are scored."""

    sample: ClipSample
    person_ids: np.ndarray | None  # (n,) int64; None: not tracked yet
    boxes: np.ndarray  # (n, 4) float64 xyxy, 0..1
    scores: np.ndarray | None  # (n,) of the boxes, 0..1; None: unknown


class PeopleFollower:
    """Detects people, and tracks them from one detection to the next.

    Between two detections their boxes are interpolated; who is there at one of them alone is followed as the tracker
    predicts, or stays where they appear, for half of the time between.

    Parameters
    ----------
    person_detector : PersonDetector
    detector_step : float, optional
        Seconds from one detection to the next; None: at every time.
    batch_size : int
        Pictures at once.
    """

    def __init__(
        self,
        person_detector: PersonDetector,
        detector_step: float | None = None,
        batch_size: int = 1,
    ):
        self.person_detector = person_detector
        self.detector_step = detector_step or 0.0
        self.batch_size = batch_size
        max_gap_s = TRACK_GAP_STEPS * max(self.detector_step, 1)
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
        boxes = detected.boxes_norm[is_tracked]
        current = SamplePeople(sample, person_ids[is_tracked], boxes, detected.scores[is_tracked])
        if is_same_shot:
            filled = [interpolate_detections(people, self._last, current) for people in filled]
        self._last = current
        return [*filled, current]

    def _follow(self, sample):
        """The people of the last detection at a later sample, as the tracker predicts them."""
        since_s = sample.time_s - self._last.sample.time_s
        person_ids, boxes = self._tracker.predict(sample.time_s, max_age_s=since_s)
        scores = dict(zip(self._last.person_ids.tolist(), self._last.scores.tolist(), strict=True))
        scores = np.array([scores[person_id] for person_id in person_ids.tolist()])
        return SamplePeople(sample, person_ids, np.clip(boxes, 0, 1), scores)


def interpolate_detections(followed: SamplePeople, before: SamplePeople, after: SamplePeople) -> SamplePeople:
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
    # {person_id: (x1, y1, x2, y2, score)}, interpolated alike
    rows_before, rows_followed, rows_after = map(_index_by_person, (before, followed, after))
    rows = {}
    for person_id, row in rows_followed.items():
        if person_id in rows_after:
            rows[person_id] = (1 - share) * rows_before[person_id] + share * rows_after[person_id]
        elif share <= 0.5:
            rows[person_id] = row
    if share > 0.5:
        rows |= {person_id: row for person_id, row in rows_after.items() if person_id not in rows_before}
    table = np.array(list(rows.values())).reshape(-1, 5)
    return SamplePeople(followed.sample, np.array(list(rows), np.int64), table[:, :4], table[:, 4])


def _index_by_person(people):
    """{person_id: (5,) x1, y1, x2, y2, score} of a SamplePeople."""
    rows = np.concatenate([people.boxes, people.scores[:, None]], axis=1)
    return dict(zip(people.person_ids.tolist(), rows, strict=True))
