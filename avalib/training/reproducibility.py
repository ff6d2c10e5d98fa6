"""Seeds and deterministic algorithms."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(*numbers: int) -> None:
    """Set every global random generator (python, numpy, torch on all devices) from non-negative integers."""
    # mix the numbers into one seed of 32 bits
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def use_deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Make torch use deterministic algorithms only in the block, and raise where an operation has none."""
    if not enabled:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    were_enabled = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(were_enabled)
        torch.backends.cudnn.benchmark = benchmark
