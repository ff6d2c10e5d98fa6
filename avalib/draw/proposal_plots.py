"""How many annotated people have a proposal (a detector's box): the ceiling of every action detector."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.csv_rows import KEYFRAME_COLUMNS
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.colors import SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure
from avalib.evaluation.matching import compute_iou_pairs

MIN_IOU = 0.5  # at which a person counts as found


@dataclass(frozen=True)
class ProposalMatches:
    """What the proposals of a split find."""

    best_iou: np.ndarray  # (people,) the IoU of each person's best proposal, 0 without one
    best_score: np.ndarray  # (people,) the highest score of a proposal with an IoU of at least 0.5, -1 without one
    scores: np.ndarray  # (proposals,) of the annotated keyframes, ascending
    n_keyframes: int

    def count_per_keyframe(self, min_score):
        """The mean number of proposals with at least this score in a keyframe."""
        return (len(self.scores) - np.searchsorted(self.scores, min_score)) / max(self.n_keyframes, 1)


def match_proposals(truth: pd.DataFrame, proposals: pd.DataFrame) -> ProposalMatches:
    """Match annotated people (boxes of a ground-truth table) with proposals; a proposal may serve several people."""
    people = truth[KEYFRAME_COLUMNS + BOX_COLUMNS].drop_duplicates(ignore_index=True)
    people["person"] = np.arange(len(people))
    # Every pair of a person and a proposal of the same keyframe, a line each.
    pairs = people.merge(proposals, on=KEYFRAME_COLUMNS, suffixes=("", "_proposal"))
    proposal_boxes = pairs[[f"{column}_proposal" for column in BOX_COLUMNS]]
    pairs["iou"] = compute_iou_pairs(pairs[BOX_COLUMNS].to_numpy(), proposal_boxes.to_numpy())
    best_iou = pairs.groupby("person")["iou"].max()
    best_score = pairs[pairs["iou"] >= MIN_IOU].groupby("person")["score"].max()
    keyframes = people[KEYFRAME_COLUMNS].drop_duplicates()
    return ProposalMatches(
        best_iou=best_iou.reindex(people["person"], fill_value=0).to_numpy(),
        best_score=best_score.reindex(people["person"], fill_value=-1).to_numpy(),
        scores=np.sort(proposals.merge(keyframes, on=KEYFRAME_COLUMNS)["score"].to_numpy()),
        n_keyframes=len(keyframes),
    )


@apply_style
def plot_proposal_recall(splits, title="Person boxes: the share of people that the detector found is the ceiling"):
    """Plot how many annotated people have a proposal, by IoU (left) and by the proposal's score (right).

    splits: {name: (ground truth table, proposals table)}. -> matplotlib figure
    """
    figure, (left, right) = create_figure(2, (11, 3.8))
    ious = np.linspace(0.3, 0.95, 27)
    scores = np.linspace(0, 1, 51)
    for color, (name, (truth, proposals)) in zip(SERIES_COLORS, splits.items(), strict=False):
        matches = match_proposals(truth, proposals)
        recall = (matches.best_iou >= MIN_IOU).mean()
        label = f"{name}: {recall:.3f} at IoU 0.5, {len(matches.best_iou):,} people"
        recalls = [(matches.best_iou >= iou).mean() for iou in ious]
        left.plot(ious, recalls, color=color, linewidth=2, label=label)
        recalls = [(matches.best_score >= score).mean() for score in scores]
        right.plot(scores, recalls, color=color, linewidth=2, label=f"{name}: recall at IoU 0.5")
        counts = np.array([matches.count_per_keyframe(score) for score in scores])
        label = f"{name}: proposals left (of {counts[0]:.1f} a keyframe)"
        right.plot(scores, counts / max(counts[0], 1e-9), color=color, linestyle=":", label=label)
    left.axvline(MIN_IOU, color="grey", linewidth=0.8)
    left.set(xlabel="IoU asked for", ylabel="share of people found", ylim=(0, 1.02))
    left.set_title("Fit: high at 0.5, then falling")
    right.set(xlabel="proposals with at least this score", ylabel="share", ylim=(0, 1.02))
    right.set_title("Score: where to cut")
    left.legend(loc="lower left")
    right.legend(loc="lower left")
    figure.suptitle(title)
    return figure
