"""Who is who from one moment to the next: boxes followed by overlap and Hungarian assignment; cuts end everybody.

Needs numpy and scipy alone, so that the evaluator of tubes, the pictures and the streaming detector share it.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from avalib.utils.boxes import compute_giou_matrix

MIN_GIOU = 0.1, -0.6  # boxes that overlap less are two people: at once, and when they are a second or more apart
MAX_GAP_S = 1.5  # seconds after which nobody is known to be the same
MAX_PEOPLE = 5_000  # at one time: matching takes time and memory by the square of their number


class Tracker:
    """Gives boxes ids that last, moment by moment.

    Everybody seen in the last `longest_gap` seconds is matched with the new boxes by the assignment with the highest
    sum of overlaps; a pair under `lowest` (at once, a second apart; on the line between) is two people. overlap: (boxes
    (N,4), boxes (M,4)) -> (N,M); the default, generalised IoU, still tells near from far where people have moved so
    much that their boxes no longer touch.
    """

    def __init__(self, longest_gap=MAX_GAP_S, lowest=MIN_GIOU, overlap=compute_giou_matrix):
        self.longest_gap, self.lowest, self.overlap = longest_gap, lowest, overlap
        self.count = 0  # people so far, and the next one's id
        self.reset()

    def reset(self):
        """A cut: nobody after it is anybody before it."""
        self._ids, self._boxes, self._seen = np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)

    def update(self, time_s, boxes):
        """boxes (N,4) at time_s (not before the last call's) -> ids (N,) int64, each once."""
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        if len(boxes) > MAX_PEOPLE:
            raise ValueError(f"{len(boxes):,} people at {time_s:g} s; at most {MAX_PEOPLE:,} (MAX_PEOPLE) are followed")
        recent = time_s - self._seen <= self.longest_gap + 1e-6
        self._ids, self._boxes, self._seen = self._ids[recent], self._boxes[recent], self._seen[recent]
        ids = np.full(len(boxes), -1, np.int64)
        at_once, later = self.lowest
        lowest = at_once + (later - at_once) * np.minimum(time_s - self._seen, 1)
        gain = np.maximum(self.overlap(self._boxes, boxes) - lowest[:, None], 0)  # too far is as good as not matched
        for i, j in zip(*linear_sum_assignment(-gain), strict=True):
            if gain[i, j] > 0:
                ids[j] = self._ids[i]
        new = ids < 0
        ids[new] = self.count + np.arange(new.sum())
        self.count += int(new.sum())
        lost = ~np.isin(self._ids, ids)
        self._ids = np.concatenate([self._ids[lost], ids])
        self._boxes = np.concatenate([self._boxes[lost], boxes])
        self._seen = np.concatenate([self._seen[lost], np.full(len(boxes), float(time_s))])
        return ids


def link_boxes(times_s, boxes, *options):
    """Ids (N,) for one video's boxes (N,4) at times_s (N,): rows of one time with the same box are one person.

    options: Tracker's, longest_gap first.
    """
    times_s, boxes = np.asarray(times_s, np.float64), np.asarray(boxes, np.float64).reshape(-1, 4)
    ids, tracker = np.zeros(len(boxes), np.int64), Tracker(*options)
    order = np.argsort(times_s, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(times_s[order])) + 1) if len(order) else []:
        _, first, person = np.unique(boxes[rows], axis=0, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))  # people in the order in which the table has them
        people = boxes[rows[np.sort(first)]]
        ids[rows] = tracker.update(times_s[rows[0]], people)[rank[person.ravel()]]
    return ids
