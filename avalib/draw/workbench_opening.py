"""Open the workbench: of a data set's split, or of one scene."""

from pathlib import Path

import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.draw.mistake_navigator import MistakeNavigator
from avalib.draw.scene import Scene, find_busiest_video, load_scene
from avalib.draw.workbench import Workbench


def open_workbench(
    layout: DatasetLayout,
    truth: pd.DataFrame,
    predictions: dict[str, pd.DataFrame],
    video: str = "",
    seconds: float = 40,
    fps: float = 10,
    label_map: str | Path | None = None,
    exclusions: str | Path | None = None,
    score_threshold: float = 0.3,
    top_k: int = 3,
    width: int = 1000,
    by_person: bool = False,
) -> Workbench:
    """Open the Workbench of a data set's split.

    Parameters
    ----------
    layout : DatasetLayout
    truth : DataFrame
        The split's ground truth.
    predictions : dict
        {model: table of the split's detections}, as `load_predictions` returns them.
    video : str
        The video_id to begin with; "": the one with the most different actions.
    seconds, fps : float
        How much of a video is open at a time, frames per second.
    label_map, exclusions : path, optional
        The actions that count, and the seconds that do not, when mistakes are listed.
    score_threshold, top_k, width, by_person
        As for Workbench.

    Returns
    -------
    Workbench
    """
    # A scene begins with its video's first annotation, or so that the second in question is in its middle.
    first_times = truth.groupby("video_id").timestamp.min()

    def open_scene(video_id, time_s):
        start = first_times[video_id] if time_s is None else max(first_times[video_id], time_s - seconds / 2)
        return load_scene(layout, truth, predictions, video=video_id, start=float(start), seconds=seconds, fps=fps)

    return Workbench(
        open_scene,
        sorted(first_times.index),
        navigator=MistakeNavigator(truth, predictions, label_map, exclusions),
        score_threshold=score_threshold,
        top_k=top_k,
        width=width,
        video=video or find_busiest_video(truth),
        by_person=by_person,
    )


def open_scrubber(scene: Scene, score_threshold: float = 0.3, top_k: int = 3, width: int = 1000) -> Workbench:
    """Open the Workbench of one Scene.

    Parameters
    ----------
    scene : Scene
    score_threshold, top_k, width
        As for Workbench.

    Returns
    -------
    Workbench
    """
    return Workbench(
        lambda video_id, time_s: scene,
        [scene.video_id],
        score_threshold=score_threshold,
        top_k=top_k,
        width=width,
        by_person=not scene.is_annotated,
    )
