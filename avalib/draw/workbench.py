"""The workbench of notebooks 05 and 07: a video, what was annotated and what the rows say, under sliders and buttons.

Its static twin, for headless runs, is `Workbench.sheet`.
"""

import io
from functools import lru_cache

import ipywidgets as ui
from IPython.display import display
from PIL import Image

from avalib.data.labels import shorten_action_name
from avalib.draw.annotate import scale_frame
from avalib.draw.colors import get_person_color
from avalib.draw.mistake_navigator import MistakeNavigator
from avalib.draw.person_timeline import build_person_strips, render_person_html
from avalib.draw.render import RenderOptions, render_scene
from avalib.draw.scene import load_scene
from avalib.draw.sheets import draw_contact_sheet

TRUTH = {"beside": "annotation beside", "under": "annotation under (dashed)", "off": "no annotation"}


class Workbench:
    """Scenes under a time slider: play, threshold, action filter, annotation, rows, people, and jumps to what matters.

    open_scene: (video_id, start or None) -> Scene; videos: the ids to choose from; jumps: a Jumps or None. Frames are
    kept scaled, so a step draws boxes and encodes one JPEG. `.widget` is the whole of it; the controls are attributes
    (video, time, play, threshold, action, truth, by_person, rows {name: toggle}, people {person_id: button});
    `.show(i)` is the JPEG of frame i as they stand, `.sheet()` the static twin.
    """

    def __init__(self, open_scene, videos, jumps=None, score_threshold=0.3, top_k=3, width=1000, video=None):
        self._open, self.jumps, self.top_k, self.width = lru_cache(maxsize=4)(open_scene), jumps, top_k, width
        self._scaled = lru_cache(maxsize=2048)(lambda scene_id, i, w: scale_frame(self.scene.frames[i], w))
        self._loading, self.picked, self.people = False, None, {}
        self.video = ui.Dropdown(options=videos, value=video or videos[0], description="video")
        self.scene = self._open(self.video.value, None)
        self._make_controls(score_threshold)
        self._fill()
        self._watch()
        self._redraw()

    # --- controls ---

    def _make_controls(self, score_threshold):
        wide = ui.Layout(width="420px")
        self.time = ui.IntSlider(0, 0, 1, description="frame", continuous_update=True, readout=False, layout=wide)
        self.play = ui.Play(min=0, max=1, repeat=True)
        ui.jslink((self.play, "value"), (self.time, "value"))
        self.clock = ui.Label()
        self.threshold = ui.FloatSlider(score_threshold, min=0, max=1, step=0.05, description="score ≥")
        self.action = ui.Dropdown(options=[("all actions", None)], description="action")
        known = "annotated" in self.scene.moments
        states = [(words, key) for key, words in TRUTH.items()]
        self.truth = ui.Dropdown(options=states, value="beside" if known else "off", description="truth")
        self.by_person = ui.Checkbox(not known, description="a colour per person", indent=False)
        self.rows = {name: ui.ToggleButton(True, description=name) for name in self.scene.rows}
        self.mistake = ui.Button(description="next mistake", tooltip="the surest mistakes of the first row, in order")
        self.example = ui.Button(description="next example", tooltip="the next second at which the action is annotated")
        self.words, self.image, self.panel = ui.Label(), ui.Image(format="jpeg"), ui.HTML()
        self.image.layout = ui.Layout(align_self="flex-start", max_width="100%")  # or one panel would be blown up
        self.buttons = ui.HBox(layout=ui.Layout(flex_flow="row wrap"))
        self.truth.layout.display = None if known and self.rows else "none"
        rows = ui.HBox(list(self.rows.values()), layout=ui.Layout(flex_flow="row wrap"))
        rows.layout.display = None if len(self.rows) > 1 else "none"
        seek = ui.HBox([self.mistake, self.example, self.words])
        seek.layout.display = None if self.jumps else "none"
        self.video.layout.display = None if len(self.video.options) > 1 else "none"
        lines = [[self.video, self.play, self.time, self.clock], [self.threshold, self.action, self.truth]]
        lines[1].append(self.by_person)
        lines = [ui.HBox(line, layout=ui.Layout(flex_flow="row wrap")) for line in lines]
        self.widget = ui.VBox([*lines, rows, seek, self.image, self.buttons, self.panel])

    def _watch(self):
        self.video.observe(lambda _: self._load(self.video.value), "value")
        for control in (self.time, self.threshold, self.action, self.truth, self.by_person, *self.rows.values()):
            control.observe(self._redraw, "value")
        self.mistake.on_click(lambda _: self.next_mistake())
        self.example.on_click(lambda _: self.next_example())

    def _load(self, video_id, time_s=None):
        """Open a video (around time_s) and fill the controls with what is in it."""
        if self._loading:
            return
        self._loading = True
        try:
            self.scene, self.picked = self._open(video_id, time_s), None
            self.video.value = video_id
            self._fill()
        finally:
            self._loading = False
        self._redraw()

    def _fill(self):
        last = len(self.scene.frames) - 1
        self.time.value = 0
        self.time.max = self.play.max = last
        self.play.interval = round(1000 / self.scene.fps)
        chosen, options = self.action.value, self._choices()
        self.action.options = options
        self.action.value = chosen if chosen in dict(options).values() else None
        everybody = [*self.scene.truth, *(moment for row in self.scene.rows.values() for moment in row)]
        self.people = {i: self._button(i) for i in sorted({p.person_id for moment in everybody for p in moment})}
        self.buttons.children = [ui.Label("people (click one):"), *self.people.values()]
        self._strips = lru_cache(maxsize=64)(lambda person, score: build_person_strips(self.scene, person, score))

    def _button(self, person_id):
        button = ui.Button(description=f"person {person_id}", layout=ui.Layout(width="110px"))
        button.style.button_color, button.style.text_color = get_person_color(person_id), "#141414"
        button.on_click(lambda _: self.pick(None if self.picked == person_id else person_id))
        return button

    def _choices(self):
        """('all actions', None) and every action that anybody is annotated or predicted with, by name."""
        moments = [moment for found in self.scene.moments.values() for moment in found.values()]
        found = {action for people in moments for person in people for action, _ in person.labels}
        names = self.scene.label_map or {action: shorten_action_name(action) for action in found}
        return [("all actions", None), *sorted((names[action], action) for action in found)]

    # --- what is done ---

    def pick(self, person_id):
        """Look at one person (None: at everybody): its boxes alone keep labels, its timeline is shown."""
        self.picked = person_id
        self._redraw()

    def go(self, video_id, time_s):
        """To a second of a video."""
        if video_id != self.video.value or not self.scene.start <= time_s < self.scene.stop:
            self._load(video_id, None if self._covers(video_id, time_s) else time_s)
        self.time.value = int(abs(self.scene.times_s - time_s).argmin())

    def _covers(self, video_id, time_s):
        """Whether opening a video without a time shows that second."""
        opened = self._open(video_id, None)
        return opened.start <= time_s < opened.stop

    def next_mistake(self):
        """To the next of the first shown row's surest mistakes (with the chosen action), and the person concerned."""
        name = next((name for name, toggle in self.rows.items() if toggle.value), None)
        self._jump(self.jumps.mistake(name, self.action.value, self.threshold.value) if name else None, "mistake")

    def next_example(self):
        """To the next annotated second with the chosen action, after this one, in the order of videos and time."""
        if self.action.value is None:
            self.words.value = "choose an action first"
            return
        here = self.video.value, float(self.scene.times_s[self.time.value])
        self._jump(self.jumps.example(self.action.value, *here), "example")

    def _jump(self, found, what):
        if found is None:
            self.words.value = f"no (more) {what} with these settings"
            return
        self.go(found.video_id, found.time_s)
        self.pick(self._nearest(found.box))
        self.words.value = found.words

    def _nearest(self, box):
        """The person_id whose box at this frame is nearest to a given one."""
        i = self.time.value
        people = [p for moment in (self.scene.truth[i], *(r[i] for r in self.scene.rows.values())) for p in moment]
        return min(people, key=lambda p: abs(p.box - box).sum()).person_id if people else None

    # --- what is seen ---

    def look(self):
        """The Look that the controls stand for."""
        chosen = None if self.action.value is None else frozenset({self.action.value})
        truth, by_person = self.truth.value, self.by_person.value
        return RenderOptions(self.threshold.value, self.top_k, chosen, truth != "off", truth == "under", by_person,
                    picked=self.picked)  # fmt: skip

    def picture(self, i):
        """Frame i as it is to be seen now, (H,W,3) uint8."""
        shown = [name for name, toggle in self.rows.items() if toggle.value]
        panels = max(1, len(shown) + (self.truth.value == "beside"))
        columns = min(panels, 4 if panels != 6 else 3)
        width = min(480, (self.width - 4 * (columns - 1)) // columns)
        return render_scene(
            self.scene, i, self._scaled(id(self.scene), i, width), self.look(), columns=columns, shown=shown
        )

    def show(self, i):
        """Frame i as it is to be seen now: JPEG bytes."""
        with io.BytesIO() as buffer:
            Image.fromarray(self.picture(i)).save(buffer, "JPEG", quality=88)
            return buffer.getvalue()

    def sheet(self, columns=2, every_s=1.0):
        """The static twin: what is seen at every `every_s` seconds, as the controls stand -> PIL image."""
        chosen = range(0, len(self.scene.frames), max(1, round(every_s * self.scene.fps)))
        return draw_contact_sheet([self.picture(i) for i in chosen], columns)

    def _redraw(self, _=None):
        if self._loading:
            return
        i = self.time.value
        self.image.value = self.show(i)
        self.clock.value = f"{self.scene.times_s[i]:.1f} s"
        for person_id, button in self.people.items():
            button.icon = "check" if person_id == self.picked else ""
        found = () if self.picked is None else self._strips(self.picked, self.threshold.value)
        shown = {"annotated"} | {name for name, toggle in self.rows.items() if toggle.value}
        found = [strip for strip in found if strip[0] in shown]
        self.panel.value = "" if self.picked is None else render_person_html(self.scene, self.picked, found, i)

    def _ipython_display_(self):
        display(self.widget)


def open_workbench(layout, truth, rows, video="", seconds=40, fps=10, label_map=None, exclusions=None, **options):
    """The Workbench of a data set's split, to be the last line of a notebook's cell.

    truth: its ground truth; rows: {name: detections}, as `find_rows` gives them; video: the id to begin with, "" the
    one with the most actions; seconds, fps: how much of a video is open at a time; label_map, exclusions (paths): what
    counts when mistakes are looked for; options: Workbench's score_threshold, top_k, width (pixels).
    """
    first = truth.groupby("video_id").timestamp.min()

    def open_scene(video_id, time_s):
        start = first[video_id] if time_s is None else max(first[video_id], time_s - seconds / 2)
        return load_scene(layout, truth, rows, video_id, float(start), seconds, fps)

    video = video or truth.groupby("video_id").action_id.nunique().idxmax()
    return Workbench(
        open_scene, sorted(first.index), MistakeNavigator(truth, rows, label_map, exclusions), video=video, **options
    )


def open_scrubber(scene, **options):
    """The Workbench of one Scene; options: score_threshold, top_k, width (pixels)."""
    return Workbench(lambda video_id, time_s: scene, [scene.video_id], **options)
