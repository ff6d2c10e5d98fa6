"""The workbench of notebook 05: a slider through a Scene. Its static twin is a contact sheet of `side_by_side`."""

import io
from functools import lru_cache

import ipywidgets
from IPython.display import display
from PIL import Image

from avalib import actions
from avalib.draw.pictures import scaled
from avalib.draw.scenes import Look, render


class Scrubber:
    """A Scene under a time slider, with play, a score threshold, an action to look for, and annotations on or off.

    Frames are kept scaled, so a step draws boxes and encodes one JPEG: a few milliseconds. `.widget` is the whole of
    it, `.show(i)` the JPEG of frame i as the controls stand.
    """

    def __init__(self, scene, score_threshold=0.3, top_k=3, width=400):
        self.scene, self.top_k = scene, top_k
        self._frame = lru_cache(maxsize=len(scene.frames))(lambda i: scaled(scene.frames[i], width))
        step = round(1000 / scene.fps)
        last = len(scene.frames) - 1
        self.time = ipywidgets.IntSlider(0, 0, last, description="frame", continuous_update=True, readout=False)
        self.clock = ipywidgets.Label()
        self.play = ipywidgets.Play(min=0, max=last, interval=step, repeat=True)
        ipywidgets.jslink((self.play, "value"), (self.time, "value"))
        self.threshold = ipywidgets.FloatSlider(score_threshold, min=0, max=1, step=0.05, description="score ≥")
        self.action = ipywidgets.Dropdown(options=self._choices(), description="action")
        self.truth = ipywidgets.Checkbox(True, description="annotations", indent=False)
        self.truth.layout.display = None if scene.detections is not None else "none"
        self.image = ipywidgets.Image(format="jpeg")
        for control in (self.time, self.threshold, self.action, self.truth):
            control.observe(self._redraw, "value")
        self._redraw()
        rows = [[self.play, self.time, self.clock], [self.threshold, self.action, self.truth]]
        self.widget = ipywidgets.VBox([*(ipywidgets.HBox(row) for row in rows), self.image])

    def _choices(self):
        """('all actions', None) and every action that anybody is annotated or predicted with, by name."""
        people = [p for half in (self.scene.truth, self.scene.detections or []) for moment in half for p in moment]
        found = {action for person in people for action, _ in person.labels}
        names = self.scene.label_map or {action: actions.short_name(action) for action in found}
        return [("all actions", None), *sorted((names[action], action) for action in found)]

    def show(self, i):
        """Frame i as it is to be seen now: JPEG bytes."""
        chosen = None if self.action.value is None else frozenset({self.action.value})
        look = Look(self.threshold.value, self.top_k, chosen, self.truth.value)
        picture = render(self.scene, i, self._frame(i), look)
        with io.BytesIO() as buffer:
            Image.fromarray(picture).save(buffer, "JPEG", quality=88)
            return buffer.getvalue()

    def _redraw(self, _=None):
        self.image.value = self.show(self.time.value)
        self.clock.value = f"{self.scene.times_s[self.time.value]:.1f} s"

    def _ipython_display_(self):
        display(self.widget)


def scrubber(scene, score_threshold=0.3, top_k=3, width=400):
    """The Scrubber of a Scene, to be the last line of a notebook's cell. width: of each half, in pixels."""
    return Scrubber(scene, score_threshold, top_k, width)
