"""A scene as frames side by side; as GIF and as mp4, shown in a notebook."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from IPython.display import HTML

from avalib.draw.annotate import FrameAnnotator
from avalib.draw.box_styles import (
    BLUE,
    DASHED_BLUE,
    GRAY,
    GREEN,
    UNSURE,
    BoxStyle,
    build_model_style,
    build_person_style,
    list_gif_colors,
    number_style,
)
from avalib.draw.people import Person
from avalib.draw.scene import ANNOTATED, Scene
from avalib.draw.sheets import tile_frames
from avalib.video.resize import resize_to_width
from avalib.video.writer import write_gif, write_mp4

ANNOTATION_MODES = ("beside", "under", "off")


@dataclass(frozen=True)
class RenderOptions:
    """How a Scene is drawn.

    Parameters
    ----------
    score_threshold : float
        Predictions with a lower score are not drawn. A predicted person without another one is drawn in gray, with the
        action that has the highest score.
    top_k : int, optional
        At most this many predictions for each person; None: all.
    actions : frozenset of int, optional
        Only these action_ids; None: all.
    annotation : {"beside", "under", "off"}
        The annotation in a panel of its own, dashed under each model's boxes, or not drawn.
    by_person : bool
        A color for each person instead of blue for annotated and green for predicted. One person has one color, and
        one number, in all panels.
    scores : {"number", "bar", "none"}
        How a label shows its score.
    person_id : int, optional
        The one person who keeps color and labels; None: everybody.
    """

    score_threshold: float = 0.3
    top_k: int | None = 3
    actions: frozenset | None = None
    annotation: str = "beside"
    by_person: bool = False
    scores: str = "number"
    person_id: int | None = None

    def __post_init__(self):
        if self.annotation not in ANNOTATION_MODES:
            raise ValueError(f"annotation={self.annotation!r}: expected one of {', '.join(ANNOTATION_MODES)}")

    def filter_people(self, people: list[Person]) -> list[Person]:
        """The people who are drawn, with the labels that are. Of an annotated person all labels of `actions` are."""
        shown = []
        for person in people:
            # Threshold and top_k for predictions only.
            if person.is_annotated:
                person = person.filter_labels(actions=self.actions)
            else:
                person = person.choose_labels(self.score_threshold, self.top_k, self.actions)
            if person.labels:
                is_selected = self.person_id in (None, person.person_id)
                shown.append(person if is_selected else replace(person, labels=()))
        # Gray labels take the places that the others leave.
        return sorted(shown, key=lambda person: person.is_unsure)

    def choose_style(self, person: Person, style: BoxStyle) -> BoxStyle:
        """The style of a person's box whose meaning (annotated, predicted) has `style`."""
        if person.is_unsure:
            style = UNSURE
        elif self.by_person:
            style = replace(build_person_style(person.person_id), dashed=style.dashed)
        style = number_style(style, person.person_id)
        is_selected = self.person_id in (None, person.person_id)
        return style if is_selected else replace(style, line=GRAY)


@dataclass
class Panel:
    """One picture of those side by side: its title, the people on it and the style of each."""

    name: str
    people: list[Person]
    styles: list[BoxStyle]


class SceneRenderer:
    """Draws frames of a Scene as panels side by side: the annotation in blue, then each model's detections in green.

    Parameters
    ----------
    scene : Scene
    options : RenderOptions, optional
    models : list of str, optional
        The models that are drawn; None: all of the scene.
    columns : int
        Panels in a line.
    keep_positions : bool
        For frames in their order: labels stay on their side of the box from frame to frame.
    """

    def __init__(
        self,
        scene: Scene,
        options: RenderOptions | None = None,
        models: list[str] | None = None,
        columns: int = 4,
        keep_positions: bool = False,
    ):
        self.scene = scene
        self.options = options or RenderOptions()
        self.models = list(scene.predictions) if models is None else models
        self.columns = columns
        self.keep_positions = keep_positions
        self._annotators = {}  # {a panel's name: its FrameAnnotator}

    def render(self, i: int, frame: np.ndarray | None = None) -> np.ndarray:
        """Frame i with all panels, (H,W,3) uint8; `frame`: the same picture, scaled."""
        frame = self.scene.frames[i] if frame is None else frame
        pictures = []
        for panel in self.list_panels(i):
            title = f"{panel.name}  {self.scene.times_s[i]:.1f} s"
            if pictures and len(self.scene.predictions) > 1:
                title = panel.name  # the time stands in the first of several panels
            annotator = self._get_annotator(panel.name)
            pictures.append(annotator.annotate(frame, panel.people, panel.styles, title))
        return tile_frames(pictures, self.columns)

    def list_panels(self, i):
        """The panels of frame i."""
        options, scene = self.options, self.scene
        # The annotation: a panel of its own, or under each model's boxes, or neither.
        annotated = options.filter_people(scene.annotated[i])
        shows_annotation = scene.is_annotated and options.annotation != "off"
        is_under = shows_annotation and options.annotation == "under"
        panels = []
        if shows_annotation and not (is_under and self.models):
            panels.append(Panel(ANNOTATED, annotated, [options.choose_style(p, BLUE) for p in annotated]))
        # A panel per model; with the annotation under it, first the dashed boxes, then the model's.
        for name in self.models:
            people = options.filter_people(scene.predictions[name][i])
            styles = [options.choose_style(person, GREEN) for person in people]
            if is_under:
                people = annotated + people
                styles = [options.choose_style(person, DASHED_BLUE) for person in annotated] + styles
            panels.append(Panel(name, people, styles))
        return panels or [Panel("frame", [], [])]

    def _get_annotator(self, name):
        """The annotator of a panel; it remembers where labels are."""
        if name not in self._annotators:
            self._annotators[name] = FrameAnnotator(
                label_map=self.scene.label_map,
                scores=self.options.scores,
                title_style=build_model_style(name),
                keep_positions=self.keep_positions,
            )
        return self._annotators[name]


def render_side_by_side(
    scene: Scene, options: RenderOptions | None = None, width: int | None = None, columns: int = 4
) -> list[np.ndarray]:
    """Draw every frame of a Scene: annotated in blue, then a panel for each model in green.

    Parameters
    ----------
    scene : Scene
    options : RenderOptions, optional
    width : int, optional
        Of each panel, in pixels; None: the scene's frames as they are.
    columns : int
        Panels in a line.

    Returns
    -------
    list of (H,W,3) uint8
    """
    renderer = SceneRenderer(scene, options, columns=columns, keep_positions=True)
    return [renderer.render(i, resize_to_width(frame, width)) for i, frame in enumerate(scene.frames)]


def save_gif(
    path: str | Path, frames: Iterable[np.ndarray], fps: float, width: int | None = None, colors: int = 256
) -> Path:
    """Write frames as a looping GIF that has boxes and labels in their exact colors.

    Parameters
    ----------
    path : str or Path
    frames : iterable of (H,W,3) uint8
    fps : float
        Frames per second.
    width : int, optional
        In pixels; None: as they are.
    colors : int
        Of the palette, up to 256. See `video.writer.write_gif`.

    Returns
    -------
    Path
    """
    return write_gif(path, frames, fps, width=width, keep_colors=list_gif_colors(), n_colors=colors)


def save_mp4(
    path: str | Path, frames: Iterable[np.ndarray], fps: float, crf: int | None = None, quality: str = "good"
) -> Path:
    """Write frames as an mp4, by default of H.264, which browsers play; it has about a tenth of the GIF's size.

    Parameters
    ----------
    path : str or Path
    frames : iterable of (H,W,3) uint8
    fps : float
        Frames per second.
    crf : int, optional
        0 (lossless) to 51; None: that of `quality`.
    quality : {"good", "fast", "mpeg4"}
        A small file, a faster one, or the fastest, which browsers do not play. See `video.writer.write_mp4`.

    Returns
    -------
    Path
    """
    return write_mp4(path, frames, fps, crf, quality=quality)


def show_gif(path: str | Path, width: int | None = None) -> HTML:
    """Show a GIF in a notebook. Its bytes are inside the page, so that HTML from nbconvert has them too.

    Parameters
    ----------
    path : str or Path
    width : int, optional
        In pixels; None: the GIF's own.

    Returns
    -------
    IPython.display.HTML
    """
    size = f' width="{width}"' if width else ""
    return HTML(f'<img src="{_build_data_url(path, "image/gif")}" alt="{Path(path).name}"{size}>')


def show_mp4(path: str | Path, width: int | None = None) -> HTML:
    """Show an mp4 in a notebook, with controls, in a loop. Its bytes are inside the page.

    Parameters
    ----------
    path : str or Path
    width : int, optional
        In pixels; None: the video's own.

    Returns
    -------
    IPython.display.HTML
    """
    size = f' width="{width}"' if width else ""
    source = f'src="{_build_data_url(path, "video/mp4")}" title="{Path(path).name}"'
    return HTML(f"<video {source} controls loop muted playsinline{size}></video>")


def _build_data_url(path, media_type):
    """A file's bytes as a URL."""
    return f"data:{media_type};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
