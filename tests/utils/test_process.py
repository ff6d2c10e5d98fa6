"""Peak memory: of this program alone, whatever started it."""

import subprocess
import sys

import numpy as np
import psutil
import pytest

from avalib.utils.process import get_own_peak_memory_bytes

MEASURE = "from avalib.utils.process import get_own_peak_memory_bytes; print(get_own_peak_memory_bytes())"
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts a parent's memory")


@on_linux
def test_a_program_that_a_large_one_started_has_its_own_peak():
    large = np.ones(600_000_000, np.uint8)
    peak = int(subprocess.run([sys.executable, "-c", MEASURE], stdout=subprocess.PIPE, check=True).stdout)
    assert large.nbytes <= psutil.Process().memory_info().rss
    assert 0 < peak < 300_000_000


@on_linux
def test_the_peak_stays_when_memory_is_given_back():
    size = get_own_peak_memory_bytes()
    np.ones(size, np.uint8)  # more than the process has held so far
    assert size < get_own_peak_memory_bytes()
