"""What lies between the steps of a training run and the disk: settings that tell runs apart, state to go on from.

`last.pth` holds all that an unbroken run would have had. Random numbers are functions of where a run stands, not of how
it came there: a sample is drawn from (seed, epoch, keyframe), the order from (seed, epoch), and all global generators
are set from (seed, iteration, share) before every forward pass, so seed and position are all random states. Files are
written beside their place and then moved there: a run killed at any instant leaves the old file or the new one, whole.
"""

import dataclasses
import hashlib
import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from avalib import annotations, run, zoo
from avalib.history import Log
from avalib.parallel import ALONE

SAVED = ("epoch", "step", "validated", "best_mAP", "best_epoch", "seconds")


@dataclass(frozen=True)
class Setup:
    """What a run trains, on what, and how. `fingerprint` tells whether a run on disk is the same one."""

    entry: zoo.Entry
    recipe: zoo.Recipe
    layout: annotations.Layout
    device: torch.device
    dtype: torch.dtype
    workers: int
    checkpoint: str | None  # None: random weights
    accumulate: int = 1  # shares of a step that one process does one after the other
    channels_last: bool = False  # weights in memory as the activations are; on a CPU they always are
    recompute: bool = False  # activations are computed again in backward instead of kept
    compile: bool = False
    deterministic: bool = False

    def clips_per_step(self, world=ALONE):
        """The real global batch."""
        return self.recipe.videos_per_gpu * self.accumulate * world.size

    def lr(self, world=ALONE):
        """The learning rate after the warm-up: the recipe's by the linear rule, for the real global batch."""
        return zoo.scaled_lr(self.recipe, self.accumulate * world.size, self.recipe.videos_per_gpu)

    def fingerprint(self):
        """{name: value} of everything that changes the result, but for the global batch."""
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
    replica: torch.nn.Module  # the model, or what averages its gradients over the processes
    scaler: torch.amp.GradScaler  # for float16; else it does nothing
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch after them
    validated: int = 0  # the last epoch with a validation
    best_mAP: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0  # of training, over all sittings
    log: Log = field(default_factory=Log)

    def restore(self, saved, setup, world=ALONE):
        """Take over what `read` gave. Another global batch keeps the place in the epoch, to the step before."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        for name in SAVED:
            setattr(self, name, saved[name])
        before, now = saved["clips_per_step"], setup.clips_per_step(world)
        if before != now:
            self.step = self.step * before // now
            if world.main:
                print(f"{before} clips a step until here, {now} from here on; the learning rate follows")


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, has saved and leaves. `signal` is the number that asked."""

    def __init__(self, message, signal):
        super().__init__(message)
        self.signal = signal


class Saver:
    """Writes last.pth at the end of epochs and every few minutes, and on Ctrl-C or SIGTERM before leaving.

    Every process has one; the main one writes.
    """

    def __init__(self, state, setup, output_dir, minutes, world=ALONE):
        self.state, self.setup, self.output_dir, self.minutes = state, setup, Path(output_dir), minutes
        self.world, self.fingerprint = world, setup.fingerprint()
        self.saved = time.monotonic()
        self.asked = 0  # the signal that asked to stop
        self.between_steps = True  # when False, everything is saved and there is nothing to wait for

    def __enter__(self):
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        self.asked = number  # obeyed between two steps, when the state is whole
        if not self.between_steps:
            self.leave()

    def leave(self):
        """Raise Stopped; everything is saved."""
        where = f"epoch {self.state.epoch}, step {self.state.step}"
        raise Stopped(f"stopped after {where}; call again to go on", self.asked)

    def tick(self, asked):
        """Between two steps: save if it is time, leave if `asked` (the signal that any of the processes has got)."""
        if asked:
            self.asked = asked
            self.save()
            self.leave()
        if time.monotonic() - self.saved > self.minutes * 60:
            self.save()

    def save(self):
        """Write the state, whole or not at all."""
        self.saved = time.monotonic()
        if not self.world.main:
            return
        state = self.state
        content = {
            "fingerprint": self.fingerprint,
            "clips_per_step": self.setup.clips_per_step(self.world),
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "log": list(state.log),
            **{name: getattr(state, name) for name in SAVED},
        }
        replace_file(self.output_dir / "last.pth", lambda path: torch.save(content, path))


def replace_file(path, write):
    """Write a file beside `path`, then put it in its place: a reader sees the old one or the new one, whole."""
    temporary = path.with_name(path.name + ".partial")
    try:
        write(temporary)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"could not write {path} ({error.strerror}); is there space left?") from error
    os.replace(temporary, path)


def read(output_dir, setup, world=ALONE):
    """What the run of this setup left in output_dir (last.pth as a dict), or None where there is nothing to go on from.

    Another run's folder is kept under a new name, and what differs is said; so is a finished run's that took another
    number of clips a step (an unfinished one goes on with the new number: machines come and go).
    """
    path = Path(output_dir) / "last.pth"
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=True)
    ours, theirs = _flat(setup.fingerprint()), _flat(saved["fingerprint"])
    changed = {k: (theirs.get(k), ours.get(k)) for k in sorted(ours | theirs) if ours.get(k) != theirs.get(k)}
    finished = not changed and saved["epoch"] >= setup.recipe.epochs
    if finished and saved["clips_per_step"] != setup.clips_per_step(world):
        changed = {"clips a step": (saved["clips_per_step"], setup.clips_per_step(world))}
    if not changed:
        return saved
    kept = run.put_aside(path.parent)
    print(f"{path.parent} held another run; it is kept as {kept.name}. Different (then, now): {changed}")
    return None


def begun_epochs(output_dir, setup):
    """How many epochs the run in output_dir set out to do, if it differs from this setup in nothing else; else None."""
    path = Path(output_dir) / "last.pth"
    if not path.exists():
        return None
    begun = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["fingerprint"]
    recipe = dataclasses.replace(setup.recipe, epochs=begun["recipe"]["epochs"])
    return recipe.epochs if dataclasses.replace(setup, recipe=recipe).fingerprint() == begun else None


def _flat(tree, prefix=""):
    items = {}
    for key, value in tree.items():
        items |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return items
