"""Live detections drawn on their frames, and shown: in an mp4, in a browser, in a notebook, in a table."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from avalib.detection.live_detector import LiveDetector, LiveResult
from avalib.detection.live_stats import LiveStats
from avalib.draw.annotate import PERSON, FrameAnnotator
from avalib.draw.people import Person
from avalib.utils.interrupts import Stopped, stop_on_interrupt
from avalib.video.resize import fit_picture, resize_to_width
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4

logger = logging.getLogger(__name__)

SUFFIXES = (".mp4", ".mkv")
NOMINAL_FPS = 30  # in the file's header; every frame has its own time


class LiveAnnotator:
    """Draws LiveResults on their pictures: boxes in the person's color, labels, the time and the delay.

    Parameters
    ----------
    label_map : dict
        {action_id: name}.
    score_threshold : float
        Labels with a lower score are not drawn; of a person without another one the highest is, in gray.
    top_k : int, optional
        At most this many labels for each person; None: all.
    width : int, optional
        Of the drawn pictures, in pixels; None: the source's.
    """

    def __init__(
        self,
        label_map: dict[int, str],
        score_threshold: float = 0.3,
        top_k: int | None = 3,
        width: int | None = None,
    ):
        self.score_threshold = score_threshold
        self.top_k = top_k
        self.width = width
        self.action_ids = np.array(sorted(label_map), np.int64)
        self._annotator = FrameAnnotator(label_map, keep_positions=True)

    def annotate(self, result: LiveResult) -> np.ndarray:
        """Draw one result -> (H,W,3) uint8."""
        picture = resize_to_width(result.picture, self.width)
        title = f"{result.time_s:.1f} s  delay {result.measure_delay_s():.2f} s"
        return self._annotator.annotate(picture, self.list_people(result), PERSON, title)

    def list_people(self, result: LiveResult) -> list[Person]:
        """The people of a result, each with the labels that are drawn, the highest score first."""
        people = []
        scores = result.scores[:, self.action_ids]  # (n,A)
        for person_id, box, person_scores in zip(result.person_ids.tolist(), result.boxes, scores, strict=True):
            order = np.argsort(-person_scores, kind="stable")[: self.top_k]
            labels = tuple((int(self.action_ids[i]), float(person_scores[i])) for i in order if person_scores[i] > 0)
            people.append(Person(box, labels, person_id).choose_labels(self.score_threshold))
        return people


def render_live(
    live: LiveDetector, score_threshold: float = 0.3, top_k: int | None = 3, width: int | None = None
) -> Iterator[tuple[LiveResult, np.ndarray]]:
    """Draw the results of a live detection as they come.

    Parameters
    ----------
    live : LiveDetector
        From `avalib.watch_live`.
    score_threshold, top_k, width
        As for LiveAnnotator.

    Yields
    ------
    LiveResult, (H,W,3) uint8
    """
    annotator = LiveAnnotator(live.label_map, score_threshold, top_k, width)
    for result in live:
        yield result, annotator.annotate(result)


def get_live_path(path: str | Path) -> Path:
    """`path` as a Path, if a live video can be written to it. Raises ValueError for another suffix."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a name that ends in .mp4 or .mkv")
    return path


def play_live(
    live: LiveDetector,
    out: str | Path | None = None,
    viewers: Sequence[Callable[[LiveResult, np.ndarray], None]] = (),
    score_threshold: float = 0.3,
    top_k: int | None = 3,
    width: int | None = None,
    quality: str = "good",
) -> LiveStats:
    """Draw a live detection until it ends, and give each frame to a file and to viewers.

    Ctrl-C, the stop button of a notebook and SIGTERM end it after the frame that is being drawn. The file is complete
    then, and also where the source gives no video any more.

    Parameters
    ----------
    live : LiveDetector
        From `avalib.watch_live`. It is closed at the end.
    out : str or Path, optional
        An .mp4 or .mkv with the time of every frame; a picture of another size gets black bars.
    viewers : sequence of callables
        Each is called with (LiveResult, the drawn frame): a `MjpegServer`'s `publish`, a `LiveView`.
    score_threshold, top_k, width
        As for LiveAnnotator.
    quality : {"good", "fast", "mpeg4"}
        Of the file, see `video.writer.write_mp4`.

    Returns
    -------
    LiveStats

    Raises
    ------
    Stopped
        A signal has ended it; what was written is complete.
    StreamError
        The source will not give video any more.
    """
    path = None if out is None else get_live_path(out)
    errors = []
    shown = _show_frames(render_live(live, score_threshold, top_k, width), viewers, errors)
    with live, stop_on_interrupt(live.stop) as signals:
        first = next(shown, None)
        if first is None:
            path = None
        elif path is None:
            for _ in shown:
                pass
        else:
            frames = _TimedFrames(first, shown)
            write_mp4(path, frames, NOMINAL_FPS, times_s=frames.iterate_times(), quality=quality)
        stats = live.measure()
    logger.info("%s: %s", live.name, stats)
    if path is not None:
        logger.info("written: %s", path)
    elif out is not None:
        logger.warning("%s: no frame came, so nothing is written to %s", live.name, out)
    if errors:
        raise errors[0]
    if signals:
        raise Stopped(f"stopped; {path} is complete" if path else "stopped", signals[0])
    return stats


def _show_frames(frames, viewers, errors):
    """Pass (result, frame) on after every viewer has it. An error of the source is the end; `errors` has it then."""
    try:
        for result, frame in frames:
            for show in viewers:
                show(result, frame)
            yield result, frame
    except VideoError as error:
        errors.append(error)


class _TimedFrames:
    """Frames of one size for the writer, and the time of the newest one."""

    def __init__(self, first, others):
        self.pairs = itertools.chain([first], others)  # (LiveResult, frame)
        self.start_s = first[0].time_s
        self.size = first[1].shape[:2]
        self.newest_s = 0.0

    def __iter__(self):
        for result, frame in self.pairs:
            self.newest_s = result.time_s - self.start_s
            yield fit_picture(frame, *self.size)

    def iterate_times(self):
        """The newest frame's time, again and again."""
        while True:
            yield self.newest_s
