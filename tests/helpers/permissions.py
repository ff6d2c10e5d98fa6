"""For tests of read-only disks: folders that can't be written, for root too."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

OBEY = """
import os, sys
if hasattr(os, "geteuid") and os.geteuid() == 0:  # root writes everywhere, unless it gives up the right to
    if sys.platform == "linux":
        import ctypes
        libc, data = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 6)()
        head = (ctypes.c_uint32 * 2)(0x20080522, 0)
        assert libc.capget(head, data) == 0
        data[0] &= ~(1 << 1)  # CAP_DAC_OVERRIDE, of the rights in effect
        assert libc.capset(head, data) == 0
    else:
        os.setuid(65534)
"""


@contextlib.contextmanager
def read_only(folder):
    """Take away the right to write in a folder and all below it, and give it back."""
    paths = [Path(folder), *Path(folder).rglob("*")]
    modes = {path: path.stat().st_mode for path in paths if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def run(code, *words, **environment):
    """Run Python code in a process that obeys permissions. -> its output. Fails where the process does."""
    ended = subprocess.run(
        [sys.executable, "-c", OBEY + code, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {key: str(value) for key, value in environment.items()},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def is_obeyed(folder):
    """Whether a process of `run` really can't write into the folder."""
    code = (
        "try:\n    open(sys.argv[1] + '/probe', 'w')\nexcept OSError:\n    print('obeyed')\n"
        "else:\n    os.unlink(sys.argv[1] + '/probe')\n"
    )
    return run(code, folder) == "obeyed\n"
