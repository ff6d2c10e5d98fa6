"""The workbench's sliders, menus and buttons, and how they are laid out. What they do is in workbench.py."""

from collections import Counter

import ipywidgets as ui

from avalib.data.labels import shorten_action_name
from avalib.draw.colors import get_person_color
from avalib.draw.scene import ANNOTATED

ANNOTATION_CHOICES = {"beside": "annotation beside", "under": "annotation under (dashed)", "off": "no annotation"}
ALL_ACTIONS = ("all actions", 0)  # ipywidgets shows nothing for the value None
BUTTON_TEXT_COLOR = "#141414"


class WorkbenchControls:
    """The widgets of a Workbench; `widget` holds all of them.

    Parameters
    ----------
    videos : list of str
        The video_ids to choose from.
    video : str
        The one to begin with.
    models : list of str
        A toggle button for each.
    is_annotated : bool
        Whether there is an annotation to be drawn.
    has_navigation : bool
        Whether mistakes and examples can be found.
    score_threshold : float
        The threshold's first value.
    by_person : bool
        Whether each person has a color of its own at first.
    """

    def __init__(self, videos, video, models, is_annotated, has_navigation, score_threshold, by_person):
        self.video = ui.Dropdown(options=videos, value=video, description="video")
        self.time = ui.IntSlider(
            value=0,
            min=0,
            max=1,
            description="frame",
            continuous_update=True,
            readout=False,
            layout=ui.Layout(width="420px"),
        )
        self.play = ui.Play(min=0, max=1, repeat=True)
        ui.jslink((self.play, "value"), (self.time, "value"))
        self.clock = ui.Label()
        self.threshold = ui.FloatSlider(score_threshold, min=0, max=1, step=0.05, description="score ≥")
        self.action = ui.Dropdown(options=[ALL_ACTIONS], description="action")
        self.annotation = ui.Dropdown(
            options=[(text, mode) for mode, text in ANNOTATION_CHOICES.items()],
            value="beside" if is_annotated else "off",
            description="truth",
        )
        self.by_person = ui.Checkbox(by_person, description="a color per person", indent=False)
        self.model_toggles = {name: ui.ToggleButton(True, description=name) for name in models}
        self.mistake_button = ui.Button(
            description="next mistake", tooltip="the surest mistakes of the first model, in order"
        )
        self.missed_button = ui.Button(
            description="next missed", tooltip="the next annotated action whose score is below the threshold"
        )
        self.example_button = ui.Button(
            description="next example", tooltip="the next second at which the action is annotated"
        )
        self.message = ui.Label()  # beside these buttons
        # Without these limits one panel alone would be blown up.
        self.image = ui.Image(format="jpeg", layout=ui.Layout(align_self="flex-start", max_width="100%"))
        self.person_buttons = {}  # {person_id: button}
        self.person_bar = ui.HBox(layout=ui.Layout(flex_flow="row wrap"))
        self.person_panel = ui.HTML()
        self.widget = self._build_layout(is_annotated, has_navigation)

    def _build_layout(self, is_annotated, has_navigation):
        """Put the controls in lines; those without a use here are hidden."""
        models = _wrap_line(self.model_toggles.values())
        navigation = _wrap_line([self.mistake_button, self.missed_button, self.example_button, self.message])
        _show(self.video, len(self.video.options) > 1)
        _show(self.annotation, is_annotated and bool(self.model_toggles))
        _show(models, len(self.model_toggles) > 1)
        _show(navigation, has_navigation)
        return ui.VBox(
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

    def list_shown_models(self):
        """The models whose toggle is on."""
        return [name for name, toggle in self.model_toggles.items() if toggle.value]

    def list_drawing_controls(self):
        """The controls whose change needs another picture of the same people."""
        controls = [self.time, self.annotation, self.by_person]
        return [*controls, *self.model_toggles.values()]

    def set_frames(self, n_frames, fps):
        """Set the slider and the player to a video of n_frames."""
        self.time.value = 0
        self.time.max = n_frames - 1
        self.play.max = n_frames - 1
        self.play.interval = round(1000 / fps)

    def set_actions(self, texts):
        """Offer the actions {action_id: text}, sorted by text; the selected one stays if it is among them."""
        selected = self.action.value
        self.action.options = [ALL_ACTIONS, *sorted((text, action_id) for action_id, text in texts.items())]
        self.action.value = selected if selected in texts else ALL_ACTIONS[1]

    def set_people(self, person_ids, on_click):
        """A button in its color for each person; on_click(person_id) is called."""
        self.person_buttons = {person_id: _build_person_button(person_id, on_click) for person_id in person_ids}
        self.person_bar.children = [ui.Label("people (click one):"), *self.person_buttons.values()]

    def mark_person(self, person_id):
        """Show a check on one person's button (None: on nobody's)."""
        for other_id, button in self.person_buttons.items():
            button.icon = "check" if other_id == person_id else ""


def describe_actions(scene, score_threshold, selected=ALL_ACTIONS[1]):
    """{action_id: "stand (12 annotated, 30 predicted)"} of the actions that occur in a Scene, and of the selected one.

    Predictions count where the score reaches the threshold, those of all models together.
    """
    n_annotated = Counter(scene.to_table(ANNOTATED).action_id) if scene.is_annotated else Counter()
    n_predicted = Counter()
    for model in scene.predictions:
        table = scene.to_table(model)
        n_predicted.update(table.action_id[table.score >= score_threshold])
    texts = {}
    for action in {*n_annotated, *n_predicted, selected} - {ALL_ACTIONS[1]}:
        name = (scene.label_map or {}).get(action) or shorten_action_name(action)
        counts = f"{n_annotated[action]} annotated, " if scene.is_annotated else ""
        texts[int(action)] = f"{name} ({counts}{n_predicted[action]} predicted)"
    return texts


def _build_person_button(person_id, on_click):
    """A button in the person's color."""
    button = ui.Button(description=f"person {person_id}", layout=ui.Layout(width="110px"))
    button.style.button_color = get_person_color(person_id)
    button.style.text_color = BUTTON_TEXT_COLOR
    button.on_click(lambda _: on_click(person_id))
    return button


def _show(control, is_shown):
    """Show a control, or take it off the page."""
    control.layout.display = None if is_shown else "none"


def _wrap_line(controls):
    """Controls side by side, in as many lines as the page needs."""
    return ui.HBox(list(controls), layout=ui.Layout(flex_flow="row wrap"))
