"""Worker processes: how they start, and a function over many items in several of them."""

import ctypes
import platform
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import as_completed
from functools import partial

from avalib.utils.interrupts import WorkerPool, ignore_first_termination
from avalib.utils.process import ignore_interrupts

# options of mallopt in glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def run_parallel(
    function: Callable, workers: int, arguments: Mapping[Hashable, tuple], initializer: Callable | None = None
) -> Iterator[tuple[Hashable, Callable]]:
    """Run a function for many items.

    After an interruption the processes end at once; the files that they have finished stay.

    Parameters
    ----------
    function : function
        Picklable, as are its arguments.
    workers : int
        Number of processes. With 1 or less everything runs in this process, when `get_result` is called.
    arguments : dict
        {key: tuple of arguments}.
    initializer : function, optional
        Called without arguments in each process at its start. The default is `init_worker`, which loads torch.

    Yields
    ------
    key : hashable
        One of `arguments`, in the order in which the calls end.
    get_result : function
        Returns the result of the call, or raises its exception.
    """
    if workers <= 1:
        for key, values in arguments.items():
            yield key, partial(function, *values)
        return
    with WorkerPool(workers, initializer or init_worker) as pool:
        keys = {pool.submit(function, *values): key for key, values in arguments.items()}
        for future in as_completed(keys):
            yield keys[future], future.result


def disable_malloc_trim() -> None:
    """Let this process reuse the memory of freed arrays and tensors. Does nothing without glibc.

    By default glibc returns large blocks to the system and requests them again, page by page, 80,000 times a training
    step. That takes a tenth of a step on a CPU, and a fifth to a third of reading frames in order. The peak memory
    stays the same.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        # all blocks come from the heap, and its end is never returned
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def init_worker(_worker_id: int | None = None) -> None:
    """Prepare a process that reads frames.

    It ignores Ctrl-C, as the main process ends it. It has one thread, as there are as many workers as cores.
    """
    # not at the top: processes that only render or import don't need torch
    import torch

    ignore_interrupts()
    ignore_first_termination()
    sys.excepthook = _ignore_closed_pipes
    torch.set_num_threads(1)
    disable_malloc_trim()


def _ignore_closed_pipes(kind, error, trace):
    """The sys.excepthook of workers: no traceback if the main process ends (Ctrl-C) while a batch is on its way."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
