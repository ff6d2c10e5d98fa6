"""Where to go next in a split: a model's surest mistakes, the actions that it misses, the examples of an action."""

from dataclasses import dataclass

import numpy as np

from avalib.data.row_checks import BOX_COLUMNS
from avalib.evaluation.annotated_scores import list_annotated_scores
from avalib.evaluation.error_analysis import analyze_errors
from avalib.evaluation.frame_index import resolve_label_map

SAME_TIME_S = 0.05  # a frame that is so near to a keyframe shows it


@dataclass(frozen=True)
class NavigationTarget:
    """A moment of a video and a person in it."""

    video_id: str
    time_s: float  # seconds of the data set
    box: np.ndarray  # (4,) of the person, fractions of the frame
    description: str


class MistakeNavigator:
    """Finds the next mistake, the next missed action and the next example in a split.

    Parameters
    ----------
    truth : DataFrame
        The split's ground truth.
    predictions : dict
        {model: table of detections}.
    label_map : path or dict, optional
        The actions that count; default: AVA's 60.
    exclusions : path, optional
        The seconds that do not count.
    max_mistakes : int
        How many mistakes of each model are listed.
    """

    def __init__(self, truth, predictions, label_map=None, exclusions=None, max_mistakes=500):
        self.truth = truth
        self.predictions = predictions
        self.label_map = resolve_label_map(label_map)
        self.exclusions = exclusions
        self.max_mistakes = max_mistakes
        self._analyses = {}  # {model: ErrorAnalysis}
        self._mistakes = {}  # {model: table of its mistakes}
        self._annotated_scores = {}  # {model: table of the annotated actions with its scores}
        self.restart()

    def restart(self):
        """Begin all lists again, as after a change of what is looked for."""
        self._next = {}  # {(model, action): number of the next mistake}
        self._next_missed = {}  # {(model, action, threshold): number of the next missed action}

    def find_next_mistake(self, model, action=None, score_threshold=0.0):
        """The next mistake of a model, the surest first, as a NavigationTarget.

        action: only mistakes with this action_id. At the end: None, and the next call begins with the first again. A
        model's first call analyzes its detections, which takes a second or two.
        """
        table = self._list_mistakes(model)
        table = table[table.score >= score_threshold]
        if action:
            table = table[table.action_id == action]
        # How many mistakes of this choice were shown already; after the last one it begins again.
        number = self._next.get((model, action), 0)
        if number >= len(table):
            self._next[model, action] = 0
            return None
        self._next[model, action] = number + 1
        return self._describe_mistake(model, number, table.iloc[number])

    def _list_mistakes(self, model):
        """The table of a model's mistakes, the surest first."""
        if model not in self._mistakes:
            self._mistakes[model] = self._analyze(model).find_top_mistakes(self.max_mistakes)
        return self._mistakes[model]

    def _analyze(self, model):
        """A model's ErrorAnalysis, made once."""
        if model not in self._analyses:
            predictions = self.predictions[model]
            self._analyses[model] = analyze_errors(self.truth, predictions, self.label_map, self.exclusions)
        return self._analyses[model]

    def _describe_mistake(self, model, number, mistake):
        """The NavigationTarget of a line of the table of mistakes."""
        kind = mistake.kind.replace("_", " ")
        truth = f"this person: {mistake.does}" if mistake.does else "nobody is annotated there"
        what = f"{mistake.action} {mistake.score:.2f}, {kind}; {truth}"
        return _build_target(mistake, f"{number + 1}. {model}, {_format_place(mistake)}: {what}")

    def find_next_missed(self, model, action=None, score_threshold=0.0, video_id="", time_s=0.0):
        """The next annotated action that a model gives a lower score than the threshold, as a NavigationTarget.

        In the order of videos and times: first the one at time_s of a video or after it, after the last one the first
        again. None if nothing is missed. action: only this action_id.
        """
        table = self._list_annotated_scores(model)
        table = table[~(table.score >= score_threshold)]  # a person without a detected box has no score
        if action:
            table = table[table.action_id == action]
        if not len(table):
            return None
        # The list goes on where it is; at its beginning from this moment on.
        key = (model, action, score_threshold)
        if key not in self._next_missed:
            is_here = (table.video_id == video_id) & (table.timestamp >= time_s - SAME_TIME_S)
            self._next_missed[key] = int(((table.video_id > video_id) | is_here).to_numpy().argmax())
        number = self._next_missed[key] % len(table)
        self._next_missed[key] = number + 1
        label = table.iloc[number]
        score = "not detected" if np.isnan(label.score) else f"score {label.score:.2f}"
        what = f"missed {number + 1} of {len(table)}: {label.action}, {score}"
        return _build_target(label, f"{model}, {_format_place(label)}: {what}")

    def _list_annotated_scores(self, model):
        """The table of the annotated actions with a model's scores."""
        if model not in self._annotated_scores:
            self._annotated_scores[model] = list_annotated_scores(self._analyze(model))
        return self._annotated_scores[model]

    def find_next_example(self, action, video_id, time_s):
        """The next annotated second with an action, after time_s of a video, in the order of videos and times.

        After the last one comes the first. None if nobody is annotated with the action.
        """
        examples = self.truth[self.truth.action_id == action]
        examples = examples.sort_values(["video_id", "timestamp"], kind="stable")
        if not len(examples):
            return None
        # (E,) bool: which examples come after this moment, in the order of videos and times.
        is_in_later_video = examples.video_id > video_id
        is_later_in_video = (examples.video_id == video_id) & (examples.timestamp > time_s + SAME_TIME_S)
        is_later = (is_in_later_video | is_later_in_video).to_numpy()
        index = int(is_later.argmax())  # 0 where none is later: begin again
        example = examples.iloc[index]
        name = self.label_map.get(action, action)
        return _build_target(example, f"{name}: {index + 1} of {len(examples)} annotated, {_format_place(example)}")


def _format_place(row):
    """Where a row of a table is: "yrIj_o9B4vH 918 s"."""
    return f"{row.video_id} {row.timestamp:.0f} s"


def _build_target(row, description):
    """The NavigationTarget of a row of a table."""
    return NavigationTarget(row.video_id, float(row.timestamp), row[BOX_COLUMNS].to_numpy(float), description)
