"""Track people from one time to the next by the overlap of their boxes and Hungarian assignment.

Used by drawing, by video mAP, and by `detect` at steps above 0.2 s; below that, and live, see motion_tracker. It needs
numpy and scipy alone.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from avalib.utils.boxes import compute_giou_matrix

MIN_OVERLAP = (0.1, -0.6)  # generalized IoU of one person's boxes: at once, and a second or more apart
MAX_GAP_S = 1.5  # a person who is away for longer gets a new id
MAX_PEOPLE = 5_000  # at one time: matching takes time and memory by the square of their number
_ROUNDING_S = 1e-6  # of times


class Tracker:
    """Gives boxes ids that last, one time after the other.

    The people of the last seconds are matched with the new boxes by the assignment with the highest sum of overlaps.

    Parameters
    ----------
    max_gap_s : float
        People who are away for longer are not matched any more.
    min_overlap : (float, float)
        A pair with less overlap is two people: the value for boxes at the same time, and for boxes a second or more
        apart; linear in between.
    overlap : callable
        (boxes (N,4), boxes (M,4)) -> (N,M). The default, generalized IoU, still tells near from far where people have
        moved so much that their boxes do not touch.
    """

    def __init__(
        self,
        max_gap_s: float = MAX_GAP_S,
        min_overlap: tuple[float, float] = MIN_OVERLAP,
        overlap: Callable = compute_giou_matrix,
    ):
        self.max_gap_s = max_gap_s
        self.min_overlap = min_overlap
        self.overlap = overlap
        self.next_id = 0
        self.reset()

    def reset(self) -> None:
        """Forget all people, as after a cut; ids go on counting."""
        self._ids = np.zeros(0, np.int64)
        self._boxes = np.zeros((0, 4))
        self._times_s = np.zeros(0)  # of each person's last box

    def update(self, time_s: float, boxes: np.ndarray) -> np.ndarray:
        """Track people to the next time.

        Parameters
        ----------
        time_s : float
            Seconds, not before the last call's.
        boxes : (N, 4) array of float
            Up to MAX_PEOPLE.

        Returns
        -------
        (N,) array of int64
            The id of each box, each id once.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        check_people_count(len(boxes), time_s)
        # forget the people who are away for too long
        self._select(time_s - self._times_s <= self.max_gap_s + _ROUNDING_S)

        # ids of matched boxes, then new ones for the rest
        ids = np.full(len(boxes), -1, np.int64)
        for person, box in self._match(time_s, boxes):
            ids[box] = self._ids[person]
        is_new = ids < 0
        n_new = int(is_new.sum())
        ids[is_new] = self.next_id + np.arange(n_new)
        self.next_id += n_new

        # matched people get their new boxes, the others stay as they were
        self._select(~np.isin(self._ids, ids))
        self._ids = np.concatenate([self._ids, ids])
        self._boxes = np.concatenate([self._boxes, boxes])
        self._times_s = np.concatenate([self._times_s, np.full(len(boxes), float(time_s))])
        return ids

    def _match(self, time_s, boxes):
        """Pairs (index of a person, index of a new box) that are one person."""
        min_overlap = compute_min_overlap(time_s - self._times_s, self.min_overlap)
        return match_boxes(self.overlap(self._boxes, boxes), min_overlap)

    def _select(self, mask):
        """Keep only some people."""
        self._ids = self._ids[mask]
        self._boxes = self._boxes[mask]
        self._times_s = self._times_s[mask]


def check_people_count(n_people: int, time_s: float) -> None:
    """Raise ValueError for more people at one time than can be matched."""
    if n_people > MAX_PEOPLE:
        raise ValueError(f"{n_people:,} people at {time_s:g} s; at most {MAX_PEOPLE:,} (MAX_PEOPLE) are tracked")


def compute_min_overlap(gaps_s: np.ndarray, min_overlap: tuple[float, float]) -> np.ndarray:
    """The least overlap (n,) of one person's boxes: lower the longer the last one is ago (n,), up to a second."""
    at_once, second_apart = min_overlap
    return at_once + (second_apart - at_once) * np.minimum(gaps_s, 1)


def match_boxes(overlap: np.ndarray, min_overlap: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (person, box) of the assignment with the highest sum of overlaps.

    Parameters
    ----------
    overlap : (n, N) array of float
        Of each person with each box.
    min_overlap : (n,) array of float
        Pairs need more.
    """
    # a pair below its minimum is worth as much as no pair, so that it cannot displace a good one
    gain = np.maximum(overlap - min_overlap[:, None], 0)
    pairs = zip(*linear_sum_assignment(-gain), strict=True)
    return [(person, box) for person, box in pairs if gain[person, box] > 0]


def link_boxes(
    times_s: np.ndarray,
    boxes: np.ndarray,
    max_gap_s: float = MAX_GAP_S,
    min_overlap: tuple[float, float] = MIN_OVERLAP,
    overlap: Callable = compute_giou_matrix,
) -> np.ndarray:
    """Link the boxes of one video over time.

    Parameters
    ----------
    times_s : (N,) array of float
        Seconds, in any order.
    boxes : (N, 4) array of float
        Equal boxes at one time are one person.
    max_gap_s, min_overlap, overlap
        See `Tracker`.

    Returns
    -------
    (N,) array of int64
        Person ids.
    """
    times_s = np.asarray(times_s, np.float64)
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    ids = np.zeros(len(boxes), np.int64)
    if not len(boxes):
        return ids
    tracker = Tracker(max_gap_s, min_overlap, overlap)
    order = np.argsort(times_s, kind="stable")
    starts = np.flatnonzero(np.diff(times_s[order])) + 1  # of each time but the first
    for rows in np.split(order, starts):
        # distinct boxes in the order in which the table has them, and which of them each row has
        _, first, inverse = np.unique(boxes[rows], axis=0, return_index=True, return_inverse=True)
        people = boxes[rows[np.sort(first)]]
        rank = np.argsort(np.argsort(first))
        ids[rows] = tracker.update(times_s[rows[0]], people)[rank[inverse.ravel()]]
    return ids
