"""A video file with the detections of avalib.detect drawn on it, frame by frame, in bounded memory."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.draw.annotate import PERSON, FrameAnnotator
from avalib.draw.people import LONGEST_GAP_S, group_people_by_time, interpolate_people, resolve_action_names
from avalib.draw.render import save_gif
from avalib.utils.download import get_local_path
from avalib.utils.files import check_not_input
from avalib.video.reader import Video
from avalib.video.resize import resize_to_width
from avalib.video.writer import write_mp4

MAX_GIF_S = 20  # a GIF holds all its pictures at once, and a longer one is too large to load
GIF_FPS = 10
SUFFIXES = (".mp4", ".mkv", ".gif")


def render_frames(
    video: str | Path,
    detections: pd.DataFrame,
    start: float = 0.0,
    stop: float | None = None,
    fps: float | None = 10,
    width: int | None = None,
    score_threshold: float = 0.3,
    top_k: int | None = 3,
) -> Iterator[np.ndarray]:
    """Draw people's boxes and actions on the frames of a video, a color for each person.

    Between the table's times boxes lie on the straight line, up to a cut. Frames that cannot be decoded are left out.

    Parameters
    ----------
    video : path or URL
        The video of the detections.
    detections : DataFrame
        What avalib.detect returned, or its csv read by pandas.
    start, stop : float
        Seconds; stop None: to the end.
    fps : float, optional
        Frames per second; None: as many as the video has.
    width : int, optional
        In pixels; None: the video's own.
    score_threshold : float
        Labels with a lower score are not drawn; of a person without another one the highest is, in gray.
    top_k : int, optional
        At most this many labels for each person; None: all.

    Yields
    ------
    (H,W,3) uint8, one at a time.

    Raises
    ------
    VideoError
        The video cannot be read.
    ValueError
        The table has other columns, or the video does not have these seconds.
    """
    if missing := [c for c in ("time_s", "person_id", "x1", "action_id", "score") if c not in detections]:
        raise ValueError(f"no column {', '.join(missing)}: expected the table that avalib.detect returns")
    people_by_time = group_people_by_time(detections.rename(columns={"time_s": "timestamp"}))
    annotator = FrameAnnotator(resolve_action_names(detections), keep_positions=True)
    # Boxes are interpolated over one and a half steps of the table.
    longest_gap = LONGEST_GAP_S
    if len(people_by_time) > 1:  # a table whose step is longer than a second
        longest_gap = max(longest_gap, 1.5 * float(np.median(np.diff(list(people_by_time)))))
    cuts_s = detections.attrs.get("cuts_s", ())
    with Video(get_local_path(video)) as reader:
        stop = reader.duration_s if stop is None else min(stop, reader.duration_s)
        for time_s, frame in _iter_frames_at_rate(reader, start, stop, fps or reader.fps):
            people = interpolate_people(people_by_time, time_s, cuts_s, longest_gap) if people_by_time else []
            people = [person.choose_labels(score_threshold, top_k) for person in people]
            people.sort(key=lambda person: person.is_unsure)  # gray labels take the places that the others leave
            yield annotator.annotate(resize_to_width(frame, width), people, PERSON, f"{time_s:.1f} s")


def _iter_frames_at_rate(reader, start, stop, fps):
    """Yield (time, frame) at a constant rate; each native frame is decoded once."""
    times = start + np.arange(int(np.ceil((stop - start) * fps - 1e-6))) / fps
    # The native frame on the screen at each time; a quarter of a step is tolerance.
    numbers = np.clip(np.searchsorted(reader.times_s, times + 0.25 / fps, side="right") - 1, 0, None)
    if not len(numbers):
        raise ValueError(f"start={start}, stop={stop:g}: {reader.path} has the seconds 0 to {reader.duration_s:.2f}")
    frames = reader.iter_frames(numbers[0], numbers[-1] + 1, allow_missing=True)
    # A frame serves all times until the next one is due: slow videos repeat frames, fast ones skip some.
    decoded = zip(itertools.count(numbers[0]), frames, strict=False)
    n, frame = next(decoded)
    for time_s, number in zip(times, numbers, strict=True):
        while n < number:
            n, frame = next(decoded)
        if frame is not None:
            yield float(time_s), frame


def check_overlay_path(path: str | Path) -> Path:
    """`path` as a Path, if a video can be written to it. Raises ValueError for another suffix."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a name that ends in .mp4, .mkv or .gif")
    return path


def write_overlay_video(
    path: str | Path,
    video: str | Path,
    detections: pd.DataFrame,
    start: float = 0.0,
    stop: float | None = None,
    fps: float | None = None,
    width: int | None = None,
    score_threshold: float = 0.3,
    top_k: int | None = 3,
    quality: str = "good",
) -> Path:
    """Write the frames of `render_frames` to a video of any length (.mp4, .mkv) or to a GIF of up to 20 seconds.

    Parameters
    ----------
    path : str or Path
        The suffix chooses the format.
    video, detections, start, stop, width, score_threshold, top_k
        As for render_frames.
    fps : float, optional
        Frames per second; None: the video's own, 10 in a GIF.
    quality : {"good", "fast", "mpeg4"}
        Of .mp4 and .mkv: a small file, a faster one, or the fastest, which browsers do not play.

    Returns
    -------
    Path

    Raises
    ------
    VideoError
        The video cannot be read.
    ValueError
        The path has another suffix or is the video itself, the GIF would be longer, or there is no such quality.
    """
    path = check_overlay_path(path)
    check_not_input(path, video)
    is_gif = path.suffix == ".gif"
    with Video(get_local_path(video)) as reader:
        seconds = (stop or reader.duration_s) - start
        native_fps = reader.fps
    if is_gif and seconds > MAX_GIF_S:
        raise ValueError(f"{path}: {seconds:.0f} s are too long for a GIF; write .mp4, or choose start and stop")
    fps = fps or (GIF_FPS if is_gif else native_fps)
    frames = render_frames(
        video,
        detections,
        start=start,
        stop=stop,
        fps=fps,
        width=width,
        score_threshold=score_threshold,
        top_k=top_k,
    )
    return save_gif(path, frames, fps) if is_gif else write_mp4(path, frames, fps, quality=quality)
