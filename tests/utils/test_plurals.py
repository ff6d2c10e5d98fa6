"""Numbers of things in messages."""

import pytest

from avalib.utils.plurals import format_count


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 processes"), (1, "1 process"), (2, "2 processes"), (1200, "1,200 processes")]
)
def test_a_number_has_its_noun(count, text):
    assert format_count(count, "process", "processes") == text


def test_the_plural_ends_in_s_by_default():
    assert [format_count(n, "epoch") for n in (1, 3)] == ["1 epoch", "3 epochs"]
