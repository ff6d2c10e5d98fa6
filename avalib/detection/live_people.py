"""Where the people are on a frame of a live source: found by a detector, or between the boxes that came with a file."""

import bisect
from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.people_follower import WEAK_SHARE
from avalib.utils.motion_tracker import MotionTracker
from avalib.utils.tracker import MAX_GAP_S, link_boxes
from avalib.video.live_buffer import LiveFrame

ALONE_S = 0.5  # how long a person stays who is in only one of the two times around a frame
TRACK_GAP_FRAMES = 2.5  # people may be missing on so many frames in a row, however slow the machine is


@dataclass(frozen=True)
class FramePeople:
    """The people on one frame."""

    person_ids: np.ndarray  # (n,) int64
    boxes: np.ndarray  # (n, 4) float64, 0..1


class DetectedFollower:
    """Detects people on every frame, and follows them from frame to frame.

    Parameters
    ----------
    person_detector : PersonDetector
    """

    def __init__(self, person_detector):
        self.person_detector = person_detector
        self._tracker = MotionTracker(person_detector.person_score)
        self._shot = 0
        self._last_time_s = 0.0

    def __call__(self, frame: LiveFrame) -> FramePeople:
        """The FramePeople of the next frame."""
        # weak boxes only continue a track
        (detected,) = self.person_detector([frame.picture], WEAK_SHARE * self.person_detector.person_score)
        # people after a cut, a gap or a change of size are others
        if frame.shot != self._shot:
            self._shot = frame.shot
            self._tracker.reset()
        # frames may be seconds apart where the detector is slow
        self._tracker.max_gap_s = max(MAX_GAP_S, TRACK_GAP_FRAMES * (frame.time_s - self._last_time_s))
        self._last_time_s = frame.time_s
        person_ids = self._tracker.update(frame.time_s, detected.boxes_norm, detected.scores)
        is_tracked = person_ids >= 0
        return FramePeople(person_ids[is_tracked], detected.boxes_norm[is_tracked])


class GivenFollower:
    """Takes boxes that came with a file; between two times they lie on the straight line.

    Parameters
    ----------
    person_boxes : DataFrame
        From `read_person_boxes`.
    """

    def __init__(self, person_boxes: pd.DataFrame):
        boxes = person_boxes[BOX_COLUMNS].to_numpy(np.float64)
        if "person_id" in person_boxes:
            person_ids = person_boxes["person_id"].to_numpy(np.int64)
        else:
            person_ids = link_boxes(person_boxes["time_s"], boxes)
        # {time: {person_id: box}}, in order of time
        self._people_by_time = {}
        for time_s, person_id, box in zip(person_boxes["time_s"].tolist(), person_ids.tolist(), boxes, strict=True):
            self._people_by_time.setdefault(time_s, {})[person_id] = box
        self._times_s = list(self._people_by_time)

    def __call__(self, frame: LiveFrame) -> FramePeople:
        """The FramePeople of a frame."""
        following = bisect.bisect_right(self._times_s, frame.time_s + 1e-6)
        around_s = self._times_s[max(following - 1, 0) : following + 1]
        boxes = {}
        for time_s in around_s:
            is_near = abs(time_s - frame.time_s) <= ALONE_S
            boxes |= self._people_by_time[time_s] if is_near else {}
        # who is at both times moves in a straight line
        if len(around_s) == 2 and around_s[1] - around_s[0] <= MAX_GAP_S:
            before, after = (self._people_by_time[time_s] for time_s in around_s)
            share = float(np.clip((frame.time_s - around_s[0]) / (around_s[1] - around_s[0]), 0, 1))
            boxes |= {i: (1 - share) * before[i] + share * after[i] for i in before.keys() & after.keys()}
        return FramePeople(np.array(list(boxes), np.int64), np.array(list(boxes.values()), np.float64).reshape(-1, 4))
