"""Tables in markdown, and pages with generated parts."""

import pandas as pd
import pytest

from avalib.utils.markdown import PageError, render_table, replace_between_marks, split_at_marks

PAGE = "before\n<!-- x -->\nold\n<!-- /x -->\nafter\n"


def test_missing_values_are_empty_cells():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, dtype=object)
    assert render_table(frame) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 |  |"


def test_only_what_is_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    assert split_at_marks(page, "x") == ("before\n", "old\n", "\nafter\n")
    assert replace_between_marks(page, "x", "new") == page
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", "new")


@pytest.mark.parametrize(("text", "missing"), [("", "<!-- x -->"), ("<!-- x -->\nold\n", "<!-- /x -->")])
def test_a_page_without_marks_is_left_alone(tmp_path, text, missing):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(PageError, match=rf"page\.md \({len(text)} characters\): no line {missing}"):
        replace_between_marks(page, "x", "new")
    assert page.read_text(encoding="utf-8") == text
