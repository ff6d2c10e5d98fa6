"""The ladder of SlowOnly on AVA-Kinetics: what each change brings."""

import pandas as pd
from matplotlib.figure import Figure

from avalib.draw.colors import SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure

PUBLISHED_COLOR = SERIES_COLORS[0]
MEASURED_COLOR = SERIES_COLORS[1]
FIRST_COLOR = "#9AA5B1"


@apply_style
def plot_ladder(ladder: pd.DataFrame, measured: pd.Series | None = None, title: str | None = None) -> Figure:
    """Plot a ladder of models as steps: each bar is what a change adds to the published mAP.

    Parameters
    ----------
    ladder : DataFrame
        From `zoo.build_ladder_table`.
    measured : Series, optional
        Measured mAPs on the same val split, percent, by model; several of one model are several points. Other models
        are left out.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = create_figure(1, (9, 4.4))
    published = ladder["published mAP"]
    lowest = published.min() - 2.5  # the axis is cut off: the steps are small beside the first bar
    before = published.shift()
    places = range(len(ladder))[::-1]  # the first step at the top
    for place, step in zip(places, ladder.assign(before=before).to_dict("records"), strict=True):
        # The first bar is the model that the ladder begins with, the others reach from the step before to this one.
        is_first = pd.isna(step["gain"])
        left = lowest if is_first else step["before"]
        axis.barh(
            place,
            step["published mAP"] - left,
            left=left,
            height=0.62,
            color=FIRST_COLOR if is_first else PUBLISHED_COLOR,
        )
        gain = "" if is_first else f"  ({step['gain']:+.2f})"
        axis.text(step["published mAP"] + 0.08, place, f"{step['published mAP']:.2f}{gain}", va="center")
        # A thin line from this step's end down to the next bar.
        if place > 0:
            axis.plot([step["published mAP"]] * 2, [place - 0.69, place + 0.31], color="#7A7A7A", linewidth=0.8)
    if measured is not None and len(measured):
        of_model = dict(zip(ladder["model"], places, strict=True))
        points = measured[measured.index.isin(of_model)]
        axis.plot(points, points.index.map(of_model), "D", color=MEASURED_COLOR, markersize=6, label="measured here")
        axis.legend(loc="upper right")
    axis.set_yticks(places, ladder["change"])
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(lowest, published.max() + 2)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("published mAP@0.5 on AVA v2.2 val (percent; the axis does not begin at 0)")
    axis.set_title(title or "SlowOnly R50 trained on AVA-Kinetics: what does each change bring?")
    return figure
