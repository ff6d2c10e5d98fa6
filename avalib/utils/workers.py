"""Worker processes: how they start, and running a function over many items in several of them."""

import ctypes
import platform
import sys
from concurrent.futures import as_completed
from functools import partial

from avalib.utils.interrupts import WorkerPool, ignore_first_termination
from avalib.utils.process import ignore_interrupts

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def run_parallel(job, workers, arguments):
    """job(*arguments[key]) for every key, in processes if `workers` > 1: (key, what gives the result or raises), as
    they are done. After an interruption the processes end at once; what they had finished stays.
    """
    if workers <= 1:
        yield from ((key, partial(job, *given)) for key, given in arguments.items())
        return
    # one thread each: two pools would wait for one another
    with WorkerPool(workers, init_worker) as pool:
        running = {pool.submit(job, *given): key for key, given in arguments.items()}
        yield from ((running[done], done.result) for done in as_completed(running))


def disable_malloc_trim():
    """Have this process keep the memory that arrays and tensors leave for those to come, where glibc hands it out.

    By default it returns large blocks to the system and gets them anew, page by page, 80,000 times a training step:
    a tenth of that step on a CPU, a fifth to a third of reading frames in order. What is held at most stays the same.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def init_worker(_number=None):
    """What a process that reads frames does first: Ctrl-C ignored (the main process ends it), one thread, as its like
    fill the cores; memory kept."""
    import torch  # not needed by processes that only render or import

    ignore_interrupts()
    ignore_first_termination()
    sys.excepthook = _ignore_closed_pipes
    torch.set_num_threads(1)
    disable_malloc_trim()


def _ignore_closed_pipes(kind, error, trace):
    """sys.excepthook of workers: the main process leaving while a batch is handed over (Ctrl-C) is no news."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
