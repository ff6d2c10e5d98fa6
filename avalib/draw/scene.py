"""A stretch of one video with its annotations and models' detections; as pictures, GIF and mp4, shown in notebooks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.draw.annotate import scale_frame
from avalib.draw.model_detections import align_person_ids
from avalib.draw.people import group_by_time, interpolate_people, resolve_action_names
from avalib.video.clip_stream import find_cuts
from avalib.video.frame_numbers import to_time_s
from avalib.video.frame_source import open_video
from avalib.video.reader import Video


@dataclass(frozen=True)
class Scene:
    """Frames of one video and who does what in each.

    video_id; start, stop (the data set's seconds, AVA's 902 …); fps; frames (N,H,W,3) uint8; times_s (N,); truth: N
    lists of Person; rows {a model's name: N lists of Person}, the same person_id for the same person; moments
    {"annotated" or a model's name: {second: [Person]}}, where the tables have them; label_map {action_id: name} or None
    for AVA's names.
    """

    video_id: str
    start: float
    stop: float
    fps: float
    frames: np.ndarray
    times_s: np.ndarray
    truth: list
    rows: dict
    moments: dict
    label_map: dict | None = None

    @property
    def detections(self):
        """The first row's people, None without rows."""
        return next(iter(self.rows.values()), None)

    @property
    def keyframes(self):
        """The annotated seconds of the stretch; those of the first row where nothing is annotated."""
        known = self.moments.get("annotated") or next((self.moments[name] for name in self.rows), {})
        return tuple(t for t in known if self.start <= t < self.stop)

    def table(self, name="annotated"):
        """What the annotation or a row says of the stretch, for `timeline`: time_s, person_id, action_id, score."""
        rows = [
            (t, person.person_id, action, 1.0 if score is None else score)
            for t, people in self.moments[name].items()
            if self.start <= t < self.stop
            for person in people
            for action, score in person.labels
        ]
        return pd.DataFrame(rows, columns=["time_s", "person_id", "action_id", "score"])


def load_scene(layout, truth, detections=None, video="", start=None, seconds=8, fps=10, widest=640, label_map=None):
    """Cut a Scene out of a data set, its boxes following the people between keyframes.

    truth, detections: tables of a whole split; detections may be {name: table}, a table alone is called "predicted".
    video: an id, "" for the video with the most different actions; start None: where in it most is going on. Frames
    wider than `widest` pixels are scaled down. label_map {action_id: name}: default the data set's.
    Raises ValueError for a video or a second that the annotations don't have.
    """
    tables = {} if detections is None else detections if isinstance(detections, dict) else {"predicted": detections}
    video_id = video or truth.groupby("video_id").action_id.nunique().idxmax()
    rows = truth[truth.video_id == video_id]
    if not len(rows):
        raise ValueError(f"video {video_id!r}: not annotated here; there are {', '.join(sorted(set(truth.video_id)))}")
    start = _liveliest(rows, seconds) if start is None else float(start)
    with open_video(layout, video_id) as reader:
        first, count = (start - layout.start_s) * 30 + 1, reader.n_ava_frames
        numbers = np.round(first + np.arange(round(seconds * fps)) * 30 / fps).astype(int)
        numbers = numbers[(numbers >= 1) & (numbers <= count)]
        if not len(numbers):
            last = layout.start_s + count / 30
            raise ValueError(f"start {start:.0f}: video {video_id} has the seconds {layout.start_s} to {last:.0f}")
        frames = _picked(reader.iter_ava_frames(numbers[0], numbers[-1] + 1), numbers - numbers[0], widest)
    near = {name: table[table.video_id == video_id] for name, table in {"annotated": rows, **tables}.items()}
    near = {name: table[table.timestamp.between(start - 2, start + seconds + 2)] for name, table in near.items()}
    times_s = to_time_s(numbers, layout.start_s)
    return _assemble(video_id, frames, times_s, fps, near, label_map or layout.load_short_names())


def load_video_scene(path, detections, start=0, seconds=8, fps=10, widest=640, label_map=None):
    """A Scene of any video file and what avalib.detect says of it; nothing is annotated, times count from its start.

    detections: table with time_s, person_id, x1 … y2, action_id, score. Raises ValueError for a start beyond the end.
    """
    with Video(path) as reader:
        times = start + np.arange(round(seconds * fps)) / fps
        numbers = np.unique(np.searchsorted(reader.times_s, times[times < reader.duration_s] + 1e-6, side="right") - 1)
        if not len(numbers):
            raise ValueError(f"start {start} s: {path} is {reader.duration_s:.1f} s long")
        frames = _picked(reader.iter_frames(numbers[0], numbers[-1] + 1), numbers - numbers[0], widest)
        times_s = reader.times_s[numbers]
    near = detections[detections.time_s.between(start - 2, start + seconds + 2)]
    near = near.assign(timestamp=near.time_s)
    names = resolve_action_names(detections, label_map)
    return _assemble(Path(path).stem, frames, times_s, fps, {"predicted": near}, names)


def _picked(stream, numbers, widest):
    """Some of a stream's frames, (N,H,W,3), scaled down to `widest`."""
    wanted = set(numbers.tolist())
    return np.stack([scale_frame(f, min(widest, f.shape[1])) for n, f in enumerate(stream) if n in wanted])


def _assemble(video_id, frames, times_s, fps, tables, label_map):
    """A Scene of frames and tables {"annotated" or a row's name: rows around them}."""
    shots = find_cuts(frames, times_s)
    moments = {name: group_by_time(table) for name, table in tables.items()}
    if told := moments.get("annotated"):
        moments = {name: found if found is told else align_person_ids(found, told) for name, found in moments.items()}
    people = {name: [interpolate_people(found, t, shots) for t in times_s] for name, found in moments.items()}
    known = people.pop("annotated", [[]] * len(times_s))
    start, stop = float(times_s[0]), float(times_s[-1] + 1 / fps)
    return Scene(video_id, start, stop, fps, frames, times_s, known, people, moments, label_map)


def _liveliest(rows, seconds):
    """The second from which on the most different actions, then labels, are annotated within `seconds`."""
    times = np.unique(rows.timestamp)
    windows = [rows[rows.timestamp.between(t, t + seconds, inclusive="left")] for t in times]
    return float(times[max(range(len(times)), key=lambda i: (windows[i].action_id.nunique(), len(windows[i])))])
