"""The people and their actions at some times of one video: located, scored clip by clip, tracked."""

import itertools
import time
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from tqdm.auto import tqdm

from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_table import FrameResult
from avalib.evaluation.inference import build_non_finite_error, score_batch
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.tracker import Tracker
from avalib.video.clip_stream import ClipStream
from avalib.video.reader import Video

DEFAULT_STEP_S = 1.0
MAX_SHOWN_TIMES = 8  # in notes
TRACK_GAP_STEPS = 2.5  # a track ends after so many steps without its person, who may be hidden at one time or two


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
class SamplePeople:
    """The people at one time, before they are scored."""

    person_ids: np.ndarray | None  # (n,) int64; None: the tracker assigns them
    boxes: np.ndarray  # (n, 4) float64, 0..1
    scores: np.ndarray | None  # (n,) of the boxes, 0..1; None: unknown


@dataclass(frozen=True)
class VideoResult:
    """What was detected in one video."""

    frame_results: list  # of FrameResult, in order of time, of the times with people
    skipped_s: list  # of float: times whose clip cannot be decoded
    cuts_s: list  # of float: times of cuts
    notes: list  # of str: what is missing; the last one says how fast it was


class VideoDetector:
    """Detects people and their actions at some times of one video.

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
    """

    def __init__(self, loaded, batch_size=1, person_boxes=None, person_detector=None):
        self.loaded = loaded
        self.batch_size = batch_size
        self.person_boxes = person_boxes
        self.person_detector = person_detector
        self._network = StreamingDetector(loaded.action_model, loaded.dtype)
        self._tracker = None
        self._shot = 0

    def run(self, reader: Video, times_s: np.ndarray, progress: bool = True) -> VideoResult:
        """Detect people and actions at times_s (M,), ascending, of an open video. Returns a VideoResult."""
        # The tracker bridges a person who is hidden at one time or two.
        started_s = time.perf_counter()
        entry = self.loaded.action_model.entry
        step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else DEFAULT_STEP_S
        self._tracker = Tracker(max_gap_s=TRACK_GAP_STEPS * max(step_s, 1))
        frame_results = []
        skipped_s = []
        notes = []
        n_done = 0
        # The clips around the times, decoded in one pass over the video; the bar counts its frames.
        bar = tqdm(unit="frame", desc=f"watching {reader.path.name}", disable=not progress)
        clips = ClipStream(
            reader,
            times_s,
            entry.clip_len,
            entry.frame_interval,
            self.loaded.short_side,
            on_frame=bar.update,
            offset=self.loaded.frame_offset,
        )
        bar.total = clips.n_frames
        # A batch of clips at a time. Ctrl-C keeps the finished batches.
        samples = iter(clips)
        try:
            while batch := list(itertools.islice(samples, self.batch_size)):
                frame_results += self._detect_batch([sample for sample in batch if sample.clip is not None])
                skipped_s += [sample.time_s for sample in batch if sample.clip is None]
                n_done += len(batch)
        except KeyboardInterrupt:
            next_start = round(float(times_s[n_done]), 6)
            notes.append(f"interrupted; start={next_start:.12g} continues from here")
        bar.close()
        notes += describe_missing(reader, skipped_s)
        for note in notes:
            warnings.warn(f"{reader.path.name}: {note}", stacklevel=3)  # where `detect` is called
        speed = describe_speed(frame_results, n_done, clips, time.perf_counter() - started_s)
        return VideoResult(frame_results, skipped_s, clips.cuts_s, [*notes, speed])

    def _detect_batch(self, samples):
        """The FrameResults of some ClipSamples, of those with people."""
        # Times without people need no scores.
        people = self._locate_people(samples)
        pairs = [pair for pair in zip(samples, people, strict=True) if len(pair[1].boxes)]
        scores = self._score_people(pairs) if pairs else []
        frame_results = []
        for (sample, sample_people), sample_scores in zip(pairs, scores, strict=True):
            person_ids = self._assign_person_ids(sample, sample_people)
            boxes = sample_people.boxes
            frame_results.append(FrameResult(sample.time_s, sample.frame, person_ids, boxes, sample_scores))
        return frame_results

    def _locate_people(self, samples):
        """The SamplePeople of each sample: from the person boxes, or detected."""
        if self.person_boxes is None:
            detected = self.person_detector([sample.picture for sample in samples])
            return [SamplePeople(None, people.boxes_norm, people.scores) for people in detected]
        people = []
        for sample in samples:
            rows = self.person_boxes[self.person_boxes["time_s"] == sample.time_s]
            person_ids = rows["person_id"].to_numpy() if "person_id" in rows else None
            scores = rows["person_score"].to_numpy() if "person_score" in rows else None
            people.append(SamplePeople(person_ids, rows[BOX_COLUMNS].to_numpy(), scores))
        return people

    def _score_people(self, pairs):
        """The scores (n, C) of each (ClipSample, SamplePeople), at least one."""
        # All people of all clips in one call of the network: rois are [clip, x1, y1, x2, y2] in pixels.
        samples = [sample for sample, _ in pairs]
        clips = torch.from_numpy(np.stack([sample.clip for sample in samples]))  # (B,T,H,W,3)
        height, width = clips.shape[2:4]
        rois = build_rois([to_pixels(people.boxes, width, height) for _, people in pairs])  # (N,5)
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
            scores = [multiply_by_person(of_clip, people) for of_clip, (_, people) in zip(scores, pairs, strict=True)]
        return scores

    def _assign_person_ids(self, sample, people):
        """The ids that came with the boxes, else the tracker's; people after a cut are others."""
        if people.person_ids is not None:
            return people.person_ids
        if sample.shot != self._shot:
            self._tracker.reset()
            self._shot = sample.shot
        return self._tracker.update(sample.time_s, people.boxes)


def multiply_by_person(scores, people):
    """Scores (n,C) of actions times those of the SamplePeople's boxes; as they are where these are unknown."""
    if people.scores is None:
        return scores
    return scores * people.scores[:, None].astype(scores.dtype)


def describe_missing(reader, skipped_s):
    """Notes (a list of str) on the frames and the times that a video lacks."""
    notes = []
    if reader.missing_frames:
        notes.append(f"truncated: {reader.missing_frames} frames that the file's header promises are missing")
    if skipped_s:
        times = ", ".join(f"{time_s:g}" for time_s in skipped_s[:MAX_SHOWN_TIMES])
        times += " …" if len(skipped_s) > MAX_SHOWN_TIMES else ""
        notes.append(f"{len(skipped_s)} times left out, frames around them can't be decoded: {times} s")
    return notes


def describe_speed(frame_results, n_times, clips, seconds):
    """A note on how much was detected in the times of a ClipStream, and how fast."""
    n_boxes = sum(len(result.person_ids) for result in frame_results)
    person_ids = set().union(*(result.person_ids.tolist() for result in frame_results))
    return (
        f"{clips.n_read} frames in {seconds:.1f} s, {clips.n_read / max(seconds, 1e-9):.0f} frames/s; {n_times} times, "
        f"{len(person_ids)} people, {n_boxes} boxes, {len(clips.cuts_s)} cuts"
    )
