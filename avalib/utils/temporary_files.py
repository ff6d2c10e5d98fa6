"""Temporary names of files that are being written, and removing those of processes that no longer run.

A temporary name is hidden, beside the final one, and holds the machine and the process that writes it.
"""

import contextlib
import itertools
import logging
import os
import re
import time
from pathlib import Path

from avalib.utils.plurals import format_count
from avalib.utils.process import get_host_name, is_running

logger = logging.getLogger(__name__)

_COUNTER = itertools.count()
_PART_NAME = re.compile(
    r"^\.(?P<stem>.*)\.(?P<host>[\w-]+)-(?P<pid>\d+)-\d+\.(?P<kind>part|download)(?P<suffix>(\.[^.]*)?)$", re.S
)
# of version 0.1, which wrote no host
_OLD_PART_NAME = re.compile(r"^\.(?P<stem>.*)\.(?P<pid>\d+)\.part(?P<suffix>(\.[^.]*)?)$", re.S)
_DAY_S = 24 * 3600
_MAX_STEM_BYTES = 80  # of the final name that a temporary name repeats; most file systems allow 255


def make_part_path(path: str | Path, kind: str = "part") -> Path:
    """A new temporary path for a file: hidden, beside it, unique on every machine with this disk.

    It keeps the suffix, which np.savez, PIL and others go by.

    Parameters
    ----------
    path : str or Path
        The final path.
    kind : str
        "part", or "download" for what another process may resume.
    """
    stem, suffix = _shorten(path)
    return Path(path).with_name(f".{stem}.{get_host_name()}-{os.getpid()}-{next(_COUNTER)}.{kind}{suffix}")


def _shorten(path):
    """(stem, suffix) of a final name, as far as a temporary name repeats them."""
    path = Path(path)
    return path.stem.encode()[:_MAX_STEM_BYTES].decode(errors="ignore"), path.suffix[:20]


def wait_for_writers(folder: str | Path, timeout_s: float = 300, interval_s: float = 0.1) -> None:
    """Wait while another process of this machine writes a file of a folder, at most `timeout_s` seconds."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and any(_is_being_written(path) for path in Path(folder).glob(".*.part*")):
        time.sleep(interval_s)


def _is_being_written(path):
    match = _PART_NAME.match(path.name)
    if match is None or match["host"] != get_host_name() or int(match["pid"]) == os.getpid():
        return False
    return is_running(int(match["pid"]))


def find_abandoned_parts(folder: str | Path, kind: str = "part", name: str | None = None) -> list[Path]:
    """Find the temporary files that processes which no longer run left in a folder.

    A file of another machine, whose processes can't be checked, counts once it is a day old.

    Parameters
    ----------
    folder : str or Path
    kind : str
        See `make_part_path`.
    name : str, optional
        Only those of the file with this final name.
    """
    abandoned = []
    for path in sorted(Path(folder).glob(f".*.{kind}*")):
        owner = _parse_owner(path.name)
        if owner is None or owner["kind"] != kind:
            continue
        if name is not None and (owner["stem"], owner["suffix"]) != _shorten(name):
            continue
        # a process of this machine can be checked; meanwhile another one may remove the file
        with contextlib.suppress(OSError):
            if owner["host"] == get_host_name():
                is_abandoned = not is_running(int(owner["pid"]))
            else:
                is_abandoned = time.time() - path.stat().st_mtime > _DAY_S
            if is_abandoned:
                abandoned.append(path)
    return abandoned


def _parse_owner(name):
    """{"stem", "suffix", "host", "pid", "kind"} of a temporary file's name, or None."""
    if match := _PART_NAME.match(name):
        return match.groupdict()
    if match := _OLD_PART_NAME.match(name):
        return match.groupdict() | {"host": get_host_name(), "kind": "part"}
    return None


def remove_abandoned_parts(folder: str | Path) -> list[Path]:
    """Remove the temporary files that processes which no longer run left in a folder. Returns their paths.

    Downloads stay: the next call resumes them.
    """
    removed = []
    for path in find_abandoned_parts(folder):
        with contextlib.suppress(OSError):  # another process removes it too, or the disk is read-only
            path.unlink()
            removed.append(path)
    return removed


def clear_abandoned_parts(*folders: str | Path) -> None:
    """Remove abandoned temporary files from folders that are about to be written to, and log how many there were."""
    removed = [path for folder in folders for path in remove_abandoned_parts(folder)]
    if removed:
        logger.info(
            f"removed {format_count(len(removed), 'unfinished file')} of stopped processes in {removed[0].parent}"
        )
