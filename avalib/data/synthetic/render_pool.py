"""Rendering many videos at once; errors name the video."""

import os
from concurrent.futures import as_completed

from avalib.utils.disk_space import DiskFullError
from avalib.utils.interrupts import WorkerPool
from avalib.utils.temporary_files import remove_abandoned_parts

MIN_PARALLEL_FRAMES = 1500  # less work than this is done in the calling process


class RenderPool:
    """Runs a function for many videos, in processes or, if there is little to do, in the calling one.

    Parameters
    ----------
    workers : int or None
        Processes; None: one per core, or none for little work.
    specs : list of VideoSpec
        The videos to render.
    folder : Path
        Where the videos are written.
    """

    def __init__(self, workers, specs, folder):
        # Starting processes takes longer than rendering a few seconds of video.
        is_small = workers is None and sum(spec.n_frames for spec in specs) < MIN_PARALLEL_FRAMES
        self.workers = 1 if is_small else min(workers or os.cpu_count() or 1, max(len(specs), 1))
        self.folder = folder
        self.pool = None

    def __enter__(self):
        if self.workers > 1:
            self.pool = WorkerPool(self.workers)
        return self

    def run(self, function, specs, *arguments):
        """Yield (spec, function(spec, *arguments)) for each of `specs`, as they are done."""
        if self.pool is None:
            for spec in specs:
                yield spec, _call_with_video_name(spec, lambda spec=spec: function(spec, *arguments))
            return
        # Results come in the order in which the processes finish.
        running = {self.pool.submit(function, spec, *arguments): spec for spec in specs}
        for future in as_completed(running):
            yield running[future], _call_with_video_name(running[future], future.result)

    def __exit__(self, kind, error, traceback):
        """End the processes. After an interruption or an error nothing is waited for, and no partial file remains."""
        if self.pool is None:
            return
        self.pool.__exit__(kind, error, traceback)
        if kind:
            remove_abandoned_parts(self.folder)


def _call_with_video_name(spec, call):
    """The result of call(); its errors name the video."""
    try:
        return call()
    except DiskFullError:
        raise  # names the file and what to do
    except OSError as error:
        raise OSError(error.errno, f"rendering video {spec.file_name} failed: {error.strerror or error}") from error
    except Exception as error:
        raise RuntimeError(
            f"rendering video {spec.file_name} ({spec.split}, seed {spec.seed}) failed: {error}"
        ) from error
