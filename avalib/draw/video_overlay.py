"""A video file with what avalib.detect found in it drawn on it, frame by frame, in bounded memory."""

import itertools
from pathlib import Path

import numpy as np

from avalib.draw.annotate import annotate_frame, scale_frame
from avalib.draw.people import group_by_time, interpolate_people, resolve_action_names
from avalib.draw.render import save_gif
from avalib.utils.download import get_local_path
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

GIF_SECONDS = 20  # a GIF holds all its pictures at once, and nobody loads a longer one


def render_frames(video, table, start=0.0, stop=None, fps=10, width=None, score_threshold=0.3, top_k=3):
    """The pictures of a video with people's boxes and actions, in a colour each: yields (H,W,3) uint8, one at a time.

    video: the file or URL that was given to avalib.detect; table: what it gave, or its csv read by pandas. start, stop:
    seconds; fps: pictures a second, None: as many as the video has; width: pixels, None: the video's own. Labels under
    score_threshold and beyond the top_k of a person are left out. Between the table's times boxes lie on the straight
    line, up to a cut. Pictures that the file doesn't give are left out.
    Raises VideoError, ValueError for a table of something else.
    """
    if absent := [c for c in ("time_s", "person_id", "x1", "action_id", "score") if c not in table]:
        raise ValueError(f"no column {', '.join(absent)}: expected the table that avalib.detect gives")
    moments = group_by_time(table.rename(columns={"time_s": "timestamp"}))
    names = resolve_action_names(table)
    gap = max(1.5, 1.5 * float(np.median(np.diff(list(moments))))) if len(moments) > 1 else 1.5
    cuts, places = table.attrs.get("cuts_s", ()), {}
    with Video(get_local_path(video)) as reader:
        stop = reader.duration_s if stop is None else min(stop, reader.duration_s)
        for time_s, frame in _pictures(reader, start, stop, fps or reader.fps):
            people = interpolate_people(moments, time_s, cuts, gap) if moments else []
            people = [person.keeping(score_threshold, top_k) for person in people]
            yield annotate_frame(scale_frame(frame, width), people, "person", f"{time_s:.1f} s", names, places)


def _pictures(reader, start, stop, fps):
    """(time, frame) at a constant rate; each native frame is decoded once."""
    times = start + np.arange(int(np.ceil((stop - start) * fps - 1e-6))) / fps
    wanted = np.clip(np.searchsorted(reader.times_s, times + 0.25 / fps, side="right") - 1, 0, None)
    if not len(wanted):
        raise ValueError(f"start={start}, stop={stop:g}: {reader.path} has the seconds 0 to {reader.duration_s:.2f}")
    frames = zip(
        itertools.count(wanted[0]), reader.iter_frames(wanted[0], wanted[-1] + 1, allow_missing=True), strict=False
    )
    n, frame = next(frames)
    for time_s, index in zip(times, wanted, strict=True):
        while n < index:
            n, frame = next(frames)
        if frame is not None:
            yield float(time_s), frame


def get_overlay_path(path):
    """`path`, if a video can be written to it. Raises ValueError for another suffix."""
    path = Path(path)
    if path.suffix not in (".mp4", ".mkv", ".gif"):
        raise ValueError(f"{path}: expected a name that ends in .mp4 or .gif")
    return path


def write_overlay_video(path, video, table, start=0.0, stop=None, fps=None, **options):
    """Write `watch`'s pictures to a .mp4 (any length) or a .gif (up to 20 s, 10 pictures a second); returns the path.

    options: watch's. Raises ValueError for another suffix, or a GIF that would be longer.
    """
    path = get_overlay_path(path)
    with Video(get_local_path(video)) as reader:
        seconds, rate = (stop or reader.duration_s) - start, reader.fps
    if path.suffix == ".gif" and seconds > GIF_SECONDS:
        raise ValueError(f"{path}: {seconds:.0f} s are too long for a GIF; write .mp4, or choose start and stop")
    fps = fps or (10 if path.suffix == ".gif" else rate)
    pictures = render_frames(video, table, start, stop, fps, **options)
    return save_gif(path, pictures, fps) if path.suffix == ".gif" else write_mp4(path, pictures, fps)
