"""From tables to people: who is where and does what, at a keyframe and, by interpolation, between keyframes."""

from dataclasses import dataclass, replace

import numpy as np

from avalib.data.labels import get_action_names, strip_brackets
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.tracker import link_boxes


def resolve_action_names(table, label_map=None):
    """{action_id: name} of a table's actions: label_map's, else those in its `action` column, else AVA's."""
    ids = [int(i) for i in table["action_id"].unique()]
    names = {i: strip_brackets(name) for i, name in get_action_names().items()}
    if "action" in table:
        known = table.drop_duplicates("action_id")
        names = dict(zip(known["action_id"].astype(int), known["action"].astype(str), strict=True))
    names = names if label_map is None else {int(i): name for i, name in label_map.items()}
    return {i: names.get(i, f"action {i}") for i in {**names, **dict.fromkeys(ids)}}


@dataclass(frozen=True)
class Person:
    """One person at one time: box (4,) x1,y1,x2,y2 in fractions of the frame; labels ((action_id, score or None), …),
    the highest score first; person_id, the same as long as it is the same person."""

    box: np.ndarray
    labels: tuple
    person_id: int = -1

    def keeping(self, score_threshold=0.0, top_k=None, actions=None):
        """The same person with fewer labels: scores of at least the threshold, the first top_k, these actions only."""
        labels = [
            (action, score)
            for action, score in self.labels
            if (score is None or score >= score_threshold) and (not actions or action in actions)
        ]
        return replace(self, labels=tuple(labels[:top_k]))


def select_people(rows):
    """The people of one keyframe: rows of an annotation or detection table with one (video_id, timestamp) -> [Person].

    Rows with the same box (and person_id) are one person; a table without a score has scores None.
    """
    scored, known = "score" in rows, "person_id" in rows
    boxes = rows[BOX_COLUMNS].to_numpy(np.float64)
    ids = rows["person_id"].to_numpy() if known else np.full(len(rows), -1)
    scores = rows["score"].to_numpy() if scored else [None] * len(rows)
    found = {}
    for box, person_id, action, score in zip(boxes, ids, rows["action_id"].to_numpy(), scores, strict=True):
        found.setdefault((*box, person_id), []).append((int(action), None if score is None else float(score)))
    people = []
    for (*box, person_id), labels in found.items():
        labels.sort(key=lambda label: -(label[1] or 0))
        people.append(Person(np.array(box), tuple(labels), int(person_id)))
    return people


def group_by_time(table):
    """{timestamp: [Person]} of one video's rows, in order of time; people without person_id are followed."""
    if "person_id" not in table:
        table = table.assign(person_id=link_boxes(table["timestamp"], table[BOX_COLUMNS]))
    return {float(t): select_people(rows) for t, rows in table.groupby("timestamp", sort=True)}


def interpolate_people(moments, time, cuts=(), longest_gap=1.5):
    """The people at any time (seconds): boxes on the straight line from keyframe to keyframe, the nearer one's labels.

    Somebody who is only in one of the two keyframes, or across a cut (times of first frames of shots) from the other,
    is shown where that keyframe has them, for half a keyframe's distance.
    """
    times = np.array(list(moments))
    after = int(np.searchsorted(times, time, side="right"))
    near = [float(t) for t in times[max(after - 1, 0) : after + 1]]
    shot = np.searchsorted(cuts, time, side="right")
    near = [t for t in near if np.searchsorted(cuts, t, side="right") == shot and abs(t - time) <= longest_gap]
    near.sort(key=lambda t: abs(t - time))
    if not near:
        return []
    there = {p.person_id: p for p in moments[near[1]]} if len(near) == 2 else {}
    people = []
    for person in moments[near[0]]:
        if other := there.get(person.person_id):
            share = (time - near[0]) / (near[1] - near[0])
            people.append(replace(person, box=(1 - share) * person.box + share * other.box))
        elif abs(near[0] - time) <= 0.5:
            people.append(person)
    return people
