"""The rows of the zoo beside one another: the published order and what was found, speed and accuracy."""

import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from avalib import zoo
from avalib.draw.colors import MODEL_COLORS
from avalib.draw.plots import apply_style, create_figure


@apply_style
def plot_published_order(values, what="actions that need time", title=None):
    """What was found for each row over its published mAP; a point a seed, joined where a row has several.

    values: {alias: [percent, one a seed]}; rows without any are left out and counted in the title.
    """
    fig, axis = create_figure(1, (8.5, 4.6))
    measured = {alias: found for alias, found in values.items() if found}
    for alias, found in measured.items():
        x = [zoo.get(alias).published_mAP] * len(found)
        axis.plot(x, found, "o-", color=MODEL_COLORS[alias], markersize=7, linewidth=1.2, alpha=0.9, label=alias)
    missing = len(zoo.list_models()) - len(measured)
    words = f" ({missing} rows not measured)" if missing else ""
    axis.set_title(title or f"Does the published order appear? Points should rise to the right{words}")
    axis.set(xlabel="published mAP, AVA v2.1 val (percent)", ylabel=f"mean AP here, {what} (percent)", xlim=(19, 27))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return fig


@apply_style
def plot_speed_accuracy(table, title="More accurate rows cost more: which are above and left of the others?"):
    """Published mAP over milliseconds a clip, a panel a machine, and over arithmetic; areas: parameters.

    table: scoreboard.speed's; a machine on which a row was not measured does not show it.
    """
    machines = [column for column in table if column.startswith("ms on ")]
    panels = [(column, f"ms a clip on {column[6:]} (log)") for column in machines]
    panels += [("GFLOP", "GFLOP a clip, backbone (log)")] if "GFLOP" in table else []
    if not panels:
        raise ValueError("nothing was measured yet: make bench-zoo")
    fig, axes = create_figure(len(panels), (4.2 * len(panels) + 2.4, 4.2), sharey=True, squeeze=False)
    for axis, (column, words) in zip(axes[0], panels, strict=True):
        for row in table[pd.notna(table[column])].to_dict("records"):
            style = dict(color=MODEL_COLORS[row["model"]], alpha=0.75, label=row["model"])
            axis.scatter(row[column], row["published mAP"], s=3 * row["parameters M"], **style)
        axis.set(xscale="log", xlabel=words)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.15, y=0.12)
    axes[0][0].set_ylabel("published mAP, AVA v2.1 val (percent)")
    shown = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    fig.legend(shown.values(), shown.keys(), loc="outside right center")
    fig.suptitle(title)
    return fig
