"""The one check where rows enter: the same values are refused by csv, parquet, tables and exclusions."""

import io

import numpy as np
import pandas as pd
import pytest

from avalib.data import ava_csv, csv_rows, parquet_table
from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.exclusions import read_exclusions, write_exclusions
from avalib.data.layout import DatasetLayout
from avalib.data.lint import lint_csv
from avalib.data.proposals import read_proposals, write_proposals
from avalib.data.row_checks import check_rows, check_video_ids

ROW = {"video_id": "a", "timestamp": 902.0, "x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.9, "action_id": 12, "score": 0.5}


def frame(**values):
    """A table of two rows, the second with other values."""
    return pd.DataFrame({key: [value, values.get(key, value)] for key, value in ROW.items()})


def row_text(**values):
    return ",".join(str(value) for value in (ROW | values).values()) + "\n"


@pytest.fixture(params=["typed", "row by row"])
def csv_reader(request, monkeypatch):
    """Both ways in which a csv is read."""
    if request.param == "row by row":
        monkeypatch.setattr(ava_csv, "parse_typed_csv", lambda *args: None)
    return request.param


BAD_IDS = [-1, 10_000, 10**6, 2**63, 2**64, 3.7, "1e3", "0x10", "true", "nan", ""]


@pytest.mark.parametrize("value", BAD_IDS)
def test_a_csv_with_an_action_id_that_is_none_is_refused(csv_reader, value):
    with pytest.raises(ValueError, match="csv, line 2, column action_id, value .*expected a whole number"):
        read_ava_csv(io.StringIO(row_text() + row_text(action_id=value)), "detections")


@pytest.mark.parametrize("value", [*BAD_IDS, True, None, pd.NA, 3j])
@pytest.mark.parametrize("suffix", ["", ".parquet"])
def test_a_table_with_an_action_id_that_is_none_is_refused(tmp_path, value, suffix):
    source = frame().assign(action_id=pd.Series([12, value], dtype=object))
    if suffix:
        source = frame().assign(action_id=pd.Series([12, str(value)], dtype=str))
        source.to_parquet(tmp_path / "t.parquet")
        source = tmp_path / "t.parquet"
    with pytest.raises(ValueError, match="row 1, column action_id, value .*expected a whole number"):
        read_ava_csv(source, "detections")


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "Int64", "string", object, "category"])
def test_whole_ids_are_taken_in_any_type(dtype):
    table = read_ava_csv(frame().assign(action_id=pd.Series([12, 14]).astype(dtype)), "detections")
    assert table["action_id"].tolist() == [12, 14] and table["action_id"].dtype == np.int64


def test_a_column_of_truth_values_is_no_ids():
    with pytest.raises(ValueError, match="column action_id, value True"):
        read_ava_csv(frame().assign(action_id=True), "detections")


def test_ids_counted_from_0_are_noticed(csv_reader):
    with pytest.raises(ValueError, match=r"csv, line 1: action_id 0; are ids counted from 0\?"):
        read_ava_csv(io.StringIO(row_text(action_id=0)), "detections")
    with pytest.raises(ValueError, match=r"detections table, row 1: action_id 0; are ids counted from 0\?"):
        read_ava_csv(frame(action_id=0), "detections")


@pytest.mark.parametrize("empty", ["a,0903\n", "a,0903,,,,,,\n", "a,0903,,,,,\n"])
def test_a_frame_without_boxes_has_no_action(csv_reader, empty):
    table = read_ava_csv(io.StringIO(row_text(score=1) + empty), "ground_truth")
    assert table["action_id"].tolist() == [12, 0] and table["x1"].isna().tolist() == [False, True]


@pytest.mark.parametrize("column", ["timestamp", "x1", "y2", "score"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "0x1", "1_0", "", "true"])
def test_what_is_no_finite_number_is_refused(csv_reader, column, value):
    with pytest.raises(ValueError, match=f"csv, line 2, column {column}, value '{value}': expected a finite number"):
        read_ava_csv(io.StringIO(row_text() + row_text(**{column: value})), "detections")


def test_a_person_id_beyond_exact_numbers_is_refused(csv_reader):
    with pytest.raises(ValueError, match="line 1, column person_id, value '9223372036854775808'"):
        read_ava_csv(io.StringIO(row_text(score=2**63)), "ground_truth")


OWN_NAMES = [
    "-5KQ66BBWC4",
    "_-b",
    "my video.v2",
    "übung 跌倒",
    "nan",
    "-",
    "..a",
    "a..b",
    'a "b", c',
    "👨‍👩‍👧",
    "x" * 200,
]
PANDAS_2 = int(pd.__version__.split(".")[0]) < 3
ZERO_BYTE = pytest.param(
    "a\0", marks=pytest.mark.xfail(PANDAS_2, reason="pandas 2 takes a\\0 for a, in tables and in csv", strict=True)
)
BAD_NAMES = [
    "",
    " ",
    ".",
    "..",
    "/etc/passwd",
    "../a",
    "a/b",
    "a\\b",
    "C:a",
    ZERO_BYTE,
    "a\tb",
    "a\x7f",
    "\ufeffa",
    "a\u2028b",
    "a ",
    "a.",
    "x" * 201,
    "ü" * 101,
]


@pytest.mark.parametrize("name", OWN_NAMES)
def test_names_of_videos_are_taken_and_come_back(tmp_path, csv_reader, name):
    check_video_ids([name], "gt.csv")
    write_ava_csv(frame().assign(video_id=name), tmp_path / "gt.csv")
    assert read_ava_csv(tmp_path / "gt.csv", "detections")["video_id"].tolist() == [name, name]
    write_exclusions(frame().assign(video_id=name), tmp_path / "e.csv")
    assert read_exclusions(tmp_path / "e.csv")["video_id"].tolist() == [name, name]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere_are_refused_by_every_reader(tmp_path, csv_reader, name):
    with pytest.raises(ValueError, match="csv, line 2, video_id "):
        read_ava_csv(io.StringIO(row_text() + row_text(video_id=name)), "detections")
    with pytest.raises(ValueError, match="detections table, row 1, video_id "):
        read_ava_csv(frame(video_id=name), "detections")
    with pytest.raises(ValueError, match="csv, line 2, video_id "):
        read_exclusions(io.StringIO(f"b,902\n{name},902\n"))
    with pytest.raises(ValueError, match="exclusions, row 1, video_id "):
        read_exclusions(frame(video_id=name))
    boxes = frame(video_id=name).drop(columns="action_id")
    for file in ("p.csv", "p.parquet"):
        write_proposals(boxes, tmp_path / file)
        with pytest.raises(ValueError, match=rf"{file}, (line 3|row 1), video_id "):
            read_proposals(tmp_path / file)
    with pytest.raises(ValueError, match="video_id "):
        DatasetLayout(tmp_path, "own").find_video(name)


@pytest.mark.parametrize("names", [["a", None], ["a", np.nan], ["a", b"b"], [1.5, 2.0]])
def test_names_that_are_no_text_are_refused(names):
    with pytest.raises(ValueError, match="video_id"):
        read_ava_csv(frame().assign(video_id=names), "detections")


def test_whole_numbers_are_taken_as_names():
    assert read_ava_csv(frame().assign(video_id=[7, 8]), "detections")["video_id"].tolist() == ["7", "8"]


@pytest.mark.parametrize("content", [row_text(), row_text() * 3])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path, csv_reader, content, encoding):
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    assert set(read_ava_csv(tmp_path / "a.csv", "detections")["video_id"]) == {"a"}
    (tmp_path / "e.csv").write_bytes("a,0902\n".encode(encoding))
    assert read_exclusions(tmp_path / "e.csv").values.tolist() == [["a", 902.0]]


@pytest.mark.parametrize("line", ['"a', '"a"b"', 'a"', '"a\nb"', '"a\rb"'])
def test_an_open_quote_is_refused_by_its_line(csv_reader, line):
    content = row_text() + row_text(video_id=line) + row_text() * 3 + row_text(video_id='"b')
    with pytest.raises(ValueError, match="csv, line 2: a quote"):
        read_ava_csv(io.StringIO(content), "detections")
    with pytest.raises(ValueError, match="csv, line 2: a quote"):
        read_exclusions(io.StringIO(f"a,902\n{line},902\nb,902\n"))


def test_an_open_quote_in_a_later_chunk_is_named_by_its_line(csv_reader, monkeypatch):
    monkeypatch.setattr(csv_rows, "CHUNK_BYTES", 64)
    with pytest.raises(ValueError, match="csv, line 31: a quote"):
        read_ava_csv(io.StringIO(row_text(video_id='"a"') * 30 + row_text(video_id='"a')), "detections")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read(csv_reader, end):
    content = (row_text() * 2).replace("\n", end).encode()
    assert len(read_ava_csv(io.BytesIO(content), "detections")) == 2


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(csv_reader, mark, word):
    with pytest.raises(ValueError, match=f"line 1, .*separated by {word}"):
        read_ava_csv(io.StringIO(row_text().replace(",", mark)), "detections")


def test_another_encoding_is_named_by_its_line(csv_reader):
    content = row_text().encode() + row_text(video_id="straße").encode("cp1252")
    with pytest.raises(ValueError, match="csv, line 2: .*Windows-1252"):
        read_ava_csv(io.BytesIO(content), "detections")


def test_an_endless_line_stops_at_the_limit(csv_reader, monkeypatch):
    monkeypatch.setattr(ava_csv, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(csv_rows, "MAX_LINE_BYTES", 1000)
    with pytest.raises(ValueError, match="csv, line 1: longer than 1,000 characters, the limit MAX_LINE_BYTES"):
        read_ava_csv(io.StringIO("a" * 5000), "detections")


def test_a_million_columns_are_refused_with_a_short_message():
    with pytest.raises(ValueError, match="csv, line 1, 1000001 columns") as error:
        read_ava_csv(io.StringIO("," * 10**6), "detections")
    assert len(str(error.value)) < 500


def test_a_parquet_table_is_read_like_a_csv(tmp_path):
    frame().to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(
        read_ava_csv(tmp_path / "t.parquet", "detections"), read_ava_csv(frame(), "detections")
    )


def test_a_parquet_column_that_pandas_would_take_for_an_index_is_read(tmp_path):
    frame().set_index("score").to_parquet(tmp_path / "t.parquet")
    assert read_ava_csv(tmp_path / "t.parquet", "detections")["score"].tolist() == [0.5, 0.5]


@pytest.mark.slow
def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_table, "get_available_memory_bytes", lambda: 1 << 24)
    pd.concat([frame()] * 200_000).to_parquet(tmp_path / "t.parquet", index=False)
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"t\.parquet.*400,000 rows need .*MAX_FILE_BYTES.*is 8,388,608"):
        read_ava_csv(tmp_path / "t.parquet", "detections")


def test_what_is_no_parquet_is_named(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"t\.parquet: not a parquet table"):
        read_ava_csv(tmp_path / "t.parquet", "detections")


def test_the_check_names_the_place_that_a_reader_gives():
    table = pd.DataFrame({"video_id": ["a", "a"], "action_id": ["1", "-3"]})
    with pytest.raises(ValueError, match="a.xml, track 2, column action_id, value '-3'"):
        check_rows(table, "a.xml", locate=lambda row: f"a.xml, track {row + 1}")


def test_the_check_holds_ids_to_a_label_map():
    table = pd.DataFrame({"action_id": [1, 2, 3]})
    assert check_rows(table, "a.csv", {1: "a", 2: "b", 3: "c"})["action_id"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"a\.csv, row 1: action_id 2 isn't in the label map of 2 actions \(1, 3\)"):
        check_rows(table, "a.csv", {1: "a", 3: "c"})


def test_columns_that_are_there_twice_are_refused():
    twice = pd.concat([frame(), frame()[["x1"]]], axis=1)
    with pytest.raises(ValueError, match="detections table: a column occurs twice"):
        read_ava_csv(twice, "detections")


# --- the linter lists what the readers refuse -------------------------------------------------------------------------


def problems(source, **options):
    return {row.problem: row for row in lint_csv(source, **options).problems.itertuples()}


def test_lint_lists_ids_and_names_that_can_not_be_used():
    content = row_text() + row_text(action_id=-1) + row_text(video_id="../a") + row_text(action_id=2**70)
    rows = problems(io.StringIO(content))
    assert rows["action_id isn't one of AVA's 1..80"].lines == [2]
    assert rows["video_id isn't a video's name"].lines == [3]
    assert rows["can't be read: column action_id"].lines == [4]


def test_lint_lists_rows_of_a_table_that_can_not_be_read():
    table = pd.concat([frame(x1=np.nan), frame(score=np.inf), frame(action_id=np.nan)], ignore_index=True)
    rows = problems(table)
    assert rows["can't be read: column x1"].lines == [1]
    assert rows["can't be read: column score"].lines == [3]
    assert rows["can't be read: column action_id"].lines == [5]


@pytest.mark.parametrize("bad", [b"\xfc,902\n", b'"a,902\n', b"a" * 200_000])
def test_lint_says_from_where_on_a_file_can_not_be_read(bad):
    rows = problems(io.BytesIO(row_text().encode() + bad))
    assert any(row.lines == [2] for problem, row in rows.items() if problem.startswith("can't be read"))
