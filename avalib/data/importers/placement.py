"""How an imported data set replaces an older one: at any moment one of them is whole, even after a kill.

The new data set is built in a hidden folder. Where its place is free, one rename ends the import. Otherwise one rename
makes the folder `.importing` of the old data set's folder, and from then on the new one counts: whoever opens or
imports the data set moves the pieces to their places if the process that began it has ended. Files that no import
wrote stay.
"""

import contextlib
import json
import os
import re
import shutil
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from avalib.data.importers.source_videos import MANIFEST
from avalib.utils.files import flush_to_disk, write_json
from avalib.utils.process import get_host_name, get_start_time, is_running
from avalib.utils.temporary_files import make_part_path

IMPORTING = ".importing"
PIECES = ("annotations", "proposals", "videos")
OWNER = "owner.json"
MOVE_TIMEOUT_S = 30.0  # moving the pieces takes a dozen renames
POLL_INTERVAL_S = 0.02

_STAGING_NAME = re.compile(r"\.(?P<host>[\w-]+)-(?P<pid>\d+)-\d+\.part(\.[^.]*)?")
_MOVE_LOCK = threading.RLock()  # among the threads of this process; OWNER tells other processes apart


def is_imported_dataset(root):
    """Whether a folder is a data set that was imported, or is being imported."""
    root = Path(root)
    return (root / MANIFEST).is_file() or (root / IMPORTING).is_dir()


def is_replaceable(root):
    """Whether a data set can be imported into a folder: it is missing, empty, or holds nothing but an imported one."""
    root = Path(root)
    if not root.exists() or is_imported_dataset(root):
        return True
    return root.is_dir() and all(_STAGING_NAME.search(path.name) or _is_unfinished(path) for path in root.iterdir())


def _is_unfinished(piece):
    """Whether a piece holds only what an import wrote: version 0.1 could be killed before it wrote the manifest."""
    if piece.name not in PIECES or piece.is_symlink() or not piece.is_dir():
        return False
    # Imports write links to videos, and files named ava_… elsewhere.
    files = list(piece.iterdir())
    if piece.name == "videos":
        return all(path.is_symlink() for path in files)
    return all(path.name.startswith("ava_") for path in files)


@contextlib.contextmanager
def stage_import(root):
    """A folder for the PIECES and the MANIFEST of a data set; they replace those at `root` if the block succeeds."""
    root = Path(os.path.realpath(root))
    root.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    # Inside the old folder where there is one: a rename must stay on one disk.
    staging = root / make_part_path(root).name if root.is_dir() else make_part_path(root)
    staging.mkdir()
    try:
        yield staging
        _flush_tree(staging)
        with _MOVE_LOCK:
            _publish(staging, root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _remove_abandoned(root)


def _publish(staging, root):
    """One rename, after which the new data set counts; then the pieces are moved."""
    deadline = time.monotonic() + MOVE_TIMEOUT_S
    while True:
        try:
            if not root.exists():
                os.rename(staging, root)
                flush_to_disk(root.parent)
                return
            # The place is taken: the owner's name goes in first, then the folder in one rename.
            write_json(staging / OWNER, asdict(_Owner.this_process()))
            os.rename(staging, root / IMPORTING)
            flush_to_disk(root)
            break
        except OSError:
            # The rename fails while another import is being moved: that one is finished first.
            if not (root / IMPORTING).exists() or time.monotonic() > deadline:
                raise
            finish_import(root)
    _move_pieces(root)


def finish_import(root):
    """Move the pieces of a data set whose import was killed while it moved them; wait for one that is running.

    Raises TimeoutError naming the process that does not finish.
    """
    deadline = time.monotonic() + MOVE_TIMEOUT_S
    pending = Path(root) / IMPORTING
    with _MOVE_LOCK:
        while pending.is_dir():
            owner = _Owner.read(pending)
            if owner is None or not owner.is_alive():
                with contextlib.suppress(FileNotFoundError):  # two processes may do this at once
                    _move_pieces(Path(root))
            elif time.monotonic() > deadline:
                raise TimeoutError(
                    f"{root}: process {owner.pid} on {owner.host} is importing it and does not finish; end it, or, if "
                    f"it is not running any more, remove {pending / OWNER}"
                )
            else:
                time.sleep(POLL_INTERVAL_S)


def _move_pieces(root):
    """Move everything from root/.importing into root. Any step may have been done already by a killed process.

    The old manifest goes first and the new one comes last: in between, the data set is being imported.
    """
    pending = root / IMPORTING
    if (pending / MANIFEST).exists():
        (root / MANIFEST).unlink(missing_ok=True)
    for piece in PIECES:
        # The old piece steps aside, the new one takes its place.
        old_piece = pending / f"old_{piece}"
        if (pending / piece).exists():
            if (root / piece).exists():
                os.rename(root / piece, old_piece)
            os.rename(pending / piece, root / piece)
        _restore_foreign_files(old_piece, root / piece)
    if (pending / MANIFEST).exists():
        os.rename(pending / MANIFEST, root / MANIFEST)
    flush_to_disk(root)
    shutil.rmtree(pending, ignore_errors=True)


def _restore_foreign_files(old_piece, new_piece):
    """Move files that no import wrote from the replaced piece into the new one."""
    if new_piece.name == "videos" or old_piece.is_symlink() or not old_piece.is_dir():
        return
    for path in old_piece.iterdir():
        if not path.is_symlink() and not path.name.startswith("ava_"):
            os.rename(path, new_piece / path.name)


@dataclass(frozen=True)
class _Owner:
    """The process that moves the pieces of an import."""

    host: str
    pid: int
    started: float | None  # as utils.process.get_start_time returns it

    @classmethod
    def this_process(cls):
        return cls(host=get_host_name(), pid=os.getpid(), started=get_start_time(os.getpid()))

    @classmethod
    def read(cls, pending):
        """The owner of a pending import; None while it is being removed, or was."""
        try:
            owner = json.loads((pending / OWNER).read_text(encoding="utf-8"))
            return cls(host=str(owner["host"]), pid=int(owner["pid"]), started=owner["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_alive(self):
        """Whether another process with this id is running; one on another host counts as alive."""
        if self.host != get_host_name():
            return True
        # Ids of processes are used again, so the time of the start is compared too.
        is_same = is_running(self.pid) and get_start_time(self.pid) == self.started
        return is_same and self.pid != os.getpid()


def _remove_abandoned(root):
    """Remove what killed imports of this data set left beside it or in it."""
    # Part names are .NAME.HOST-PID-COUNT.part: everything before the host is the same for all processes.
    prefix = make_part_path(root).name.split(f".{get_host_name()}-{os.getpid()}-")[0]
    for folder in (root.parent, root):
        if not folder.is_dir():
            continue
        for path in folder.iterdir():
            if not path.name.startswith(prefix):
                continue
            owner = _STAGING_NAME.fullmatch(path.name.removeprefix(prefix))
            if owner and owner["host"] == get_host_name() and not is_running(int(owner["pid"])):
                shutil.rmtree(path, ignore_errors=True)


def _flush_tree(folder):
    """Flush all files and folders of a tree to disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                flush_to_disk(path)
        flush_to_disk(parent)
