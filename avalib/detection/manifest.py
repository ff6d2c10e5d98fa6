"""The manifest of a folder of detections: a line of json for each video, with what has become of it."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from avalib.utils.disk_space import describe_disk_full
from avalib.utils.files import write_text
from avalib.utils.locks import LockedError, describe_conflict

PENDING = "pending"
DONE = "done"
FAILED = "failed"


@dataclass(frozen=True)
class ManifestRow:
    """What has become of one video."""

    video: str  # path or URL, without credentials
    state: str = PENDING  # pending, done or failed
    output: str = ""  # the table's file, relative to the folder
    bytes: int | None = None  # size of the video's file; another size is another video
    video_s: float | None = None  # seconds of video
    work_s: float | None = None  # seconds that the work took
    rows: int | None = None  # of the table
    error: str = ""  # why it failed; names the video


class Manifest:
    """The rows of one run, each on the disk as soon as it is set.

    The file grows by a line for each change, the last line of a video counts. A line that was cut off when the process
    was killed is left out at the next opening, which writes the file anew.

    Parameters
    ----------
    path : str or Path
        The file, which is written anew.
    rows : iterable of ManifestRow
        The rows at the beginning.
    """

    def __init__(self, path: str | Path, rows):
        self.path = Path(path)
        self._rows = {row.video: row for row in rows}
        self.compact()

    def set(self, row: ManifestRow) -> None:
        """Set a video's row. Raises DiskFullError, and leaves no part of the line, if the disk is full."""
        # One write of a whole line; what a full disk took of it is cut off again.
        size = self.path.stat().st_size
        line = _format_row(row).encode()
        with describe_disk_full(self.path, len(line)), open(self.path, "ab", buffering=0) as file:
            try:
                if file.write(line) < len(line):
                    file.write(line)  # raises: the disk took a part only
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(size)
                raise
        self._rows[row.video] = row

    def compact(self) -> None:
        """Write the file with one line a video."""
        write_text(self.path, "".join(map(_format_row, self._rows.values())))

    def to_table(self) -> pd.DataFrame:
        """The rows as a table with the columns of ManifestRow."""
        return pd.DataFrame([asdict(row) for row in self._rows.values()], columns=[f.name for f in fields(ManifestRow)])


def _format_row(row):
    return json.dumps(asdict(row), ensure_ascii=False) + "\n"


def get_manifest_path(folder: str | Path, shard: tuple[int, int] | None = None) -> Path:
    """The manifest of a whole run, or of a share (number, count) of the list."""
    suffix = "" if shard is None else f"-{shard[0]}-of-{shard[1]}"
    return Path(folder) / f"manifest{suffix}.jsonl"


def read_manifest(path: str | Path) -> dict[str, ManifestRow]:
    """Read a manifest. Returns {video: row}; {} if there is no file."""
    names = {field.name for field in fields(ManifestRow)}
    rows = {}
    lines = Path(path).read_bytes().splitlines() if Path(path).exists() else ()
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, AttributeError):  # a line that was cut off
            row = ManifestRow(**{name: value for name, value in json.loads(line).items() if name in names})
            rows[row.video] = row
    return rows


def read_manifests(folder: str | Path) -> dict[str, ManifestRow]:
    """Read the manifests of all runs in a folder. Returns {video: row}; a row that is done goes before another."""
    rows = {}
    for path in sorted(Path(folder).glob("manifest*.jsonl")):
        # A video that is done in one of them is done.
        for video, row in read_manifest(path).items():
            if video not in rows or rows[video].state != DONE:
                rows[video] = row
    return rows


def get_lock_path(folder: str | Path, shard: tuple[int, int] | None = None) -> Path:
    """The lock of a run in a folder: other shares of the same list may run at once."""
    return get_manifest_path(folder, shard).with_suffix(".lock")


def check_other_runs(folder: str | Path, shard: tuple[int, int] | None) -> None:
    """Raise LockedError if a run in the folder may do the same videos: another list, or shares of another count."""
    own = get_lock_path(folder, shard)
    for path in sorted(Path(folder).glob("manifest*.lock")):
        is_other_share = shard is not None and path.stem.endswith(f"-of-{shard[1]}")
        if path.name != own.name and not is_other_share and (conflict := describe_conflict(path)):
            raise LockedError(conflict)
