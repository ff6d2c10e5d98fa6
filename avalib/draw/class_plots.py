"""Bars and curves of actions: their average precision, precision over recall, how many boxes they have.

Every function returns a matplotlib figure whose title says what to look for. The colors are those of colors.py.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avalib.data.labels import get_action_groups, get_action_names, strip_brackets
from avalib.draw.colors import GROUP_COLORS, SERIES_COLORS
from avalib.draw.figure_style import apply_style, build_group_handles, create_figure, place_legend_below
from avalib.draw.point_labels import label_points
from avalib.evaluation.report import Report
from avalib.utils.plurals import format_count

MAX_BARS = 200  # of a plot; matplotlib's pictures are at most 65,536 pixels high
TEXT_WIDTH = 0.06  # of a bar's value, in AP


@apply_style
def plot_per_class(report: Report, baseline: Report | None = None, title: str | None = None) -> Figure:
    """Plot the AP of each action beside how many boxes it has, best first.

    Parameters
    ----------
    report : Report
        What avalib.evaluate returns. Actions without ground truth are left out and counted in the title.
    baseline : Report, optional
        Another one, drawn as marks.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    # Actions with an AP, best first, at most MAX_BARS of them.
    n_absent = int(report.per_class["AP"].isna().sum())
    table = report.per_class.dropna(subset=["AP"]).sort_values("AP", ascending=False, kind="stable")
    n_hidden = max(len(table) - MAX_BARS, 0)
    table = table.head(MAX_BARS)
    colors = [GROUP_COLORS[group] for group in table["group"]]
    names = [strip_brackets(name) for name in table["action"]]
    figure, (left, right) = create_figure(2, (10, 1.3 + 0.24 * len(table)), width_ratios=[3, 1.3], sharey=True)
    handles = build_group_handles(table["group"])

    # Left: average precisions, with their numbers.
    places = _draw_bars(left, table["AP"], colors, names)
    left.axvline(report.mAP, color="black", linewidth=1, linestyle=":", zorder=1)
    left.set_title(f"mAP {report.mAP:.4f} (dotted)", fontsize=10)
    marks = None
    # The baseline's AP of the same actions, in the same order, as a vertical mark on each bar.
    if baseline is not None:
        marks = baseline.per_class.set_index("action_id")["AP"].reindex(table["action_id"]).to_numpy()
        label = f"class frequencies, mAP {baseline.mAP:.4f}"
        handles += left.plot(marks, places, "|", color="black", markersize=11, markeredgewidth=2.2, label=label)
    _write_bar_values(left, places, table["AP"].to_numpy(), marks)
    left.set(xlabel="average precision at IoU 0.5", xlim=(0, 1.06))

    # Right: how many boxes there are to find.
    _draw_bars(right, table["ground_truth"], colors, names)
    right.set(xlabel="boxes to find (log scale)", xscale="log")
    right.tick_params(axis="y", labelleft=False, length=0)
    right.set_xlim(0.5, max(10, 1.6 * table["ground_truth"].max()))  # a bar of one box is visible, too
    right.xaxis.set_major_formatter("{x:,.0f}")
    right.xaxis.set_minor_formatter("")

    place_legend_below(figure, handles)
    if title is None:
        title = "What is recognized, and how often it occurs"
        title += ": bars should reach beyond the marks" if baseline is not None else ""
        title += f" ({format_count(n_absent, 'action')} without boxes left out)" if n_absent else ""
    figure.suptitle(title + (f" ({n_hidden} more actions not shown)" if n_hidden else ""))
    return figure


@apply_style
def plot_ap_comparison(
    reports: dict[str, Report], title: str = "Average precision of each action, side by side"
) -> Figure:
    """Plot the AP of each action in several evaluations: a group of bars for each action, a color for each evaluation.

    Parameters
    ----------
    reports : dict
        {name: what avalib.evaluate returns}, of one ground truth. The legend has their mAP. Actions without ground
        truth are left out.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    # (A,) AP of each report, the actions in the order of the first one's AP.
    first_table = next(iter(reports.values())).per_class.dropna(subset=["AP"])
    first_table = first_table.sort_values("AP", ascending=False, kind="stable").head(MAX_BARS)
    actions = first_table["action_id"]
    figure, axis = create_figure(1, (10, 1.6 + 0.2 * len(actions) * len(reports)))
    places = np.arange(len(actions))[::-1]
    height = 0.8 / len(reports)
    for i, (name, report) in enumerate(reports.items()):
        values = report.per_class.set_index("action_id")["AP"].reindex(actions).to_numpy()
        bar_places = places + 0.4 - (i + 0.5) * height
        label = f"{name}, mAP {report.mAP:.3f}"
        axis.barh(bar_places, values, height=0.9 * height, color=SERIES_COLORS[i % len(SERIES_COLORS)], label=label)
        _write_bar_values(axis, bar_places, values)
    axis.set_yticks(places, [strip_brackets(name) for name in first_table["action"]])
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="average precision at IoU 0.5", xlim=(0, 1.06), ylim=(-0.6, len(actions) - 0.4), title=title)
    place_legend_below(figure, axis.get_legend_handles_labels()[0], columns=2)
    return figure


def _write_bar_values(axis, places, values, marks=None):
    """Write the values (N,) behind their bars; behind the mark (N,), where it would cover the text."""
    ends = values
    if marks is not None:
        is_covered = np.abs(marks - values) < TEXT_WIDTH
        ends = np.where(is_covered, np.fmax(values, marks), values)
    background = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # over the line of the mAP
    for place, value, end in zip(places, values, ends, strict=True):
        axis.annotate(
            f"{value:.2f}",
            (end, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox=background,
        )


@apply_style
def plot_pr_curves(
    report: Report,
    actions: Iterable[int | str],
    title: str = "Precision stays high until most people are found; the area is the AP",
) -> Figure:
    """Plot precision over recall of some actions. Thin: as measured; thick: the envelope whose area is the AP.

    Parameters
    ----------
    report : Report
        What avalib.evaluate returns.
    actions : list of int or str
        Action ids or names.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    by_id = report.per_class.set_index("action_id")
    # Each action once. Colors repeat after eight, then with dashed lines.
    figure, axis = create_figure(1, (8.5, 4.6))
    for i, action in enumerate(dict.fromkeys(actions)):
        curve = report.compute_pr_curve(action)
        row = by_id.loc[action] if action in by_id.index else by_id[by_id["action"] == action].iloc[0]
        color = SERIES_COLORS[i % len(SERIES_COLORS)]
        line_style = "-" if i < len(SERIES_COLORS) else "--"
        n_boxes = format_count(int(row["ground_truth"]), "box", "boxes")
        label = f"{strip_brackets(row['action'])}: AP {row['AP']:.2f}, {n_boxes}"
        # The envelope begins at recall 0 with its highest precision; without detections it is that point, at 0.
        recall = np.r_[0, curve["recall"]]
        envelope = np.r_[curve["envelope"].max() if len(curve) else 0, curve["envelope"]]
        axis.step(recall, envelope, where="pre", linewidth=2, label=label, color=color, linestyle=line_style)
        axis.plot(curve["recall"], curve["precision"], linewidth=0.6, alpha=0.5, color=color, linestyle=line_style)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02), title=title)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@apply_style
def plot_ap_by_training(
    table: pd.DataFrame, title: str = "More boxes to learn from, better recognized: points should rise to the right"
) -> Figure:
    """Plot the AP of each action over the number of its training boxes.

    Parameters
    ----------
    table : DataFrame
        From ErrorAnalysis.compare_with_training: action, group, AP (0..1), training_boxes.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = create_figure(1, (8.5, 4.6))
    # A logarithmic axis has no 0.
    boxes = table["training_boxes"].clip(lower=1)
    axis.scatter(boxes, table["AP"], s=42, color=[GROUP_COLORS[group] for group in table["group"]])
    axis.set(
        xscale="log", xlabel="boxes with this label in training (log scale)", ylabel="average precision", title=title
    )
    axis.set(ylim=(-0.04, 1.04), xlim=(0.8 * boxes.min(), 2 * boxes.max()))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    place_legend_below(figure, build_group_handles(table["group"]))
    label_points(axis, boxes.to_list(), table["AP"].to_list(), [strip_brackets(name) for name in table["action"]])
    return figure


@apply_style
def plot_class_counts(
    train: pd.DataFrame,
    val: pd.DataFrame,
    label_map: dict[int, str] | None = None,
    title: str | None = None,
) -> Figure:
    """Plot how many boxes each action has in train and in val, the commonest first.

    Parameters
    ----------
    train, val : DataFrame
        Tables of ground truth.
    label_map : dict, optional
        {action_id: name}; default: AVA's 80. Actions that do not occur are left out and counted.
    title : str, optional
        Default: the share of the labels that the commonest actions have.

    Returns
    -------
    matplotlib.figure.Figure
    """
    label_map = label_map or get_action_names()
    # Boxes of each action, a line for each in the label map, the commonest first.
    counts = pd.DataFrame({"train": train["action_id"].value_counts(), "val": val["action_id"].value_counts()})
    counts = counts.reindex(list(label_map)).fillna(0).astype(int)
    n_absent = int((counts.sum(axis=1) == 0).sum())
    counts = counts[counts.sum(axis=1) > 0].sort_values("train", ascending=False, kind="stable")
    n_hidden = max(len(counts) - MAX_BARS, 0)
    counts = counts.head(MAX_BARS)
    group_of = get_action_groups(label_map)
    groups = [group_of[action] for action in counts.index]
    names = [strip_brackets(label_map[action]) for action in counts.index]
    figure, axis = create_figure(1, (8.5, 1.4 + 0.22 * len(counts)))
    # Points for both splits, as a bar on a log scale begins nowhere; the numbers of train, and of val, beside them.
    places = np.arange(len(counts))[::-1]
    axis.hlines(places, 0.7, counts.max(axis=1), color="#DDDDDD", linewidth=0.8, zorder=1)
    axis.scatter(counts["train"].where(counts["train"] > 0), places, s=48, color=[GROUP_COLORS[g] for g in groups])
    axis.plot(counts["val"].where(counts["val"] > 0), places, "o", color="white", markeredgecolor="black", markersize=5)
    for place, number in zip(places, counts.itertuples(), strict=True):
        point = (max(number.train, number.val), place)
        text = f"{number.train:,} | {number.val:,}"
        axis.annotate(text, point, (7, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(places, names)
    axis.set_ylim(-0.6, len(counts) - 0.4)
    axis.grid(axis="y", visible=False)
    label = "boxes with this label, train | val (filled: train, hollow: val; log scale)"
    label += f"\n{n_absent} of {len(label_map)} actions do not occur" if n_absent else ""
    title = title or _describe_tail(counts["train"])
    axis.set(xscale="log", xlabel=label, title=title, xlim=(0.7, counts.to_numpy().max() * 3))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(handles=build_group_handles(groups), loc="lower right")
    if n_hidden:
        axis.set_title(f"{title} ({n_hidden} more actions not shown)")
    return figure


def _describe_tail(counts):
    """A title that says how uneven the actions are: how few of them have half of the boxes. counts: falling."""
    total = int(counts.sum())
    if not total:
        return "No boxes to learn from"
    n_common = int((counts.cumsum() < total / 2).sum()) + 1
    share = counts.head(n_common).sum() / total
    return f"{n_common} of {format_count(len(counts), 'action')} have {share:.0%} of the boxes to learn from"


def _draw_bars(axis, values, colors, names):
    """Horizontal bars from the top down -> their places on the y axis."""
    # The y axis points up, so the first bar has the largest y.
    places = np.arange(len(values))[::-1]
    axis.barh(places, values, color=colors, height=0.75)
    axis.set_yticks(places, names)
    axis.set_ylim(-0.6, len(values) - 0.4)
    axis.grid(axis="y", visible=False)
    return places
