"""The log of a training: written a line a step in the keys that plot scripts know, and what it says in the end.

Source of the keys: mmcv 1.2.7 TextLoggerHook and MMAction2 v0.10.0's detectors (…/log.json of the published rows).
"""

import contextlib
import json
import math
from pathlib import Path

import pandas as pd

from avalib.utils.errors import AvalibError
from avalib.utils.files import describe_disk_full, write_text

LOSS, MAP = "loss_action_cls", "mAP@0.5IOU"
PLACE = ("epoch", "iter", "iteration")
LAST = 5  # validations whose spread is told


class TrainingLog(list):
    """Rows (dicts), each on disk as soon as it is appended; a file that holds more than `rows` is cut to them.

    path: log.jsonl, or None to keep nothing on disk; tensorboard: a folder for its event files, or None.
    """

    def __init__(self, path=None, rows=(), tensorboard=None):
        super().__init__(rows)
        self.path, self.writer = path and Path(path), None
        if self.path:
            write_text(self.path, "".join(map(_line, self)))
        if tensorboard:
            self.writer = _summary_writer(tensorboard, self[-1]["iteration"] + 1 if self else None)

    def append(self, row):
        super().append(row)
        if self.path:
            with describe_disk_full(self.path), open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_line(row))
        if self.writer:
            numbers = {k: v for k, v in row.items() if isinstance(v, (int, float)) and k not in PLACE}
            for key, value in numbers.items():
                self.writer.add_scalar(f"{row['mode']}/{key}", value, row["iteration"])
            self.writer.flush()


def _line(row):
    return json.dumps({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}) + "\n"


def _summary_writer(folder, first):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard is not installed: pip install -e '.[tensorboard]', or leave it off") from error
    return SummaryWriter(str(folder), purge_step=first)


def log_exists(path, rows):
    """Whether the file at `path` holds these rows and nothing else."""
    path = Path(path)
    return path.exists() and path.read_bytes() == "".join(map(_line, rows)).encode()


class DamagedLogError(AvalibError, ValueError):
    """A log.jsonl has a line that is no row; the message names file and line and says what to do."""


def read_log(path):
    """The lines of a log.jsonl, as rows; a last one that is still being written, or was when a kill came, is left out.

    Raises DamagedLogError for any other line that is not a row.
    """
    path = Path(path)
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    rows = [_row(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    # Without a line end the last row may be torn; it counts where it can be read.
    with contextlib.suppress(DamagedLogError):
        rows.append(_row(last, path, len(lines) + 1))
    return rows


def _row(line, path, number):
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not {"mode", "epoch"} <= set(row):
        raise DamagedLogError(
            f"{path}, line {number}: {line[:60].decode(errors='replace')!r} is no row of a training's log. Call the "
            "training again with the same settings: it writes the log anew from last.pth; or remove the line."
        )
    return row


def build_log_table(log):
    """A log's rows as a DataFrame; the columns that everything here needs are there even where no row is."""
    table = pd.DataFrame(list(log))
    needed = ["mode", "epoch", "iter", "iteration", "lr", LOSS, "recall@top3", "time", "clips", MAP]
    return table.reindex(columns=[*table.columns, *(c for c in needed if c not in table)])


def build_epoch_table(log):
    """The log by epoch: means of loss_action_cls and recall@top3, last lr, clips_per_s, mAP@0.5IOU where validated."""
    log = build_log_table(log.to_dict("records")) if isinstance(log, pd.DataFrame) else build_log_table(log)
    steps = log[log["mode"] == "train"].groupby("epoch")
    table = steps.agg({LOSS: "mean", "recall@top3": "mean", "lr": "last"})
    table["clips_per_s"] = steps.clips.sum() / steps.time.sum()
    validated = log[log["mode"] == "val"].set_index("epoch")
    return table.join(validated[[MAP]]).reset_index().astype(float).round(5)


def summarize_log(log):
    """What a log ends with: {"best_mAP", "best_epoch", "last_mAP", "minutes" of training, "clips_per_s"} and `spread`.

    Without a validation the mAPs are None.
    """
    log = build_log_table(log.to_dict("records")) if isinstance(log, pd.DataFrame) else build_log_table(log)
    steps, validated = log[log["mode"] == "train"], log[log["mode"] == "val"]
    found = dict.fromkeys(("best_mAP", "best_epoch", "last_mAP"))
    if len(validated):
        best = validated.loc[validated[MAP].astype(float).idxmax()]
        found = dict(best_mAP=float(best[MAP]), best_epoch=int(best.epoch), last_mAP=float(validated[MAP].iloc[-1]))
    seconds = float(steps.time.sum())
    found |= {"minutes": round(seconds / 60, 2)}
    found |= {"clips_per_s": round(float(steps.clips.sum()) / seconds, 2) if seconds else None}
    return found | {"last_epochs": compute_spread(validated[MAP])}


def compute_spread(values, last=LAST):
    """How much the last validations differ: {"validations", "mean", "std", "lowest", "highest"}; None without any.

    A difference between two runs that is smaller than this is none.
    """
    values = pd.Series(values).astype(float).dropna().tail(last)
    if not len(values):
        return None
    return {
        "validations": len(values),
        "mean": round(float(values.mean()), 5),
        "std": round(float(values.std(ddof=0)), 5),
        "lowest": round(float(values.min()), 5),
        "highest": round(float(values.max()), 5),
    }
