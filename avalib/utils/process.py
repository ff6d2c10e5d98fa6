"""This machine's processes, cores and memory, on Linux, macOS and Windows."""

import os
import re
import signal
import socket
import sys
from pathlib import Path

import psutil


def get_host_name() -> str:
    """This machine's network name; characters that a file name can't hold become "_"."""
    name = socket.gethostname() or "localhost"
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def is_running(pid: int) -> bool:
    """Whether a process with this number runs on this machine, whoever owns it."""
    try:
        # a zombie has ended; only its parent has not collected it yet
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True  # it is another user's
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def get_start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine started; None on systems other than Linux.

    The system reuses process numbers: the same number with another start time is another process. psutil's times are
    of the day, so they change when the machine's clock is set.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the program's name stands in brackets, and may itself have spaces and brackets
    return int(text.rpartition(")")[2].split()[19])


def ignore_interrupts() -> None:
    """Ignore Ctrl-C in this process. It reaches the whole process group; the main process decides what stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def count_cores() -> int:
    """Count the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_peak_memory_bytes() -> int | None:
    """The peak memory of this process plus that of its largest ended child; None on Windows."""
    own = get_own_peak_memory_bytes()
    return None if own is None else own + (_read_max_rss("RUSAGE_CHILDREN") or 0)


def get_own_peak_memory_bytes() -> int | None:
    """The peak memory of this process alone; None on Windows."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _read_max_rss("RUSAGE_SELF")
    # Linux's own count; ru_maxrss of a program that a large process has started begins with that process's size
    match = re.search(r"^VmHWM:\s*(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(match.group(1)) if match else _read_max_rss("RUSAGE_SELF")


def _read_max_rss(whose: str) -> int | None:
    """Peak memory in bytes as the system counts it for this process or its ended children; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    # macOS counts bytes, Linux kilobytes
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(getattr(resource, whose)).ru_maxrss


def get_total_memory_bytes() -> int:
    """The machine's memory."""
    return psutil.virtual_memory().total


def get_available_memory_bytes() -> int:
    """Memory that this process can still take without swapping, within a container's limit."""
    available = psutil.virtual_memory().available
    # a container: its limit (a number, or "max") less what it uses
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text(encoding="utf-8"))
        used = int((folder / "memory.current").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return available
    return min(available, max(limit - used, 0))


def check_memory(needed_bytes: float, purpose: str) -> None:
    """Raise ValueError if `needed_bytes` are more than half of the free memory."""
    free_bytes = get_available_memory_bytes()
    if needed_bytes > free_bytes // 2:
        raise ValueError(
            f"{needed_bytes / 1e9:,.1f} GB are needed ({purpose}), the limit is half of the free memory, "
            f"{free_bytes / 2e9:,.1f} GB. Divide the data, or use a machine with more memory"
        )
