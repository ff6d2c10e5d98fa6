"""The style of all figures, the line in their corner that names the notebook's run, and how they are saved."""

import functools
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from avalib.draw.colors import GROUP_COLORS, GROUP_TITLES
from avalib.utils.files import atomic_path
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


def apply_style(plot):
    """Decorator of a function that returns a figure: it gets the package's style and the run's name in its corner."""

    @functools.wraps(plot)
    def wrapper(*args, **options):
        with plt.rc_context(STYLE):
            figure = plot(*args, **options)
            is_interactive = plt.isinteractive()
            # In the lower right corner: which notebook run made the figure.
            if caption := get_run_caption():
                figure.supxlabel(caption, x=0.995, ha="right", fontsize=6.5, color="#777777")
        # A notebook turns interactive mode on at its first figure; rc_context would turn it off again.
        plt.interactive(is_interactive)
        return figure

    return wrapper


def create_figure(columns, size, **options):
    """A figure and its axes (an array of them if there are several); options: of plt.subplots."""
    return plt.subplots(1, columns, figsize=size, layout="constrained", **options)


def place_legend_below(figure, handles, columns=4):
    """A legend below a figure's axes and above the line that names the run."""
    # A line of 14 points as a share of the figure's height: a point is 1/72 inch, and get_figheight is in inches.
    line_height = 14 / 72 / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, line_height, 1, 1 - line_height))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, borderaxespad=1.8)


def build_group_handles(groups):
    """A legend's handles for the groups of actions that occur."""
    groups = set(groups)
    return [
        plt.Rectangle((0, 0), 1, 1, color=color, label=GROUP_TITLES[group])
        for group, color in GROUP_COLORS.items()
        if group in groups
    ]


def save_figure(figure: Image.Image | Figure, path: str | Path, **options: object) -> None:
    """Write a picture or a figure. The file appears when it is complete.

    Parameters
    ----------
    figure : PIL.Image.Image or matplotlib.figure.Figure
    path : str or Path
        The suffix chooses the format.
    **options
        Of the picture's `save` or the figure's `savefig`, such as dpi.
    """
    with atomic_path(path) as part:
        (figure.savefig if hasattr(figure, "savefig") else figure.save)(part, **options)
