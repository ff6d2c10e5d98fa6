"""A stretch of one video with its annotations and models' detections; as pictures, GIF and mp4, shown in notebooks."""

import base64
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML

from avalib.draw.people import between, by_time, names_of
from avalib.draw.pictures import grid, overlay, scaled
from avalib.draw.rows import named_as
from avalib.draw.tags import BLUE, DASHED_BLUE, GREEN, KEEP, TITLE, of_model, of_person
from avalib.frames import open_video
from avalib.stream import cuts
from avalib.video import Video, write_gif, write_mp4


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


def scene(layout, truth, detections=None, video="", start=None, seconds=8, fps=10, widest=640, label_map=None):
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
        first, count = (start - layout.start) * 30 + 1, reader.n_ava_frames
        numbers = np.round(first + np.arange(round(seconds * fps)) * 30 / fps).astype(int)
        numbers = numbers[(numbers >= 1) & (numbers <= count)]
        if not len(numbers):
            last = layout.start + count / 30
            raise ValueError(f"start {start:.0f}: video {video_id} has the seconds {layout.start} to {last:.0f}")
        frames = _picked(reader.iter_ava_frames(numbers[0], numbers[-1] + 1), numbers - numbers[0], widest)
    near = {name: table[table.video_id == video_id] for name, table in {"annotated": rows, **tables}.items()}
    near = {name: table[table.timestamp.between(start - 2, start + seconds + 2)] for name, table in near.items()}
    times_s = layout.start + (numbers - 1) / 30
    return _assemble(video_id, frames, times_s, fps, near, label_map or layout.action_names())


def video_scene(path, detections, start=0, seconds=8, fps=10, widest=640, label_map=None):
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
    names = names_of(detections, label_map)
    return _assemble(Path(path).stem, frames, times_s, fps, {"predicted": near}, names)


def _picked(stream, numbers, widest):
    """Some of a stream's frames, (N,H,W,3), scaled down to `widest`."""
    wanted = set(numbers.tolist())
    return np.stack([scaled(f, min(widest, f.shape[1])) for n, f in enumerate(stream) if n in wanted])


def _assemble(video_id, frames, times_s, fps, tables, label_map):
    """A Scene of frames and tables {"annotated" or a row's name: rows around them}."""
    shots = cuts(frames, times_s)
    moments = {name: by_time(table) for name, table in tables.items()}
    if told := moments.get("annotated"):
        moments = {name: found if found is told else named_as(found, told) for name, found in moments.items()}
    people = {name: [between(found, t, shots) for t in times_s] for name, found in moments.items()}
    known = people.pop("annotated", [[]] * len(times_s))
    start, stop = float(times_s[0]), float(times_s[-1] + 1 / fps)
    return Scene(video_id, start, stop, fps, frames, times_s, known, people, moments, label_map)


def _liveliest(rows, seconds):
    """The second from which on the most different actions, then labels, are annotated within `seconds`."""
    times = np.unique(rows.timestamp)
    windows = [rows[rows.timestamp.between(t, t + seconds, inclusive="left")] for t in times]
    return float(times[max(range(len(times)), key=lambda i: (windows[i].action_id.nunique(), len(windows[i])))])


@dataclass(frozen=True)
class Look:
    """How a Scene is drawn.

    Predictions from score_threshold on and at most top_k a person; these `actions` only (None: all); the annotation
    (truth) or not, beside or, overlaid, under each row's boxes, dashed; by_person: a colour a person instead of blue
    for annotated, green for predicted; scores as "number", "bar" or "none"; picked: the one person who keeps labels.
    """

    score_threshold: float = 0.3
    top_k: int | None = 3
    actions: frozenset | None = None
    truth: bool = True
    overlaid: bool = False
    by_person: bool = False
    scores: str = "number"
    picked: int | None = None

    def people(self, people):
        """Who is drawn, with the labels that are: nobody without any; all but the picked person without theirs."""
        shown = [person.keeping(self.score_threshold, None, self.actions) for person in people]
        told = [person.labels and person.labels[0][1] is None for person in shown]  # annotated: all of it is shown
        shown = [person if t else person.keeping(top_k=self.top_k) for person, t in zip(shown, told, strict=True)]
        shown = [person for person in shown if person.labels]
        if self.picked is None:
            return shown
        return [person if person.person_id == self.picked else replace(person, labels=()) for person in shown]


def side_by_side(scene, width=None, score_threshold=0.3, top_k=3, columns=4, **look):
    """Every frame of a Scene as often as there are things to compare: annotated in blue, then a panel per row in green.

    -> [(H,W,3) uint8]; width: of each panel in pixels; columns: panels in a line; look: see Look. Labels under
    score_threshold and beyond the top_k of a person are left out, and people without any label left.
    """
    look, places = Look(score_threshold, top_k, **look), {}
    return [render(scene, i, scaled(frame, width), look, places, columns) for i, frame in enumerate(scene.frames)]


def render(scene, i, frame, look=None, places=None, columns=4, shown=None):
    """Frame i of a Scene, all panels; `frame` is its picture in the size wanted; places: a dict, kept from frame to
    frame, so that tags stay where they are; shown: the rows to show, None for all. See side_by_side."""
    look = look or Look()
    pictures = []
    for name, layers in _panels(scene, i, look, scene.rows if shown is None else shown):
        people = [person for _, layer in layers for person in layer]
        styles = [_style(style, person, look) for style, layer in layers for person in layer]
        title = name if pictures and len(scene.rows) > 1 else f"{name}  {scene.times_s[i]:.1f} s"
        kept = None if places is None else places.setdefault(name, {})
        title_style = of_model(name) or TITLE
        pictures.append(overlay(frame, people, styles, title, scene.label_map, kept, look.scores, title_style))
    return grid(pictures, columns)


def _panels(scene, i, look, shown):
    """What is drawn side by side: [(name, [(style, people)])]."""
    told, known = look.people(scene.truth[i]), look.truth and "annotated" in scene.moments
    panels = [("annotated", [(BLUE, told)])] if known and not (look.overlaid and shown) else []
    for name in shown:
        under = [(DASHED_BLUE, told)] if known and look.overlaid else []
        panels.append((name, [*under, (GREEN, look.people(scene.rows[name][i]))]))
    return panels or [("frame", [])]


def _style(style, person, look):
    own = {**style, **of_person(person.person_id)} if look.by_person else style
    return own if look.picked in (None, person.person_id) else {**own, "line": (150, 150, 150)}


def gif(path, frames, fps, width=None, colours=256):
    """Write frames as a looping GIF, boxes and tags in their exact colours; returns the path. See write_gif."""
    return write_gif(path, frames, fps, width, KEEP, colours)


def mp4(path, frames, fps, crf=20):
    """Write frames as an H.264 mp4 that browsers play; about a tenth of the GIF; returns the path."""
    return write_mp4(path, frames, fps, crf)


def _data_url(path, kind):
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def show_gif(path, width=None):
    """The GIF in a notebook, its bytes inside the page: nbconvert's HTML keeps it (an IPython Image it would drop)."""
    size = f' width="{width}"' if width else ""
    return HTML(f'<img src="{_data_url(path, "image/gif")}" alt="{Path(path).name}"{size}>')


def show_mp4(path, width=None):
    """The mp4 in a notebook, its bytes inside the page, with controls, in a loop."""
    size = f' width="{width}"' if width else ""
    return HTML(f'<video src="{_data_url(path, "video/mp4")}" controls loop muted playsinline{size}></video>')
