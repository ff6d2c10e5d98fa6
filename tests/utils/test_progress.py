"""Progress bars: tqdm's in a terminal, in a notebook a line whose last state is what the saved file shows."""

import builtins
from types import SimpleNamespace

import pytest
from tqdm.std import tqdm

from avalib.utils.progress import show_progress


@pytest.fixture
def published(monkeypatch):
    """What a notebook's kernel would have sent: [(text, display id, whether it updates an earlier one)]."""
    sent = []

    def publish(data, metadata, transient, update):
        sent.append((data["text/plain"], transient["display_id"], update))

    shell = SimpleNamespace(kernel=object(), display_pub=SimpleNamespace(publish=publish))
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    return sent


def test_a_notebooks_bar_ends_complete(published):
    assert list(show_progress(range(3), desc="scoring", unit="batch")) == [0, 1, 2]
    text = published[-1][0]
    assert text.startswith("scoring: 100%")
    assert "3/3" in text


def test_a_notebooks_bar_is_one_output_that_is_updated(published):
    with show_progress(total=2) as bar:
        bar.update(2)
    assert len({display_id for _, display_id, _ in published}) == 1
    assert [update for _, _, update in published] == [False] + [True] * (len(published) - 1)


def test_a_disabled_bar_shows_nothing(published):
    list(show_progress(range(3), disable=True))
    assert not published


def test_a_bar_that_does_not_stay_leaves_an_empty_line(published):
    list(show_progress(range(3), leave=False))
    assert published[-1][0] == ""


def test_outside_of_a_notebook_it_is_tqdm():
    assert type(show_progress(range(3), disable=True)) is tqdm
