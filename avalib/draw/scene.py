"""A stretch of one video with its annotations and models' detections."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.draw.people import Person, group_people_by_time, interpolate_people, resolve_action_names
from avalib.draw.predictions import align_person_ids
from avalib.draw.scene_choice import find_busiest_start, find_busiest_video, select_detected_labels
from avalib.video.cut_finder import find_cuts
from avalib.video.frame_numbers import AVA_FPS, to_time_s
from avalib.video.frame_source import open_video
from avalib.video.reader import Video
from avalib.video.resize import resize_to_width

logger = logging.getLogger(__name__)

ANNOTATED = "annotated"  # the name of the ground truth among the models' names
PREDICTED = "predicted"  # the name of detections that come without a model's name
MARGIN_S = 2  # keyframes so far outside of the stretch are used for interpolation


@dataclass(frozen=True)
class Scene:
    """Frames of one video and who does what in each. Made by `load_scene` and `load_video_scene`.

    Parameters
    ----------
    video_id : str
    start, stop : float
        The stretch in seconds of the data set (AVA's 902 …).
    fps : float
        Frames per second.
    frames : (N,H,W,3) uint8
    times_s : (N,) float
        The time of each frame, in seconds of the data set.
    annotated : list of list of Person
        The annotated people of each frame; empty lists where nothing is annotated.
    predictions : dict
        {model: the people of each frame}. One person has one person_id everywhere.
    people_by_time : dict
        {"annotated" or model: {timestamp: people}}, at the seconds of the tables.
    label_map : dict, optional
        {action_id: name}; None: AVA's names.
    """

    video_id: str
    start: float
    stop: float
    fps: float
    frames: np.ndarray
    times_s: np.ndarray
    annotated: list[list[Person]]
    predictions: dict[str, list[list[Person]]]
    people_by_time: dict[str, dict[float, list[Person]]]
    label_map: dict[int, str] | None = None

    @property
    def is_annotated(self):
        """Whether there is an annotation."""
        return ANNOTATED in self.people_by_time

    @property
    def keyframes(self):
        """The annotated seconds of the stretch; those of the first model where nothing is annotated."""
        source = ANNOTATED if self.people_by_time.get(ANNOTATED) else next(iter(self.predictions), None)
        return tuple(t for t in self.people_by_time.get(source, ()) if self.start <= t < self.stop)

    def to_table(self, source: str = ANNOTATED) -> pd.DataFrame:
        """The people of the stretch as a table time_s, person_id, action_id, score, as `plot_timeline` takes it.

        source: "annotated" or a model's name.
        """
        rows = [
            (time, person.person_id, action, score)
            for time, people in self.people_by_time[source].items()
            if self.start <= time < self.stop
            for person in people
            for action, score in person.scored_labels
        ]
        return pd.DataFrame(rows, columns=["time_s", "person_id", "action_id", "score"])


def load_scene(
    layout: DatasetLayout,
    truth: pd.DataFrame,
    predictions: pd.DataFrame | dict[str, pd.DataFrame] | None = None,
    video: str = "",
    start: float | None = None,
    seconds: float = 8,
    fps: float = 10,
    max_width: int = 640,
    label_map: dict[int, str] | None = None,
    choose_by: Literal["annotated", "detected"] = "annotated",
) -> Scene:
    """Load a stretch of a data set's video; boxes follow the people between keyframes.

    Parameters
    ----------
    layout : DatasetLayout
    truth : DataFrame
        The split's ground truth.
    predictions : DataFrame or dict, optional
        The split's detections, {model: table}; a table alone is called "predicted".
    video : str
        A video_id; "": the video with the most different actions.
    start : float, optional
        The first second; None: where the most different actions are.
    seconds, fps : float
        Length of the stretch, frames per second.
    max_width : int
        Wider frames are scaled down to this many pixels.
    label_map : dict, optional
        {action_id: name}; default: the data set's.
    choose_by : {"annotated", "detected"}
        Which actions count in the choice of the video and the seconds: all, or those that the first model has detected
        (`select_detected_labels`; all, if it has detected none).

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        The annotations do not have the video, or the video does not have the second.
    """
    if predictions is None:
        predictions = {}
    elif not isinstance(predictions, dict):
        predictions = {PREDICTED: predictions}
    video_id, start = _choose_stretch(truth, predictions, video, start, seconds, choose_by)
    start_s = layout.get_start_s(video_id)
    with open_video(layout, video_id) as reader:
        # The AVA numbers (30 a second, from 1) of the stretch's frames, those that the video has: (N,)
        first = (start - start_s) * AVA_FPS + 1
        numbers = np.round(first + np.arange(round(seconds * fps)) * AVA_FPS / fps).astype(int)
        numbers = numbers[(numbers >= 1) & (numbers <= reader.n_ava_frames)]
        if not len(numbers):
            last = start_s + reader.n_ava_frames / AVA_FPS
            raise ValueError(f"start {start:.0f}: video {video_id} has the seconds {start_s} to {last:.0f}")
        frames = _select_frames(reader.iter_ava_frames(numbers[0], numbers[-1] + 1), numbers - numbers[0], max_width)
    # What each table says about the stretch and a little around it.
    tables = {}
    for name, table in {ANNOTATED: truth, **predictions}.items():
        table = table[table.video_id == video_id]
        tables[name] = table[table.timestamp.between(start - MARGIN_S, start + seconds + MARGIN_S)]
    times_s = to_time_s(numbers, start_s)
    return _build_scene(video_id, frames, times_s, fps, tables, label_map or layout.load_short_names())


def _choose_stretch(truth, predictions, video, start, seconds, choose_by):
    """The video_id and the first second of a scene; what is chosen here is logged with its rule."""
    if video and not (truth.video_id == video).any():
        raise ValueError(f"video {video!r}: not annotated here; there are {', '.join(sorted(set(truth.video_id)))}")
    # the actions that count
    labels, rule = truth, "the first with the most different annotated actions"
    if choose_by == "detected" and predictions:
        model, detections = next(iter(predictions.items()))
        detected = select_detected_labels(truth, detections)
        if (detected.video_id == video).any() if video else len(detected):
            labels, rule = detected, f"the first with the most different actions that {model} has detected"
    if not video:
        video = find_busiest_video(labels)
        logger.info("video %s: %s", video, rule)
    if start is None:
        start = find_busiest_start(labels[labels.video_id == video], seconds)
        logger.info("seconds %g to %g of %s: %s", start, start + seconds, video, rule)
    return video, float(start)


def load_video_scene(
    path: str | Path,
    detections: pd.DataFrame,
    start: float = 0,
    seconds: float = 8,
    fps: float = 10,
    max_width: int = 640,
    label_map: dict[int, str] | None = None,
) -> Scene:
    """Load a stretch of any video with the detections of avalib.detect; nothing is annotated.

    Parameters
    ----------
    path : str or Path
        The video file.
    detections : DataFrame
        What avalib.detect returns: time_s, person_id, x1, y1, x2, y2, action_id, score.
    start : float
        The first second, counted from the video's beginning.
    seconds, fps, max_width
        As for load_scene.
    label_map : dict, optional
        {action_id: name}; default: the names in `detections`, else AVA's.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        The video ends before `start`.
    """
    with Video(path) as reader:
        # The times at which the scene has frames, as far as the video goes: seconds from its beginning
        times = start + np.arange(round(seconds * fps)) / fps
        times = times[times < reader.duration_s]
        # The frame on the screen at each time: the last one that begins before it.
        numbers = np.unique(np.searchsorted(reader.times_s, times + 1e-6, side="right") - 1)
        if not len(numbers):
            raise ValueError(f"start {start} s: {path} is {reader.duration_s:.1f} s long")
        frames = _select_frames(reader.iter_frames(numbers[0], numbers[-1] + 1), numbers - numbers[0], max_width)
        times_s = reader.times_s[numbers]
    # The table's part around the stretch; a scene's tables have the column `timestamp`.
    table = detections[detections.time_s.between(start - MARGIN_S, start + seconds + MARGIN_S)]
    table = table.assign(timestamp=table.time_s)
    names = resolve_action_names(detections, label_map)
    return _build_scene(Path(path).stem, frames, times_s, fps, {PREDICTED: table}, names)


def _select_frames(stream, numbers, max_width):
    """Some of a stream's frames, (N,H,W,3), scaled down to `max_width`."""
    # Positions in the stream; wider frames only are scaled.
    selected = set(numbers.tolist())
    return np.stack([resize_to_width(f, min(max_width, f.shape[1])) for n, f in enumerate(stream) if n in selected])


def _build_scene(video_id, frames, times_s, fps, tables, label_map):
    """A Scene of frames and {"annotated" or a model's name: its table around them}."""
    people_by_time = {name: group_people_by_time(table) for name, table in tables.items()}
    # One id for one person in all tables.
    annotated = people_by_time.get(ANNOTATED)
    if annotated:
        for name in tables.keys() - {ANNOTATED}:
            people_by_time[name] = align_person_ids(people_by_time[name], annotated)
    # From keyframes to every frame; nobody moves across a cut.
    cuts_s = find_cuts(frames, times_s)
    people_by_frame = {
        name: [interpolate_people(by_time, time_s, cuts_s) for time_s in times_s]
        for name, by_time in people_by_time.items()
    }
    return Scene(
        video_id=video_id,
        start=float(times_s[0]),
        stop=float(times_s[-1] + 1 / fps),
        fps=fps,
        frames=frames,
        times_s=times_s,
        annotated=people_by_frame.pop(ANNOTATED, [[]] * len(times_s)),
        predictions=people_by_frame,
        people_by_time=people_by_time,
        label_map=label_map,
    )
