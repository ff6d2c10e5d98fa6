"""Track people whose boxes have scores: where each one is headed, and weak boxes that only a tracked person can claim.

Boxes are matched in two stages, as in ByteTrack (Zhang et al., ECCV 2022): confident boxes with all people, then weak
boxes with the people who are left. A Kalman filter predicts where people are, also between two detections.
"""

import numpy as np
from scipy.special import erf

from avalib.utils.boxes import compute_giou_matrix, compute_iou_matrix
from avalib.utils.tracker import MAX_GAP_S, MIN_OVERLAP, check_people_count, compute_min_overlap, match_boxes

MIN_WEAK_IOU = 0.5  # of a weak box with the box that is predicted, as in ByteTrack
POSITION_NOISE = 0.05  # standard deviation of a detector's box, in the person's width or height
START_SPEED = 0.5  # standard deviation of a new person's speed, in widths or heights a second
ACCELERATION = 20.0  # standard deviation of the speed's change, in widths or heights a second, in one second
SPEED_DECAY_S = 0.4  # after so long without a box 37 % of a speed is left: people turn and stop


class MotionTracker:
    """Gives boxes ids that last, and predicts boxes between detections.

    Parameters
    ----------
    high_score : float
        A box with a lower score starts no track; it can only continue one that its place agrees with.
    max_gap_s : float
        People who are away for longer are not matched any more.
    """

    def __init__(self, high_score: float = 0.0, max_gap_s: float = MAX_GAP_S):
        self.high_score = high_score
        self.max_gap_s = max_gap_s
        self.next_id = 0
        self.reset()

    def reset(self) -> None:
        """Forget all people, as after a cut; ids go on counting."""
        self._ids = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)  # time of each person's last box
        # The filter's state at that time: centers and sizes (n,4), their speeds, and the variances of both.
        self._states = np.zeros((0, 4))
        self._speeds = np.zeros((0, 4))
        self._covariances = np.zeros((0, 4, 2, 2))

    def update(self, time_s: float, boxes: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
        """Track people to the next time.

        Parameters
        ----------
        time_s : float
            Seconds, not before the last call's.
        boxes : (N, 4) array of float
            xyxy in one unit throughout. Up to MAX_PEOPLE.
        scores : (N,) array of float, optional
            None: all are confident.

        Returns
        -------
        (N,) array of int64
            The id of each box, each id once; -1 for a weak box that nobody claims.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        check_people_count(len(boxes), time_s)
        is_high = np.ones(len(boxes), bool) if scores is None else np.asarray(scores) >= self.high_score
        self._select(time_s - self._seen_s <= self.max_gap_s + 1e-6)

        # (N,) the index of the person who claims each box, -1: nobody
        people = np.full(len(boxes), -1)
        self._match_high(time_s, boxes, people, np.flatnonzero(is_high))
        self._match_weak(time_s, boxes, people, np.flatnonzero(~is_high))

        # People go on from their boxes; a confident box that nobody claims starts a track.
        ids = np.full(len(boxes), -1, np.int64)
        claimed = people >= 0
        ids[claimed] = self._ids[people[claimed]]
        self._correct(time_s, people[claimed], boxes[claimed])
        is_new = is_high & ~claimed
        ids[is_new] = self.next_id + np.arange(is_new.sum())
        self.next_id += int(is_new.sum())
        self._start(time_s, ids[is_new], boxes[is_new])
        return ids

    def predict(self, time_s: float, max_age_s: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Where the people are at a time at which nothing was detected; the tracks stay as they are.

        Parameters
        ----------
        time_s : float
            Seconds, not before the last update's.
        max_age_s : float, optional
            Leave out people whose last box is older; None: max_gap_s.

        Returns
        -------
        ids : (n,) array of int64
        boxes : (n, 4) array of float
        """
        max_age_s = self.max_gap_s if max_age_s is None else max_age_s
        is_recent = time_s - self._seen_s <= max_age_s + 1e-6
        return self._ids[is_recent], self._predict_boxes(time_s)[is_recent]

    def _match_high(self, time_s, boxes, people, rows):
        """First stage: rows of confident boxes with all people, by generalized IoU with the predicted boxes."""
        min_overlap = compute_min_overlap(time_s - self._seen_s, MIN_OVERLAP)
        overlap = compute_giou_matrix(self._predict_boxes(time_s), boxes[rows])
        for person, column in match_boxes(overlap, min_overlap):
            people[rows[column]] = person

    def _match_weak(self, time_s, boxes, people, rows):
        """Second stage: rows of weak boxes with the people who are left, only where a person is expected."""
        left = np.setdiff1d(np.arange(len(self._ids)), people)
        overlap = compute_iou_matrix(self._predict_boxes(time_s)[left], boxes[rows])
        for i, column in match_boxes(overlap, np.full(len(left), MIN_WEAK_IOU)):
            people[rows[column]] = left[i]

    def _predict_boxes(self, time_s):
        """(n,4) xyxy of all people."""
        travel_s, _ = compute_travel(time_s - self._seen_s)
        states = self._states + self._speeds * travel_s[:, None]
        # A size may shrink towards nothing, not below it.
        states[:, 2:] = np.maximum(states[:, 2:], 0.2 * self._states[:, 2:])
        return to_corners(states)

    def _correct(self, time_s, people, boxes):
        """The Kalman filter's step for the people who have a new box (m,4)."""
        gaps_s = (time_s - self._seen_s[people])[:, None]  # (m,1)
        travel_s, decay = compute_travel(gaps_s)
        sizes = np.tile(self._states[people, 2:], 2)  # (m,4): noise is measured in widths and heights
        # Prediction: the speed fades, and changes by a random acceleration. (m,4) and (m,4,2,2).
        states = self._states[people] + self._speeds[people] * travel_s
        speeds = self._speeds[people] * decay
        covariances = self._covariances[people]
        cross = covariances[..., 0, 1] + travel_s * covariances[..., 1, 1]
        noise = (ACCELERATION * sizes) ** 2
        moved = np.zeros_like(covariances)
        moved[..., 0, 0] = covariances[..., 0, 0] + travel_s * (covariances[..., 0, 1] + cross)
        moved[..., 0, 0] += noise * travel_s**2 * gaps_s / 3
        moved[..., 0, 1] = moved[..., 1, 0] = decay * cross + noise * travel_s**2 / 2
        moved[..., 1, 1] = decay**2 * covariances[..., 1, 1] + noise * travel_s
        # Correction by what was measured, weighted by its variance.
        error = to_centers(boxes) - states
        gain = moved[..., 0] / (moved[..., 0, 0] + (POSITION_NOISE * sizes) ** 2)[..., None]  # (m,4,2)
        self._states[people] = states + gain[..., 0] * error
        self._speeds[people] = speeds + gain[..., 1] * error
        self._covariances[people] = moved - gain[..., :, None] * moved[..., :1, :]
        self._seen_s[people] = time_s

    def _start(self, time_s, ids, boxes):
        """Tracks for new boxes (m,4), at rest until the next box."""
        states = to_centers(boxes)
        sizes = np.tile(states[:, 2:], 2)
        covariances = np.zeros((len(ids), 4, 2, 2))
        covariances[..., 0, 0] = (POSITION_NOISE * sizes) ** 2
        covariances[..., 1, 1] = (START_SPEED * sizes) ** 2
        self._ids = np.concatenate([self._ids, ids])
        self._seen_s = np.concatenate([self._seen_s, np.full(len(ids), float(time_s))])
        self._states = np.concatenate([self._states, states])
        self._speeds = np.concatenate([self._speeds, np.zeros_like(states)])
        self._covariances = np.concatenate([self._covariances, covariances])

    def _select(self, mask):
        """Keep only some people."""
        for name in ("_ids", "_seen_s", "_states", "_speeds", "_covariances"):
            setattr(self, name, getattr(self, name)[mask])


def compute_travel(gaps_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a speed that fades carries, as seconds at full speed, and the share of it that is left after gaps_s."""
    relative = gaps_s / SPEED_DECAY_S
    return SPEED_DECAY_S * np.sqrt(np.pi) / 2 * erf(relative), np.exp(-(relative**2))


def to_centers(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N,4) xyxy as center x, center y, width, height."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def to_corners(centers: np.ndarray) -> np.ndarray:
    """Center x, center y, width, height (N,4) as boxes xyxy."""
    half = centers[:, 2:] / 2
    return np.concatenate([centers[:, :2] - half, centers[:, :2] + half], axis=1)
