"""How well person boxes cover the annotated people."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.utils.boxes import compute_iou_pairs


@dataclass(frozen=True)
class ProposalMatches:
    """The best proposals of P people. A proposal may serve two people."""

    best_iou: np.ndarray  # (P,) of any proposal of the keyframe; 0 if none overlaps
    best_score: np.ndarray  # (P,) of the proposals with enough IoU; -1 if there is none


def match_proposals(people: pd.DataFrame, proposals: pd.DataFrame, min_iou: float = 0.5) -> ProposalMatches:
    """Find the best proposal of each person.

    Parameters
    ----------
    people : DataFrame
        One row per person: video_id, timestamp, x1, y1, x2, y2.
    proposals : DataFrame
        The same columns and score.
    min_iou : float
        IoU that a proposal needs for its score to count.
    """
    # the keyframe of each person (P,), and the proposals of these keyframes, sorted by keyframe
    keyframe = people.groupby(KEYFRAME_COLUMNS, sort=False).ngroup().to_numpy()
    keyframes = people[KEYFRAME_COLUMNS].drop_duplicates().reset_index(drop=True)
    keyframes["keyframe"] = keyframes.index
    proposals = proposals.merge(keyframes, on=KEYFRAME_COLUMNS).sort_values("keyframe", kind="stable")

    # every pair of a person and a proposal of its keyframe: rows `person` and `proposal` (N,)
    start = np.searchsorted(proposals.keyframe, np.arange(len(keyframes) + 1))
    n_pairs = np.diff(start)[keyframe]  # (P,)
    person = np.repeat(np.arange(len(people)), n_pairs)
    rank = np.arange(len(person)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)  # 0, 1, … for each person
    proposal = np.repeat(start[keyframe], n_pairs) + rank

    iou = compute_iou_pairs(people[BOX_COLUMNS].to_numpy()[person], proposals[BOX_COLUMNS].to_numpy()[proposal])
    best_iou = np.zeros(len(people))
    np.maximum.at(best_iou, person, iou)
    best_score = np.full(len(people), -1.0)
    overlaps = iou >= min_iou
    np.maximum.at(best_score, person[overlaps], proposals.score.to_numpy()[proposal[overlaps]])
    return ProposalMatches(best_iou, best_score)


def compute_proposal_recall(people: pd.DataFrame, proposals: pd.DataFrame, min_iou: float = 0.5) -> float:
    """The share of people (as in `match_proposals`) that some proposal of their keyframe overlaps by `min_iou`."""
    matches = match_proposals(people, proposals, min_iou)
    return float((matches.best_iou >= min_iou).sum() / max(len(people), 1))
