"""Which of a test's cases `make test` runs."""

import pytest


def deep_but(cases, *slow):
    """Parameters for pytest: those named in `slow` run with `make test-all`, the others with `make test-deep` alone."""
    assert set(slow) <= set(cases)
    return [pytest.param(case, marks=pytest.mark.slow if case in slow else pytest.mark.deep) for case in cases]


def slow_but(cases, *quick):
    """Parameters for pytest: those named in `quick` run in every set, the others in `make test-all` alone."""
    assert set(quick) <= set(cases)
    return [pytest.param(case, marks=() if case in quick else pytest.mark.slow) for case in cases]
