"""What lies between the steps of a training run and the disk: settings that tell runs apart, state to go on from.

`last.pth` holds all that an unbroken run would have had; `existing.py` reads it. Random numbers are functions of where
a run stands, not of how it came there: a sample is drawn from (seed, epoch, keyframe), the order from (seed, epoch),
and all global generators are set from (seed, iteration, share) before every forward pass, so seed and position are all
random states. Files are written beside their place and then moved there: a run killed at any instant leaves the old
file or the new one, whole.
"""

import dataclasses
import hashlib
import json
import os
import signal
import threading
import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.training.logger import TrainingLog
from avalib.utils.distributed import SINGLE_PROCESS
from avalib.utils.errors import AvalibError
from avalib.utils.files import atomic_path, check_free_space, remove_abandoned_parts
from avalib.utils.interrupts import Stopped

MOMENTA = {"sgd": 1, "adamw": 2}  # values that the optimiser keeps for every weight
WAIT_FOR_COPY_S = 300  # for a process to write last.pth; then it hangs
SAME_PRESS_S = 1.0  # signals within it are one: some launchers pass Ctrl-C on to a process that has got it already
SAVED = ("epoch", "step", "validated", "best_mAP", "best_epoch", "seconds")


@dataclass(frozen=True)
class TrainConfig:
    """What a run trains, on what, and how. `fingerprint` tells whether a run on disk is the same one."""

    entry: zoo.ZooEntry
    recipe: zoo.Recipe
    layout: DatasetLayout
    device: torch.device
    dtype: torch.dtype
    workers: int
    checkpoint: str | None  # None: random weights
    accumulate: int = 1  # shares of a step that one process does one after the other
    channels_last: bool = False  # weights in memory as the activations are; on a CPU they always are
    recompute: bool = False  # activations are computed again in backward instead of kept
    compile: bool = False
    deterministic: bool = False
    minutes: float | None = None  # what the number of epochs was fitted to (budget.fit); None: to nothing

    def clips_per_step(self, context=SINGLE_PROCESS):
        """The real global batch."""
        return self.recipe.videos_per_gpu * self.accumulate * context.size

    def lr(self, context=SINGLE_PROCESS):
        """The learning rate after the warm-up: the recipe's by the linear rule, for the real global batch."""
        return zoo.scale_lr(self.recipe, self.accumulate * context.size, self.recipe.videos_per_gpu)

    def fingerprint(self):
        """{name: value} of everything that changes the result, but for the global batch."""
        label_file = hashlib.sha256(self.layout.get_csv_path("train").read_bytes()).hexdigest()[:16]
        return {
            "entry": dataclasses.asdict(self.entry),
            "recipe": json.loads(json.dumps(dataclasses.asdict(self.recipe))),
            "annotations": label_file,
            "precision": str(self.dtype).removeprefix("torch."),
            "checkpoint": self.checkpoint,
        }


@dataclass
class TrainState:
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
    log: TrainingLog = field(default_factory=TrainingLog)

    def restore(self, saved, setup, context=SINGLE_PROCESS):
        """Take over what `read` gave. Another global batch keeps the place in the epoch, to the step before."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        for name in SAVED:
            setattr(self, name, saved[name])
        before, now = saved["clips_per_step"], setup.clips_per_step(context)
        if before != now:
            self.step = self.step * before // now
            if context.main:
                print(f"{before} clips a step until here, {now} from here on; the learning rate follows")


class WorkerDiedError(AvalibError, RuntimeError):
    """A process that reads frames has ended by itself; what was trained is saved."""


class CheckpointSaver:
    """Writes last.pth at the end of epochs and every few minutes, and on Ctrl-C or SIGTERM before leaving.

    A signal is obeyed at once inside `interruptible`, else at the next `tick`, between two steps: the state is whole
    then. It raises Stopped, and the state is saved on the way out. A second Ctrl-C leaves without saving.
    Every process has one; the main one writes. lock: of the folder (utils.locks), or None.
    """

    def __init__(self, state, setup, output_dir, minutes, context=SINGLE_PROCESS, lock=None):
        self.state, self.setup, self.output_dir, self.minutes = state, setup, Path(output_dir), minutes
        self.context, self.lock, self.fingerprint = context, lock, setup.fingerprint()
        self.saved_at, self.saved_place = time.monotonic(), self._place()
        self.asked, self.asked_at = 0, 0.0  # the signal that asked to stop, and when
        self.open = False  # inside `interruptible`
        self.hurried = False  # asked twice
        self.closed_last = ExitStack()  # of what takes its time to end, when everything is saved: worker processes

    def __enter__(self):
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind, error, trace):
        try:
            if isinstance(error, (Stopped, WorkerDiedError)) and not self.hurried and self._place() != self.saved_place:
                self._save_before_leaving()
        finally:
            for number, handler in self.previous.items():
                signal.signal(number, handler)
            self.closed_last.close()

    def _place(self):
        return self.state.epoch, self.state.step

    def _ask(self, number, frame):
        now = time.monotonic()
        if not self.asked:
            self.asked, self.asked_at = number, now
        elif number == signal.SIGINT and now - self.asked_at > SAME_PRESS_S:
            self.hurried = True
            raise Stopped(
                f"stopped at once, without saving; {_describe_place(self.saved_place)} is on the disk", number
            )
        if self.open:
            self.open = False
            self.leave()

    def leave(self):
        """Raise Stopped; the state is saved on the way out."""
        if self._place() == (0, 0):
            raise Stopped("stopped before the first step; nothing is lost: call again to begin", self.asked)
        raise Stopped(f"stopped; {_describe_place(self._place())} is on the disk: call again to go on", self.asked)

    @contextmanager
    def interruptible(self, saved=False):
        """Inside, a signal raises Stopped at once: the state is whole.

        Of several processes none may leave the others waiting, unless everything is saved (saved=True): all are asked
        then, and start again from there.
        """
        if self.context.size > 1 and not saved:
            yield
            return
        self.open = True
        try:
            if self.asked:
                self.leave()
            yield
        finally:
            self.open = False

    def waited(self, items):
        """Yield the items; to wait for the next one is interruptible."""
        items, end = iter(items), object()
        while True:
            with self.interruptible():
                item = self._next(items, end)
            if item is end:
                return
            yield item

    def _next(self, items, end):
        try:
            return next(items, end)
        except RuntimeError as error:
            if self.context.size > 1 or "DataLoader worker" not in str(error):
                raise
            raise WorkerDiedError(
                f"a process that reads frames has ended ({error}). It may have been killed for want of memory: take "
                f"fewer workers. {_describe_place(self._place())} is on the disk: call again to go on"
            ) from None

    def tick(self, asked):
        """Between two steps: save if it is time, leave if `asked` (the signal that any of the processes has got)."""
        if asked or (self.asked and self.context.size == 1):
            self.asked = self.asked or asked
            self.leave()
        if time.monotonic() - self.saved_at > self.minutes * 60:
            self.save()

    def save(self):
        """Write the state, whole or not at all."""
        if self.context.main:
            if self.lock is not None:
                self.lock.check()
            content = self.content()
            with atomic_path(self.output_dir / "last.pth") as part:
                torch.save(content, part)
        self.saved_at, self.saved_place = time.monotonic(), self._place()

    def _save_before_leaving(self):
        """`save`, and it is done even if this process is killed meanwhile.

        papermill and Jupyter kill a kernel five seconds after they have asked it to stop, which is too few for a slow
        disk. So on a CPU a copy of this process, in a session of its own, writes the file, and this one waits for it.
        """
        if not hasattr(os, "fork") or self.setup.device.type != "cpu" or self.context.size > 1:
            self.save()
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads; the copy runs none
            child = os.fork()
        if child == 0:
            self._save_and_exit()
        try:
            done = _wait(child, WAIT_FOR_COPY_S)
        except BaseException:  # a second Ctrl-C
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            remove_abandoned_parts(self.output_dir)
            raise
        if done:
            self.saved_at, self.saved_place = time.monotonic(), self._place()
        else:
            self.save()  # whatever went wrong is raised here

    def _save_and_exit(self):
        status = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            os.setsid()
            self.save()
            status = 0
        finally:
            os._exit(status)

    def content(self):
        """What last.pth holds: a dict of tensors and plain values."""
        state = self.state
        return {
            "fingerprint": self.fingerprint,
            "clips_per_step": self.setup.clips_per_step(self.context),
            "minutes": self.setup.minutes,
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "log": list(state.log),
            **{name: getattr(state, name) for name in SAVED},
        }


def _wait(child, seconds):
    """Whether a child process ends well within so many seconds; else it is killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _describe_place(place):
    epoch, step = place
    return f"epoch {epoch}, step {step}" if epoch or step else "no step yet"


def check_space(setup, state, output_dir):
    """Raise DiskFullError where the run's files don't fit: while last.pth is replaced there are two of it."""
    output_dir = Path(output_dir)
    sizes = estimate_checkpoint_bytes(setup, state.model)
    there = [output_dir / name for name in ("last.pth", "best.pth", "final.pth")]
    have = sum(path.stat().st_size for path in there if path.exists())
    needed = max(sizes["last"], 2 * sizes["last"] + 3 * sizes["weights"] - have)
    purpose = (
        f"two checkpoints of {sizes['last'] / 1e6:,.0f} MB, one while it is replaced, and the best and final weights"
    )
    check_free_space(output_dir, needed, purpose)


def estimate_checkpoint_bytes(setup, model):
    """{"last": bytes of last.pth, "weights": bytes of best.pth and final.pth}."""
    weights = 4 * sum(p.numel() for p in model.parameters())
    return {"weights": weights, "last": weights * (1 + MOMENTA[setup.recipe.optimizer])}
