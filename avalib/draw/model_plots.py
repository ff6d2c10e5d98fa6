"""The zoo's models beside one another: published order and measured scores, speed and accuracy."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from avalib import zoo
from avalib.draw.colors import MODEL_COLORS
from avalib.draw.figure_style import apply_style, create_figure

MACHINE_PREFIX = "ms on "  # columns of the speed table: milliseconds for a clip on a machine


@apply_style
def plot_published_order(
    scores: dict[str, list[float]], metric: str = "actions that need time", title: str | None = None
) -> Figure:
    """Plot each model's measured scores, the models in the order of their published mAP; a point for each seed.

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
    measured.sort(key=lambda model: zoo.get(model).published_mAP)
    for place, model in enumerate(measured):
        values = scores[model]
        axis.plot(
            [place] * len(values), values, "o-", color=MODEL_COLORS[model], markersize=7, linewidth=1.2, alpha=0.9
        )
    n_missing = len(zoo.list_models()) - len(measured)
    note = f" ({n_missing} models not measured)" if n_missing else ""
    axis.set_title(title or f"Does the published order appear? Points should rise to the right{note}")
    axis.set_xticks(range(len(measured)), measured, rotation=20, ha="right")
    axis.set(xlabel="models, by their published mAP", ylabel=f"mean AP here, {metric} (percent)")
    return figure


@apply_style
def plot_speed_accuracy(
    table: pd.DataFrame, title: str = "More accurate models cost more: which are above and left of the others?"
) -> Figure:
    """Plot published mAP over milliseconds per clip, a panel for each machine, and over arithmetic.

    Parameters
    ----------
    table : DataFrame
        From zoo_runner.speed_table.load_speed_table. A point's area is the number of parameters. A machine on which a
        model was not measured does not show it.
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
    figure, axes = create_figure(len(panels), (4.2 * len(panels) + 2.4, 4.2), sharey=True, squeeze=False)
    handles = {}  # of the legend, each model once
    for axis, (column, label) in zip(axes[0], panels.items(), strict=True):
        # A circle per model that was measured; its area grows with the number of parameters.
        for model in table[pd.notna(table[column])].to_dict("records"):
            alias = model["model"]
            area = 3 * model["parameters M"]
            color = MODEL_COLORS[alias]
            points = axis.scatter(model[column], model["published mAP"], s=area, color=color, alpha=0.75, label=alias)
            handles[alias] = points
        # Plain numbers at 1, 2 and 5 times a power of ten.
        axis.set(xscale="log", xlabel=label)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.15, y=0.12)
    axes[0][0].set_ylabel("published mAP on AVA's val split (percent)")
    figure.legend(handles.values(), handles.keys(), loc="outside right center")
    figure.suptitle(title)
    return figure
