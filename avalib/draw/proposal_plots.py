"""How many annotated people have a proposal (a detector's box): the ceiling of every action detector."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avalib.data.proposal_recall import match_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.draw.colors import SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure

MIN_IOU = 0.5  # at which a person counts as found


@apply_style
def plot_proposal_recall(
    splits: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
    title: str = "Person boxes: the share of people that the detector found is the ceiling",
) -> Figure:
    """Plot how many annotated people have a proposal, by IoU (left) and by the proposal's score (right).

    Parameters
    ----------
    splits : dict
        {name: (ground truth, proposals)}, two tables for each split.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (left, right) = create_figure(2, (11, 3.8))
    min_ious = np.linspace(0.3, 0.95, 27)
    min_scores = np.linspace(0, 1, 51)
    for color, (name, (truth, proposals)) in zip(SERIES_COLORS, splits.items(), strict=False):
        # Each annotated person once, however many actions: (N,) best IoU, and the best score of a proposal that fits.
        people = truth[KEYFRAME_COLUMNS + BOX_COLUMNS].drop_duplicates(ignore_index=True)
        matches = match_proposals(people, proposals, MIN_IOU)
        recall = (matches.best_iou >= MIN_IOU).mean()
        # Left: recall if a proposal has to fit better.
        recalls = [(matches.best_iou >= min_iou).mean() for min_iou in min_ious]
        label = f"{name}: {recall:.3f} at IoU 0.5, {len(people):,} people"
        left.plot(min_ious, recalls, color=color, linewidth=2, label=label)
        # Right: recall, and the share of proposals that is left, if low scores are cut.
        recalls = [(matches.best_score >= min_score).mean() for min_score in min_scores]
        right.plot(min_scores, recalls, color=color, linewidth=2, label=f"{name}: recall at IoU 0.5")
        counts = count_proposals_per_keyframe(people, proposals, min_scores)
        label = f"{name}: proposals left (of {counts[0]:.1f} a keyframe)"
        right.plot(min_scores, counts / max(counts[0], 1e-9), color=color, linestyle=":", label=label)
    left.axvline(MIN_IOU, color="grey", linewidth=0.8)
    left.set(xlabel="minimum IoU", ylabel="share of people found", ylim=(0, 1.02))
    left.set_title("Fit: high at 0.5, then falling")
    right.set(xlabel="minimum score of the proposals", ylabel="share", ylim=(0, 1.02))
    right.set_title("Score: where to cut")
    left.legend(loc="lower left")
    right.legend(loc="lower left")
    figure.suptitle(title)
    return figure


def count_proposals_per_keyframe(people, proposals, min_scores):
    """The mean number of proposals of an annotated keyframe with at least each of some scores, (len(min_scores),)."""
    keyframes = people[KEYFRAME_COLUMNS].drop_duplicates()
    # With the scores sorted, everything after a minimum's place is at least the minimum.
    scores = np.sort(proposals.merge(keyframes, on=KEYFRAME_COLUMNS)["score"].to_numpy())
    return (len(scores) - np.searchsorted(scores, min_scores)) / max(len(keyframes), 1)
