"""Scores the actions of people who are followed on a live stream, at an interval, in a thread of its own.

A clip reaches to both sides of its middle, so the scores of a moment come when its clip is complete, about a second
later. They belong to the people at the clip's middle, as in training, and are shown with the same people from then on.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from avalib.detection.detections_table import FrameResult
from avalib.evaluation.inference import build_non_finite_error, score_batch
from avalib.models.fused import FusedDetector
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.gpu_memory import build_gpu_memory_error
from avalib.video.frame_numbers import AVA_FPS, compute_clip_frames
from avalib.video.live_buffer import LiveBuffer, LiveClip

MAX_SCORE_AGE_STEPS = 3.0  # scores older than so many steps are not shown any more
HISTORY_S = 1.0  # people are remembered for so long beyond what a clip needs


@dataclass(frozen=True)
class TrackedPeople:
    """The people on one frame."""

    time_s: float
    frame: int
    captured_s: float  # see LiveFrame
    person_ids: np.ndarray  # (n,) int64
    boxes: np.ndarray  # (n, 4) float64, 0..1


class ActionScorer:
    """Scores the people of one moment after the other, the newest whose clip is complete.

    Parameters
    ----------
    loaded : LoadedModel
    step_s : float
        Seconds from one moment to the next, at least.
    """

    def __init__(self, loaded, step_s: float):
        self.loaded = loaded
        self.step_s = step_s
        entry = loaded.action_model.entry
        # (T,) seconds from the clip's middle to each of its frames
        numbers = compute_clip_frames(
            0, entry.clip_len, entry.frame_interval, last=10**9, first=-(10**9), start_s=0, offset=loaded.frame_offset
        )
        self.offsets_s = (numbers - 1) / AVA_FPS
        self.after_s = max(0.0, float(self.offsets_s[-1]))
        self.span_s = self.after_s - min(0.0, float(self.offsets_s[0])) + HISTORY_S
        self._network = FusedDetector(loaded.action_model, loaded.dtype)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="avalib actions")
        self._job = None
        self._history = deque()  # of TrackedPeople, those whose clip is not complete
        self._last_time_s = -np.inf  # of the newest moment that was scored
        self._scores = {}  # {person_id: (time_s, (C,) float32)}

    def close(self) -> None:
        """Stop; what is being computed is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def remember(self, people: TrackedPeople) -> None:
        """Note the people of the newest frame; those of frames that no clip needs are forgotten."""
        self._history.append(people)
        while people.time_s - self._history[0].time_s > self.after_s + HISTORY_S:
            self._history.popleft()

    def collect(self) -> TrackedPeople | None:
        """The moment whose scores have arrived since the last call, if any; `get_scores` has them from now on."""
        if self._job is None or not self._job.done():
            return None
        people, scores = self._job.result()
        self._job = None
        for person_id, person_scores in zip(people.person_ids.tolist(), scores, strict=True):
            self._scores[person_id] = people.time_s, person_scores
        # people who have left, and scores that say nothing about now
        oldest_s = people.time_s - MAX_SCORE_AGE_STEPS * self.step_s
        self._scores = {person_id: pair for person_id, pair in self._scores.items() if pair[0] >= oldest_s}
        return people

    def start_next(self, buffer: LiveBuffer) -> None:
        """Begin to score the newest moment whose clip is complete, if one is due and nothing is being computed."""
        range_s = buffer.get_range_s()
        if self._job is not None or range_s is None:
            return
        # frames arrive while this runs: the clip's last frame has to be there, and its middle
        complete = [
            people for people in self._history if range_s[0] - 1e-6 <= people.time_s <= range_s[1] - self.after_s + 1e-6
        ]
        if not complete or complete[-1].time_s < self._last_time_s + self.step_s - 1e-6:
            return
        people = complete[-1]
        self._last_time_s = people.time_s
        clip = buffer.cut_clip(people.time_s + self.offsets_s) if len(people.boxes) else None
        if clip is not None:
            self._job = self._pool.submit(self._score, people, clip)

    def get_scores(self, person_ids: np.ndarray) -> np.ndarray:
        """The newest scores (n, C) float32 of some people; zeros for those who have none yet."""
        scores = np.zeros((len(person_ids), self.loaded.action_model.n_classes + 1), np.float32)
        for i, person_id in enumerate(person_ids.tolist()):
            if person_id in self._scores:
                scores[i] = self._scores[person_id][1]
        return scores

    def build_result(self, people: TrackedPeople) -> FrameResult:
        """A scored moment as a FrameResult."""
        return FrameResult(
            people.time_s, people.frame, people.person_ids, people.boxes, self.get_scores(people.person_ids)
        )

    def _score(self, people, clip: LiveClip):
        """(people, their scores (n, C)): the work of the thread."""
        clips = torch.from_numpy(clip.frames[None])  # (1,T,h,w,3)
        height, width = clips.shape[2:4]
        rois = torch.from_numpy(build_rois([to_pixels(people.boxes, width, height)]))  # (n,5)
        model = self.loaded.action_model
        try:
            scores = score_batch(self._network, model.entry, clips, rois, self.loaded.device)
        except torch.OutOfMemoryError as error:
            raise build_gpu_memory_error("one clip", self.loaded.device) from error
        if np.isnan(scores).any():
            raise build_non_finite_error(model, f"the clip at {people.time_s:g} s")
        return people, scores
