"""How well person boxes (proposals) cover the annotated people: the ceiling of every action detector."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.utils.boxes import compute_iou_pairs

MIN_IOU = 0.5  # of a proposal that covers a person


@dataclass(frozen=True)
class ProposalMatches:
    """The best proposals of P people. A proposal may serve several people."""

    best_iou: np.ndarray  # (P,) of any proposal of the keyframe; 0 without one
    best_score: np.ndarray  # (P,) of the proposals with an IoU of at least MIN_IOU; -1 without one
    scores: np.ndarray  # (N,) of the proposals of annotated keyframes, ascending
    n_keyframes: int

    def compute_recall(self, min_iou: float = MIN_IOU) -> float:
        """The share of people with a proposal of at least this IoU."""
        return float((self.best_iou >= min_iou).sum() / max(len(self.best_iou), 1))

    def count_per_keyframe(self, min_score: float) -> float:
        """The mean number of proposals with at least this score in a keyframe."""
        return (len(self.scores) - np.searchsorted(self.scores, min_score)) / max(self.n_keyframes, 1)


def match_proposals(truth: pd.DataFrame, proposals: pd.DataFrame) -> ProposalMatches:
    """Find the best proposal of each annotated person.

    Parameters
    ----------
    truth : DataFrame
        Ground truth: video_id, timestamp, x1, y1, x2, y2. Rows with the same box are one person.
    proposals : DataFrame
        The same columns and score.
    """
    people = truth[KEYFRAME_COLUMNS + BOX_COLUMNS].drop_duplicates(ignore_index=True)
    # the keyframe of each person (P,), and the proposals of these keyframes, sorted by keyframe
    keyframe = people.groupby(KEYFRAME_COLUMNS, sort=False).ngroup().to_numpy()
    keyframes = people[KEYFRAME_COLUMNS].drop_duplicates(ignore_index=True)
    keyframes["keyframe"] = keyframes.index
    proposals = proposals.merge(keyframes, on=KEYFRAME_COLUMNS).sort_values("keyframe", kind="stable")
    scores = proposals.score.to_numpy()

    # every pair of a person and a proposal of the same keyframe: rows `person` and `proposal` (N,)
    start = np.searchsorted(proposals.keyframe, np.arange(len(keyframes) + 1))
    n_pairs = np.diff(start)[keyframe]  # (P,)
    person = np.repeat(np.arange(len(people)), n_pairs)
    rank = np.arange(len(person)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)  # 0, 1, … for each person
    proposal = np.repeat(start[keyframe], n_pairs) + rank

    iou = compute_iou_pairs(people[BOX_COLUMNS].to_numpy()[person], proposals[BOX_COLUMNS].to_numpy()[proposal])
    best_iou = np.zeros(len(people))
    np.maximum.at(best_iou, person, iou)
    best_score = np.full(len(people), -1.0)
    covers = iou >= MIN_IOU
    np.maximum.at(best_score, person[covers], scores[proposal[covers]])
    return ProposalMatches(best_iou, best_score, scores=np.sort(scores), n_keyframes=len(keyframes))
