"""The scores of a live detection as a csv that is written while it runs."""

import logging
from pathlib import Path

from avalib.detection.detections_table import COLUMNS, build_table, round_numbers
from avalib.detection.live_detector import LiveResult
from avalib.utils.files import atomic_write
from avalib.utils.interrupts import Stopped
from avalib.video.video_error import VideoError

logger = logging.getLogger(__name__)


class LiveTable:
    """A csv with the rows of `detect`'s table for each scored moment; the file appears at the end of the context.

    Parameters
    ----------
    path : str or Path
        A .csv.
    label_map : dict
        {action_id: name} of the actions that the table has.
    score_threshold : float
        Rows with a lower score are left out.
    """

    def __init__(self, path: str | Path, label_map: dict[int, str], score_threshold: float = 0.0):
        self.path = Path(path)
        if self.path.suffix != ".csv":
            raise ValueError(f"{self.path}: expected a name that ends in .csv; a live table is written row by row")
        self.label_map = label_map
        self.score_threshold = score_threshold
        self._writing = None
        self._file = None

    def __enter__(self):
        self._writing = atomic_write(self.path, "w")
        self._file = self._writing.__enter__()
        self._file.write(",".join(COLUMNS) + "\n")
        return self

    def __exit__(self, kind, error, trace):
        # a stop on request, or the end of the source, leaves a complete table
        if kind is not None and issubclass(kind, (Stopped, VideoError)):
            kind, error, trace = None, None, None
        self._writing.__exit__(kind, error, trace)
        if kind is None:
            logger.info("written: %s", self.path)

    def add(self, result: LiveResult) -> None:
        """Write the moment that has its scores with this result, if there is one."""
        if result.scored is not None:
            table = build_table([result.scored], self.label_map, 0.0, self.score_threshold)
            round_numbers(table).to_csv(self._file, index=False, header=False, lineterminator="\n")
