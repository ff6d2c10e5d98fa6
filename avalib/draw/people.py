"""From tables to people: who is where and does what, at a keyframe and, by interpolation, between keyframes."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

BOX = ["x1", "y1", "x2", "y2"]
LOWEST_GIOU = -0.6  # two boxes a second apart that are further from each other than this are two people


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


def people_at(rows):
    """The people of one keyframe: rows of an annotation or detection table with one (video_id, timestamp) -> [Person].

    Rows with the same box (and person_id) are one person; a table without a score has scores None.
    """
    scored, known = "score" in rows, "person_id" in rows
    boxes = rows[BOX].to_numpy(np.float64)
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


def by_time(table):
    """{timestamp: [Person]} of one video's rows, in order of time; detections get person_ids that last (see follow)."""
    moments = {float(t): people_at(rows) for t, rows in table.groupby("timestamp", sort=True)}
    return moments if "person_id" in table else follow(moments)


def giou_matrix(a, b):
    """Generalised IoU (N,M), -1..1, of boxes (N,4) and (M,4): goes on falling where boxes no longer touch.

    Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
    """
    low, high = np.minimum(a[:, None, :2], b[None, :, :2]), np.maximum(a[:, None, 2:], b[None, :, 2:])
    hull = (high - low).prod(-1)
    inside = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = inside.clip(0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1)[None] - inter
    return inter / np.maximum(union, 1e-9) - (hull - union) / np.maximum(hull, 1e-9)


def follow(moments, longest_gap=1.5):
    """Give people the same person_id from keyframe to keyframe: {timestamp: [Person]} -> the same with ids.

    Consecutive keyframes at most longest_gap seconds apart are matched by the assignment with the highest sum of
    generalised IoU; pairs below LOWEST_GIOU are not the same person.
    """
    out, before, next_id, last = {}, [], 0, -np.inf
    for time, people in moments.items():
        ids = [-1] * len(people)
        if before and people and time - last <= longest_gap:
            similarity = giou_matrix(np.stack([p.box for p in before]), np.stack([p.box for p in people]))
            for i, j in zip(*linear_sum_assignment(-similarity), strict=True):
                if similarity[i, j] >= LOWEST_GIOU:
                    ids[j] = before[i].person_id
        for j, known in enumerate(ids):
            if known < 0:
                ids[j], next_id = next_id, next_id + 1
        before = out[time] = [replace(p, person_id=i) for p, i in zip(people, ids, strict=True)]
        last = time
    return out


def between(moments, time, cuts=(), longest_gap=1.5):
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
