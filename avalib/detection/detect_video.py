"""Detect people and their actions in a video: any file or URL, of any length, to a table.

detections = avalib.detect("video.mp4", checkpoint="published")
"""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from avalib import zoo
from avalib.data.frame_protocols import get_frame_protocol
from avalib.detection.detect_settings import DEFAULT_MODEL, DetectSettings
from avalib.detection.detection_times import choose_times
from avalib.detection.detections_table import build_table
from avalib.detection.person_boxes import read_person_boxes
from avalib.detection.person_detector import load_person_detector
from avalib.detection.training_data import describe_rendered_people
from avalib.detection.video_detector import LoadedModel, VideoDetector, VideoResult
from avalib.detection.video_location import locate_video
from avalib.models.build import build_model
from avalib.models.checkpoint_meta import CheckpointMeta
from avalib.models.detector import Detector
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.workers import disable_malloc_trim
from avalib.video.reader import Video

logger = logging.getLogger(__name__)

GPU_MODEL = "slowonly_r50_16x4_ak_tricks"  # the most accurate one whose weights are without non-commercial origins
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
    detector: str | Path | Callable = "auto",
    detector_weights: str | Path = "coco",
    detector_step: float | None = None,
    person_score: float | None = None,
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
    detector, detector_weights : str, Path or callable
        The person detector: "auto" (an accurate one on a CUDA GPU, else a fast one), a name, an ONNX file, or a
        function of your own, see `load_person_detector`. The choice is in `attrs["notes"]`.
    detector_step : float, optional
        Seconds from one detection of people to the next, in between they are followed; None: at every time.
    person_score : float, optional
        Leave out people whose detection score is lower; at small steps a tracked person is kept down to half of it.
        None: what suits the detector, 0.7 with `boxes`.
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
    OnnxDetectorError, DetectorOutputError, DetectorMemoryError
        The person detector cannot be used; the message says why.
    GpuMemoryError
        A GPU has too little memory for one clip. Before that, clips are computed in smaller batches, with a warning.
    KeyError
        There is no model of this name.
    ValueError
        Another argument is wrong; the message names it.
    """
    settings = DetectSettings(
        model=model,
        checkpoint=checkpoint,
        step=step,
        start=start,
        stop=stop,
        detector=detector,
        detector_weights=detector_weights,
        detector_step=detector_step,
        person_score=person_score,
        smooth=smooth,
        score_threshold=score_threshold,
        batch_size=batch_size,
        device=device,
        precision=precision,
        mirror=mirror,
    )
    with Video(locate_video(video, mirror=mirror, progress=progress)) as reader:
        # The boxes and times, which can be wrong too, before the model, which takes seconds to load.
        person_boxes = None if boxes is None else read_person_boxes(boxes, reader, person_score, boxes_start)
        times_s = choose_times(reader, person_boxes, step, start, stop)
        video_detector = load_video_detector(settings, person_boxes, progress)
        advice = describe_better_model(model, checkpoint)
        if progress and advice:
            logger.info("%s", advice)
        if warning := describe_rendered_people(video_detector.loaded.action_model, reader.path):
            warnings.warn(f"{reader.path.name}: {warning}", stacklevel=2)  # where `detect` is called
        result = video_detector.run(reader, times_s, progress)
        for note in result.notes:
            warnings.warn(f"{reader.path.name}: {note}", stacklevel=2)
        if progress:
            logger.info("%s", result.speed)
        table = build_detections(result, describe_video(reader), video_detector.loaded.label_map, settings)
        if video_detector.person_detector is not None:
            table.attrs["notes"].insert(0, f"people: {video_detector.person_detector.description}")
        table.attrs["notes"][:0] = filter(None, (warning, advice))
        return table


@dataclass(frozen=True)
class VideoFacts:
    """What a table of detections says about its video."""

    name: str  # of the file
    fps: float
    duration_s: float
    frame_times_s: np.ndarray  # (n,) of all native frames
    missing_frames: int


def describe_video(reader: Video) -> VideoFacts:
    """The VideoFacts of an open video."""
    return VideoFacts(reader.path.name, reader.fps, reader.duration_s, reader.times_s, reader.missing_frames)


def build_detections(
    result: VideoResult, facts: VideoFacts, label_map: dict[int, str], settings: DetectSettings
) -> pd.DataFrame:
    """Build the table that `detect` returns, with what does not fit into rows as its attrs."""
    table = build_table(result.frame_results, label_map, settings.smooth, settings.score_threshold)
    table.attrs = {
        "video": facts.name,
        "fps": facts.fps,
        "duration_s": facts.duration_s,
        "cuts_s": facts.frame_times_s[result.cut_frames].tolist() if result.cut_frames else [],
        "skipped_s": result.skipped_s,
        "label_map": dict(label_map),
        "notes": [*result.notes, result.speed],
    }
    return table


def load_video_detector(
    settings: DetectSettings, person_boxes: pd.DataFrame | None = None, progress: bool = True
) -> VideoDetector:
    """Load the model, and the person detector if there are no boxes."""
    loaded = load_model(
        settings.model, settings.checkpoint, settings.device, settings.precision, settings.mirror, progress
    )
    person_detector = None
    if person_boxes is None:
        person_detector = load_person_detector(
            settings.detector,
            settings.detector_weights,
            settings.person_score,
            loaded.device,
            settings.precision,
            mirror=settings.mirror,
            progress=progress,
        )
        if progress:
            logger.info("people are detected by %s", person_detector.description)
    # Several clips at once keep a GPU busy; on a CPU they only take memory.
    batch_size = settings.batch_size
    if batch_size is None:
        batch_size = GPU_BATCH_SIZE if loaded.device.type == "cuda" else 1
    return VideoDetector(
        loaded,
        batch_size,
        person_boxes,
        person_detector,
        detector_step=settings.detector_step,
        stretch_len=settings.stretch_len,
    )


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
