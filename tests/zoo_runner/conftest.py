"""Fixtures for the tests of runs through toy notebooks."""

import pytest
from toy_notebooks import write_toy_notebooks


@pytest.fixture
def toy_notebooks(tmp_path):
    """The folder of notebooks that take no time; the runs go to runs/ beside it."""
    folder = tmp_path / "notebooks"
    write_toy_notebooks(folder)
    (tmp_path / "runs").mkdir()
    return folder
