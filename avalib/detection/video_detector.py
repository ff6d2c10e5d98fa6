"""Detect people and their actions in a video: any file or URL, of any length, to a table.

detections = avalib.detect("video.mp4", checkpoint="published")
"""

import itertools
import logging
import math
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from avalib import zoo
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_table import FrameResult, build_table
from avalib.detection.person_boxes import PERSON_SCORE, read_person_boxes
from avalib.detection.person_detector import PersonDetector
from avalib.detection.video_location import locate_video
from avalib.evaluation.inference import build_non_finite_error, score_batch
from avalib.models.build import build_model
from avalib.models.checkpoint_meta import CheckpointMeta
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.tracker import Tracker
from avalib.utils.workers import disable_malloc_trim
from avalib.video.clip_stream import ClipStream
from avalib.video.reader import Video

logger = logging.getLogger(__name__)

DEFAULT_STEP_S = 1.0
MIN_STEP_S = 0.001
GPU_BATCH_SIZE = 8
MAX_SHOWN_TIMES = 8  # in notes


def detect(
    video,
    model="slowonly_r50",
    checkpoint="published",
    boxes=None,
    *,
    step=None,
    start=0.0,
    stop=None,
    detector="fasterrcnn",
    detector_weights="coco",
    person_score=PERSON_SCORE,
    smooth=0.0,
    score_threshold=0.0,
    batch_size=None,
    device="auto",
    precision="auto",
    mirror=None,
    progress=True,
    boxes_start=None,
):
    """Detect people and their actions in a video.

    Interrupted with Ctrl-C, it returns what it has and warns with the `start` that continues.

    Parameters
    ----------
    video : str or Path
        A file or a URL, which is downloaded once.
    model : str or Detector or None
        Alias or full name of a model of the zoo, or a Detector; None if the checkpoint carries its entry. The names of
        the actions and the size of the pictures are those inside the checkpoint.
    checkpoint : str or Path
        "published", a path or a URL, see `build_model`.
    boxes : DataFrame, str or Path, optional
        Person boxes: a table, a csv, a parquet file or AVA's proposals, see `read_person_boxes`. None: people are
        detected.
    step : float, optional
        Seconds from one time to the next; None: 1, or every time of `boxes`.
    start, stop : float
        Seconds; stop None: the end of the video.
    detector, detector_weights : str
        The person detector, see `build_person_detector`.
    person_score : float
        People with a lower score of their own are left out.
    smooth : float
        Average scores along a person's track over so many seconds.
    score_threshold : float
        Rows with a lower score are left out.
    batch_size : int, optional
        Clips, and pictures for the person detector, at once; None: 8 on a GPU, else 1, which keeps memory low.
    device, precision : str
        See `choose_device` and `choose_precision`.
    mirror : str, optional
        Where to download from instead, see `download.download_file`.
    progress : bool
        Show progress bars, and log a summary.
    boxes_start : float, optional
        Timestamp in `boxes` of the video's first frame: AVA's 900, or 0 in data of one's own; None: from the file's
        name, else from the timestamps.

    Returns
    -------
    DataFrame
        One row per time, person and action, in this order: time_s (from the video's first frame), frame (native, from
        0, the one shown then), person_id (lasts while a person can be tracked, and ends at cuts), x1, y1, x2, y2
        (0..1), action_id, action, score (0..1). Its `attrs`: video, fps, duration_s, cuts_s, skipped_s (times whose
        clip cannot be decoded), label_map, notes.

    Raises
    ------
    VideoError, DownloadError, CheckpointError
        The video or the weights cannot be read.
    KeyError
        There is no model of this name.
    ValueError
        Another argument is wrong; the message names it.
    """
    _check_number("step", step, "seconds above 0, at least 0.001", lambda value: value >= MIN_STEP_S)
    _check_number("start", start, "seconds")
    _check_number("stop", stop, "seconds")
    _check_number("smooth", smooth, "seconds, 0 or more", lambda value: value >= 0)
    _check_number("person_score", person_score, "a number")
    _check_number("score_threshold", score_threshold, "a number")
    _check_number("batch_size", batch_size, "a whole number from 1", lambda value: value >= 1 and value == int(value))
    with Video(locate_video(video, mirror=mirror, progress=progress)) as reader:
        person_boxes = None if boxes is None else read_person_boxes(boxes, reader, person_score, boxes_start)
        times_s = choose_times(reader, person_boxes, step, start, stop)
        loaded = load_model(model, checkpoint, device, precision, mirror, progress)
        person_detector = None
        if boxes is None:
            person_detector = PersonDetector(
                detector, detector_weights, person_score, loaded.device, mirror=mirror, progress=progress
            )
        if batch_size is None:
            batch_size = GPU_BATCH_SIZE if loaded.device.type == "cuda" else 1
        video_detector = VideoDetector(loaded, batch_size, person_boxes, person_detector)
        video_detector.run(reader, times_s, progress)
        if progress:
            logger.info("%s", video_detector.notes[-1])
        table = build_table(video_detector.results, loaded.label_map, smooth, score_threshold)
        table.attrs = {
            "video": reader.path.name,
            "fps": reader.fps,
            "duration_s": reader.duration_s,
            "cuts_s": video_detector.cuts_s,
            "skipped_s": video_detector.skipped_s,
            "label_map": dict(loaded.label_map),
            "notes": video_detector.notes,
        }
        return table


def _check_number(name, value, expected, is_valid=lambda value: True):
    """Raise ValueError unless an option is None or a finite number that is valid."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and is_valid(value)):
        raise ValueError(f"{name}={value!r}: expected {expected}")


def choose_times(reader, person_boxes, step, start, stop):
    """Choose the times of a video at which people are detected.

    Parameters
    ----------
    reader : Video
    person_boxes : DataFrame or None
        From `read_person_boxes`; its times are taken, at least `step` apart.
    step : float or None
        Seconds; None: 1, or every time of the boxes.
    start, stop : float
        Seconds; stop None: the end of the video.

    Returns
    -------
    (M,) array of float
        Seconds, growing.
    """
    stop = reader.duration_s if stop is None else min(stop, reader.duration_s)
    if not 0 <= start < stop:
        raise ValueError(f"start={start}, stop={stop:g}: {reader.path} has the seconds 0 to {reader.duration_s:.2f}")
    if person_boxes is None:
        step = step or DEFAULT_STEP_S
        return start + np.arange(math.ceil((stop - start) / step - 1e-9)) * step
    chosen = []
    for time_s in np.unique(person_boxes["time_s"]):
        is_far_enough = not chosen or time_s >= chosen[-1] + (step or 0) - 1e-6
        if start <= time_s <= stop and is_far_enough:
            chosen.append(time_s)
    return np.array(chosen)


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready for inference, and what its checkpoint says about its input and its actions."""

    detector: Detector
    short_side: int  # of the pictures, in pixels
    label_map: dict  # {action_id: name}
    device: torch.device
    dtype: torch.dtype


def load_model(model, checkpoint, device="auto", precision="auto", mirror=None, progress=True):
    """Load a model for inference on videos; the parameters are those of `detect`."""
    if checkpoint in ("best", "final") and not Path(checkpoint).exists():
        name = getattr(model, "alias", model)
        raise ValueError(
            f"checkpoint={checkpoint!r}: which run of notebook 03 is unknown; give its file, as in "
            f"outputs/runs/mini/{name}/train/{checkpoint}.pth"
        )
    device = choose_device(device)
    disable_malloc_trim()
    if not isinstance(model, Detector):
        model = build_model(model, checkpoint, mirror=mirror, progress=progress, verbose=progress)
    meta = model.meta or CheckpointMeta()
    recipe = meta.recipe or zoo.build_published_recipe(model.entry)
    return LoadedModel(
        detector=model.to(device).eval(),
        short_side=meta.preprocessing.get("short_side", recipe.test_short_side),
        label_map=meta.label_map,
        device=device,
        dtype=choose_precision(precision, device),
    )


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
