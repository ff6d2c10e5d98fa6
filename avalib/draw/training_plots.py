"""Curves of a training: loss, learning rate and validation mAP, once or while the training runs."""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from avalib.draw.colors import SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure
from avalib.training.logger import LOSS, MAP, build_log_table, compute_spread, read_log


@apply_style
def plot_training_curves(
    log: str | Path | list[dict] | pd.DataFrame, title: str = "Training: the loss falls, the validation mAP rises"
) -> Figure:
    """Plot loss and learning rate by iteration, and the validation mAP@0.5 by epoch.

    Parameters
    ----------
    log : path, list of dict or DataFrame
        The path of log.jsonl, its lines, or a table of them.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (loss_axis, rate_axis, validation_axis) = create_figure(3, (12, 3.4), width_ratios=[2, 1, 1.3])
    # Lines of training steps and of validations; a log without a validation has no mAP column.
    table = _to_log_table(log)
    steps = table[table["mode"] == "train"]
    iterations = steps["iteration"] if "iteration" in steps else pd.Series(np.arange(1, len(steps) + 1), steps.index)
    _plot_loss(loss_axis, iterations, steps[LOSS])
    rate_axis.plot(iterations, steps["lr"], color=SERIES_COLORS[1])
    rate_axis.set(xlabel="iteration", ylabel="learning rate", title="Schedule", ylim=(0, None))
    _plot_validation(validation_axis, table[table["mode"] == "val"] if MAP in table else table.iloc[:0])
    figure.suptitle(title)
    return figure


def _to_log_table(log):
    """The log as a DataFrame with the columns that are plotted."""
    if isinstance(log, (str, Path)):
        log = read_log(log)
    return build_log_table(log.to_dict("records") if isinstance(log, pd.DataFrame) else log)


def _plot_loss(axis, iterations, loss):
    """The loss of each step and its moving average."""
    # The mean over the last 4 % of the steps so far.
    window = max(1, len(loss) // 25)
    smooth = loss.rolling(window, min_periods=1).mean()
    axis.plot(iterations, loss, color=SERIES_COLORS[5], alpha=0.5, linewidth=0.8, label="each step")
    axis.plot(iterations, smooth, color=SERIES_COLORS[0], linewidth=1.8, label=f"mean of {window}")
    axis.set(xlabel="iteration", ylabel="binary cross-entropy", title="Loss: falls, then flattens", ylim=(0, None))
    if len(loss) > 20:  # the first steps of a training may be far above all others
        axis.set_ylim(0, 1.15 * float(np.quantile(loss, 0.98)))
    axis.legend(loc="upper right")


def _plot_validation(axis, validations):
    """The mAP of each validation, its best, and how much the last ones differ."""
    axis.set(xlabel="epoch", ylabel="mAP@0.5", title="Validation: rises, then levels off")
    if not len(validations):
        axis.text(0.5, 0.5, "no validation yet", ha="center", va="center", transform=axis.transAxes)
        return
    epochs = validations["epoch"]
    scores = validations[MAP]
    axis.plot(epochs, scores, color=SERIES_COLORS[2], marker="o")
    best = validations.loc[scores.idxmax()]
    point = (best["epoch"], best[MAP])
    axis.annotate(f"best {best[MAP]:.3f}", point, (0, 7), textcoords="offset points", ha="center")
    axis.set(xlim=(0, 1.1 * epochs.max()), ylim=(0, max(0.05, 1.25 * scores.max())))
    # A band over the last validations: from the lowest to the highest.
    spread = compute_spread(scores)
    count = spread["validations"]
    if count > 1:
        axis.fill_between(
            [epochs.iloc[-count], epochs.iloc[-1]],
            spread["lowest"],
            spread["highest"],
            color=SERIES_COLORS[2],
            alpha=0.2,
            linewidth=0,
            label=f"last {count}: {spread['mean']:.3f} ± {spread['std']:.3f}",
        )
        axis.legend(loc="lower right")
    axis.xaxis.get_major_locator().set_params(integer=True)


class LiveCurves:
    """Training curves that redraw themselves below a notebook's cell: call it with the log's lines so far.

    The curves are drawn again after each validation. `finish` draws them a last time, in the same place.

    Parameters
    ----------
    seconds : float
        The time between two drawings, at least.
    """

    def __init__(self, seconds: float = 5):
        self.seconds = seconds
        self._drawn_at = -np.inf
        self._display = None

    def __call__(self, log: list[dict]):
        if not len(log):
            return
        # Drawing takes a moment: at most every few seconds, but always after a validation.
        has_validated = log[-1]["mode"] == "val"
        if time.monotonic() - self._drawn_at < self.seconds and not has_validated:
            return
        self._show(plot_training_curves(log, title="Training now"))
        self._drawn_at = time.monotonic()

    def finish(self, log: str | Path | list[dict] | pd.DataFrame, title: str) -> Figure:
        """Show the curves of the finished training in place of the last drawing; returns the figure, to be saved."""
        figure = plot_training_curves(log, title)
        self._show(figure)
        return figure

    def _show(self, figure):
        """Show a figure below the cell that has shown the first one."""
        if self._display is None:
            self._display = display(figure, display_id=True)
        else:
            self._display.update(figure)
        plt.close(figure)  # or the notebook shows it a second time
