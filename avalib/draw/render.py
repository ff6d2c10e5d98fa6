"""A scene as frames side by side, as GIF and as mp4, shown in a notebook."""

import base64
from dataclasses import dataclass, replace
from pathlib import Path

from IPython.display import HTML

from avalib.draw.annotate import annotate_frame, scale_frame
from avalib.draw.label_layout import BLUE, DASHED_BLUE, GIF_COLORS, GREEN, TITLE, build_model_stack, build_person_stack
from avalib.draw.sheets import tile_frames
from avalib.video.writer import write_gif, write_mp4


@dataclass(frozen=True)
class RenderOptions:
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


def render_side_by_side(scene, width=None, score_threshold=0.3, top_k=3, columns=4, **look):
    """Every frame of a Scene as often as there are things to compare: annotated in blue, then a panel per row in green.

    -> [(H,W,3) uint8]; width: of each panel in pixels; columns: panels in a line; look: see Look. Labels under
    score_threshold and beyond the top_k of a person are left out, and people without any label left.
    """
    look, places = RenderOptions(score_threshold, top_k, **look), {}
    return [
        render_scene(scene, i, scale_frame(frame, width), look, places, columns) for i, frame in enumerate(scene.frames)
    ]


def render_scene(scene, i, frame, look=None, places=None, columns=4, shown=None):
    """Frame i of a Scene, all panels; `frame` is its picture in the size wanted; places: a dict, kept from frame to
    frame, so that tags stay where they are; shown: the rows to show, None for all. See side_by_side."""
    look = look or RenderOptions()
    pictures = []
    for name, layers in _panels(scene, i, look, scene.rows if shown is None else shown):
        people = [person for _, layer in layers for person in layer]
        styles = [_style(style, person, look) for style, layer in layers for person in layer]
        title = name if pictures and len(scene.rows) > 1 else f"{name}  {scene.times_s[i]:.1f} s"
        kept = None if places is None else places.setdefault(name, {})
        title_style = build_model_stack(name) or TITLE
        pictures.append(annotate_frame(frame, people, styles, title, scene.label_map, kept, look.scores, title_style))
    return tile_frames(pictures, columns)


def save_gif(path, frames, fps, width=None, colours=256):
    """Write frames as a looping GIF, boxes and tags in their exact colours; returns the path. See write_gif."""
    return write_gif(path, frames, fps, width, GIF_COLORS, colours)


def save_mp4(path, frames, fps, crf=20):
    """Write frames as an H.264 mp4 that browsers play; about a tenth of the GIF; returns the path."""
    return write_mp4(path, frames, fps, crf)


def show_gif(path, width=None):
    """The GIF in a notebook, its bytes inside the page: nbconvert's HTML keeps it (an IPython Image it would drop)."""
    size = f' width="{width}"' if width else ""
    return HTML(f'<img src="{_data_url(path, "image/gif")}" alt="{Path(path).name}"{size}>')


def show_mp4(path, width=None):
    """The mp4 in a notebook, its bytes inside the page, with controls, in a loop."""
    size = f' width="{width}"' if width else ""
    return HTML(f'<video src="{_data_url(path, "video/mp4")}" controls loop muted playsinline{size}></video>')


def _panels(scene, i, look, shown):
    """What is drawn side by side: [(name, [(style, people)])]."""
    told, known = look.people(scene.truth[i]), look.truth and "annotated" in scene.moments
    panels = [("annotated", [(BLUE, told)])] if known and not (look.overlaid and shown) else []
    for name in shown:
        under = [(DASHED_BLUE, told)] if known and look.overlaid else []
        panels.append((name, [*under, (GREEN, look.people(scene.rows[name][i]))]))
    return panels or [("frame", [])]


def _style(style, person, look):
    own = {**style, **build_person_stack(person.person_id)} if look.by_person else style
    return own if look.picked in (None, person.person_id) else {**own, "line": (150, 150, 150)}


def _data_url(path, kind):
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
