"""This machine's processes, cores and memory, on Linux, macOS and Windows."""

import os
import signal
import socket
import sys
from pathlib import Path


def get_host_name() -> str:
    """This machine's network name; characters that a file name can't hold become "_"."""
    name = socket.gethostname() or "localhost"
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def is_running(pid: int) -> bool:
    """Whether a process with this number runs on this machine, whoever owns it."""
    if sys.platform == "win32":
        return _is_running_on_windows(pid)
    # signal 0 only asks whether a signal could be sent
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    # a zombie has ended; only its parent has not collected it yet
    return _read_state(pid) != "Z"


def get_start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine started; None on systems other than Linux.

    The system reuses process numbers: the same number with another start time is another process.
    """
    fields = _read_stat(pid)
    return int(fields[19]) if fields else None


def _read_state(pid):
    """The letter of a process's state, such as R (runs), S (sleeps) or Z (zombie); None if unknown."""
    fields = _read_stat(pid)
    return fields[0] if fields else None


def _read_stat(pid):
    """The fields of /proc/PID/stat behind the program's name; None if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the name stands in brackets, and may itself have spaces and brackets
    return text.rpartition(")")[2].split()


def _is_running_on_windows(pid):
    """`is_running` by the Windows API."""
    import ctypes

    query_limited_information = 0x1000
    still_active = 259
    kernel32 = ctypes.windll.kernel32
    handle = kernel32.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel32.CloseHandle(handle)
    return code.value == still_active


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
    try:
        import resource
    except ImportError:
        return None
    # macOS counts bytes, Linux kilobytes
    unit = 1 if sys.platform == "darwin" else 1024
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return unit * sum(usage.ru_maxrss for usage in usages)


def get_total_memory_bytes() -> int | None:
    """The machine's memory; None where the system does not report it."""
    if sys.platform == "win32":
        return _get_windows_memory_bytes()[0]
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such call, or no such name for it
        return None


def get_available_memory_bytes() -> int | None:
    """Memory that this process can still take without swapping, within a container's limit.

    Where the system reports only the total, that; None where it reports nothing.
    """
    if sys.platform == "win32":
        return _get_windows_memory_bytes()[1]
    # Linux: kilobytes of the machine
    meminfo = _read_lines("/proc/meminfo")
    bounds = [int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable:")]
    # a container: its limit (a number, or "max") less what it uses
    limit = next(iter(_read_lines("/sys/fs/cgroup/memory.max")), "max").strip()
    used = next(iter(_read_lines("/sys/fs/cgroup/memory.current")), "").strip()
    if limit.isdigit() and used.isdigit():
        bounds.append(max(int(limit) - int(used), 0))
    return min(bounds) if bounds else get_total_memory_bytes()


def check_memory(needed_bytes: float, purpose: str) -> None:
    """Raise ValueError if `needed_bytes` are more than half of the free memory."""
    free_bytes = get_available_memory_bytes()
    if free_bytes is not None and needed_bytes > free_bytes // 2:
        raise ValueError(
            f"{needed_bytes / 1e9:,.1f} GB are needed ({purpose}), the limit is half of the free memory, "
            f"{free_bytes / 2e9:,.1f} GB. Divide the data, or use a machine with more memory"
        )


def _read_lines(path):
    """The lines of a system file; none where it does not exist."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _get_windows_memory_bytes():
    """(total, available) bytes by GlobalMemoryStatusEx; (None, None) where there is no such library."""
    import ctypes

    # MEMORYSTATUSEX: two numbers of 4 bytes, seven of 8
    names = ("total", "available", "total_page", "available_page", "total_virtual", "available_virtual", "extended")

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32), *((n, ctypes.c_uint64) for n in names)]

    status = Status(length=ctypes.sizeof(Status))
    if not hasattr(ctypes, "windll") or not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total, status.available
