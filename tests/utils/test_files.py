"""utils.files: files are whole or not there, whatever happens while they are written."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from avalib.utils.files import (
    DiskFullError,
    atomic_path,
    atomic_write,
    clear_abandoned_parts,
    find_abandoned_parts,
    join_inside,
    link_or_copy,
    remove_abandoned_parts,
    write_bytes,
    write_json,
    write_text,
)


def parts_in(folder):
    return [path for path in folder.iterdir() if ".part" in path.name]


def test_an_exception_keeps_the_old_content(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ValueError, match="in the middle"), atomic_write(path, "w") as file:
        file.write("new")
        raise ValueError("in the middle")
    assert path.read_text(encoding="utf-8") == "old"
    assert parts_in(tmp_path) == []


def test_a_kill_keeps_the_old_content(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    code = (
        "import sys, time\nfrom avalib.utils import files\n"
        "with files.atomic_write(sys.argv[1], 'w') as file:\n"
        "    file.write('new')\n    file.flush()\n    print('writing', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_text(encoding="utf-8") == "old"
    [left] = parts_in(tmp_path)
    assert remove_abandoned_parts(tmp_path) == [left]
    assert parts_in(tmp_path) == []


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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["system", "torch", "safetensors"],
)
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path, error):
    with pytest.raises(DiskFullError, match=r"a\.pth: 0\.5 MB are needed, [\d,.]+ MB are free"):
        with atomic_path(tmp_path / "a.pth") as part:
            part.write_bytes(bytes(500_000))
            raise error
    assert parts_in(tmp_path) == []


def test_what_cannot_fit_is_not_begun(tmp_path):
    with pytest.raises(DiskFullError, match="1,000,000,000.0 MB are needed"):
        with atomic_path(tmp_path / "a.pth", needed_bytes=10**15):
            pytest.fail("began to write")


@pytest.mark.slow
def test_a_real_full_disk_is_said(tmp_path):
    resource = pytest.importorskip("resource")
    code = (
        "import resource, signal, sys, torch\nfrom avalib.utils import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "with files.atomic_path(sys.argv[1]) as part:\n    torch.save(torch.zeros(1_000_000), part)\n"
    )
    assert resource
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.pth")], capture_output=True, encoding="utf-8"
    )
    assert "DiskFullError" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo() and parts_in(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    target = write_text(tmp_path / "elsewhere" / "a.txt", "old")
    link = tmp_path / "a.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("missing", [(), ("symlink",), ("symlink", "link")], ids=["linked", "hard link", "copied"])
def test_a_big_file_is_shown_without_links_too(tmp_path, monkeypatch, missing):
    """Windows allows symbolic links to administrators only."""

    def refused(*_):
        raise OSError(1314, "A required privilege is not held by the client")

    for name in missing:
        monkeypatch.setattr(os, name, refused)
    source = write_bytes(tmp_path / "mirror" / "a.mp4", b"video")
    path = link_or_copy(source, tmp_path / "videos" / "a.mp4")
    assert path.read_bytes() == b"video" and path.is_symlink() == (not missing)
    other = write_bytes(tmp_path / "mirror" / "b.mp4", b"other")
    assert link_or_copy(other, path).read_bytes() == b"other"
    assert source.read_bytes() == b"video" and parts_in(path.parent) == []


def test_a_gz_holds_text_or_bytes_once_packed(tmp_path):
    with atomic_write(tmp_path / "a.csv.gz", "w") as file:
        file.write("é,1\n")
    packed = gzip.compress(b"ready")
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode() == "é,1\n"
    assert write_bytes(tmp_path / "b.gz", packed).read_bytes() == packed


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", "..", ".", "", "a\0b"])
def test_a_name_from_data_does_not_lead_outside(tmp_path, name):
    with pytest.raises(ValueError, match="plain name"):
        join_inside(tmp_path / "cache", name)


@pytest.mark.parametrize("name", ["a.npz", "a/b.npz", "...", "a..b", "é", "a/../b"])
def test_a_name_from_data_may_lead_inside(tmp_path, name):
    assert tmp_path / "cache" in join_inside(tmp_path / "cache", name).parents


def test_what_was_removed_is_said_in_one_line(tmp_path, capsys):
    for n in range(3):
        part = tmp_path / f".a.othermachine-12-{n}.part.csv"
        part.write_text("1", encoding="utf-8")
        os.utime(part, (0, time.time() - 90_000))
    clear_abandoned_parts(tmp_path, tmp_path / "absent")
    assert capsys.readouterr().out == f"removed 3 unfinished files of processes that were stopped, in {tmp_path}\n"
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


def test_an_error_of_the_system_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError, match=r"'.*/a\.csv'"), atomic_path(tmp_path / "a.csv") as part:
        raise PermissionError(errno.EACCES, "Permission denied", str(part))
