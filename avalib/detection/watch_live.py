"""Detect people and their actions live: on a camera, a stream, or a file that is played at its own speed.

for result in avalib.watch_live("rtsp://camera/stream", checkpoint="published"): ...
"""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from avalib import zoo
from avalib.detection.action_scorer import ActionScorer
from avalib.detection.detect_video import load_model
from avalib.detection.live_detector import LiveDetector
from avalib.detection.live_people import DetectedFollower, GivenFollower
from avalib.detection.person_boxes import read_person_boxes
from avalib.detection.person_detector import load_person_detector
from avalib.detection.training_data import describe_rendered_people
from avalib.models.detector import Detector
from avalib.video.live_reader import MAX_DELAY_S, STALL_S, LiveReader
from avalib.video.reader import Video

logger = logging.getLogger(__name__)

DEFAULT_STEP_S = 1.0


def watch_live(
    source: int | str | Path,
    model: str | Detector | None = "slowonly_r50",
    checkpoint: str | Path = "published",
    boxes: pd.DataFrame | str | Path | None = None,
    *,
    step: float | None = None,
    seconds: float | None = None,
    detector: str | Path | Callable = "auto",
    detector_weights: str | Path = "coco",
    person_score: float | None = None,
    stall_s: float = STALL_S,
    max_delay_s: float = MAX_DELAY_S,
    device: str | torch.device = "auto",
    precision: str | torch.dtype = "auto",
    mirror: str | Path | None = None,
    progress: bool = True,
) -> LiveDetector:
    """Detect people and their actions on a camera, a stream or a file, frame by frame.

    Always the newest frame is taken. Those that come while it is worked on are dropped and counted, so that the delay
    stays bounded on any machine. People are followed from frame to frame; their actions are scored once a second, in a
    thread of their own. A stream that stalls, ends or is cut is connected again, with waits of 0.5 to 30 seconds.

    Parameters
    ----------
    source : int, str or Path
        A camera's number (0), the address of a stream (rtsp, rtsps, rtmp, udp, tcp, srt, http, https), or a file, which
        is played at its own speed. User names and passwords in an address are never shown.
    model, checkpoint, detector, detector_weights, person_score, device, precision, mirror
        See `detect`.
    boxes : DataFrame, str or Path, optional
        Person boxes of a file, see `read_person_boxes`; between their times they lie on the straight line. None: people
        are detected on every frame that there is time for.
    step : float, optional
        Seconds from one scoring of the actions to the next; None: 1. A machine that needs longer scores less often.
    seconds : float, optional
        Stop after this many seconds; None: at the end of a file, else never.
    stall_s : float
        A stream without a picture for this many seconds is connected again.
    max_delay_s : float
        Frames that arrive later than this after the fastest one are dropped.
    progress : bool
        Show bars while weights are downloaded.

    Returns
    -------
    LiveDetector
        An iterator of FrameResults (`LiveResult`, with the picture and its delay) and a context manager. Its
        `measure()` gives rates, delays and counts, its `label_map` the actions' names, and `stop()` ends it. A message
        of the `avalib` logger shows the measured values every five seconds.

    Raises
    ------
    StreamError
        The camera or the stream cannot be opened: it is unreachable, the credentials are wrong, there is no decoder.
    VideoError, DownloadError, CheckpointError
        The file or the weights cannot be read.
    GpuMemoryError
        While it runs: a GPU has too little memory for one clip.
    KeyError
        There is no model of this name.
    ValueError
        Another argument is wrong; the message names it.
    """
    # Arguments first: an error appears before anything is opened or loaded.
    for name, value in (("step", step), ("seconds", seconds), ("stall_s", stall_s), ("max_delay_s", max_delay_s)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name}={value!r}: expected seconds above 0")
    if isinstance(model, str):
        zoo.get(model)
    # The source too, which may be unreachable, before the model, which takes seconds to load.
    reader = LiveReader(source, stall_s=stall_s, max_delay_s=max_delay_s)
    try:
        person_boxes = None if boxes is None else _read_boxes(reader.source, boxes, person_score)
        loaded = load_model(model, checkpoint, device, precision, mirror, progress)
        if warning := describe_rendered_people(loaded.action_model, reader.source.address):
            logger.warning("%s", warning)
        if person_boxes is not None:
            follow_people = GivenFollower(person_boxes)
        else:
            person_detector = load_person_detector(
                detector, detector_weights, person_score, loaded.device, precision, mirror=mirror, progress=progress
            )
            follow_people = DetectedFollower(person_detector)
        scorer = ActionScorer(loaded, step or DEFAULT_STEP_S)
    except BaseException:
        reader.close()
        raise
    reader.start(loaded.short_side, scorer.span_s)
    return LiveDetector(reader, scorer, follow_people, seconds)


def _read_boxes(source, boxes, person_score):
    """The person boxes of a file that is played; a camera or stream cannot have any."""
    if source.kind != "file":
        raise ValueError(f"boxes: {source.name} is live, so its people are not known before; leave boxes out")
    with Video(source.address) as video:
        return read_person_boxes(boxes, video, person_score)
