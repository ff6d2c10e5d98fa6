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

DEFAULT_STEP_S = 1.0
MAX_SHOWN_TIMES = 8  # in notes


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for inference, and what its checkpoint says about its input and its actions."""

    detector: Detector
    short_side: int  # of the pictures, in pixels
    label_map: dict  # {action_id: name}
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class SamplePeople:
    """The people at one time, before they are scored."""

    person_ids: np.ndarray | None  # (n,) int64; None: the tracker assigns them
    boxes: np.ndarray  # (n, 4) float64, 0..1


class VideoDetector:
    """Detects people and their actions at some times of one video; `run` fills the attributes.

    Parameters
    ----------
    model : LoadedModel
    batch_size : int
        Clips at once.
    person_boxes : DataFrame, optional
        From `read_person_boxes`.
    person_detector : PersonDetector, optional
        If there are no person_boxes.

    Attributes
    ----------
    results : list of FrameResult
        In order of time, of the times with people.
    skipped_s : list of float
        Times whose clip cannot be decoded.
    cuts_s : list of float
        Times of cuts.
    notes : list of str
        What is missing, and how fast it was.
    """

    def __init__(self, model, batch_size=1, person_boxes=None, person_detector=None):
        self.model = model
        self.batch_size = batch_size
        self.person_boxes = person_boxes
        self.person_detector = person_detector
        self.results = []
        self.skipped_s = []
        self.cuts_s = []
        self.notes = []
        self._network = StreamingDetector(model.detector, model.dtype)
        self._tracker = None
        self._shot = 0

    def run(self, reader, times_s, progress=True):
        """Detect people and actions at times_s (M,), growing, of an open video."""
        started = time.perf_counter()
        entry = self.model.detector.entry
        step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else DEFAULT_STEP_S
        self._tracker = Tracker(max_gap_s=2.5 * max(step, 1))  # a person may be hidden at one time
        n_done = 0
        bar = tqdm(unit="frame", desc=f"watching {reader.path.name}", disable=not progress)
        clips = ClipStream(reader, times_s, entry.clip_len, entry.frame_interval, self.model.short_side, bar.update)
        bar.total = clips.n_frames
        samples = iter(clips)
        try:
            while batch := list(itertools.islice(samples, self.batch_size)):
                self.results += self._detect_batch(batch)
                n_done += len(batch)
        except KeyboardInterrupt:
            next_start = round(float(times_s[n_done]), 6)
            self.notes.append(f"interrupted; start={next_start:.12g} continues from here")
        bar.close()
        self.cuts_s = clips.cuts_s
        self._note_problems(reader)
        self._note_speed(n_done, clips.n_read, time.perf_counter() - started)

    def _detect_batch(self, samples):
        """The FrameResults of some ClipSamples, of those with people."""
        decodable = [sample for sample in samples if sample.clip is not None]
        people = self._locate_people(decodable)
        pairs = [pair for pair in zip(decodable, people, strict=True) if len(pair[1].boxes)]
        scores = self._score_people(pairs) if pairs else []
        results = []
        for (sample, sample_people), sample_scores in zip(pairs, scores, strict=True):
            person_ids = self._assign_person_ids(sample, sample_people)
            boxes = sample_people.boxes
            results.append(FrameResult(sample.time_s, sample.frame, person_ids, boxes, sample_scores))
        self.skipped_s += [sample.time_s for sample in samples if sample.clip is None]
        return results

    def _locate_people(self, samples):
        """The SamplePeople of each sample: from the person boxes, or detected."""
        if self.person_boxes is None:
            detected = self.person_detector([sample.picture for sample in samples])
            return [SamplePeople(None, people.boxes_norm) for people in detected]
        people = []
        for sample in samples:
            rows = self.person_boxes[self.person_boxes["time_s"] == sample.time_s]
            person_ids = rows["person_id"].to_numpy() if "person_id" in rows else None
            people.append(SamplePeople(person_ids, rows[BOX_COLUMNS].to_numpy()))
        return people

    def _score_people(self, pairs):
        """The scores (n, C) of each (ClipSample, SamplePeople), at least one."""
        samples = [sample for sample, _ in pairs]
        clips = torch.from_numpy(np.stack([sample.clip for sample in samples]))  # (B,T,H,W,3)
        height, width = clips.shape[2:4]
        rois = build_rois([to_pixels(people.boxes, width, height) for _, people in pairs])  # (N,5)
        frame_numbers = np.stack([sample.clip_frames for sample in samples])  # (B,T)
        network = partial(self._network, numbers=frame_numbers)
        scores = score_batch(network, clips, torch.from_numpy(rois), self.model.device)  # (N,C)
        if np.isnan(scores).any():
            times = ", ".join(f"{sample.time_s:g}" for sample in samples)
            raise build_non_finite_error(self.model.detector, f"the clips at {times} s")
        return [scores[rois[:, 0] == i] for i in range(len(samples))]

    def _assign_person_ids(self, sample, people):
        """The ids that came with the boxes, else the tracker's; people after a cut are others."""
        if people.person_ids is not None:
            return people.person_ids
        if sample.shot != self._shot:
            self._tracker.reset()
            self._shot = sample.shot
        return self._tracker.update(sample.time_s, people.boxes)

    def _note_problems(self, reader):
        """Note what is missing; warn of all notes so far."""
        if reader.missing_frames:
            self.notes.append(f"truncated: {reader.missing_frames} frames that the file's header promises are missing")
        if self.skipped_s:
            times = ", ".join(f"{time_s:g}" for time_s in self.skipped_s[:MAX_SHOWN_TIMES])
            times += " …" if len(self.skipped_s) > MAX_SHOWN_TIMES else ""
            self.notes.append(f"{len(self.skipped_s)} times left out, frames around them can't be decoded: {times} s")
        for note in self.notes:
            warnings.warn(f"{reader.path.name}: {note}", stacklevel=4)  # where `detect` is called

    def _note_speed(self, n_times, n_frames, seconds):
        """Note how much was detected, and how fast."""
        n_boxes = sum(len(result.person_ids) for result in self.results)
        person_ids = set().union(*(result.person_ids.tolist() for result in self.results))
        self.notes.append(
            f"{n_frames} frames in {seconds:.1f} s, {n_frames / max(seconds, 1e-9):.0f} frames/s; {n_times} times, "
            f"{len(person_ids)} people, {n_boxes} boxes, {len(self.cuts_s)} cuts"
        )
