"""The people and their actions at some times of one video: located, scored clip by clip, tracked."""

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_table import FrameResult
from avalib.detection.people_follower import PeopleFollower, SamplePeople
from avalib.detection.stretches import STRETCH_LEN, StretchResult, split_times, track_people
from avalib.evaluation.inference import build_non_finite_error, score_batch
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.gpu_memory import build_gpu_memory_error
from avalib.utils.progress import show_progress
from avalib.video.clip_stream import ClipStream
from avalib.video.reader import Video

logger = logging.getLogger(__name__)

MAX_SHOWN_TIMES = 8  # in notes


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for inference, and what its checkpoint says about its input and its actions."""

    action_model: Detector
    short_side: int  # of the pictures, in pixels
    frame_offset: int  # frames by which its clips lie later, see `data.frame_protocols`
    label_map: dict  # {action_id: name}
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class VideoResult:
    """What was detected in one video."""

    frame_results: list  # of FrameResult, in order of time, of the times with people
    skipped_s: list  # of float: times whose clip cannot be decoded
    cut_frames: list  # of int: the native frames that cuts lie before
    notes: list  # of str: what is missing
    speed: str  # how fast it was


class VideoDetector:
    """Detects people and their actions at some times of videos, one after the other.

    Parameters
    ----------
    loaded : LoadedModel
        The model of the actions.
    batch_size : int
        Clips at once.
    person_boxes : DataFrame, optional
        From `read_person_boxes`.
    person_detector : PersonDetector, optional
        If there are no person_boxes.
    detector_step : float, optional
        Seconds from one detection of people to the next; None: at every time.
    stretch_len : int
        Times that are computed on their own, see stretches.
    """

    def __init__(
        self,
        loaded,
        batch_size=1,
        person_boxes=None,
        person_detector=None,
        detector_step=None,
        stretch_len=STRETCH_LEN,
    ):
        self.stretch_len = stretch_len
        self.loaded = loaded
        self.batch_size = batch_size
        self.person_boxes = person_boxes
        self.person_detector = person_detector
        self.detector_step = detector_step
        self._network = StreamingDetector(loaded.action_model, loaded.dtype)

    def run(
        self, reader: Video, times_s: np.ndarray, progress: bool = True, return_partial: bool = True
    ) -> VideoResult:
        """Detect people and actions at times_s (M,), ascending, of an open video.

        return_partial: whether Ctrl-C returns the finished times, instead of raising KeyboardInterrupt.
        """
        started_s = time.perf_counter()
        stretches = split_times(times_s, self.stretch_len)
        clips = [self.open_clips(reader, stretches, number) for number in range(len(stretches))]
        # The bar counts the frames of all stretches.
        bar = show_progress(
            total=sum(stretch_clips.n_frames for stretch_clips in clips),
            unit="frame",
            desc=f"watching {reader.path.name}",
            disable=not progress,
            leave=return_partial,
        )
        results = []
        notes = []
        for stretch_clips in clips:
            stretch_clips.on_frame = bar.update
            result = self.run_stretch(stretch_clips)
            results.append(result)
            if result.is_interrupted:
                if not return_partial:
                    raise KeyboardInterrupt
                if left_s := times_s[sum(done.n_times for done in results) :].tolist():
                    notes.append(f"interrupted; start={round(left_s[0], 6):.12g} continues from here")
                break
        bar.close()
        return join_stretches(results, times_s, reader.missing_frames, notes, time.perf_counter() - started_s)

    def open_clips(self, reader: Video, stretches: list[np.ndarray], number: int) -> ClipStream:
        """The clips of one stretch of a video, decoded in one pass, and all cuts up to the next stretch."""
        entry = self.loaded.action_model.entry
        is_last = number + 1 == len(stretches)
        return ClipStream(
            reader,
            stretches[number],
            entry.clip_len,
            entry.frame_interval,
            self.loaded.short_side,
            offset=self.loaded.frame_offset,
            next_time_s=None if is_last else float(stretches[number + 1][0]),
            is_first=number == 0,
        )

    def run_stretch(self, clips: ClipStream) -> StretchResult:
        """Detect people and actions in one stretch. Ctrl-C keeps the finished batches: a result with fewer times."""
        # Nothing of the stretch before: the results would depend on where that was computed.
        self._network.forget_frames()
        clips.reader.reset()
        frame_results = []
        skipped_s = []
        n_done = 0
        is_interrupted = False
        people = self._iter_people(_select_decoded(clips, skipped_s))
        try:
            while batch := list(itertools.islice(people, self.batch_size)):
                frame_results += self._score_batch(batch)
                n_done = int(np.searchsorted(clips.times_s, batch[-1].sample.time_s, side="right"))
            n_done = len(clips.times_s)
        except KeyboardInterrupt:
            is_interrupted = True
        return StretchResult(frame_results, skipped_s, clips.cut_frames, n_done, clips.n_read, is_interrupted)

    def _iter_people(self, samples):
        """The SamplePeople of samples, in order: from the person boxes, or detected."""
        if self.person_boxes is None:
            # Of this stretch alone; ids that last for the whole video come later.
            follower = PeopleFollower(self.person_detector, self.detector_step, self.batch_size)
            for people in follower.iter_people(samples):
                yield replace(people, person_ids=None)
            return
        for sample in samples:
            rows = self.person_boxes[self.person_boxes["time_s"] == sample.time_s]
            person_ids = rows["person_id"].to_numpy() if "person_id" in rows else None
            scores = rows["person_score"].to_numpy() if "person_score" in rows else None
            yield SamplePeople(sample, person_ids, rows[BOX_COLUMNS].to_numpy(), scores)

    def _score_batch(self, batch):
        """The FrameResults of some SamplePeople, of those with people."""
        # Times without people need no scores.
        with_people = [people for people in batch if len(people.boxes)]
        if not with_people:
            return []
        return [
            FrameResult(people.sample.time_s, people.sample.frame, people.person_ids, people.boxes, scores)
            for people, scores in zip(with_people, self._score_people(with_people), strict=True)
        ]

    def _score_people(self, batch):
        """As `_score_at_once`, in halves where the GPU's memory does not suffice for all."""
        try:
            return self._score_at_once(batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise build_gpu_memory_error("one clip", self.loaded.device) from error
        # Outside of the handler, whose traceback would keep the tensors in memory.
        half = len(batch) // 2
        self.batch_size = min(self.batch_size, max(half, 1))
        logger.warning("the GPU is out of memory with %d clips at once; now %d", len(batch), self.batch_size)
        torch.cuda.empty_cache()
        return [*self._score_people(batch[:half]), *self._score_people(batch[half:])]

    def _score_at_once(self, batch):
        """The scores (n, C) of each of some SamplePeople with people, at least one."""
        # All people of all clips in one call of the network: rois are [clip, x1, y1, x2, y2] in pixels.
        samples = [people.sample for people in batch]
        clips = torch.from_numpy(np.stack([sample.clip for sample in samples]))  # (B,T,H,W,3)
        height, width = clips.shape[2:4]
        rois = build_rois([to_pixels(people.boxes, width, height) for people in batch])  # (N,5)
        # With the frames' numbers the network computes a frame once that several clips have.
        frame_numbers = np.stack([sample.clip_frames for sample in samples])  # (B,T)
        network = partial(self._network, numbers=frame_numbers)
        entry = self.loaded.action_model.entry
        scores = score_batch(network, entry, clips, torch.from_numpy(rois), self.loaded.device)  # (N,C)
        # float16 can overflow; a table of NaN would look like a video without actions.
        if np.isnan(scores).any():
            times = ", ".join(f"{sample.time_s:g}" for sample in samples)
            raise build_non_finite_error(self.loaded.action_model, f"the clips at {times} s")
        # Back to a (n,C) array for each clip.
        scores = [scores[rois[:, 0] == i] for i in range(len(samples))]
        if entry.score_by_person:
            scores = [multiply_by_person(of_clip, people) for of_clip, people in zip(scores, batch, strict=True)]
        return scores


def _select_decoded(clips, skipped_s):
    """The ClipSamples with a clip; the times of the others are added to the list skipped_s."""
    for sample in clips:
        if sample.clip is None:
            skipped_s.append(sample.time_s)
        else:
            yield sample


def join_stretches(
    stretches: list[StretchResult], times_s: np.ndarray, missing_frames: int, notes: Sequence[str], seconds: float
) -> VideoResult:
    """Join the results of a video's stretches, in order of time.

    Parameters
    ----------
    stretches : list of StretchResult
    times_s : (M,) array of float
        All times of the video.
    missing_frames : int
        See `Video`.
    notes : sequence of str
        The first notes of the result.
    seconds : float
        That the work took.
    """
    skipped_s = [time_s for stretch in stretches for time_s in stretch.skipped_s]
    cut_frames = [cut for stretch in stretches for cut in stretch.cut_frames]
    frame_results = track_people(stretches, times_s)
    n_times = sum(stretch.n_times for stretch in stretches)
    n_read = sum(stretch.n_frames for stretch in stretches)
    n_boxes = sum(len(result.person_ids) for result in frame_results)
    person_ids = set().union(*(result.person_ids.tolist() for result in frame_results))
    speed = (
        f"{n_read} frames in {seconds:.1f} s, {n_read / max(seconds, 1e-9):.0f} frames/s; {n_times} times, "
        f"{len(person_ids)} people, {n_boxes} boxes, {len(cut_frames)} cuts"
    )
    return VideoResult(
        frame_results, skipped_s, cut_frames, [*notes, *describe_missing(missing_frames, skipped_s)], speed
    )


def multiply_by_person(scores, people):
    """Scores (n,C) of actions times those of the SamplePeople's boxes; as they are where these are unknown."""
    if people.scores is None:
        return scores
    return scores * people.scores[:, None].astype(scores.dtype)


def describe_missing(missing_frames, skipped_s):
    """Notes (a list of str) on the frames and the times that a video lacks."""
    notes = []
    if missing_frames:
        notes.append(f"truncated: {missing_frames} frames that the file's header promises are missing")
    if skipped_s:
        times = ", ".join(f"{time_s:g}" for time_s in skipped_s[:MAX_SHOWN_TIMES])
        times += " …" if len(skipped_s) > MAX_SHOWN_TIMES else ""
        notes.append(f"{len(skipped_s)} times left out, frames around them can't be decoded: {times} s")
    return notes
