"""Tables of texts for notebooks."""

import pandas as pd

from avalib.draw import TextTable

LONG = "https://example.org/" + "x" * 80


def test_texts_are_whole_and_aligned_left():
    html = TextTable(pd.DataFrame({"field": ["url"], "value": [LONG]}))._repr_html_()
    assert LONG in html
    assert '<td style="text-align:left">url</td>' in html
    assert '<th style="text-align:left">field</th>' in html


def test_numbers_are_rounded_and_missing_ones_empty():
    table = TextTable(pd.DataFrame({"AP": [0.123456, None], "boxes": [3, 4]}), digits=2)
    assert repr(table).split() == ["AP", "boxes", "0.12", "3", "4"]
    assert '<td style="text-align:left"></td>' in table._repr_html_()


def test_numbers_of_different_things_stay_as_they_are():
    table = TextTable(pd.Series({"lr": 0.000333, "steps": 9, "device": "cpu"}, name="value").reset_index())
    assert table.table["value"].tolist() == ["0.000333", "9", "cpu"]


def test_a_text_is_no_markup():
    assert "&lt;b&gt;" in TextTable(pd.DataFrame({"a": ["<b>"]}))._repr_html_()


def test_whole_numbers_have_no_digits_and_large_ones_separators():
    table = pd.DataFrame({"timestamp": [902.0, 1798.0], "parameters": [31800465, None], "ok": [True, False]})
    table = TextTable(table.astype({"parameters": "Int64"}))
    assert table.table.values.tolist() == [["902", "31,800,465", "True"], ["1798", "", "False"]]
