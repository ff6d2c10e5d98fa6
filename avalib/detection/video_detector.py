"""The people and their actions at some times of one video: located, scored clip by clip, tracked."""

import itertools
import time
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from tqdm.auto import tqdm

from avalib.detection.detections_table import FrameResult
from avalib.detection.people_sources import DetectedTracks, GivenPeople
from avalib.evaluation.inference import build_non_finite_error, score_batch
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.utils.boxes import build_rois, to_pixels
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
    detector_step : float, optional
        Seconds from one detection of people to the next; None: at every time.
    """

    def __init__(self, loaded, batch_size=1, person_boxes=None, person_detector=None, detector_step=None):
        self.loaded = loaded
        self.batch_size = batch_size
        self.person_boxes = person_boxes
        self.person_detector = person_detector
        self.detector_step = detector_step
        self._network = StreamingDetector(loaded.action_model, loaded.dtype)

    def run(self, reader: Video, times_s: np.ndarray, progress: bool = True) -> VideoResult:
        """Detect people and actions at times_s (M,), ascending, of an open video. Returns a VideoResult."""
        started_s = time.perf_counter()
        entry = self.loaded.action_model.entry
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
        source = self._build_people_source(times_s)
        people = source.iter_people(_select_decoded(clips, skipped_s))
        # A batch of clips at a time. Ctrl-C keeps the finished batches.
        try:
            while batch := list(itertools.islice(people, self.batch_size)):
                frame_results += self._score_batch(batch)
                n_done = int(np.searchsorted(times_s, batch[-1].sample.time_s, side="right"))
            n_done = len(times_s)
        except KeyboardInterrupt:
            next_start = round(float(times_s[n_done]), 6)
            notes.append(f"interrupted; start={next_start:.12g} continues from here")
        bar.close()
        notes += describe_missing(reader, skipped_s)
        for note in notes:
            warnings.warn(f"{reader.path.name}: {note}", stacklevel=3)  # where `detect` is called
        notes += source.describe()
        speed = describe_speed(frame_results, n_done, clips, time.perf_counter() - started_s)
        return VideoResult(frame_results, skipped_s, clips.cuts_s, [*notes, speed])

    def _build_people_source(self, times_s):
        """Where the people at times_s (M,) come from. A track bridges a person who is hidden at one time or two."""
        step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else DEFAULT_STEP_S
        if self.person_boxes is not None:
            return GivenPeople(self.person_boxes, TRACK_GAP_STEPS * max(step_s, 1))
        max_gap_s = TRACK_GAP_STEPS * max(step_s, 1, self.detector_step or 0)
        return DetectedTracks(self.person_detector, max_gap_s, self.detector_step, self.batch_size)

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
        return [scores[rois[:, 0] == i] for i in range(len(samples))]


def _select_decoded(clips, skipped_s):
    """The ClipSamples with a clip; the times of the others are added to the list skipped_s."""
    for sample in clips:
        if sample.clip is None:
            skipped_s.append(sample.time_s)
        else:
            yield sample


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
