"""How an imported data set takes its place: the old one or the new one is opened, whenever a process is killed.

The new one is built in a hidden folder. Where its place is free, one rename ends the import. Else one rename makes the
folder `.importing` of the data set's own folder, and from then on the new one counts: whoever opens or imports the data
set moves the pieces to their places, if the process that began it can't. Files that no import wrote stay.
"""

import contextlib
import json
import os
import re
import shutil
import threading
import time
from pathlib import Path

from avalib.data.importers.source_videos import MANIFEST
from avalib.utils.files import flush_to_disk, part_name, write_json
from avalib.utils.process import host_name, is_running, start_time

IMPORTING = ".importing"
PIECES = ("annotations", "proposals", "videos")
OWNER = "owner.json"
_BUILDING = re.compile(r"\.(?P<host>[\w-]+)-(?P<pid>\d+)-\d+\.part(\.[^.]*)?")
_PATIENCE_S = 30.0  # moving the pieces takes a dozen renames
_MOVING = threading.RLock()  # among the threads of this process; other processes are told apart by OWNER


def holds_import(root):
    """Whether a folder is a data set that was imported, or is being imported."""
    root = Path(root)
    return (root / MANIFEST).is_file() or (root / IMPORTING).is_dir()


def is_free(root):
    """Whether a data set can be imported into a folder: it isn't there, is empty, or holds one that was imported."""
    root = Path(root)
    if not root.exists() or holds_import(root):
        return True
    return root.is_dir() and all(_BUILDING.search(path.name) or _is_unfinished(path) for path in root.iterdir())


def _is_unfinished(piece):
    """Whether a piece holds nothing but what an import wrote: version 0.1 could be killed before it had a manifest."""
    if piece.name not in PIECES or piece.is_symlink() or not piece.is_dir():
        return False
    files = list(piece.iterdir())
    return all(path.is_symlink() if piece.name == "videos" else path.name.startswith("ava_") for path in files)


@contextlib.contextmanager
def building(root):
    """A folder to put the PIECES and the MANIFEST of a data set into; they take their places when all went well."""
    root = Path(os.path.realpath(root))
    root.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    new = part_name(root) if not root.is_dir() else root / part_name(root).name
    new.mkdir()
    try:
        yield new
        _flush_tree(new)
        with _MOVING:
            _take_place(new, root)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    _remove_abandoned(root)


def _take_place(new, root):
    """One rename, after which the new data set counts; then the pieces are moved."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if not root.exists():
                os.rename(new, root)
                flush_to_disk(root.parent)
                return
            write_json(new / OWNER, _this_process())
            os.rename(new, root / IMPORTING)
            flush_to_disk(root)
            break
        except OSError:
            if not (root / IMPORTING).exists() or time.monotonic() > deadline:
                raise
            finish_import(root)  # somebody else's; it was there first
    _move_pieces(root)


def finish_import(root):
    """Move the pieces of a data set whose import was killed while they were moved; wait if it is going on.

    Raises TimeoutError naming the process that doesn't get on.
    """
    deadline, pending = time.monotonic() + _PATIENCE_S, Path(root) / IMPORTING
    with _MOVING:
        while pending.is_dir():
            owner = _read_owner(pending)
            if not _is_alive(owner):
                with contextlib.suppress(FileNotFoundError):  # two processes may do this at once
                    _move_pieces(Path(root))
            elif time.monotonic() > deadline:
                raise TimeoutError(
                    f"{root}: process {owner['pid']} on {owner['host']} imports it and doesn't get on; end it, or, if "
                    f"it doesn't run any more, remove {pending / OWNER}"
                )
            else:
                time.sleep(0.02)


def _move_pieces(root):
    """From root/.importing into root: every step may have been done already. The manifest goes first and comes last."""
    pending = root / IMPORTING
    if (pending / MANIFEST).exists():
        (root / MANIFEST).unlink(missing_ok=True)
    for piece in PIECES:
        old = pending / f"old_{piece}"
        if (pending / piece).exists():
            if (root / piece).exists():
                os.rename(root / piece, old)
            os.rename(pending / piece, root / piece)
        for path in old.iterdir() if old.is_dir() and not old.is_symlink() else ():
            if not path.is_symlink() and not path.name.startswith("ava_") and piece != "videos":
                os.rename(path, root / piece / path.name)  # somebody put it there
    if (pending / MANIFEST).exists():
        os.rename(pending / MANIFEST, root / MANIFEST)
    flush_to_disk(root)
    shutil.rmtree(pending, ignore_errors=True)


def _this_process():
    return {"host": host_name(), "pid": os.getpid(), "started": start_time(os.getpid())}


def _read_owner(pending):
    try:
        owner = json.loads((pending / OWNER).read_text(encoding="utf-8"))
        return {"host": str(owner["host"]), "pid": int(owner["pid"]), "started": owner["started"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is being removed, or was


def _is_alive(owner):
    if owner is None:
        return False
    if owner["host"] != host_name():
        return True  # nobody here can tell
    return is_running(owner["pid"]) and start_time(owner["pid"]) == owner["started"] and owner["pid"] != os.getpid()


def _remove_abandoned(root):
    """Remove what killed imports of this data set left beside it or in it."""
    stem = part_name(root).name.split(f".{host_name()}-{os.getpid()}-")[0]
    for folder in (root.parent, root):
        for path in folder.iterdir() if folder.is_dir() else ():
            owner = _BUILDING.fullmatch(path.name.removeprefix(stem)) if path.name.startswith(stem) else None
            if owner and owner["host"] == host_name() and not is_running(int(owner["pid"])):
                shutil.rmtree(path, ignore_errors=True)


def _flush_tree(folder):
    for place, _, files in os.walk(folder):
        for name in files:
            if not os.path.islink(os.path.join(place, name)):
                flush_to_disk(os.path.join(place, name))
        flush_to_disk(place)
