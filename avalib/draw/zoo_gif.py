"""The same seconds as every model has detected them, side by side, as one GIF."""

from pathlib import Path

import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.draw.render import RenderOptions, render_side_by_side, save_gif, save_mp4
from avalib.draw.scene import Scene, load_scene
from avalib.draw.sheets import add_caption

GIF_COLORS = 64  # a file under 2 MB, small enough for git


def write_zoo_gif(
    layout: DatasetLayout,
    truth: pd.DataFrame,
    predictions: dict[str, pd.DataFrame],
    path: str | Path,
    options: RenderOptions | None = None,
    video: str = "",
    start: float | None = None,
    seconds: float = 10,
    fps: float = 3,
    width: int = 200,
) -> tuple[Path, Scene]:
    """Write a GIF of the annotation and every model's detections, and an mp4 beside it.

    Parameters
    ----------
    layout : DatasetLayout
    truth : DataFrame
        The split's ground truth.
    predictions : dict
        {model: table of the split's detections}.
    path : str or Path
        Of the GIF; the mp4 has the same name.
    options : RenderOptions, optional
    video : str
        A video_id; "": the video with the most different actions.
    start : float, optional
        The first second; None: where the most different actions are annotated.
    seconds, fps : float
        Length, frames per second.
    width : int
        Of each panel, in pixels.

    Returns
    -------
    (Path, Scene)
        Of the GIF, and what it shows.

    Raises
    ------
    ValueError
        As `load_scene`: an unknown video, or a second outside of it.
    """
    scene = load_scene(layout, truth, predictions, video=video, start=start, seconds=seconds, fps=fps)
    # Every frame says which video, seconds and models it shows.
    caption = (
        f"{scene.video_id}, {scene.start:.0f} to {scene.stop:.0f} s: annotated, then {len(predictions)} models of the "
        "zoo; green: their detections with scores"
    )
    frames = [add_caption(frame, caption) for frame in render_side_by_side(scene, options, width=width)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_mp4(path.with_suffix(".mp4"), frames, fps)
    return save_gif(path, frames, fps, colors=GIF_COLORS), scene
