"""Temporary names of files: unique, and removed once their process has ended."""

import json
import os
import subprocess
import sys
import time

from avalib.utils.files import atomic_path, atomic_write, write_json
from avalib.utils.temporary_files import clear_abandoned_parts, find_abandoned_parts, remove_abandoned_parts


def parts_in(folder):
    return [path for path in folder.iterdir() if ".part" in path.name]


def test_files_of_running_processes_are_not_removed(tmp_path):
    with atomic_path(tmp_path / "a.bin") as part:
        part.write_bytes(b"1")
        assert remove_abandoned_parts(tmp_path) == []
        assert part.exists()


def test_files_of_other_machines_are_removed_after_a_day(tmp_path):
    part = tmp_path / ".a.othermachine-12-0.part.csv"
    part.write_text("1", encoding="utf-8")
    assert remove_abandoned_parts(tmp_path) == []
    os.utime(part, (0, time.time() - 90_000))
    assert remove_abandoned_parts(tmp_path) == [part]


def test_two_writers_at_once_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path, "w") as first, atomic_write(path, "w") as second:
        first.write("first")
        second.write("second")
    assert path.read_text(encoding="utf-8") == "first"
    assert parts_in(tmp_path) == []


def test_a_long_name_fits(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")
    write_json(path, {"a": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}


def test_what_was_removed_is_said_in_one_line(tmp_path, capsys):
    for n in range(3):
        part = tmp_path / f".a.othermachine-12-{n}.part.csv"
        part.write_text("1", encoding="utf-8")
        os.utime(part, (0, time.time() - 90_000))
    clear_abandoned_parts(tmp_path, tmp_path / "absent")
    assert capsys.readouterr().out == f"removed 3 unfinished files of stopped processes in {tmp_path}\n"
    clear_abandoned_parts(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_killed_download_is_not_removed(tmp_path):
    part = tmp_path / ".a.othermachine-12-0.download.mp4"
    part.write_text("1", encoding="utf-8")
    os.utime(part, (0, time.time() - 90_000))
    assert remove_abandoned_parts(tmp_path) == [] and find_abandoned_parts(tmp_path, "download") == [part]


def test_files_of_the_first_version_are_removed_too(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".a.{ended.pid}.part.frames").write_bytes(b"1")
    (tmp_path / f".b.{os.getpid()}.part.frames").write_bytes(b"1")
    assert [path.name for path in remove_abandoned_parts(tmp_path)] == [f".a.{ended.pid}.part.frames"]
