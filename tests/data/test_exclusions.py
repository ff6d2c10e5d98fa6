"""Excluded timestamps are read, written, and checked by line."""

import io

import pandas as pd
import pytest

from avalib.data.exclusions import read_exclusions, write_exclusions


def test_written_exclusions_are_avas_lines_and_come_back(tmp_path):
    table = pd.DataFrame({"video_id": ["nan", "b"], "timestamp": [902.0, 1000.0]})
    write_exclusions(table, tmp_path / "e.csv")
    assert (tmp_path / "e.csv").read_text(encoding="utf-8") == "nan,0902\nb,1000\n"
    pd.testing.assert_frame_equal(read_exclusions(tmp_path / "e.csv"), table)


def test_an_empty_file_is_an_empty_table():
    assert len(read_exclusions(io.StringIO(""))) == 0


def test_a_bad_row_is_named_by_line_and_value():
    with pytest.raises(ValueError, match="line 2, value 'b,902,1'"):
        read_exclusions(io.StringIO("a,0902\nb,902,1\n"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises((ValueError, TypeError)):
        write_exclusions(pd.DataFrame({"video_id": ["a", "b"], "timestamp": [902.0, "x"]}), path)
    assert path.read_text(encoding="utf-8") == "old"
