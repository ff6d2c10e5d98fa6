"""A lock on a folder that names its holder, so that no two processes write into it at once.

The processes may be on one machine, or on two that share a disk. The lock is a small json file. A holder that was
killed leaves it behind. On the same machine it is stale when its process no longer runs (or its number belongs to
another process), on another machine when its heartbeat has stopped.
"""

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from avalib.utils.errors import AvalibError
from avalib.utils.process import get_host_name, get_start_time, is_running
from avalib.utils.temporary_files import make_part_path

HEARTBEAT_S = 20  # how often a holder touches its lock
SILENCE_S = 600  # after so long without a touch, a lock of another machine is stale
# the folder can't be written
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class LockedError(AvalibError, OSError):
    """Another process uses the folder; the message names it and says what to do."""


class Lock:
    """A lock that this process holds.

    Parameters
    ----------
    path : Path
        The lock's file.
    content : dict
        The content of the file.
    """

    def __init__(self, path: Path, content: dict):
        self.path = path
        self.content = content
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._send_heartbeats, name=f"heartbeat of {path}", daemon=True)
        self._heart.start()

    def is_held(self) -> bool:
        """Whether this process still holds the lock: after a long sleep it may count as dead."""
        return _read(self.path) == self.content

    def check(self) -> None:
        """Raise LockedError if another process has taken over the lock."""
        if not self.is_held():
            holder = _read(self.path)
            new_holder = f"to {_describe(holder)}" if holder else "(the file is gone)"
            raise LockedError(
                f"{self.path}: this process lost the lock {new_holder}. Nothing more is written; start it again."
            )

    def release(self) -> None:
        """Release the lock; does nothing if another process has taken it over."""
        self._released.set()
        if self.is_held():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _send_heartbeats(self):
        """Touch the lock again and again until it is released."""
        while not self._released.wait(HEARTBEAT_S):
            if self.is_held():
                with contextlib.suppress(OSError):
                    os.utime(self.path)


@contextlib.contextmanager
def hold_lock(path: str | Path, work: str) -> Iterator[Lock | None]:
    """Hold the lock file `path` inside the context.

    Parameters
    ----------
    path : str or Path
        The lock's file, in a folder that is not moved meanwhile. Missing folders are created.
    work : str
        What the holder does, for the message in other processes: "a training".

    Yields
    ------
    Lock or None
        None if the folder can't be written: nothing can be changed there, so nothing needs a lock.

    Raises
    ------
    LockedError
        Another process holds it; the message names host, process and start, and says what to do.
    """
    lock = acquire_lock(path, work)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()


def acquire_lock(path: str | Path, work: str) -> Lock | None:
    """Acquire the lock as `hold_lock` does; the caller releases it."""
    path = Path(path).absolute()
    content = {**_identify_process(os.getpid()), "since": datetime.now(UTC).isoformat(timespec="seconds"), "work": work}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # look for a holder, remove a stale lock and create the new one
        with _lock_folder(path.parent):
            holder = _read(path)
            if holder is not None and not _is_stale(path, holder):
                raise LockedError(_describe_holder(path, holder))
            if path.exists():
                path.unlink()
            _create(path, content)
    except FileExistsError:  # a process of another machine was faster
        raise LockedError(_describe_holder(path, _read(path))) from None
    except OSError as error:
        if error.errno in _READ_ONLY and not isinstance(error, LockedError):
            return None
        raise
    return Lock(path, content)


def describe_conflict(path: str | Path) -> str:
    """The message of the LockedError that `hold_lock` would raise; "" if it would not. For a check before the work."""
    path = Path(path).absolute()
    holder = _read(path)
    if holder is None or _is_stale(path, holder):
        return ""
    own_identity = _identify_process(os.getpid())
    is_own = all(holder.get(key) == value for key, value in own_identity.items())
    return "" if is_own else _describe_holder(path, holder)


def _identify_process(pid):
    """The identity of a process: host, number, and the start time, which a reused number does not share."""
    return {"host": get_host_name(), "pid_space": _read_pid_space(), "pid": pid, "started": get_start_time(pid)}


def _read_pid_space():
    """The space of process numbers (on Linux; else None): containers with one host name each have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _create(path, content):
    """Create the lock's file with its complete content. Raises FileExistsError if there is one."""
    part = make_part_path(path)
    try:
        # a hard link fails if the name exists, and shows the whole content at once
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
def _lock_folder(folder):
    """Let one process at a time (of this machine) check a lock and replace a stale one. Does nothing on Windows."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # on file systems without flock, creating the file decides alone
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path):
    """The content of a lock: a dict, {} for invalid content, None if there is no file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_stale(path, holder):
    """Whether the holder of a lock has ended."""
    is_on_this_machine = holder.get("host") == get_host_name() and holder.get("pid_space") == _read_pid_space()
    # on this machine, by its process; on another one, by its heartbeat
    if is_on_this_machine and isinstance(holder.get("pid"), int) and holder["pid"] > 0:
        return not is_running(holder["pid"]) or holder.get("started") != get_start_time(holder["pid"])
    return _measure_silence_s(path) > SILENCE_S


def _measure_silence_s(path):
    """Seconds since the lock was touched."""
    # a new file has the time of the disk's own clock, which may differ from this machine's
    part = make_part_path(path)
    try:
        part.touch()
        return part.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        part.unlink(missing_ok=True)


def _describe(holder):
    """The work, process and start of a holder."""
    process = f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown machine')}"
    return f"{holder.get('work', 'something')}, {process}, since {holder.get('since', 'an unknown time')}"


def _describe_holder(path, holder):
    """The message for a process that can't have the lock: who holds it, and what to do."""
    holder = holder or {}
    # this process, another one of this machine, or one of another machine
    if holder.get("host") == get_host_name() and holder.get("pid") == os.getpid():
        advice = "It is this very process: wait for that call, or restart the kernel."
    elif holder.get("host") == get_host_name():
        advice = f"Wait for it, or stop it: kill {holder.get('pid')}."
    else:
        last_sign = f"{_measure_silence_s(path):.0f} s ago" if path.exists() else "just now"
        advice = (
            f"Its last sign of life was {last_sign}; after {SILENCE_S} s without one it counts as dead. "
            f"If it surely no longer runs, remove {path}."
        )
    return f"{path.parent} is in use: {_describe(holder)}. {advice} ({path.name} is the lock.)"
