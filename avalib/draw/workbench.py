"""The workbench of notebooks 05 and 07: a video, its annotation and the models' detections, with sliders and buttons.

`Workbench.static_snapshot` is its picture for headless runs.
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
from avalib.draw.render import RenderOptions, SceneRenderer
from avalib.draw.scene import ANNOTATED, find_busiest_video, load_scene
from avalib.draw.sheets import draw_contact_sheet

ANNOTATION_CHOICES = {"beside": "annotation beside", "under": "annotation under (dashed)", "off": "no annotation"}
ALL_ACTIONS = "all actions"
MAX_PANEL_WIDTH = 480  # pixels
PANEL_GAP = 4
OPEN_SCENES = 4  # that stay in memory
SCALED_FRAMES = 2048
MAX_COLUMNS = 4
JPEG_QUALITY = 88


class Workbench:
    """Scenes with a time slider, and controls for what is drawn; the last line of a notebook's cell shows it.

    The controls are attributes: video, time, play, threshold, action, annotation, by_person, model_toggles {model:
    toggle}, person_buttons {person_id: button}, mistake_button, example_button. `.widget` holds all of them, `.message`
    is the line of text beside the two buttons.

    Parameters
    ----------
    open_scene : callable
        (video_id, start or None) -> Scene.
    videos : list of str
        The video_ids to choose from.
    navigator : MistakeNavigator, optional
        What the two buttons ask.
    score_threshold : float
        The threshold's first value.
    top_k : int
        At most so many predictions for each person.
    width : int
        Of the picture, in pixels.
    video : str, optional
        The video_id to begin with.
    """

    def __init__(self, open_scene, videos, navigator=None, score_threshold=0.3, top_k=3, width=1000, video=None):
        self._open_scene = lru_cache(maxsize=OPEN_SCENES)(open_scene)
        # Frames are kept scaled, so that a step of the slider only draws boxes and encodes one JPEG.
        self._scale_frame = lru_cache(maxsize=SCALED_FRAMES)(
            lambda scene_id, i, width: scale_frame(self.scene.frames[i], width)
        )
        self.navigator = navigator
        self.top_k = top_k
        self.width = width
        self.selected_person = None  # the person_id that was clicked
        self.person_buttons = {}
        self._is_loading = False  # controls change while a video is opened: nothing is drawn yet
        self.video = ui.Dropdown(options=videos, value=video or videos[0], description="video")
        self.scene = self._open_scene(self.video.value, None)
        self._build_controls(score_threshold)
        self._build_layout()
        self._fill_controls()
        self._connect_controls()
        self._redraw()

    # --- controls ---

    def _build_controls(self, score_threshold):
        """Make the controls that stay the same from video to video."""
        is_annotated = self.scene.is_annotated
        slider_layout = ui.Layout(width="420px")
        self.time = ui.IntSlider(
            value=0,
            min=0,
            max=1,
            description="frame",
            continuous_update=True,
            readout=False,
            layout=slider_layout,
        )
        self.play = ui.Play(min=0, max=1, repeat=True)
        ui.jslink((self.play, "value"), (self.time, "value"))
        self.clock = ui.Label()
        self.threshold = ui.FloatSlider(score_threshold, min=0, max=1, step=0.05, description="score ≥")
        self.action = ui.Dropdown(options=[(ALL_ACTIONS, None)], description="action")
        self.annotation = ui.Dropdown(
            options=[(text, mode) for mode, text in ANNOTATION_CHOICES.items()],
            value="beside" if is_annotated else "off",
            description="truth",
        )
        self.by_person = ui.Checkbox(not is_annotated, description="a color per person", indent=False)
        self.model_toggles = {name: ui.ToggleButton(True, description=name) for name in self.scene.predictions}
        self.mistake_button = ui.Button(
            description="next mistake", tooltip="the surest mistakes of the first model, in order"
        )
        self.example_button = ui.Button(
            description="next example", tooltip="the next second at which the action is annotated"
        )
        self.message = ui.Label()
        # Without these limits one panel alone would be blown up.
        self.image = ui.Image(format="jpeg", layout=ui.Layout(align_self="flex-start", max_width="100%"))
        self.person_bar = ui.HBox(layout=ui.Layout(flex_flow="row wrap"))
        self.person_panel = ui.HTML()

    def _build_layout(self):
        """Put the controls in lines; those without a use here are hidden."""
        models = _wrap_line(self.model_toggles.values())
        navigation = ui.HBox([self.mistake_button, self.example_button, self.message])
        has_choice = self.scene.is_annotated and self.model_toggles
        self.video.layout.display = None if len(self.video.options) > 1 else "none"
        self.annotation.layout.display = None if has_choice else "none"
        models.layout.display = None if len(self.model_toggles) > 1 else "none"
        navigation.layout.display = None if self.navigator else "none"
        self.widget = ui.VBox(
            [
                _wrap_line([self.video, self.play, self.time, self.clock]),
                _wrap_line([self.threshold, self.action, self.annotation, self.by_person]),
                models,
                navigation,
                self.image,
                self.person_bar,
                self.person_panel,
            ]
        )

    def _connect_controls(self):
        """Call what the controls are for when they change."""
        self.video.observe(lambda _: self._load(self.video.value), "value")
        drawn_controls = [self.time, self.threshold, self.action, self.annotation, self.by_person]
        for control in (*drawn_controls, *self.model_toggles.values()):
            control.observe(self._redraw, "value")
        self.mistake_button.on_click(lambda _: self.go_to_next_mistake())
        self.example_button.on_click(lambda _: self.go_to_next_example())

    def _load(self, video_id, time_s=None):
        """Open a video (around time_s) and fill the controls with what is in it."""
        if self._is_loading:
            return
        self._is_loading = True
        try:
            self.scene = self._open_scene(video_id, time_s)
            self.selected_person = None
            self.video.value = video_id
            self._fill_controls()
        finally:
            self._is_loading = False
        self._redraw()

    def _fill_controls(self):
        """Set the controls to the scene: its length, actions and people."""
        last = len(self.scene.frames) - 1
        self.time.value = 0
        self.time.max = last
        self.play.max = last
        self.play.interval = round(1000 / self.scene.fps)
        selected_action = self.action.value
        choices = self._list_action_choices()
        self.action.options = choices
        self.action.value = selected_action if selected_action in dict(choices).values() else None
        people_by_frame = [*self.scene.annotated]
        for predicted in self.scene.predictions.values():
            people_by_frame += predicted
        person_ids = sorted({person.person_id for people in people_by_frame for person in people})
        self.person_buttons = {person_id: self._build_person_button(person_id) for person_id in person_ids}
        self.person_bar.children = [ui.Label("people (click one):"), *self.person_buttons.values()]
        self._build_strips = lru_cache(maxsize=64)(
            lambda person_id, score_threshold: build_person_strips(self.scene, person_id, score_threshold)
        )

    def _build_person_button(self, person_id):
        """A button in the person's color that selects it, or nobody again."""
        button = ui.Button(description=f"person {person_id}", layout=ui.Layout(width="110px"))
        button.style.button_color = get_person_color(person_id)
        button.style.text_color = "#141414"
        button.on_click(lambda _: self.select_person(None if self.selected_person == person_id else person_id))
        return button

    def _list_action_choices(self):
        """("all actions", None) and (name, action_id) of every action that is annotated or predicted, by name."""
        actions = {
            action
            for people_by_time in self.scene.people_by_time.values()
            for people in people_by_time.values()
            for person in people
            for action, _ in person.labels
        }
        names = {action: shorten_action_name(action) for action in actions} | (self.scene.label_map or {})
        return [(ALL_ACTIONS, None), *sorted((names[action], action) for action in actions)]

    # --- commands ---

    def select_person(self, person_id):
        """Select one person (None: everybody): its boxes alone keep labels, and its timeline is shown."""
        self.selected_person = person_id
        self._redraw()

    def go_to(self, video_id, time_s):
        """Show a second of a video."""
        if video_id != self.video.value or not self.scene.start <= time_s < self.scene.stop:
            first_scene = self._open_scene(video_id, None)
            is_at_start = first_scene.start <= time_s < first_scene.stop
            self._load(video_id, None if is_at_start else time_s)
        self.time.value = int(abs(self.scene.times_s - time_s).argmin())

    def go_to_next_mistake(self):
        """Show the next of the first shown model's surest mistakes (of the selected action), and select the person."""
        models = self._list_shown_models()
        target = None
        if models:
            target = self.navigator.find_next_mistake(models[0], self.action.value, self.threshold.value)
        self._go_to_target(target, "mistake")

    def go_to_next_example(self):
        """Show the next annotated second with the selected action, in the order of videos and time."""
        if self.action.value is None:
            self.message.value = "choose an action first"
            return
        time_s = float(self.scene.times_s[self.time.value])
        self._go_to_target(self.navigator.find_next_example(self.action.value, self.video.value, time_s), "example")

    def _go_to_target(self, target, kind):
        if target is None:
            self.message.value = f"no (more) {kind} with these settings"
            return
        self.go_to(target.video_id, target.time_s)
        self.select_person(self._find_nearest_person(target.box))
        self.message.value = target.description

    def _find_nearest_person(self, box):
        """The person_id whose box at this frame is nearest to `box`; None where nobody is."""
        i = self.time.value
        people = list(self.scene.annotated[i])
        for predicted in self.scene.predictions.values():
            people += predicted[i]
        return min(people, key=lambda person: abs(person.box - box).sum()).person_id if people else None

    # --- pictures ---

    def _list_shown_models(self):
        """The models whose toggle is on."""
        return [name for name, toggle in self.model_toggles.items() if toggle.value]

    def get_options(self):
        """The RenderOptions that the controls stand for."""
        return RenderOptions(
            score_threshold=self.threshold.value,
            top_k=self.top_k,
            actions=None if self.action.value is None else frozenset({self.action.value}),
            annotation=self.annotation.value,
            by_person=self.by_person.value,
            person_id=self.selected_person,
        )

    def render_frame(self, i):
        """Frame i as the controls have it, (H,W,3) uint8."""
        models = self._list_shown_models()
        n_panels = max(1, len(models) + (self.annotation.value == "beside"))
        columns = 3 if n_panels == 6 else min(n_panels, MAX_COLUMNS)
        panel_width = min(MAX_PANEL_WIDTH, (self.width - PANEL_GAP * (columns - 1)) // columns)
        renderer = SceneRenderer(self.scene, self.get_options(), models=models, columns=columns)
        return renderer.render(i, self._scale_frame(id(self.scene), i, panel_width))

    def encode_frame(self, i):
        """Frame i as the controls have it: JPEG bytes."""
        with io.BytesIO() as buffer:
            Image.fromarray(self.render_frame(i)).save(buffer, "JPEG", quality=JPEG_QUALITY)
            return buffer.getvalue()

    def static_snapshot(self, columns=2, every_s=1.0):
        """A frame every `every_s` seconds, as the controls have it, on one sheet -> PIL image."""
        step = max(1, round(every_s * self.scene.fps))
        return draw_contact_sheet([self.render_frame(i) for i in range(0, len(self.scene.frames), step)], columns)

    def _redraw(self, _=None):
        """Show the frame and the selected person as the controls have them."""
        if self._is_loading:
            return
        i = self.time.value
        self.image.value = self.encode_frame(i)
        self.clock.value = f"{self.scene.times_s[i]:.1f} s"
        for person_id, button in self.person_buttons.items():
            button.icon = "check" if person_id == self.selected_person else ""
        self.person_panel.value = "" if self.selected_person is None else self._render_person(i)

    def _render_person(self, i):
        """HTML of the selected person: the annotation and the shown models."""
        shown_sources = {ANNOTATED, *self._list_shown_models()}
        strips = self._build_strips(self.selected_person, self.threshold.value)
        strips = [strip for strip in strips if strip.source in shown_sources]
        return render_person_html(self.scene, self.selected_person, strips, i)

    def _ipython_display_(self):
        display(self.widget)


def _wrap_line(controls):
    """Controls side by side, in as many lines as the page needs."""
    return ui.HBox(list(controls), layout=ui.Layout(flex_flow="row wrap"))


def open_workbench(
    layout,
    truth,
    predictions,
    video="",
    seconds=40,
    fps=10,
    label_map=None,
    exclusions=None,
    score_threshold=0.3,
    top_k=3,
    width=1000,
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
    score_threshold, top_k, width
        As for Workbench.
    """
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
    )


def open_scrubber(scene, score_threshold=0.3, top_k=3, width=1000) -> Workbench:
    """Open the Workbench of one Scene; the options are those of Workbench."""
    return Workbench(
        lambda video_id, time_s: scene,
        [scene.video_id],
        score_threshold=score_threshold,
        top_k=top_k,
        width=width,
    )
