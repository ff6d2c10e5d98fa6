"""Facts about processes, and the differences between Linux, macOS and Windows that the package has to bridge."""

import os
import signal
import socket
import sys
from pathlib import Path


def get_host_name():
    """This machine's network name without characters that a file name can't hold."""
    name = socket.gethostname() or "localhost"
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def is_running(pid):
    """Whether a process with this number runs on this machine, whoever owns it."""
    if sys.platform == "win32":
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return _state(pid) != "Z"  # a zombie has ended and only waits to be collected


def get_start_time(pid):
    """When a process began, in clock ticks since the machine started; None where the system does not tell (not Linux).

    The system uses process numbers again: the same number with another start time is another process.
    """
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def _state(pid):
    fields = _stat_fields(pid)
    return fields[0] if fields else None


def _stat_fields(pid):
    """The fields of /proc/PID/stat behind the program's name, which may itself hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _is_running_on_windows(pid):
    import ctypes

    query_limited_information, still_active = 0x1000, 259
    kernel32 = ctypes.windll.kernel32
    handle = kernel32.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel32.CloseHandle(handle)
    return code.value == still_active


def ignore_interrupts():
    """Let Ctrl-C pass by this process. It reaches the whole process group; the main process decides what stops."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def count_cores():
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_peak_memory_bytes():
    """The most memory that this process, and the largest of its ended children, have held, added up.

    None on systems without the `resource` module (Windows).
    """
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return unit * sum(usage.ru_maxrss for usage in usages)


def get_total_memory_bytes():
    """The machine's memory; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_memory_bytes()[0]
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such call, or no such name for it
        return None


def get_available_memory_bytes():
    """Memory that this process can still take without swapping, a container's limit included: all of it
    where the system tells no more, None where it tells nothing."""
    if sys.platform == "win32":
        return _windows_memory_bytes()[1]
    bounds = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:")]
    limit = next(iter(_lines("/sys/fs/cgroup/memory.max")), "max").strip()
    used = next(iter(_lines("/sys/fs/cgroup/memory.current")), "").strip()
    if limit.isdigit() and used.isdigit():
        bounds.append(max(int(limit) - int(used), 0))
    return min(bounds) if bounds else get_total_memory_bytes()


def check_memory(needed_bytes, purpose):
    """Raise a ValueError where something would take more than half of the memory that is free."""
    free = get_available_memory_bytes()
    if free is not None and needed_bytes > free // 2:
        raise ValueError(
            f"{needed_bytes / 1e9:,.1f} GB are needed ({purpose}), the limit is half of the free memory, "
            f"{free / 2e9:,.1f} GB. Divide the data, or use a machine with more memory"
        )


def _lines(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _windows_memory_bytes():
    """(total, available) bytes by GlobalMemoryStatusEx; (None, None) where there is no such library."""
    import ctypes

    names = ("total", "available", "total_page", "available_page", "total_virtual", "available_virtual", "extended")

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32), *((n, ctypes.c_uint64) for n in names)]

    status = Status(length=ctypes.sizeof(Status))
    if not hasattr(ctypes, "windll") or not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total, status.available
