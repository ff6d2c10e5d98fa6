"""Run many videos on this machine: in this process, or in several that have a share of the cores each."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from itertools import islice

import torch

from avalib.detection.detect_video import load_video_detector
from avalib.detection.manifest import FAILED, ManifestRow
from avalib.detection.run_settings import describe_settings
from avalib.detection.training_data import describe_rendered_people
from avalib.detection.video_item import RunPlan, VideoItem, VideoWorker, get_file_size
from avalib.utils.interrupts import WorkerPool
from avalib.utils.process import count_cores
from avalib.utils.workers import disable_malloc_trim

logger = logging.getLogger(__name__)

IN_FLIGHT = 2  # videos of each process: one in work, one that waits
_worker = None  # this process's VideoWorker, in a process of the pool


class LocalEngine:
    """Runs items on this machine.

    Parameters
    ----------
    plan : RunPlan
        Without `recorded`.
    workers : int
        Processes; 1: this one.
    progress : bool
        Whether this process shows a bar for each video.
    """

    def __init__(self, plan: RunPlan, workers: int = 1, progress: bool = True):
        self.plan = plan
        self.workers = workers
        self.progress = progress
        # The model is loaded here in any case: an error appears once, before any process has started.
        self._detector = load_video_detector(plan.settings, progress=progress)
        if warning := describe_rendered_people(self._detector.loaded.action_model):
            logger.warning("%s", warning)
        self._threads = torch.get_num_threads() if workers == 1 else max(1, count_cores() // workers)

    def describe(self) -> dict:
        """What the results depend on, see `describe_settings`."""
        return describe_settings(self.plan.settings, self._detector, self._threads)

    def run(self, items: list[VideoItem], recorded: dict) -> Iterator[ManifestRow]:
        """Yield each video's row as soon as it is done. recorded: what the tables' metadata says of the settings."""
        plan = replace(self.plan, recorded=recorded)
        if self.workers == 1:
            worker = VideoWorker(plan, self._detector, self.progress)
            for item in items:
                yield worker.run(item)
            return
        self._detector = None  # its memory is the processes' now
        yield from _run_in_processes(plan, items, self.workers, self._threads)

    def close(self) -> None:
        """Nothing stays open."""


def _run_in_processes(plan, items, workers, threads):
    """Yield the rows of items, which end in any order; a few at a time are in the processes' queue."""
    initializer = partial(_start_worker, plan, threads)
    waiting = iter(items)
    in_flight = {}
    while True:
        with WorkerPool(workers, initializer) as pool:
            try:
                # Fill the queue, then one item in for each that is out.
                for item in islice(waiting, IN_FLIGHT * workers):
                    in_flight[pool.submit(_run_item, item)] = item
                while in_flight:
                    done, _ = wait(in_flight, return_when=FIRST_COMPLETED)
                    for future in done:
                        row = future.result()
                        del in_flight[future]
                        yield row
                        for item in islice(waiting, 1):
                            in_flight[pool.submit(_run_item, item)] = item
                return
            except BrokenProcessPool:
                pool.terminate()
        # A process died, and which video killed it is unknown: those in work once more, each alone.
        suspects = list(in_flight.values())
        in_flight.clear()
        for item in suspects:
            yield _run_alone(item, initializer)


def _run_alone(item, initializer):
    """The row of an item that may kill its process."""
    with WorkerPool(1, initializer) as pool:
        try:
            return pool.submit(_run_item, item).result()
        except BrokenProcessPool:
            return make_death_row(item)


def make_death_row(item: VideoItem) -> ManifestRow:
    """The row of a video whose process died twice."""
    return ManifestRow(
        item.video,
        FAILED,
        item.output,
        get_file_size(item.source),
        error=f"{item.video}: its process died twice, then with this video alone: no memory, or a fault in a library",
    )


def _start_worker(plan, threads):
    """Load everything in a process of the pool. It ends with the main process, however that ends."""
    global _worker
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    disable_malloc_trim()
    _worker = VideoWorker(plan)


def _exit_with_parent():
    """End this process at once when the main process has ended; else it would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run_item(item):
    return _worker.run(item)
