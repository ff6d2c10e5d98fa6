"""Many downloads at a time; those that fail are listed and stop no other."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

from avalib.utils.progress import show_progress

DOWNLOADS_AT_A_TIME = 4


def run_downloads(
    jobs: dict[str, Callable[[threading.Event], object]],
    workers: int | None = None,
    progress: bool = True,
    unit: str = "video",
) -> dict[str, str]:
    """Run downloads in threads.

    Parameters
    ----------
    jobs : dict
        {name: function}; each function is called with an event that is set when it should end early.
    workers : int, optional
        How many at a time; default 4.
    progress : bool
        Whether to show a progress bar.
    unit : str
        What is downloaded, for the progress bar.

    Returns
    -------
    dict
        {name: reason} of those that ended with an OSError, in the order of `jobs`. Other exceptions are raised.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers or DOWNLOADS_AT_A_TIME)
    failed = {}
    with show_progress(total=len(jobs), desc=f"{unit}s", unit=unit, disable=not progress) as bar:
        name_of_future = {pool.submit(function, stop): name for name, function in jobs.items()}
        try:
            for future in as_completed(name_of_future):
                if isinstance(future.exception(), OSError):
                    failed[name_of_future[future]] = str(future.exception())
                else:
                    future.result()  # raises other errors
                bar.update()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return {name: failed[name] for name in jobs if name in failed}
