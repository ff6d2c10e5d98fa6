"""Which of a test's cases `make test` runs."""

import pytest


def slow_but(cases, *quick):
    """Parameters for pytest: those named in `quick` run in every set, the others in `make test-all` alone."""
    assert set(quick) <= set(cases)
    return [pytest.param(case, marks=() if case in quick else pytest.mark.slow) for case in cases]
