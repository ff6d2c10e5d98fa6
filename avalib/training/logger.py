"""The training log: one JSON line for each step and each validation, and tables and summaries of it.

Source of the keys: mmcv 1.2.7 TextLoggerHook and MMAction2 v0.10.0's detectors (log.json of the published models).
"""

import contextlib
import json
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from avalib.utils.disk_space import describe_disk_full
from avalib.utils.errors import AvalibError
from avalib.utils.files import write_text

LOSS = "loss_action_cls"
MAP = "mAP@0.5IOU"
POSITION = ("epoch", "iter", "iteration")  # keys that count; they are no curves in tensorboard
SPREAD_VALIDATIONS = 5  # the last validations, whose spread is reported


class DamagedLogError(AvalibError, ValueError):
    """A line of log.jsonl is no log entry; the message names file and line and says what to do."""


class TrainingLog:
    """The entries of a run's log; each is on the disk as soon as it is appended.

    Parameters
    ----------
    path : str or Path, optional
        log.jsonl. A file with other entries than `rows` is written again. None: nothing goes to the disk.
    rows : iterable of dict
        The entries so far, of a run that resumes.
    tensorboard : str or Path, optional
        A folder for event files.

    Attributes
    ----------
    rows : list of dict
    """

    def __init__(
        self, path: str | Path | None = None, rows: Iterable[dict] = (), tensorboard: str | Path | None = None
    ):
        self.rows = list(rows)
        self.path = Path(path) if path else None
        self.writer = None
        if self.path:
            write_text(self.path, "".join(map(_format_line, self.rows)))
        # event files of later steps than the last entry are of the run before it was interrupted
        if tensorboard:
            first_iteration = self.rows[-1]["iteration"] + 1 if self.rows else None
            self.writer = _open_tensorboard(tensorboard, first_iteration)

    def append(self, row: dict) -> None:
        """Add an entry, here and in the files."""
        self.rows.append(row)
        if self.path:
            with describe_disk_full(self.path), open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_format_line(row))
        if self.writer:
            for key, value in row.items():
                if isinstance(value, (int, float)) and key not in POSITION:
                    self.writer.add_scalar(f"{row['mode']}/{key}", value, row["iteration"])
            self.writer.flush()


def _format_line(row):
    """An entry as a line of log.jsonl; NaN and infinity are null, as strict JSON has neither."""
    values = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
    return json.dumps(values) + "\n"


def _open_tensorboard(folder, first_iteration):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "tensorboard is not installed: pip install -e '.[tensorboard]', or train without tensorboard=True"
        ) from error
    return SummaryWriter(str(folder), purge_step=first_iteration)


def has_log_file(path: str | Path, rows: Iterable[dict]) -> bool:
    """Whether the file at `path` holds these entries and nothing else."""
    path = Path(path)
    return path.exists() and path.read_bytes() == "".join(map(_format_line, rows)).encode()


def read_log(path: str | Path) -> list[dict]:
    """Read a log.jsonl.

    Parameters
    ----------
    path : str or Path
        The file need not exist.

    Returns
    -------
    list of dict
        The entries. An incomplete last line is left out: it is being written, or the process was killed.

    Raises
    ------
    DamagedLogError
        Another line is no log entry.
    """
    path = Path(path)
    if not path.exists():
        return []
    # a whole line has a line end
    *lines, last = path.read_bytes().split(b"\n")
    rows = [_parse_line(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    # what follows the last line end may be incomplete; it counts if it can be read
    with contextlib.suppress(DamagedLogError):
        rows.append(_parse_line(last, path, len(lines) + 1))
    return rows


def _parse_line(line, path, number):
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not {"mode", "epoch"} <= set(row):
        raise DamagedLogError(
            f"{path}, line {number}: {line[:60].decode(errors='replace')!r} is not an entry of a training log. Start "
            "the training again with the same settings: it writes the log anew from last.pth. Or remove the line."
        )
    return row


def build_log_table(log: Iterable[dict] | pd.DataFrame) -> pd.DataFrame:
    """A log as a table.

    Parameters
    ----------
    log : list of dict or DataFrame
        The entries.

    Returns
    -------
    DataFrame
        A row for each entry. The columns that this package reads exist even where no entry has them.
    """
    table = log if isinstance(log, pd.DataFrame) else pd.DataFrame(list(log))
    required = ["mode", "epoch", "iter", "iteration", "lr", LOSS, "recall@top3", "time", "data_time", "clips", MAP]
    return table.reindex(columns=[*table.columns, *(name for name in required if name not in table)])


def split_log_table(log: Iterable[dict] | pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a log into two tables: steps and validations."""
    table = build_log_table(log)
    return table[table["mode"] == "train"], table[table["mode"] == "val"]


def build_epoch_table(log: Iterable[dict] | pd.DataFrame) -> pd.DataFrame:
    """A log by epoch.

    Parameters
    ----------
    log : list of dict or DataFrame

    Returns
    -------
    DataFrame
        epoch, loss_action_cls and recall@top3 (means), lr (the last), clips_per_s, waiting_share (the part of
        the time that waits for clips, 0..1), mAP@0.5IOU (NaN where the epoch was not validated).
    """
    steps, validations = split_log_table(log)
    # the steps of each epoch, then its validation beside them
    by_epoch = steps.groupby("epoch")
    table = by_epoch.agg({LOSS: "mean", "recall@top3": "mean", "lr": "last"})
    table["clips_per_s"] = by_epoch.clips.sum() / by_epoch.time.sum()
    table["waiting_share"] = by_epoch.data_time.sum(min_count=1) / by_epoch.time.sum()
    return table.join(validations.set_index("epoch")[[MAP]]).reset_index().astype(float).round(5)


def summarize_log(log: Iterable[dict] | pd.DataFrame) -> dict:
    """The results of a run.

    Parameters
    ----------
    log : list of dict or DataFrame

    Returns
    -------
    dict
        best_mAP, best_epoch, last_mAP (None without a validation), minutes (of training), clips_per_s,
        waiting_share (see `build_epoch_table`), last_epochs (see `compute_spread`). run.json holds these keys.
    """
    steps, validations = split_log_table(log)
    # the best and the last validation
    summary = {"best_mAP": None, "best_epoch": None, "last_mAP": None}
    if len(validations):
        scores = validations[MAP].astype(float)
        best = validations.loc[scores.idxmax()]
        summary = {"best_mAP": float(best[MAP]), "best_epoch": int(best.epoch), "last_mAP": float(scores.iloc[-1])}
    # time and speed of all steps
    seconds = float(steps.time.sum())
    summary["minutes"] = round(seconds / 60, 2)
    summary["clips_per_s"] = round(float(steps.clips.sum()) / seconds, 2) if seconds else None
    waiting_s = steps.data_time.sum(min_count=1)
    summary["waiting_share"] = round(float(waiting_s) / seconds, 4) if seconds and pd.notna(waiting_s) else None
    summary["last_epochs"] = compute_spread(validations[MAP])
    return summary


def compute_spread(values: Iterable[float], count: int = SPREAD_VALIDATIONS) -> dict | None:
    """How much the last validations of a run differ.

    A difference between two runs that is smaller than this says nothing.

    Parameters
    ----------
    values : sequence of float
        The mAP of each validation; NaN is left out.
    count : int
        How many of the last ones count.

    Returns
    -------
    dict or None
        validations, mean, std, lowest, highest; None without a validation.
    """
    values = pd.Series(values).astype(float).dropna().tail(count)
    if not len(values):
        return None
    return {
        "validations": len(values),
        "mean": round(float(values.mean()), 5),
        "std": round(float(values.std(ddof=0)), 5),
        "lowest": round(float(values.min()), 5),
        "highest": round(float(values.max()), 5),
    }


def describe_spread(spread: dict | None) -> str:
    """What `compute_spread` returns, as a line of text."""
    if spread is None:
        return "not validated"
    if spread["validations"] == 1:
        return f"validation mAP@0.5: {spread['mean']:.4f}"
    return (
        f"validation mAP@0.5, the last {spread['validations']}: {spread['mean']:.4f} ± {spread['std']:.4f}, from "
        f"{spread['lowest']:.4f} to {spread['highest']:.4f}"
    )
