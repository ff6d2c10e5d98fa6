"""What lies between the steps of a training run and the disk: settings that tell runs apart, state to go on from.

`last.pth` holds all that an unbroken run would have had. Files are written beside their place and then moved there, so
a run killed at any instant leaves the old file or the new one, whole.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from avalib import annotations, zoo


@dataclass(frozen=True)
class Setup:
    """What a run trains, on what, and how. `fingerprint` tells whether a run on disk is the same one."""

    entry: zoo.Entry
    recipe: zoo.Recipe
    layout: annotations.Layout
    device: torch.device
    dtype: torch.dtype
    workers: int
    checkpoint: str | None

    def fingerprint(self):
        """{name: value} of everything that changes the result."""
        label_file = hashlib.sha256(self.layout.csv("train").read_bytes()).hexdigest()[:16]
        return {
            "entry": dataclasses.asdict(self.entry),
            "recipe": json.loads(json.dumps(dataclasses.asdict(self.recipe))),
            "annotations": label_file,
            "precision": str(self.dtype).removeprefix("torch."),
            "checkpoint": self.checkpoint,
        }


@dataclass
class State:
    """Where a run stands. `epoch` and `step` count what is done; `log` is what log.jsonl holds."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch after them
    best_mAP: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0  # of training, over all sittings
    log: list = field(default_factory=list)


class Saver:
    """Writes last.pth at the end of epochs and every few minutes, and on Ctrl-C or SIGTERM before leaving."""

    def __init__(self, state, setup, output_dir, minutes):
        self.state, self.setup, self.output_dir, self.minutes = state, setup, Path(output_dir), minutes
        self.saved = time.monotonic()
        self.stop = False

    def __enter__(self):
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        self.stop = True  # obeyed between two steps, when the state is whole

    def tick(self):
        """Between two steps: save if it is time, leave if asked to."""
        if self.stop:
            self.save()
            raise KeyboardInterrupt(
                f"stopped after epoch {self.state.epoch}, step {self.state.step}; call again to go on"
            )
        if time.monotonic() - self.saved > self.minutes * 60:
            self.save()

    def save(self):
        """Write log and state, each whole or not at all."""
        state = self.state
        lines = "".join(json.dumps(row) + "\n" for row in state.log)
        _replace(self.output_dir / "log.jsonl", lambda path: path.write_text(lines))
        content = {
            "fingerprint": self.setup.fingerprint(),
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            **{k: getattr(state, k) for k in ("epoch", "step", "best_mAP", "best_epoch", "seconds", "log")},
        }
        _replace(self.output_dir / "last.pth", lambda path: torch.save(content, path))
        self.saved = time.monotonic()


def _replace(path, write):
    """Write a file beside `path`, then put it in its place: a reader sees the old one or the new one, whole."""
    temporary = path.with_name(path.name + ".partial")
    try:
        write(temporary)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"could not write {path} ({error.strerror}); is there space left?") from error
    os.replace(temporary, path)


def _read_state(output_dir):
    path = Path(output_dir) / "last.pth"
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def resume(state, setup, output_dir):
    """Fill `state` from output_dir's last.pth, if it is there. -> whether it was."""
    saved = _read_state(output_dir)
    if saved is None:
        return False
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    for name in ("epoch", "step", "best_mAP", "best_epoch", "seconds", "log"):
        setattr(state, name, saved[name])
    if state.epoch < setup.recipe.epochs:
        print(f"{output_dir}: going on after epoch {state.epoch}, step {state.step}")
    return True


def keep_other_run(output_dir, setup):
    """If output_dir holds a run with other settings, rename it (nothing is overwritten) and say what differs."""
    saved = _read_state(output_dir)
    if saved is None or saved["fingerprint"] == setup.fingerprint():
        return
    ours, theirs = _flat(setup.fingerprint()), _flat(saved["fingerprint"])
    changed = {k: (theirs.get(k), ours.get(k)) for k in sorted(ours | theirs) if ours.get(k) != theirs.get(k)}
    number = next(i for i in range(1, 10_000) if not output_dir.with_name(f"{output_dir.name}.{i}").exists())
    kept = output_dir.with_name(f"{output_dir.name}.{number}")
    shutil.move(output_dir, kept)
    print(f"{output_dir} held another run; it is kept as {kept.name}. Different (then, now): {changed}")


def _flat(tree, prefix=""):
    items = {}
    for key, value in tree.items():
        items |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return items
