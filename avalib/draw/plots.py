"""Curves and bars. Every function returns a matplotlib figure whose title says what one should see.

What colours mean is in colours.py.
"""

import functools
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

from avalib.data.labels import get_action_groups, get_action_names
from avalib.draw.colors import GROUP_COLORS, GROUP_TITLES, SERIES_COLORS
from avalib.training.logger import build_log_table, compute_spread, read_log
from avalib.utils.notebook_run import get_run_caption

STYLE = {
    "figure.facecolor": "white",  # readable in a dark notebook too
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 9.5,
}


def apply_style(draw):
    """Decorator: what `draw` draws is in this package's style, nobody else's figures are; its run is in the corner."""

    @functools.wraps(draw)
    def wrapper(*args, **options):
        with plt.rc_context(STYLE):
            drawn, interactive = draw(*args, **options), plt.isinteractive()
            if where := get_run_caption():
                drawn.supxlabel(where, x=0.995, ha="right", fontsize=6.5, color="#777777")
        plt.interactive(interactive)  # a notebook turns it on at its first figure; rc_context would turn it off again
        return drawn

    return wrapper


def create_figure(columns, size, **options):
    """A figure and its axes (an array of them if there are several)."""
    return plt.subplots(1, columns, figsize=size, layout="constrained", **options)


def place_legend_below(fig, handles):
    """A legend under a figure's axes and above the line that names the run."""
    line = 14 / 72 / fig.get_figheight()
    fig.get_layout_engine().set(rect=(0, line, 1, 1 - line))
    fig.legend(handles=handles, loc="outside lower center", ncols=4, borderaxespad=1.8)


@apply_style
def plot_training_curves(log, title="Training: the loss falls, the validation mAP rises"):
    """Loss and learning rate by iteration, validation mAP@0.5 by epoch.

    log: a DataFrame, a list of rows or the path of log.jsonl, with mode, epoch, iteration, lr, loss_action_cls and
    mAP@0.5IOU.
    """
    fig, axes = create_figure(3, (12, 3.4), width_ratios=[2, 1, 1.3])
    _draw_curves(axes, _log_table(log))
    fig.suptitle(title)
    return fig


def _log_table(log):
    if isinstance(log, (str, Path)):
        log = read_log(log)
    return build_log_table(log.to_dict("records") if isinstance(log, pd.DataFrame) else log)


def _draw_curves(axes, log):
    train = log[log["mode"] == "train"]
    at = train["iteration"] if "iteration" in train else pd.Series(np.arange(1, len(train) + 1), train.index)
    loss = train["loss_action_cls"]
    span = max(1, len(loss) // 25)
    axes[0].plot(at, loss, color=SERIES_COLORS[5], alpha=0.5, linewidth=0.8, label="each step")
    smooth = loss.rolling(span, min_periods=1).mean()
    axes[0].plot(at, smooth, color=SERIES_COLORS[0], linewidth=1.8, label=f"mean of {span}")
    axes[0].set(xlabel="iteration", ylabel="binary cross-entropy", title="Loss: falls, then flattens", ylim=(0, None))
    if len(loss) > 20:
        axes[0].set_ylim(0, 1.15 * float(np.quantile(loss, 0.98)))
    axes[0].legend(loc="upper right")
    axes[1].plot(at, train["lr"], color=SERIES_COLORS[1])
    axes[1].set(xlabel="iteration", ylabel="learning rate", title="Schedule", ylim=(0, None))
    column = "mAP@0.5IOU"
    val = log[log["mode"] == "val"] if column in log else log.iloc[:0]
    axes[2].set(xlabel="epoch", ylabel="mAP@0.5", title="Validation: rises, then levels off")
    if len(val):
        axes[2].plot(val["epoch"], val[column], color=SERIES_COLORS[2], marker="o")
        best = val.loc[val[column].idxmax()]
        axes[2].annotate(f"best {best[column]:.3f}", (best["epoch"], best[column]), (0, 7), textcoords="offset points",
                         ha="center")  # fmt: skip
        axes[2].set_ylim(0, max(0.05, 1.25 * val[column].max()))
        last = compute_spread(val[column])
        if last["validations"] > 1:
            told = f"last {last['validations']}: {last['mean']:.3f} ± {last['std']:.3f}"
            start = val["epoch"].iloc[-last["validations"]]
            axes[2].fill_between([start, val["epoch"].iloc[-1]], last["lowest"], last["highest"], color=SERIES_COLORS[2],
                                 alpha=0.2, linewidth=0, label=told)  # fmt: skip
            axes[2].legend(loc="lower right")
        axes[2].xaxis.get_major_locator().set_params(integer=True)
    else:
        axes[2].text(0.5, 0.5, "no validation yet", ha="center", va="center", transform=axes[2].transAxes)


class LiveCurves:
    """Training curves that redraw themselves under a notebook's cell: call it with the log's rows so far.

    At most once in `seconds`; the picture stays when training ends.
    """

    def __init__(self, seconds=5):
        self.seconds, self._drawn, self._handle = seconds, -np.inf, None

    def __call__(self, rows):
        validated = len(rows) and rows[-1]["mode"] == "val"
        if not len(rows) or (time.monotonic() - self._drawn < self.seconds and not validated):
            return
        fig = plot_training_curves(rows, title="Training now")
        if self._handle is None:
            self._handle = display(fig, display_id=True)
        else:
            self._handle.update(fig)
        plt.close(fig)  # or the notebook shows it a second time
        self._drawn = time.monotonic()


MAX_BARS = 200  # of a plot; matplotlib's pictures are at most 65,536 pixels high


def _bars(axis, table, values, colours, names):
    places = np.arange(len(table))[::-1]
    axis.barh(places, values, color=colours, height=0.75)
    axis.set_yticks(places, names)
    axis.set_ylim(-0.6, len(table) - 0.4)
    axis.grid(axis="y", visible=False)
    return places


def _group_handles(groups):
    found = [group for group in GROUP_COLORS if group in set(groups)]
    return [plt.Rectangle((0, 0), 1, 1, color=GROUP_COLORS[group], label=GROUP_TITLES[group]) for group in found]


@apply_style
def plot_per_class(report, baseline=None, title=None):
    """AP of each action beside how many boxes of it there are to find, best first; baseline: another Report, as marks.

    report: metrics' Report; actions without ground truth are left out and counted in the title.
    """
    table = report.per_class
    absent = int(table["AP"].isna().sum())
    table = table.dropna(subset=["AP"]).sort_values("AP", ascending=False, kind="stable")
    table, hidden = table.head(MAX_BARS), max(len(table) - MAX_BARS, 0)
    colours = [GROUP_COLORS[group] for group in table["group"]]
    names = [_short(name) for name in table["action"]]
    fig, (left, right) = create_figure(2, (10, 1.3 + 0.24 * len(table)), width_ratios=[3, 1.3], sharey=True)
    places, handles = _bars(left, table, table["AP"], colours, names), _group_handles(table["group"])
    left.axvline(report.mAP, color="black", linewidth=1, linestyle=":")
    left.set_title(f"mAP {report.mAP:.3f} (dotted)", fontsize=10)
    for place, value in zip(places, table["AP"], strict=True):
        left.annotate(f"{value:.2f}", (value, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
    if baseline is not None:
        other = baseline.per_class.set_index("action_id")["AP"].reindex(table["action_id"])
        label = f"guessing by class frequencies, mAP {baseline.mAP:.3f}"
        handles += left.plot(other, places, "|", color="black", markersize=11, markeredgewidth=2.2, label=label)
    left.set(xlabel="average precision at IoU 0.5", xlim=(0, 1.06))
    _bars(right, table, table["ground_truth"], colours, names)
    right.set(xlabel="boxes to find (log scale)", xscale="log")
    right.tick_params(axis="y", labelleft=False, length=0)
    right.set_xlim(1, 1.6 * table["ground_truth"].max())
    place_legend_below(fig, handles)
    beyond = ": bars should reach beyond the marks" if baseline is not None else ""
    missing = f" ({absent} actions without boxes left out)" if absent else ""
    fewer = f" ({hidden} more actions not shown)" if hidden else ""
    fig.suptitle((title or f"What is recognised, and how often it occurs{beyond}{missing}") + fewer)
    return fig


def _short(name):
    return name.split(" (")[0]


@apply_style
def plot_pr_curves(report, chosen, title="Precision stays high until most people are found; the area is the AP"):
    """Precision over recall of some actions (ids or names); thin: as measured, thick: the envelope that counts."""
    rows = report.per_class.set_index("action_id")
    fig, axis = create_figure(1, (8.5, 4.6))
    for i, action in enumerate(dict.fromkeys(chosen)):
        curve = report.compute_pr_curve(action)
        row = rows.loc[action] if action in rows.index else rows[rows["action"] == action].iloc[0]
        style = {"color": SERIES_COLORS[i % len(SERIES_COLORS)], "linestyle": "-" if i < len(SERIES_COLORS) else "--"}
        label = f"{_short(row['action'])}: AP {row['AP']:.2f}, {int(row['ground_truth'])} boxes"
        recall, envelope = np.r_[0, curve["recall"]], np.r_[curve["envelope"].iloc[:1], curve["envelope"]]
        axis.step(recall, envelope, where="pre", linewidth=2, label=label, **style)
        axis.plot(curve["recall"], curve["precision"], linewidth=0.6, alpha=0.5, **style)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02), title=title)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


@apply_style
def plot_ap_by_training(table, title="More boxes to learn from, better recognised: points should rise to the right"):
    """AP of each action over the boxes it was learnt from (log scale), in the colour of its group.

    table: errors.Analysis.against_training's: action, group, AP, training_boxes. Names without room are left out.
    """
    fig, axis = create_figure(1, (8.5, 4.6))
    boxes = table["training_boxes"].clip(lower=1)
    axis.scatter(boxes, table["AP"], s=42, color=[GROUP_COLORS[group] for group in table["group"]])
    for name, at, ap in zip(table["action"], boxes, table["AP"], strict=True):
        axis.annotate(_short(name), (at, ap), (5, 3), textcoords="offset points", fontsize=7.5)
    axis.set(
        xscale="log", xlabel="boxes with this label in training (log scale)", ylabel="average precision", title=title
    )
    axis.set(ylim=(0, 1.02), xlim=(0.8 * boxes.min(), 2 * boxes.max()))
    axis.legend(handles=_group_handles(table["group"]), loc="upper left")
    return fig


@apply_style
def plot_class_counts(train, val, label_map=None, title="A long tail: a few actions are most of the data"):
    """How many boxes each action has in train (bar) and val (dot), by falling number; log scale, groups in colour.

    train, val: tables of ground truth; label_map {action_id: name}, default AVA's 80. Absent actions are left out.
    """
    label_map = label_map or get_action_names()
    counts = pd.DataFrame({"train": train["action_id"].value_counts(), "val": val["action_id"].value_counts()})
    counts = counts.reindex(list(label_map)).fillna(0).astype(int)
    absent = int((counts.sum(axis=1) == 0).sum())
    counts = counts[counts.sum(axis=1) > 0].sort_values("train", ascending=False, kind="stable")
    counts, hidden = counts.head(MAX_BARS), max(len(counts) - MAX_BARS, 0)
    group_of = get_action_groups(label_map)
    groups = [group_of[action] for action in counts.index]
    fig, axis = create_figure(1, (8.5, 1.4 + 0.22 * len(counts)))
    names = [_short(label_map[action]) for action in counts.index]
    places = _bars(axis, counts, counts["train"], [GROUP_COLORS[group] for group in groups], names)
    axis.plot(counts["val"].where(counts["val"] > 0), places, "o", color="white", markeredgecolor="black", markersize=5)
    for place, number in zip(places, counts["train"], strict=True):
        axis.annotate(
            f"{number:,}", (max(number, 1), place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set(xscale="log", xlabel="boxes with this label (bar: train, dot: val; log scale)", title=title)
    axis.set_xlim(0.8, counts.to_numpy().max() * 2)
    axis.legend(handles=_group_handles(groups), loc="lower right")
    if hidden:
        axis.set_title(f"{title} ({hidden} more actions not shown)")
    if absent:
        axis.annotate(f"{absent} of {len(label_map)} actions do not occur", (1, 0), (0, -32), ha="right", fontsize=8,
                      xycoords="axes fraction", textcoords="offset points")  # fmt: skip
    return fig


@apply_style
def plot_proposal_recall(splits, title="Person boxes: the share of people that the detector found is the ceiling"):
    """How many annotated people have a proposal, by how well it must fit (left) and how sure it must be (right).

    splits: {name: (ground truth table, proposals table)}. A person counts as found if any proposal of its keyframe
    overlaps it enough; proposals may serve two people.
    """
    fig, (left, right) = create_figure(2, (11, 3.8))
    for colour, (name, (truth, proposals)) in zip(SERIES_COLORS, splits.items(), strict=False):
        best, score, per_frame = _best_proposals(truth, proposals)
        at = np.linspace(0.3, 0.95, 27)
        recall = [(best >= t).mean() for t in at]
        found = (best >= 0.5).mean()
        left.plot(at, recall, color=colour, linewidth=2, label=f"{name}: {found:.3f} at IoU 0.5, {len(best):,} people")
        at = np.linspace(0, 1, 51)
        right.plot(at, [(score >= t).mean() for t in at], color=colour, linewidth=2, label=f"{name}: recall at IoU 0.5")
        boxes = [per_frame(t) for t in at]
        right.plot(at, np.array(boxes) / max(boxes[0], 1e-9), color=colour, linestyle=":",
                   label=f"{name}: proposals left (of {boxes[0]:.1f} a keyframe)")  # fmt: skip
    left.axvline(0.5, color="grey", linewidth=0.8)
    left.set(
        xlabel="IoU asked for", ylabel="share of people found", ylim=(0, 1.02), title="Fit: high at 0.5, then falling"
    )
    right.set(xlabel="proposals with at least this score", ylabel="share", ylim=(0, 1.02), title="Score: where to cut")
    left.legend(loc="lower left")
    right.legend(loc="lower left")
    fig.suptitle(title)
    return fig


def _best_proposals(truth, proposals):
    """Per person the best IoU (P,) and the highest score of a proposal with IoU >= 0.5 (P,), -1 for none; and how many
    proposals a keyframe has from a score on, as a function."""
    key, box = ["video_id", "timestamp"], ["x1", "y1", "x2", "y2"]
    people = truth[key + box].drop_duplicates(ignore_index=True)
    people["person"] = np.arange(len(people))
    pairs = people.merge(proposals, on=key, suffixes=("", "_p"))
    a, b = pairs[box].to_numpy(), pairs[[f"{c}_p" for c in box]].to_numpy()
    inter = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(0).prod(1)
    pairs["iou"] = inter / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter).clip(1e-9)
    best = pairs.groupby("person")["iou"].max().reindex(people["person"], fill_value=0).to_numpy()
    score = (
        pairs[pairs["iou"] >= 0.5].groupby("person")["score"].max().reindex(people["person"], fill_value=-1).to_numpy()
    )
    keyframes = people[key].drop_duplicates()
    scores = np.sort(proposals.merge(keyframes, on=key)["score"].to_numpy())
    return best, score, lambda t: (len(scores) - np.searchsorted(scores, t)) / max(len(keyframes), 1)
