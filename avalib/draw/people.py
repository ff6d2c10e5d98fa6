"""From tables to people: who is where and does what, at a keyframe and, by interpolation, between keyframes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from avalib.data.labels import get_action_names, shorten_names
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.tracker import link_boxes

LONGEST_GAP_S = 1.5  # from a keyframe to a time at which its people are still drawn
HALF_KEYFRAME_S = 0.5  # how long somebody is drawn who is in only one of the two keyframes around a time


@dataclass(frozen=True)
class Person:
    """One person at one time.

    Parameters
    ----------
    box : (4,) float
        x1, y1, x2, y2 in fractions of the frame.
    labels : tuple of (int, float or None)
        (action_id, score), the highest score first. The score is None where the person is annotated.
    person_id : int
        Identifies the person from time to time; -1 if the table has none.
    is_unsure : bool
        All of the person's scores are below the threshold; its one label is the highest of them.
    """

    box: np.ndarray
    labels: tuple
    person_id: int = -1
    is_unsure: bool = False

    @property
    def is_annotated(self):
        """Whether the labels are an annotation: they have no scores."""
        return bool(self.labels) and self.labels[0][1] is None

    @property
    def scored_labels(self):
        """The labels with a score each: ((action_id, float), …); an annotated action counts as 1."""
        return tuple((action, 1.0 if score is None else score) for action, score in self.labels)

    def filter_labels(
        self, score_threshold: float = 0.0, top_k: int | None = None, actions: Collection[int] | None = None
    ) -> "Person":
        """The same person with fewer labels: scores of at least the threshold, these actions only, the first top_k."""
        labels = [
            (action, score)
            for action, score in self.labels
            if (score is None or score >= score_threshold) and (not actions or action in actions)
        ]
        return replace(self, labels=tuple(labels[:top_k]))

    def choose_labels(
        self, score_threshold: float = 0.0, top_k: int | None = None, actions: Collection[int] | None = None
    ) -> "Person":
        """The same person with the labels that are drawn: as `filter_labels`, but a person none of whose scores reaches
        the threshold keeps the highest one and is unsure.
        """
        sure = self.filter_labels(score_threshold, top_k, actions)
        if sure.labels or not self.labels:
            return sure
        return replace(self.filter_labels(top_k=1, actions=actions), is_unsure=True)


def resolve_action_names(table, label_map=None):
    """{action_id: short name} for a table: label_map's names, else those in its column `action`, else AVA's."""
    if label_map is not None:
        names = {int(action_id): name for action_id, name in label_map.items()}
    elif "action" in table:
        named = table.drop_duplicates("action_id")
        names = dict(zip(named["action_id"].astype(int), named["action"].astype(str), strict=True))
    else:
        names = dict(get_action_names())
    for action_id in table["action_id"].unique():
        names.setdefault(int(action_id), f"action {action_id}")
    return shorten_names(names)


def select_people(keyframe: pd.DataFrame) -> list[Person]:
    """Build the people of one keyframe.

    Parameters
    ----------
    keyframe : DataFrame
        The rows of an annotation or detection table with one (video_id, timestamp). Rows with the same box and
        person_id are one person. A table without scores is an annotation.

    Returns
    -------
    list of Person
        In the order of their first rows.
    """
    # One row per label: boxes (N,4), actions, person ids and scores (N,).
    boxes = keyframe[BOX_COLUMNS].to_numpy(np.float64)
    actions = keyframe["action_id"].to_numpy()
    ids = keyframe["person_id"].to_numpy() if "person_id" in keyframe else np.full(len(keyframe), -1)
    scores = keyframe["score"].to_numpy() if "score" in keyframe else [None] * len(keyframe)
    labels_of = {}  # {(x1, y1, x2, y2, person_id): [(action_id, score)]}
    for box, person_id, action, score in zip(boxes, ids, actions, scores, strict=True):
        label = (int(action), None if score is None else float(score))
        labels_of.setdefault((*box, person_id), []).append(label)
    # One Person per box and id, labels with the highest score first.
    people = []
    for (*box, person_id), labels in labels_of.items():
        labels.sort(key=lambda label: -(label[1] or 0))
        people.append(Person(np.array(box), tuple(labels), int(person_id)))
    return people


def group_people_by_time(table):
    """{timestamp: [Person]} of one video's table, in order of time; without a person_id, people are tracked."""
    if "person_id" not in table:
        table = table.assign(person_id=link_boxes(table["timestamp"], table[BOX_COLUMNS]))
    return {float(time_s): select_people(keyframe) for time_s, keyframe in table.groupby("timestamp", sort=True)}


def interpolate_people(
    people_by_time: dict[float, list[Person]],
    time_s: float,
    cuts_s: Sequence[float] = (),
    longest_gap: float = LONGEST_GAP_S,
) -> list[Person]:
    """The people at any time: boxes on the straight line from keyframe to keyframe, labels of the nearer keyframe.

    People who are in only one of the two keyframes are drawn where that keyframe has them, for half a second. So are
    people next to a cut.

    Parameters
    ----------
    people_by_time : dict
        {seconds: [Person]} in order of time.
    time_s : float
        The time, in seconds.
    cuts_s : sequence of float
        The times of the first frames of shots. Nothing is interpolated across them.
    longest_gap : float
        The largest distance of a keyframe, in seconds.

    Returns
    -------
    list of Person
    """
    times = np.array(list(people_by_time))
    # The keyframes before and after, those in another shot or too far away left out, the nearer one first.
    following = int(np.searchsorted(times, time_s, side="right"))
    shot = np.searchsorted(cuts_s, time_s, side="right")
    nearest = []
    for time in times[max(following - 1, 0) : following + 1].tolist():
        if np.searchsorted(cuts_s, time, side="right") == shot and abs(time - time_s) <= longest_gap:
            nearest.append(time)
    nearest.sort(key=lambda time: abs(time - time_s))
    if not nearest:
        return []
    # Who is in both keyframes moves in a straight line from one box to the other.
    other_people = {p.person_id: p for p in people_by_time[nearest[1]]} if len(nearest) == 2 else {}
    people = []
    for person in people_by_time[nearest[0]]:
        if other := other_people.get(person.person_id):
            share = (time_s - nearest[0]) / (nearest[1] - nearest[0])
            people.append(replace(person, box=(1 - share) * person.box + share * other.box))
        elif abs(nearest[0] - time_s) <= HALF_KEYFRAME_S:
            people.append(person)
    return people
