"""The curves of several trainings in one figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from avalib.draw.colors import SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure
from avalib.training.logger import LOSS, MAP, read_log, split_log_table

LINE_STYLES = ("-", "--", ":", "-.")  # the next one when the colors are used up


@apply_style
def plot_run_comparison(
    runs: Sequence[str | Path] | Mapping[str, str | Path],
    title: str = "Several trainings on the same data: whose loss falls faster, whose mAP ends higher?",
) -> Figure:
    """Plot the loss and the validation mAP of several trainings over the clips that each has seen.

    Clips, unlike steps, mean the same for trainings of different batch sizes.

    Parameters
    ----------
    runs : list of path, or {name: path}
        Folders of runs (outputs/runs/mini/slowonly_r50), of their trainings, or log.jsonl files. Without names a run
        is called by its folder's.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FileNotFoundError
        A folder has no log.jsonl.
    """
    if not isinstance(runs, Mapping):
        runs = {_get_run_name(path): path for path in runs}
    figure, (loss_axis, score_axis) = create_figure(2, (12, 4.2))
    for i, (name, path) in enumerate(runs.items()):
        steps, validations = split_log_table(read_log(_find_log(path)))
        style = {
            "color": SERIES_COLORS[i % len(SERIES_COLORS)],
            "linestyle": LINE_STYLES[i // len(SERIES_COLORS) % len(LINE_STYLES)],
        }
        # The clips seen up to each step, and up to each validation, which follows a step.
        clips = steps["clips"].cumsum().set_axis(steps["iteration"])
        window = max(1, len(steps) // 10)  # a tenth of the steps
        loss = steps[LOSS].rolling(window, min_periods=1).mean()
        loss_axis.plot(clips, loss, linewidth=1.8, label=name, **style)
        scores = validations[MAP]
        label = f"{name}: best {scores.max():.4f}" if len(scores) else f"{name}: not validated"
        score_axis.plot(clips.reindex(validations["iteration"]), scores, marker="o", markersize=5, label=label, **style)
    loss_axis.set(xlabel="clips seen", ylabel="loss, mean over a tenth of the steps", title="Loss: lower is better")
    score_axis.set(xlabel="clips seen", ylabel="mAP@0.5", title="Validation: higher is better", ylim=(0, None))
    for axis in (loss_axis, score_axis):
        axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter("{x:,.0f}")
    score_axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle(title)
    return figure


def _find_log(path):
    """The log.jsonl that a path means."""
    for candidate in (Path(path), Path(path) / "log.jsonl", Path(path) / "train" / "log.jsonl"):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{path}: no log.jsonl in it or in its train/; train there first (notebook 03)")


def _get_run_name(path):
    """The name of a run's folder, whichever of its files or folders is given."""
    return next(part for part in reversed(Path(path).parts) if part not in ("log.jsonl", "train"))
