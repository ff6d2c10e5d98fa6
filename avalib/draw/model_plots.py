"""The zoo's models beside one another: published order and measured scores, speed and accuracy."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from avalib import zoo
from avalib.draw.colors import FAMILY_COLORS, MODEL_COLORS
from avalib.draw.figure_style import apply_style, create_figure

MACHINE_PREFIX = "ms on "  # columns of the speed table: milliseconds for a clip on a machine
NEARBY = 1.2  # a model of up to this many times the cost is an alternative
VAL_MARKERS = {"AVA v2.1 val": "o", "AVA v2.2 val": "s"}


@apply_style
def plot_published_order(
    scores: dict[str, list[float]], metric: str = "actions that need time", title: str | None = None
) -> Figure:
    """Plot each model's measured scores, the models in the order of their published mAP; a point for each seed.

    Published mAPs of AVA v2.1 and v2.2 cannot be compared: the models of v2.1 come first, a line before those of v2.2.

    Parameters
    ----------
    scores : dict
        {model: [percent, one for each seed]}. Models without scores are left out and counted in the title.
    metric : str
        What the scores are the mean AP of.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = create_figure(1, (8.5, 4.6))
    # A column of points per model, a point per seed.
    measured = [model for model, values in scores.items() if values]
    measured.sort(key=lambda model: (zoo.get(model).test_dataset, zoo.get(model).published_mAP))
    for place, model in enumerate(measured):
        values = scores[model]
        axis.plot(
            [place] * len(values), values, "o-", color=MODEL_COLORS[model], markersize=7, linewidth=1.2, alpha=0.9
        )
    n_of_ava21 = sum(zoo.get(model).test_dataset == "ava2.1" for model in measured)
    if 0 < n_of_ava21 < len(measured):
        axis.axvline(n_of_ava21 - 0.5, color="#7A7A7A", linewidth=0.8)
    n_missing = len(scores) - len(measured)
    note = f" (models not measured: {n_missing})" if n_missing else ""
    axis.set_title(title or f"Does the published order appear? Points should rise to the right{note}")
    axis.set_xticks(range(len(measured)), measured, rotation=20, ha="right")
    axis.set(xlabel="models, by their published mAP", ylabel=f"mean AP here, {metric} (percent)")
    return figure


@apply_style
def plot_speed_accuracy(
    table: pd.DataFrame, title: str = "More accurate models cost more: which are above and left of the others?"
) -> Figure:
    """Plot published mAP over milliseconds per clip, a panel for each machine, and over arithmetic.

    The models that no other one of the same val split beats at a similar cost have their names.

    Parameters
    ----------
    table : DataFrame
        From zoo_runner.speed_table.load_speed_table; columns may be left out. A point's area is the number of
        parameters. A machine on which a model was not measured does not show it.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Nothing was measured yet.
    """
    panels = {}  # {column: label of the x axis}
    for column in table:
        if column.startswith(MACHINE_PREFIX):
            panels[column] = f"ms a clip on {column.removeprefix(MACHINE_PREFIX)} (log)"
    if "GFLOP" in table:
        panels["GFLOP"] = "GFLOP a clip, backbone (log)"
    if not panels:
        raise ValueError("nothing was measured yet: make bench-zoo")
    figure, axes = create_figure(len(panels), (6 * len(panels) + 2.4, 5.6), sharey=True, squeeze=False)
    for axis, (column, label) in zip(axes[0], panels.items(), strict=True):
        measured = table[table[column].notna()]
        for model in measured.to_dict("records"):
            _plot_model(axis, model, column)
        for val_split in VAL_MARKERS:
            of_split = measured[measured["evaluated on"] == val_split]
            _name_best_models(axis, of_split, column, val_split)
        # Plain numbers at 1, 2 and 5 times a power of ten; with space for the names at the left.
        axis.set(xscale="log", xlabel=label, xlim=(0.3 * measured[column].min(), 1.5 * measured[column].max()))
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(y=0.08)
    axes[0][0].set_ylabel("published mAP@0.5 (percent)")
    figure.legend(handles=_build_handles(table.dropna(subset=list(panels), how="all")), loc="outside right center")
    figure.suptitle(title)
    return figure


def _plot_model(axis, model, column):
    """A point for a model: color by family, shape and filling by the val split of its mAP, area by its parameters."""
    color = FAMILY_COLORS[zoo.get_family(zoo.get(model["model"]))]
    is_filled = model["evaluated on"] == "AVA v2.2 val"
    axis.scatter(
        model[column],
        model["published mAP"],
        s=_compute_area(model),
        marker=VAL_MARKERS[model["evaluated on"]],
        facecolor=color if is_filled else "none",
        edgecolor=color,
        linewidth=1.5,
        alpha=0.8,
    )


def _compute_area(model):
    """Area of a model's mark in square points."""
    return 1.2 * model["parameters M"]


def _name_best_models(axis, models, column, val_split):
    """Names of the models that no other one of the same val split beats within NEARBY times their cost."""
    best = []
    for model in models.sort_values("published mAP").to_dict("records"):
        is_affordable = models[column] <= NEARBY * model[column]
        if model["published mAP"] == models["published mAP"][is_affordable].max():
            best.append(model)
    for place, model in enumerate(best):
        position = (model[column], model["published mAP"])
        if val_split == "AVA v2.2 val":
            # at the upper left of the mark, where no better points are
            distance = 4 + _compute_area(model) ** 0.5 / 2  # in points, from the middle of the mark
            axis.annotate(model["model"], position, (-distance, 4), textcoords="offset points", ha="right", fontsize=7)
        else:
            # those of v2.1 lie close together: a list in the free corner, a line from each name to its mark
            axis.annotate(
                model["model"],
                position,
                (0.98, 0.03 + 0.045 * place),
                textcoords="axes fraction",
                ha="right",
                fontsize=7,
                arrowprops={"arrowstyle": "-", "color": "#9A9A9A", "linewidth": 0.6, "relpos": (0, 0.5)},
            )


def _build_handles(table):
    """The legend: the families that occur, and the two val splits."""
    families = {zoo.get_family(zoo.get(model)) for model in table["model"]}
    handles = [
        Line2D([], [], marker="o", linestyle="", color=color, label=family)
        for family, color in FAMILY_COLORS.items()
        if family in families
    ]
    for val_split, marker in VAL_MARKERS.items():
        fill = "full" if val_split == "AVA v2.2 val" else "none"
        handles.append(
            Line2D([], [], marker=marker, linestyle="", color="#555555", fillstyle=fill, label=f"mAP of {val_split}")
        )
    return handles
