"""Ctrl-C: it reaches every process of a terminal's or a kernel's group, but only the main process decides what stops.

Worker processes start with SIGINT blocked and ignore it from their first line on, so none dies while the main process
saves its work. A stop appears as one line, not as a traceback.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from avalib.utils.process import ignore_interrupts

SAME_INTERRUPT_S = 1.0  # some launchers pass Ctrl-C on to a process that received it already: that is one, not two


class Stopped(KeyboardInterrupt):
    """The work stops on request, after it has saved what it has.

    Parameters
    ----------
    message : str
        What is on the disk and how to continue.
    number : int
        The signal that requested the stop.
    """

    def __init__(self, message: str, number: int = signal.SIGINT):
        super().__init__(message)
        self.signal = int(number)

    def _render_traceback_(self):
        # IPython shows these lines instead of a traceback
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self):
        return type(self), (str(self), self.signal)


@contextmanager
def stop_on_interrupt(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM inside this context call `stop`, so that work ends where it is whole.

    A second Ctrl-C, over a second later, interrupts at once. Outside of the main thread nothing changes.

    Yields
    ------
    list of int
        The signals received so far.
    """
    received = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    received_at_s = []

    def handle(number, frame):
        if received and number == signal.SIGINT and time.monotonic() - received_at_s[0] > SAME_INTERRUPT_S:
            raise KeyboardInterrupt
        received.append(number)
        received_at_s.append(time.monotonic())
        stop()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Start processes inside this context: Ctrl-C waits until its end, and the processes start with SIGINT blocked.

    Without this, Ctrl-C kills a worker that is still importing its modules, before any line of this package runs.
    Windows has no such mask; there a worker ignores Ctrl-C from its initializer on.
    """
    received = []  # the arguments of each signal
    previous = None
    # only the main thread may set handlers
    if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
        previous = signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        with _block_signals():
            yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
            # now obey the last Ctrl-C
            if received:
                previous(*received[-1])


def ignore_first_termination() -> None:
    """Ignore the first SIGTERM in this worker process; the second ends it.

    A scheduler (Slurm, systemd, `timeout`) sends the first to all processes, and the main process decides what stops.
    The main process sends the second to its workers.
    """
    received = []

    def handle(number, frame):
        if received:
            os._exit(128 + number)
        received.append(number)

    signal.signal(signal.SIGTERM, handle)
    # `defer_interrupts` blocked it before the process started
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@contextmanager
def keep_child_signals() -> Iterator[None]:
    """Start torch's loader processes inside this context, which restores the handler of SIGCHLD at its end.

    torch's handler raises RuntimeError when a loader process has died, wherever the main process is, even in the middle
    of saving. Without the handler the loader notices it within five seconds of waiting for a batch.
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
def _block_signals():
    """Block SIGINT and SIGTERM inside the context; processes inherit this at their start. Does nothing on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # start the tracker first: its start unblocks the signals
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerPool(ProcessPoolExecutor):
    """A pool of new processes that ignore Ctrl-C.

    At its end the context waits for the work; after an exception it ends the processes at once.

    Parameters
    ----------
    workers : int
        Number of processes.
    initializer : function, optional
        Called without arguments in each process at its start.
    """

    def __init__(self, workers: int, initializer: Callable | None = None):
        # Windows can wait for 61 processes at most
        workers = min(workers, 61) if os.name == "nt" else workers
        # spawn: fork is unsafe once torch has started threads
        super().__init__(workers, get_context("spawn"), initializer=_init_process, initargs=(initializer,))

    def submit(self, function: Callable, *args: object, **kwargs: object) -> Future:
        """As ProcessPoolExecutor's; processes start here, with SIGINT blocked."""
        with defer_interrupts():
            return super().submit(function, *args, **kwargs)

    def terminate(self) -> None:
        """End the processes at once."""
        for process in list((self._processes or {}).values()):
            process.kill()

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.terminate()
        self.shutdown(wait=True, cancel_futures=True)
        return False


def _init_process(initializer):
    """Prepare a process of the pool."""
    ignore_interrupts()
    ignore_first_termination()
    if initializer is not None:
        initializer()
