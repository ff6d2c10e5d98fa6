"""Fixtures for all tests."""

import pytest

from avalib.data.synthetic.generate import render_dataset
from avalib.utils.console import show_log_messages


@pytest.fixture(autouse=True)
def log_messages_on_stdout():
    """Messages of the package's logger go to stdout, as with the command and in notebooks: `capsys` has them."""
    show_log_messages()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The tiny mini-AVA, rendered once for the whole run: a DatasetLayout. Nobody writes into it."""
    return render_dataset(tmp_path_factory.mktemp("tiny"), "tiny", seed=0, workers=2, progress=False)
