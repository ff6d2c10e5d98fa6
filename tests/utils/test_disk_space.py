"""A full disk: the error says what is needed and free, and nothing is left."""

import errno
import subprocess
import sys

import pytest

from avalib.utils.disk_space import DiskFullError
from avalib.utils.files import atomic_path


def parts_in(folder):
    return [path for path in folder.iterdir() if ".part" in path.name]


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
