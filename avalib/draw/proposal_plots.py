"""How many annotated people have a proposal (a detector's box): the ceiling of every action detector."""

import numpy as np

from avalib.data.proposal_recall import MIN_IOU, match_proposals
from avalib.draw.colors import SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure


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
        label = f"{name}: {matches.compute_recall():.3f} at IoU 0.5, {len(matches.best_iou):,} people"
        recalls = [matches.compute_recall(iou) for iou in ious]
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
