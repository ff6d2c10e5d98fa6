"""Detect people and their actions in a video: any file or URL, of any length, to a table.

detections = avalib.detect("video.mp4", checkpoint="published")
"""

import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from avalib import zoo
from avalib.data.frame_protocols import get_frame_protocol
from avalib.detection.detections_table import build_table
from avalib.detection.person_boxes import PERSON_SCORE, read_person_boxes
from avalib.detection.person_detector import PersonDetector
from avalib.detection.video_detector import DEFAULT_STEP_S, LoadedModel, VideoDetector
from avalib.detection.video_location import locate_video
from avalib.models.build import build_model
from avalib.models.checkpoint_meta import CheckpointMeta
from avalib.models.detector import Detector
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.workers import disable_malloc_trim
from avalib.video.reader import Video

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "slowonly_r50"  # a CNN that runs on a laptop
GPU_MODEL = "slowonly_r50_16x4_ak_tricks"  # the most accurate one whose weights are without non-commercial origins
MIN_STEP_S = 0.001
GPU_BATCH_SIZE = 8


def detect(
    video: str | Path,
    model: str | Detector | None = DEFAULT_MODEL,
    checkpoint: str | Path = "published",
    boxes: pd.DataFrame | str | Path | None = None,
    *,
    step: float | None = None,
    start: float = 0.0,
    stop: float | None = None,
    detector: str = "fasterrcnn",
    detector_weights: str | Path = "coco",
    person_score: float = PERSON_SCORE,
    smooth: float = 0.0,
    score_threshold: float = 0.0,
    batch_size: int | None = None,
    device: str | torch.device = "auto",
    precision: str | torch.dtype = "auto",
    mirror: str | Path | None = None,
    progress: bool = True,
    boxes_start: float | None = None,
) -> pd.DataFrame:
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
        Average scores along a person's track over this many seconds.
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
    # Arguments first: an error appears before anything is downloaded or loaded.
    _check_number("step", step, "seconds above 0, at least 0.001", lambda value: value >= MIN_STEP_S)
    _check_number("start", start, "seconds")
    _check_number("stop", stop, "seconds")
    _check_number("smooth", smooth, "seconds, 0 or more", lambda value: value >= 0)
    _check_number("person_score", person_score, "a number")
    _check_number("score_threshold", score_threshold, "a number")
    _check_number("batch_size", batch_size, "a whole number from 1", lambda value: value >= 1 and value == int(value))
    with Video(locate_video(video, mirror=mirror, progress=progress)) as reader:
        # The boxes and times, which can be wrong too, before the model, which takes seconds to load.
        person_boxes = None if boxes is None else read_person_boxes(boxes, reader, person_score, boxes_start)
        times_s = choose_times(reader, person_boxes, step, start, stop)
        loaded = load_model(model, checkpoint, device, precision, mirror, progress)
        advice = describe_better_model(model, checkpoint)
        if progress and advice:
            logger.info("%s", advice)
        person_detector = None
        if boxes is None:
            person_detector = PersonDetector(
                detector, detector_weights, person_score, loaded.device, mirror=mirror, progress=progress
            )
        # Several clips at once keep a GPU busy; on a CPU they only take memory.
        if batch_size is None:
            batch_size = GPU_BATCH_SIZE if loaded.device.type == "cuda" else 1
        video_detector = VideoDetector(loaded, batch_size, person_boxes, person_detector)
        result = video_detector.run(reader, times_s, progress)
        if progress:
            logger.info("%s", result.notes[-1])
        table = build_table(result.frame_results, loaded.label_map, smooth, score_threshold)
        # What does not fit into rows goes along with the table.
        table.attrs = {
            "video": reader.path.name,
            "fps": reader.fps,
            "duration_s": reader.duration_s,
            "cuts_s": result.cuts_s,
            "skipped_s": result.skipped_s,
            "label_map": dict(loaded.label_map),
            "notes": [advice, *result.notes] if advice else result.notes,
        }
        return table


def _check_number(name, value, expected, is_valid=lambda value: True):
    """Raise ValueError unless an option is None or a finite number that is valid."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and is_valid(value)):
        raise ValueError(f"{name}={value!r}: expected {expected}")


def describe_better_model(model, checkpoint):
    """What to take instead of the default model on a GPU, as text; "" for any other choice of the user's."""
    if model != DEFAULT_MODEL or checkpoint != "published":
        return ""
    names = {}
    for name in (DEFAULT_MODEL, GPU_MODEL):
        entry = zoo.get(name)
        names[name] = f"{name} (published mAP {entry.published_mAP} on {zoo.DATASET_TITLES[entry.test_dataset]} val)"
    return (
        f"{names[DEFAULT_MODEL]} is the default because it runs on a laptop; on a GPU take "
        f"{names[GPU_MODEL]}, or see docs/models.md"
    )


def choose_times(
    reader: Video, person_boxes: pd.DataFrame | None, step: float | None, start: float, stop: float | None
) -> np.ndarray:
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
        Seconds, ascending.
    """
    # Seconds from the video's first frame, at most its length.
    stop = reader.duration_s if stop is None else min(stop, reader.duration_s)
    if not 0 <= start < stop:
        raise ValueError(f"start={start}, stop={stop:g}: {reader.path} has the seconds 0 to {reader.duration_s:.2f}")
    # A regular grid from `start`; the tolerance keeps a rounding error from adding a time at `stop`.
    if person_boxes is None:
        step = step or DEFAULT_STEP_S
        return start + np.arange(math.ceil((stop - start) / step - 1e-9)) * step
    # Of the boxes' times each that is at least a step after the last one chosen.
    chosen = []
    for time_s in np.unique(person_boxes["time_s"]):
        is_far_enough = not chosen or time_s >= chosen[-1] + (step or 0) - 1e-6
        if start <= time_s <= stop and is_far_enough:
            chosen.append(time_s)
    return np.array(chosen)


def load_model(
    model: str | Detector | None,
    checkpoint: str | Path,
    device: str | torch.device = "auto",
    precision: str | torch.dtype = "auto",
    mirror: str | Path | None = None,
    progress: bool = True,
) -> LoadedModel:
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
    # A file of other origin says nothing about itself: AVA's action names, and the published size of the pictures.
    meta = model.meta or CheckpointMeta()
    recipe = meta.recipe or zoo.build_published_recipe(model.entry)
    return LoadedModel(
        action_model=model.to(device).eval(),
        short_side=meta.preprocessing.get("short_side", recipe.test_short_side),
        frame_offset=get_frame_protocol(recipe.numbering).offset,
        label_map=meta.label_map,
        device=device,
        dtype=choose_precision(precision, device),
    )
