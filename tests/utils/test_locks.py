"""utils.locks: a folder has one user at a time, and a lock whose holder is gone is no obstacle."""

import json
import os
import signal
import subprocess
import sys
import time

import process_groups
import pytest

from avalib.utils import locks
from avalib.utils.locks import SILENCE_S, LockedError, acquire_lock, hold_lock
from avalib.utils.process import get_host_name, get_start_time

HOLDER = """
import sys, time
from avalib.utils import locks
with locks.hold_lock(sys.argv[1], "a training"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".train.lock"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    other = process_groups.start_python("-c", HOLDER, path)
    assert other.stdout.readline() == "held\n"
    yield other
    other.kill()
    other.communicate()


def test_a_held_lock_names_host_process_and_since_and_what_to_do(path, holder):
    with pytest.raises(LockedError) as error, hold_lock(path, "a training"):
        pass
    message = str(error.value)
    assert f"a training, process {holder.pid} on {get_host_name()}, since 20" in message
    assert f"kill {holder.pid}" in message and str(path.parent) in message


def test_a_released_lock_leaves_nothing(path):
    with hold_lock(path, "a training") as lock:
        assert lock.is_held() and json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.exists()
    with hold_lock(path, "a training") as lock:
        assert lock.is_held()


@pytest.mark.skipif(get_start_time(os.getpid()) is None, reason="this system does not tell start times")
def test_a_process_number_that_was_used_again_is_no_holder(path, holder):
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps(content | {"started": content["started"] - 1}), encoding="utf-8"
    )  # of an earlier process of this number
    with hold_lock(path, "a training") as lock:
        assert lock.is_held()


def of_another_machine(path, seconds_ago):
    content = {"host": "node17", "pid_space": None, "pid": 1, "started": 5, "since": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(content | {"work": "a training"}), encoding="utf-8")
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_another_machines_lock_with_a_heartbeat_holds_and_says_how_to_remove_it(path):
    of_another_machine(path, 30)
    with pytest.raises(
        LockedError, match=r"process 1 on node17.*last sign of life was 3\d s ago.*remove .*\.train\.lock"
    ):
        acquire_lock(path, "a training")


def test_another_machines_lock_without_a_heartbeat_is_taken_over(path):
    of_another_machine(path, SILENCE_S + 60)
    with hold_lock(path, "a training") as lock:
        assert lock.is_held()


def test_a_holder_touches_its_lock(path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.02)
    with hold_lock(path, "a training"):
        os.utime(path, (1, 1))
        process_groups.wait_until(lambda: path.stat().st_mtime > 1)


def test_a_holder_that_lost_its_lock_knows_it_and_leaves_the_other_ones(path):
    lock = acquire_lock(path, "a training")
    of_another_machine(path, 0)
    with pytest.raises(LockedError, match="lost the lock to a training, process 1 on node17"):
        lock.check()
    lock.release()
    assert path.exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": "x"}'])
def test_a_torn_lock_holds_until_it_is_silent(content, path):
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LockedError, match="unknown"):
        acquire_lock(path, "a training")
    os.utime(path, (1, 1))
    with hold_lock(path, "a training") as lock:
        assert lock.is_held()


def test_the_same_process_does_not_lock_itself_out_for_ever(path):
    with hold_lock(path, "a training"):
        with pytest.raises(LockedError, match="this very process"):
            acquire_lock(path, "a training")
    acquire_lock(path, "a training").release()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a read-only folder stops root by a mount alone"
)
def test_a_folder_that_cannot_be_written_needs_no_lock_as_root(path, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(locks, "_create", refuse)
    with hold_lock(path, "a training") as lock:
        assert lock is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_needs_no_lock(tmp_path):
    tmp_path.chmod(0o555)
    with hold_lock(tmp_path / ".lock", "a training") as lock:
        assert lock is None


RACE = """
import sys, time
from avalib.utils import locks
while time.time() < float(sys.argv[2]):
    pass
try:
    with locks.hold_lock(sys.argv[1], "a race"):
        print("got it", flush=True)
        sys.stdin.read()
except locks.LockedError:
    print("refused", flush=True)
"""


@pytest.mark.slow
def test_of_many_that_take_over_a_stale_lock_at_once_one_gets_it(path):
    of_another_machine(path, SILENCE_S + 60)
    start = str(time.time() + 5)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path), start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for _ in range(6)
    ]
    lines = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.communicate()
    assert sorted(lines) == ["got it\n"] + ["refused\n"] * 5
