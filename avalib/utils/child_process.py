"""A forked copy of this process: start it, wait for it, kill it. POSIX only."""

import os
import signal
import time
import warnings


def fork_quietly() -> int:
    """Fork without the warning about threads: the copy runs none. Returns 0 in the copy, else its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def wait_for_child(child: int, timeout_s: float) -> bool:
    """Wait until a child process ends; it is killed after `timeout_s`. Returns whether it ended well."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        has_ended, status = os.waitpid(child, os.WNOHANG)
        if has_ended:
            return status == 0
        time.sleep(0.02)
    kill_child(child)
    return False


def kill_child(child: int) -> None:
    """Kill a child process and wait for its end."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
