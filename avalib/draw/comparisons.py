"""The rows of the zoo beside one another: the published order and what was found, speed and accuracy."""

import pandas as pd

from avalib import zoo
from avalib.draw.colours import MODEL_COLOURS
from avalib.draw.plots import figure, styled


@styled
def published_order(values, what="actions that need time", title=None):
    """What was found for each row over its published mAP; a point a seed, joined where a row has several.

    values: {alias: [percent, one a seed]}; rows without any are left out and counted in the title.
    """
    fig, axis = figure(1, (8.5, 4.6))
    measured = {alias: found for alias, found in values.items() if found}
    for alias, found in measured.items():
        x = [zoo.get(alias).published_mAP] * len(found)
        axis.plot(x, found, "o-", color=MODEL_COLOURS[alias], markersize=7, linewidth=1.2, alpha=0.9)
        axis.annotate(alias, (x[0], max(found)), (0, 8), textcoords="offset points", ha="center", fontsize=8)
    missing = len(zoo.names()) - len(measured)
    words = f" ({missing} rows not measured)" if missing else ""
    axis.set_title(title or f"Does the published order appear? Points should rise to the right{words}")
    axis.set(xlabel="published mAP, AVA v2.1 val (percent)", ylabel=f"mean AP here, {what} (percent)", xlim=(19, 27))
    axis.margins(y=0.2)
    return fig


@styled
def speed_accuracy(table, title="More accurate rows cost more: which are above and left of the others?"):
    """Published mAP over milliseconds a clip, a panel a machine, and over arithmetic; areas: parameters.

    table: scoreboard.speed's; a machine on which a row was not measured does not show it.
    """
    machines = [column for column in table if column.startswith("ms on ")]
    panels = [(column, f"ms a clip on {column[6:]} (log)") for column in machines]
    panels += [("GFLOP", "GFLOP a clip, backbone (log)")] if "GFLOP" in table else []
    if not panels:
        raise ValueError("nothing was measured yet: make bench-zoo")
    fig, axes = figure(len(panels), (4.6 * len(panels) + 1, 4.4), sharey=True, squeeze=False)
    for axis, (column, words) in zip(axes[0], panels, strict=True):
        for row in table[pd.notna(table[column])].to_dict("records"):
            x, y, colour = row[column], row["published mAP"], MODEL_COLOURS[row["model"]]
            axis.scatter(x, y, s=3 * row["parameters M"], color=colour, alpha=0.75)
            axis.annotate(row["model"], (x, y), (0, 9), textcoords="offset points", ha="center", fontsize=7.5)
        axis.set(xscale="log", xlabel=words)
        axis.margins(x=0.3, y=0.15)
    axes[0][0].set_ylabel("published mAP, AVA v2.1 val (percent)")
    fig.suptitle(title)
    return fig
