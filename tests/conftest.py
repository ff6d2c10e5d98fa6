import pytest

from avalib import mini


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The tiny mini-AVA, rendered once for the whole run: an annotations.Layout. Nobody writes into it."""
    return mini.render(tmp_path_factory.mktemp("tiny"), "tiny", seed=0, workers=2, progress=False)
