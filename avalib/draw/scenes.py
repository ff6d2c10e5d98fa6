"""A stretch of one video with its annotations and detections; side by side as GIF and mp4, and shown in notebooks."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from IPython.display import HTML

from avalib.draw.people import between, by_time
from avalib.draw.pictures import BLUE, GREEN, KEEP, overlay, scaled
from avalib.stream import cuts
from avalib.video import Video, write_gif, write_mp4


@dataclass(frozen=True)
class Scene:
    """Frames of one video and who does what in each.

    video_id; start, stop (AVA's seconds, 902 …); fps; frames (N,H,W,3) uint8; times_s (N,) AVA's seconds; truth and
    detections: N lists of Person (detections None where there are none); keyframes: the annotated or detected seconds;
    label_map {action_id: name} or None for AVA's names.
    """

    video_id: str
    start: float
    stop: float
    fps: float
    frames: np.ndarray
    times_s: np.ndarray
    truth: list
    detections: list | None
    keyframes: tuple
    label_map: dict | None = None


def scene(layout, truth, detections=None, video="", start=None, seconds=8, fps=10, widest=640, label_map=None, **other):
    """Cut a Scene out of a data set, its boxes following the people between keyframes.

    truth, detections: tables of a whole split. video: an id, "" for the video with the most different actions; start
    None: where in it most is going on. Frames wider than `widest` pixels are scaled down.
    Raises ValueError for a video or a second that the annotations don't have.
    """
    video_id = video or truth.groupby("video_id").action_id.nunique().idxmax()
    rows = truth[truth.video_id == video_id]
    if not len(rows):
        raise ValueError(f"video {video_id!r}: not annotated here; there are {', '.join(sorted(set(truth.video_id)))}")
    start = _liveliest(rows, seconds) if start is None else float(start)
    with Video(layout.video_path(video_id)) as reader:
        numbers = np.round((start - 900 + np.arange(round(seconds * fps)) / fps) * 30).astype(int) + 1
        numbers = numbers[(numbers >= 1) & (numbers <= reader.n_ava_frames)]
        if not len(numbers):
            last = 900 + reader.n_ava_frames / 30
            raise ValueError(f"start {start:.0f}: video {video_id} has the seconds 900 to {last:.0f}")
        stream = zip(
            range(numbers[0], numbers[-1] + 1), reader.iter_ava_frames(numbers[0], numbers[-1] + 1), strict=True
        )
        wanted = set(numbers.tolist())
        frames = np.stack([scaled(f, min(widest, f.shape[1])) for n, f in stream if n in wanted])
    times_s = 900 + (numbers - 1) / 30
    shots = cuts(frames, times_s)
    tables = [rows] if detections is None else [rows, detections[detections.video_id == video_id]]
    moments = [by_time(table[table.timestamp.between(start - 2, start + seconds + 2)]) for table in tables]
    people = [[between(m, t, shots) for t in times_s] for m in moments] + [None]
    keyframes = tuple(t for t in moments[0] if start <= t < start + seconds)
    stop = float(times_s[-1] + 1 / fps)
    return Scene(video_id, start, stop, fps, frames, times_s, people[0], people[1], keyframes, label_map)


def _liveliest(rows, seconds):
    """The second from which on the most different actions, then labels, are annotated within `seconds`."""
    times = np.unique(rows.timestamp)
    windows = [rows[rows.timestamp.between(t, t + seconds, inclusive="left")] for t in times]
    return float(times[max(range(len(times)), key=lambda i: (windows[i].action_id.nunique(), len(windows[i])))])


def side_by_side(scene, width=None, score_threshold=0.3, top_k=3):
    """Every frame of a Scene twice: annotated in blue on the left, predicted in green on the right.

    -> [(H,W,3) uint8]; width: of each half in pixels; labels under score_threshold and beyond the top_k of a person are
    left out, and people without any label left. Without detections there is the left half only.
    """
    left, right, out = {}, {}, []
    for i, frame in enumerate(scene.frames):
        out.append(render(scene, i, scaled(frame, width), score_threshold, top_k, places=(left, right)))
    return out


def render(scene, i, frame, score_threshold=0.3, top_k=3, actions=None, places=(None, None), truth=True):
    """Frame i of a Scene, both halves; `frame` is its picture in the size wanted. See side_by_side."""
    halves = []
    for name, people, colour, kept in (
        ("annotated", scene.truth, BLUE, places[0]),
        ("predicted", scene.detections, GREEN, places[1]),
    ):
        if people is not None and (truth or name == "predicted"):
            shown = [person.keeping(score_threshold, top_k, actions) for person in people[i]]
            shown = [person for person in shown if person.labels]
            title = f"{name}  {scene.times_s[i]:.1f} s"
            halves.append(overlay(frame, shown, colour, title, scene.label_map, kept))
    gap = np.full((frame.shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([halves[0], gap, halves[1]], axis=1) if len(halves) == 2 else halves[0]


def gif(path, frames, fps, width=None):
    """Write frames as a looping GIF whose boxes and tags keep their colours; returns the path."""
    return write_gif(path, frames, fps, width, keep_colours=KEEP)


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
