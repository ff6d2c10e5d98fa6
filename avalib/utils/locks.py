"""A lock on a folder that names its holder: two processes, on one machine or on two that share a disk, never write
into it at once.

The lock is a small json file. A holder that was killed leaves it behind; it is recognised as stale by its process,
which no longer runs or is another one under the same number, and on another machine by a heartbeat that has stopped.
"""

import contextlib
import errno
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from avalib.utils.errors import AvalibError
from avalib.utils.process import get_host_name, get_start_time, is_running
from avalib.utils.temporary_files import make_part_path

HEARTBEAT_S = 20  # how often a holder touches its lock
SILENCE_S = 600  # after so long without a touch, a lock of another machine is stale
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class LockedError(AvalibError, OSError):
    """Another process uses the folder; the message names it and says what can be done."""


class Lock:
    """A lock that this process holds. `path` is its file, `content` what stands in it."""

    def __init__(self, path, content):
        self.path = path
        self.content = content
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"heartbeat of {path}", daemon=True)
        self._heart.start()

    def is_held(self):
        """Whether the lock still is this process's: one that slept for long may have been taken for dead."""
        return _read(self.path) == self.content

    def check(self):
        """Raise LockedError if another process has taken the lock over in the meantime."""
        if not self.is_held():
            holder = _read(self.path)
            who = f"to {_describe(holder)}" if holder else "(the file is gone)"
            raise LockedError(
                f"{self.path}: this process lost the lock {who}. Nothing more is written; start it again."
            )

    def release(self):
        """Give the lock up; nothing if it was lost."""
        self._released.set()
        if self.is_held():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _beat(self):
        while not self._released.wait(HEARTBEAT_S):
            if self.is_held():
                with contextlib.suppress(OSError):
                    os.utime(self.path)


@contextlib.contextmanager
def hold_lock(path, work):
    """Hold the lock file `path` inside the context.

    Parameters
    ----------
    path : str or Path
        The lock's file, in a folder that is not moved meanwhile. Missing folders are made.
    work : str
        What the holder does, for the others' message: "a training".

    Yields
    ------
    Lock, or None where the folder can't be written: nothing can be changed there, so nothing needs a lock.

    Raises
    ------
    LockedError
        Another process holds it; the message names host, process and since when, and says what to do.
    """
    lock = acquire_lock(path, work)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()


def acquire_lock(path, work):
    """The Lock, see `hold`; to be released by the caller."""
    path = Path(path).absolute()
    content = {**_identity(os.getpid()), "since": datetime.now(UTC).isoformat(timespec="seconds"), "work": work}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(path.parent):
            holder = _read(path)
            if holder is not None and not _is_stale(path, holder):
                raise LockedError(_refusal(path, holder))
            if path.exists():
                path.unlink()
            _create(path, content)
    except FileExistsError:  # a process of another machine was faster
        raise LockedError(_refusal(path, _read(path))) from None
    except OSError as error:
        if error.errno in _READ_ONLY and not isinstance(error, LockedError):
            return None
        raise
    return Lock(path, content)


def describe_conflict(path):
    """What `hold` would say of a lock that another process holds; "" where none does. To ask before work begins."""
    path = Path(path).absolute()
    holder = _read(path)
    own = _identity(os.getpid())
    free = holder is None or all(holder.get(key) == value for key, value in own.items()) or _is_stale(path, holder)
    return "" if free else _refusal(path, holder)


def _identity(pid):
    """What tells one process from all others: host, number, and the start time that a reused number doesn't share."""
    return {"host": get_host_name(), "pid_space": _pid_space(), "pid": pid, "started": get_start_time(pid)}


def _pid_space():
    """Linux: containers with one host name have process numbers of their own; elsewhere None."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _create(path, content):
    """Make the lock's file, whole, if there is none: FileExistsError else."""
    part = make_part_path(path)
    try:
        part.write_text(json.dumps(content) + "\n", encoding="utf-8")
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except (OSError, AttributeError, NotImplementedError):  # a file system without links
            with open(path, "x", encoding="utf-8") as file:
                file.write(json.dumps(content) + "\n")
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _one_at_a_time(folder):
    """On one machine, one process at a time looks at a lock and replaces a stale one. Nothing on Windows."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that can't; then creating the file decides alone
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path):
    """What stands in a lock: a dict, {} for what isn't a lock's content, None where there is no file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_stale(path, holder):
    here = holder.get("host") == get_host_name() and holder.get("pid_space") == _pid_space()
    if here and isinstance(holder.get("pid"), int) and holder["pid"] > 0:
        return not is_running(holder["pid"]) or holder.get("started") != get_start_time(holder["pid"])
    return _silence_s(path) > SILENCE_S


def _silence_s(path):
    """Seconds since the lock was touched, by the clock of the disk that it lies on."""
    part = make_part_path(path)
    try:
        part.touch()
        return part.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        part.unlink(missing_ok=True)


def _describe(holder):
    who = f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown machine')}"
    return f"{holder.get('work', 'something')}, {who}, since {holder.get('since', 'an unknown time')}"


def _refusal(path, holder):
    holder = holder or {}
    if holder.get("host") == get_host_name() and holder.get("pid") == os.getpid():
        way = "It is this very process: wait for that call, or restart the kernel."
    elif holder.get("host") == get_host_name():
        way = f"Wait for it, or stop it: kill {holder.get('pid')}."
    else:
        silent = f"{_silence_s(path):.0f} s ago" if path.exists() else "just now"
        way = (
            f"It was last heard of {silent}; after {SILENCE_S} s without a sign it counts as dead. "
            f"If it surely no longer runs, remove {path}."
        )
    return f"{path.parent} is in use: {_describe(holder)}. {way} ({path.name} is the lock.)"
