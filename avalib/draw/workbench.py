"""The workbench of notebooks 05 and 07: a video, its annotation and the models' detections, with sliders and buttons.

`Workbench.static_snapshot` is its picture for headless runs.
"""

import base64
import io
from collections.abc import Callable
from functools import lru_cache

from PIL import Image

from avalib.draw.mistake_navigator import MistakeNavigator
from avalib.draw.person_timeline import build_person_strips, render_person_html
from avalib.draw.render import RenderOptions, SceneRenderer
from avalib.draw.scene import ANNOTATED, Scene
from avalib.draw.sheets import draw_contact_sheet
from avalib.draw.workbench_controls import ALL_ACTIONS, WorkbenchControls, describe_actions
from avalib.video.resize import resize_to_width

MAX_PANEL_WIDTH = 480  # pixels
PANEL_GAP = 4
OPEN_SCENES = 4  # that stay in memory
SCALED_FRAMES = 2048  # that stay in memory
MAX_COLUMNS = 4
JPEG_QUALITY = 88


class Workbench:
    """Scenes with a time slider, and controls for what is drawn; the last line of a notebook's cell shows it.

    Parameters
    ----------
    open_scene : callable
        (video_id, start or None) -> Scene.
    videos : list of str
        The video_ids to choose from.
    navigator : MistakeNavigator, optional
        Finds mistakes and examples.
    score_threshold : float
        The threshold's first value.
    top_k : int
        At most this many predictions for each person.
    width : int
        Of the picture, in pixels.
    video : str, optional
        The video_id to begin with.
    by_person : bool
        Whether each person has a color of its own at first.

    Attributes
    ----------
    controls : WorkbenchControls
    scene : Scene
        The one that is open.
    selected_person : int or None
        The person_id that was clicked.
    """

    def __init__(
        self,
        open_scene: Callable[[str, float | None], Scene],
        videos: list[str],
        navigator: MistakeNavigator | None = None,
        score_threshold: float = 0.3,
        top_k: int = 3,
        width: int = 1000,
        video: str | None = None,
        by_person: bool = False,
    ):
        self._open_scene = lru_cache(maxsize=OPEN_SCENES)(open_scene)
        # Frames are kept scaled, so that a step of the slider only draws boxes and encodes one JPEG.
        self._resize_frame = lru_cache(maxsize=SCALED_FRAMES)(
            lambda video_id, start, i, width: resize_to_width(self.scene.frames[i], width)
        )
        self.navigator = navigator
        self.top_k = top_k
        self.width = width
        self.selected_person = None
        self._is_loading = False  # controls change while a video is opened: nothing is drawn yet
        video = video or videos[0]
        self.scene = self._open_scene(video, None)
        self.controls = WorkbenchControls(
            videos,
            video,
            models=list(self.scene.predictions),
            is_annotated=self.scene.is_annotated,
            has_navigation=navigator is not None,
            score_threshold=score_threshold,
            by_person=by_person,
        )
        self._fill_controls()
        self._connect_controls()
        self._redraw()

    def _connect_controls(self):
        """Connect each control with what it changes."""
        controls = self.controls
        controls.video.observe(self._change_video, "value")
        for control in (controls.action, controls.threshold):
            control.observe(self._change_search, "value")
        for control in controls.list_drawing_controls():
            control.observe(self._redraw, "value")
        controls.mistake_button.on_click(lambda _: self.go_to_next_mistake())
        controls.missed_button.on_click(lambda _: self.go_to_next_missed())
        controls.example_button.on_click(lambda _: self.go_to_next_example())

    def _change_video(self, _):
        """Open the video that the user has chosen."""
        if not self._is_loading:
            self._forget_search()
            self._load(self.controls.video.value)

    def _change_search(self, _):
        """Another action or threshold: the actions' counts and the picture change."""
        if self._is_loading:
            return
        self._forget_search()
        self._is_loading = True
        try:
            self._fill_actions()
        finally:
            self._is_loading = False
        self._redraw()

    def _forget_search(self):
        """Clear the message and the selected person, and begin the lists of mistakes again."""
        self.controls.message.value = ""
        self.selected_person = None
        if self.navigator is not None:
            self.navigator.restart()

    def _load(self, video_id, time_s=None):
        """Open a video (around time_s) and fill the controls with what is in it."""
        if self._is_loading:
            return
        self._is_loading = True
        try:
            self.scene = self._open_scene(video_id, time_s)
            self.selected_person = None
            self.controls.video.value = video_id
            self._fill_controls()
        finally:
            self._is_loading = False
        self._redraw()

    def _fill_controls(self):
        """Set the controls to the scene: its length, actions and people."""
        scene = self.scene
        self.controls.set_frames(len(scene.frames), scene.fps)
        self._fill_actions()
        # Everybody who is annotated or predicted in any frame.
        people_by_frame = [*scene.annotated]
        for predicted in scene.predictions.values():
            people_by_frame += predicted
        person_ids = sorted({person.person_id for people in people_by_frame for person in people})
        self.controls.set_people(person_ids, self._toggle_person)
        self._build_strips = lru_cache(maxsize=64)(
            lambda person_id, score_threshold: build_person_strips(scene, person_id, score_threshold)
        )

    def _fill_actions(self):
        """Offer the actions that occur in the scene."""
        controls = self.controls
        controls.set_actions(describe_actions(self.scene, controls.threshold.value, controls.action.value))

    # --- commands ---

    def select_person(self, person_id):
        """Select one person (None: everybody): its boxes alone keep labels, and its timeline is shown."""
        self.selected_person = person_id
        self._redraw()

    def _toggle_person(self, person_id):
        """Select a person, or everybody again."""
        self.select_person(None if self.selected_person == person_id else person_id)

    def go_to(self, video_id, time_s):
        """Show a second of a video."""
        if video_id != self.controls.video.value or not self.scene.start <= time_s < self.scene.stop:
            # The scene at the video's beginning is open already, or will be: use it if it has the second.
            first_scene = self._open_scene(video_id, None)
            is_at_start = first_scene.start <= time_s < first_scene.stop
            self._load(video_id, None if is_at_start else time_s)
        self.controls.time.value = int(abs(self.scene.times_s - time_s).argmin())

    def go_to_next_mistake(self):
        """Show the next of the first shown model's surest mistakes (of the selected action), and select the person."""
        controls = self.controls
        models = controls.list_shown_models()
        target = None
        if models:
            target = self.navigator.find_next_mistake(models[0], controls.action.value, controls.threshold.value)
        self._go_to_target(target, "mistake")

    def go_to_next_missed(self):
        """Show the next annotated person whose (selected) action the first shown model misses, and select the person.

        An action is missed if its score on the person's box is below the threshold, or if there is no such box.
        """
        controls = self.controls
        models = controls.list_shown_models()
        target = None
        if models:
            target = self.navigator.find_next_missed(
                models[0], controls.action.value, controls.threshold.value, controls.video.value, self._get_time_s()
            )
        self._go_to_target(target, "missed action")

    def _get_time_s(self):
        """The time of the frame on the screen, in seconds of the data set."""
        return float(self.scene.times_s[self.controls.time.value])

    def go_to_next_example(self):
        """Show the next annotated second with the selected action, in the order of videos and time."""
        controls = self.controls
        if controls.action.value == ALL_ACTIONS[1]:
            controls.message.value = "choose an action first"
            return
        target = self.navigator.find_next_example(controls.action.value, controls.video.value, self._get_time_s())
        self._go_to_target(target, "example")

    def _go_to_target(self, target, kind):
        """Show a NavigationTarget and select its person; None: say that there is none."""
        if target is None:
            self.controls.message.value = f"no (more) {kind} with these settings"
            return
        self.go_to(target.video_id, target.time_s)
        self.select_person(self._find_nearest_person(target.box))
        self.controls.message.value = target.description

    def _find_nearest_person(self, box):
        """The person_id whose box at this frame is nearest to `box`; None where nobody is."""
        # All boxes at this frame; the distance is the sum over the four coordinates.
        i = self.controls.time.value
        people = list(self.scene.annotated[i])
        for predicted in self.scene.predictions.values():
            people += predicted[i]
        return min(people, key=lambda person: abs(person.box - box).sum()).person_id if people else None

    # --- pictures ---

    def get_options(self):
        """The RenderOptions that the controls stand for."""
        controls = self.controls
        return RenderOptions(
            score_threshold=controls.threshold.value,
            top_k=self.top_k,
            actions=None if controls.action.value == ALL_ACTIONS[1] else frozenset({controls.action.value}),
            annotation=controls.annotation.value,
            by_person=controls.by_person.value,
            person_id=self.selected_person,
        )

    def render_frame(self, i):
        """Frame i as the controls have it, (H,W,3) uint8."""
        # Panels side by side, so many that each stays wide enough; six look better as two lines of three.
        models = self.controls.list_shown_models()
        n_panels = max(1, len(models) + (self.controls.annotation.value == "beside"))
        columns = 3 if n_panels == 6 else min(n_panels, MAX_COLUMNS)
        panel_width = min(MAX_PANEL_WIDTH, (self.width - PANEL_GAP * (columns - 1)) // columns)
        renderer = SceneRenderer(self.scene, self.get_options(), models=models, columns=columns)
        return renderer.render(i, self._resize_frame(self.scene.video_id, self.scene.start, i, panel_width))

    def encode_frame(self, i):
        """Frame i as the controls have it: JPEG bytes."""
        with io.BytesIO() as buffer:
            Image.fromarray(self.render_frame(i)).save(buffer, "JPEG", quality=JPEG_QUALITY)
            return buffer.getvalue()

    def static_snapshot(self, columns: int = 2, every_s: float = 1.0) -> Image.Image:
        """A frame every `every_s` seconds, as the controls have it, on one sheet -> PIL image."""
        step = max(1, round(every_s * self.scene.fps))
        return draw_contact_sheet([self.render_frame(i) for i in range(0, len(self.scene.frames), step)], columns)

    def _redraw(self, _=None):
        """Show the frame and the selected person as the controls have them."""
        if self._is_loading:
            return
        controls = self.controls
        i = controls.time.value
        controls.image.value = self.encode_frame(i)
        controls.clock.value = f"{self.scene.times_s[i]:.1f} s"
        controls.mark_person(self.selected_person)
        controls.person_panel.value = "" if self.selected_person is None else self._render_person(i)

    def _render_person(self, i):
        """HTML of the selected person: the annotation and the shown models."""
        shown_sources = {ANNOTATED, *self.controls.list_shown_models()}
        strips = self._build_strips(self.selected_person, self.controls.threshold.value)
        strips = [strip for strip in strips if strip.source in shown_sources]
        return render_person_html(self.scene, self.selected_person, strips, i)

    def _repr_mimebundle_(self, **options):
        """The widget, and the frame as a picture for an executed copy, where no kernel is behind the widget."""
        bundle = self.controls.widget._repr_mimebundle_(**options)
        models = ", ".join(self.controls.list_shown_models())
        text = f"The workbench ({self.scene.video_id}; {models}): its controls need a running kernel."
        return bundle | {"image/jpeg": base64.b64encode(self.controls.image.value).decode(), "text/plain": text}
