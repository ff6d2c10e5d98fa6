"""utils.files: files are whole or not there, whatever happens while they are written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from avalib.utils import files


def parts_in(folder):
    return [path for path in folder.iterdir() if ".part" in path.name]


def test_an_exception_keeps_the_old_content(tmp_path):
    path = files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ValueError, match="in the middle"), files.atomic_write(path, "w") as file:
        file.write("new")
        raise ValueError("in the middle")
    assert path.read_text(encoding="utf-8") == "old"
    assert parts_in(tmp_path) == []


def test_a_kill_keeps_the_old_content(tmp_path):
    path = files.write_text(tmp_path / "a.txt", "old")
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
    assert files.remove_abandoned_parts(tmp_path) == [left]
    assert parts_in(tmp_path) == []


def test_files_of_running_processes_are_not_removed(tmp_path):
    with files.atomic_path(tmp_path / "a.bin") as part:
        part.write_bytes(b"1")
        assert files.remove_abandoned_parts(tmp_path) == []
        assert part.exists()


def test_files_of_other_machines_are_removed_after_a_day(tmp_path):
    part = tmp_path / ".a.othermachine-12-0.part.csv"
    part.write_text("1", encoding="utf-8")
    assert files.remove_abandoned_parts(tmp_path) == []
    os.utime(part, (0, time.time() - 90_000))
    assert files.remove_abandoned_parts(tmp_path) == [part]


def test_two_writers_at_once_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "a.txt"
    with files.atomic_write(path, "w") as first, files.atomic_write(path, "w") as second:
        first.write("first")
        second.write("second")
    assert path.read_text(encoding="utf-8") == "first"
    assert parts_in(tmp_path) == []


def test_a_long_name_fits(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")
    files.write_json(path, {"a": 1})
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
    with pytest.raises(files.DiskFullError, match=r"a\.pth: 0\.5 MB are needed, [\d,.]+ MB are free"):
        with files.atomic_path(tmp_path / "a.pth") as part:
            part.write_bytes(bytes(500_000))
            raise error
    assert parts_in(tmp_path) == []


def test_what_cannot_fit_is_not_begun(tmp_path):
    with pytest.raises(files.DiskFullError, match="1,000,000,000.0 MB are needed"):
        with files.atomic_path(tmp_path / "a.pth", needed_bytes=10**15):
            pytest.fail("began to write")


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
