"""Processes in a group of their own, as a terminal starts them, for tests of Ctrl-C: it reaches all of a group."""

import os
import signal
import subprocess
import sys
import time

TIMEOUT_S = 300  # the machine may be busy; a test that passes takes seconds


def start(command, **options):
    """Start a command in a new session, with SIGINT as in a terminal (a shell's & lets its processes ignore it)."""
    return subprocess.Popen(
        command,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def start_python(*arguments, **options):
    return start([sys.executable, *map(str, arguments)], **options)


def wait_until(condition, process=None):
    """Wait until condition() holds; AssertionError with the process's output if that ends before."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, "timeout"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def interrupt(process, number=signal.SIGINT):
    """Send Ctrl-C, or another signal, to the whole group. Returns what the process printed until it ended."""
    os.killpg(process.pid, number)
    return process.communicate(timeout=TIMEOUT_S)[0]


def list_members(group):
    """The commands that still run in a process group, but for multiprocessing's tracker, which ends a moment later."""
    output = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, encoding="utf-8", check=True
    ).stdout
    processes = [line.split(maxsplit=2) for line in output.splitlines()]
    return [
        command
        for process_group, status, command in processes
        if int(process_group) == group and status[0] != "Z" and "resource_tracker" not in command
    ]


def double(number):
    return 2 * number
