"""Saving last.pth, from which a run resumes, and stopping at Ctrl-C and SIGTERM.

`last.pth` holds everything that an uninterrupted run would have had; `existing_run.py` reads it. Random numbers depend
on where a run stands, not on how it came there: a sample is drawn from (seed, epoch, keyframe), the order from (seed,
epoch), and all global generators are seeded from (seed, iteration, micro-batch) before every forward pass. So the seed
and the position are all the random state there is.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.child_process import fork_quietly, kill_child, wait_for_child
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext
from avalib.utils.errors import AvalibError
from avalib.utils.files import atomic_path
from avalib.utils.interrupts import SAME_INTERRUPT_S, Stopped
from avalib.utils.locks import Lock
from avalib.utils.plurals import format_count
from avalib.utils.temporary_files import remove_abandoned_parts

logger = logging.getLogger(__name__)

SAVE_TIMEOUT_S = 300  # for the forked process that writes last.pth


class WorkerDiedError(AvalibError, RuntimeError):
    """A process that reads frames ended by itself; the state is saved."""


class CheckpointSaver:
    """Writes last.pth: after each epoch, every few minutes, and before it stops at Ctrl-C or SIGTERM.

    Used as a context around the training. A signal takes effect at once inside `allow_interrupts`, else at the next
    call of `save_if_due`, between two steps, where the state is whole. It raises Stopped, and the state is saved on the
    way out. A second Ctrl-C stops without saving. Every process has a saver; the main process writes.

    Parameters
    ----------
    state : TrainState
    config : TrainConfig
    output_dir : str or Path
        The folder of last.pth.
    minutes : float
        The time between two checkpoints.
    context : DistributedContext
    lock : Lock, optional
        The lock on the folder, which is checked before each write.
    """

    def __init__(
        self,
        state: TrainState,
        config: TrainConfig,
        output_dir: str | Path,
        minutes: float,
        context: DistributedContext = SINGLE_PROCESS,
        lock: Lock | None = None,
    ):
        self.state = state
        self.config = config
        self.output_dir = Path(output_dir)
        self.minutes = minutes
        self.context = context
        self.lock = lock
        self.fingerprint = config.compute_fingerprint()
        self.saved_at_s = time.monotonic()
        self.saved_position = state.position
        self.stop_signal = 0  # the signal that this process received; 0: none
        self.signal_at_s = 0.0
        self.is_interruptible = False
        self.skip_saving = False  # after a second Ctrl-C
        self.is_forking = False  # a second Ctrl-C waits until it has ended
        self.exit_stack = ExitStack()  # what takes long to end, after everything is saved: worker processes
        self.previous_handlers = {}

    def __enter__(self):
        # Python allows signal handlers in the main thread only
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous_handlers[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(self, kind, error, trace):
        is_unsaved = self.state.position != self.saved_position
        try:
            if isinstance(error, (Stopped, WorkerDiedError)) and is_unsaved and not self.skip_saving:
                self._save_before_exit()
        finally:
            # the handlers of before, then what takes long
            for number, handler in self.previous_handlers.items():
                signal.signal(number, handler)
            self.exit_stack.close()

    def _handle_signal(self, number, frame):
        now_s = time.monotonic()
        # the first signal is noted; a second Ctrl-C gives up on saving
        if not self.stop_signal:
            self.stop_signal = number
            self.signal_at_s = now_s
        elif number == signal.SIGINT and now_s - self.signal_at_s > SAME_INTERRUPT_S:
            self.skip_saving = True
            if not self.is_forking:
                self._raise_stopped_at_once()
        # where the state is whole, the first signal stops at once
        if self.is_interruptible:
            self.is_interruptible = False
            self.raise_stopped()

    def _raise_stopped_at_once(self):
        saved = describe_position(self.saved_position)
        raise Stopped(f"stopped at once, without saving; saved before: {saved}", signal.SIGINT)

    def raise_stopped(self):
        """Raise Stopped; the state is saved on the way out."""
        position = self.state.position
        if position == (0, 0):
            raise Stopped("stopped before the first step; nothing is lost: call again to begin", self.stop_signal)
        raise Stopped(f"stopped, saved after {describe_position(position)}: call again to resume", self.stop_signal)

    @contextmanager
    def allow_interrupts(self, all_saved: bool = False) -> Iterator[None]:
        """Let a signal raise Stopped at once in the block: the state is whole.

        One of several processes must not leave the others waiting, so there it does nothing, unless everything is
        saved (all_saved=True): then all processes receive the signal and resume from there.
        """
        if self.context.size > 1 and not all_saved:
            yield
            return
        self.is_interruptible = True
        try:
            if self.stop_signal:
                self.raise_stopped()
            yield
        finally:
            self.is_interruptible = False

    def wait_for_each(self, items: Iterable) -> Iterator:
        """Yield the items; waiting for the next one is interruptible.

        Raises WorkerDiedError if a loader process that makes them has ended.
        """
        iterator = iter(items)
        end = object()
        while True:
            with self.allow_interrupts():
                item = self._wait_for_next(iterator, end)
            if item is end:
                return
            yield item

    def _wait_for_next(self, iterator, end):
        try:
            return next(iterator, end)
        except RuntimeError as error:
            if self.context.size > 1 or "DataLoader worker" not in str(error):
                raise
            raise WorkerDiedError(
                f"a process that reads frames has ended ({error}). If the memory was full, use fewer workers. "
                f"Saved: {describe_position(self.state.position)}; call again to resume"
            ) from None

    def save_if_due(self, stop_signal: int = 0) -> None:
        """Between two steps: save if it is time, stop if a signal asks for it.

        stop_signal: the signal that any of the processes received (see StepResult).
        """
        if stop_signal or (self.stop_signal and self.context.size == 1):
            self.stop_signal = self.stop_signal or stop_signal
            self.raise_stopped()
        if time.monotonic() - self.saved_at_s > self.minutes * 60:
            self.save()

    def save(self) -> None:
        """Write last.pth atomically: the file is always either the old one or the new one."""
        if self.context.is_main:
            if self.lock is not None:
                self.lock.check()
            clips_per_step = self.config.count_clips_per_step(self.context)
            checkpoint = self.state.build_checkpoint(self.fingerprint, clips_per_step, self.config.minutes)
            with atomic_path(self.output_dir / "last.pth") as part:
                torch.save(checkpoint, part)
        self._mark_as_saved()

    def _mark_as_saved(self):
        self.saved_at_s = time.monotonic()
        self.saved_position = self.state.position

    def _save_before_exit(self):
        """Save in a way that a killed process does not interrupt.

        papermill and Jupyter kill a kernel five seconds after they have asked it to stop, which is too little for a
        slow disk. So on a CPU a forked copy of this process, in a session of its own, writes the file; this one waits.
        """
        if not hasattr(os, "fork") or self.config.device.type != "cpu" or self.context.size > 1:
            self.save()
            return
        # Ctrl-C must not raise in the copy, nor here before the copy's process number is known
        self.is_forking = True
        # os.fork returns twice: 0 in the copy, the copy's process number here
        child = fork_quietly()
        if child == 0:
            self._save_as_child()
        try:
            self.is_forking = False
            if self.skip_saving:
                self._raise_stopped_at_once()
            is_saved = wait_for_child(child, SAVE_TIMEOUT_S)
        except BaseException:  # a second Ctrl-C
            kill_child(child)
            remove_abandoned_parts(self.output_dir)
            raise
        if is_saved:
            self._mark_as_saved()
        else:
            self.save()  # the same problem raises its error here

    def _save_as_child(self):
        """Save and end this process, a forked copy."""
        status = 1
        try:
            # neither a signal nor the end of the parent's session may stop the writing
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            os.setsid()
            self.save()
            status = 0
        finally:
            os._exit(status)


def describe_position(position):
    """(3, 12) as text: "3 epochs and 12 steps"."""
    epoch, step = position
    parts = [format_count(number, unit) for number, unit in ((epoch, "epoch"), (step, "step")) if number]
    return " and ".join(parts) or "nothing yet"
