"""Ctrl-C: it reaches every process of a terminal's or a kernel's group, and the main process alone decides what stops.

Worker processes begin with SIGINT held back and ignore it from their first line on, so none dies while the main one
finishes what it must. What stopped is shown as one line, not as the frames in which it happened to be.
"""

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from avalib.utils.process import ignore_interrupts


class Stopped(KeyboardInterrupt):
    """Work was asked to stop, has saved what it had to and leaves.

    Parameters
    ----------
    message : str
        What is on the disk and how to go on.
    number : int
        The signal that asked.
    """

    def __init__(self, message, number=signal.SIGINT):
        super().__init__(message)
        self.signal = int(number)

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self):
        return type(self), (str(self), self.signal)


@contextmanager
def defer_interrupts():
    """Start processes in here: a Ctrl-C is obeyed at the end, and the processes begin with SIGINT held back.

    Without this a worker that is still importing its modules dies of it, before any line of ours has run.
    Windows has no such mask; there a worker ignores Ctrl-C from its initializer on.
    """
    received = []
    previous = None
    if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
        previous = signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        with _signals_blocked():
            yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
            if received:
                previous(*received[-1])


def ignore_first_termination():
    """Let the first SIGTERM pass by this process, a worker; the second ends it.

    A scheduler (Slurm, systemd, `timeout`) sends it to all processes of a job, and the main one decides what stops. Its
    own request to a worker comes after that, or once more at its exit.
    """
    received = []

    def handle(number, frame):
        if received:
            os._exit(128 + number)
        received.append(number)

    signal.signal(signal.SIGTERM, handle)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@contextmanager
def keep_child_signals():
    """Start torch's loader processes in here: SIGCHLD does afterwards what it did before.

    torch has it raise RuntimeError at whatever line the main process is when a loader process has died, such as in the
    middle of saving. Without that a loader notices it, too, within five seconds of waiting for a batch.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


@contextmanager
def _signals_blocked():
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would unblock the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerPool(ProcessPoolExecutor):
    """A pool of new processes (spawn: fork is unsafe once torch has started threads) that ignore Ctrl-C.

    Used as a context it waits for its work at the end; after an exception it ends its processes at once.

    Parameters
    ----------
    workers : int
        Processes.
    initializer : function, optional
        Called without arguments in each process at its start.
    """

    def __init__(self, workers, initializer=None):
        workers = min(workers, 61) if os.name == "nt" else workers  # more than Windows can wait for
        super().__init__(workers, get_context("spawn"), initializer=_begin, initargs=(initializer,))

    def submit(self, function, *args, **kwargs):
        with defer_interrupts():
            return super().submit(function, *args, **kwargs)

    def pids(self):
        """The numbers of its processes."""
        return [process.pid for process in list((self._processes or {}).values())]

    def terminate(self):
        """End the processes, whatever they do."""
        for process in list((self._processes or {}).values()):
            process.kill()

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.terminate()
        self.shutdown(wait=True, cancel_futures=True)
        return False


def _begin(initializer):
    ignore_interrupts()
    ignore_first_termination()
    if initializer is not None:
        initializer()
