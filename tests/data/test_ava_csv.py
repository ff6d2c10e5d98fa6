"""AVA's csv: exact values, errors that name the line, lines written as MMAction2 writes them."""

import gzip
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from avalib.data import ava_csv
from avalib.data.ava_csv import read_ava_csv, write_ava_csv

GT = "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,9,1\n"


DET = "-5KQ66BBWC4,902,0.077,0.151,0.283,0.811,80,0.5\n"


def text(content):
    return io.StringIO(content)


def frame(n=1, last="score", **columns):
    row = {"video_id": "a", "timestamp": 902.0, "x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.9, "action_id": 12, last: 1}
    return pd.DataFrame({key: columns.get(key, [value] * n) for key, value in row.items()})


def test_rows_become_a_table():
    table = read_ava_csv(text(GT), "ground_truth")
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]
    assert list(table) == columns
    assert table.iloc[0].tolist() == ["-5KQ66BBWC4", 902.0, 0.077, 0.151, 0.283, 0.811, 80, 1]
    assert [table[c].dtype for c in ("timestamp", "x1", "action_id", "person_id")] == ["f8", "f8", "i8", "i8"]


@pytest.mark.parametrize("parser", ["typed", "row by row"])
def test_both_parsers_read_the_same_bits(parser, monkeypatch):
    rng = np.random.default_rng(0)
    numbers = [repr(float(x)) for x in rng.random(400)] + ["1e-05", "1E-5", "-2.5", "3", "0.30000000000000004", "1e308"]
    names = ["nan", "NA", "null", "1e5", "007", "True", "-", "0x10", "ünï"]
    rows = [
        [names[i % 9], f"{902 + i:04d}", *rng.choice(numbers, 4), str(i % 80 + 1), rng.choice(numbers)]
        for i in range(200)
    ]
    content = "\r\n".join(map(",".join, rows)) + "\r\n"
    if parser == "row by row":
        monkeypatch.setattr(ava_csv, "parse_typed_csv", lambda *args: None)
    table = read_ava_csv(io.BytesIO(content.encode()), "detections")
    assert table["video_id"].tolist() == [row[0] for row in rows]
    assert table["timestamp"].tolist() == [float(row[1]) for row in rows]
    for i, column in enumerate(["x1", "y1", "x2", "y2"], 2):
        assert table[column].tolist() == [float(row[i]) for row in rows]
    assert table["score"].tolist() == [float(row[7]) for row in rows]


def test_sources(tmp_path):
    (tmp_path / "plain.csv").write_text(DET, encoding="utf-8")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(DET.encode()))
    expected = read_ava_csv(text(DET), "detections")
    sources = [
        tmp_path / "plain.csv",
        str(tmp_path / "packed.csv.gz"),
        io.BytesIO(gzip.compress(DET.encode())),
        expected,
    ]
    for source in sources:
        pd.testing.assert_frame_equal(read_ava_csv(source, "detections"), expected)


def test_seven_columns_have_no_person_or_score_1():
    row = "a,0902,0.1,0.1,0.5,0.9,12\n"
    assert read_ava_csv(text(row), "ground_truth")["person_id"].tolist() == [-1]
    assert read_ava_csv(text(row), "detections")["score"].tolist() == [1.0]


def test_two_columns_are_a_frame_without_boxes():
    table = read_ava_csv(text("a,0902,0.1,0.1,0.5,0.9,12\na,0903\n"), "ground_truth")
    assert table["action_id"].tolist() == [12, 0]
    assert table["x1"].isna().tolist() == [False, True]


def test_an_empty_file_is_an_empty_table():
    assert len(read_ava_csv(text(""), "detections")) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,0902,0.1,x,0.3,0.4,1,1", "column y1, value 'x': expected a finite number"),
        ("a,0902,0.1,nan,0.3,0.4,1,1", "column y1, value 'nan'"),
        ("a,0902,0.1,0.1,0.3,inf,1,1", "column y2, value 'inf'"),
        ("a,0902,0.1,0.1,0.3,0.4,1.0,1", "column action_id, value '1.0': expected a whole number"),
        ("a,0902,0.1,0.1,0.3,0.4,1,0.5", "column person_id, value '0.5': expected a whole number"),
        ("a,0902,0.1,0.1,0.3,0.4,1,0.5", "for a file of detections with scores: it comes second"),
        ("a,0902,0.1,0.1,0.3,0.4,,1", "column action_id, value ''"),
        ("a,1_0,0.1,0.1,0.3,0.4,1,1", "column timestamp, value '1_0'"),
        ("a,0902,0.1", "3 columns"),
        ("", "0 columns"),
    ],
)
def test_a_bad_row_is_named_by_file_line_column_and_value(tmp_path, row, message):
    path = tmp_path / "gt.csv"
    path.write_text(GT + row + "\n" + GT, encoding="utf-8")
    with pytest.raises(ValueError, match="gt.csv, line 3, ") as error:
        read_ava_csv(path, "ground_truth")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (io.StringIO("video_id,timestamp,x1,y1,x2,y2,action_id,score\n"), "line 1, column timestamp.*a header"),
        (io.BytesIO(b"\xff,902"), "UTF-8"),
        (frame().drop(columns="x2"), r"no column \['x2'\]"),
        (frame(2, score=[0.5, np.nan]), "row 1, column score, value nan"),
        (frame(action_id=[1.5]), "row 0, column action_id, value 1.5"),
    ],
)
def test_other_wrong_inputs(source, message):
    with pytest.raises(ValueError, match=message):
        read_ava_csv(source, "detections")


def test_an_unknown_kind_of_csv_is_rejected():
    with pytest.raises(ValueError, match="kind 'predictions'"):
        read_ava_csv(text(DET), "predictions")


def test_a_missing_file_is_an_error():
    with pytest.raises(FileNotFoundError):
        read_ava_csv("nowhere.csv", "detections")


def test_written_detections_are_mmactions_lines(tmp_path):
    # MMAction2 prints '%.3f' of the float32 results' values, the second as a plain number
    table = frame(3, x1=[0.0625, 0.0005, 0.9995], score=[0.0004, 0.12349999, 1.0])
    write_ava_csv(table, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == (
        "a,902,0.062,0.100,0.300,0.900,12,0.000\n"
        "a,902,0.001,0.100,0.300,0.900,12,0.123\n"
        "a,902,1.000,0.100,0.300,0.900,12,1.000\n"
    )


def test_written_ground_truth_is_avas_line_and_comes_back(tmp_path):
    for name in ("gt.csv", "gt.csv.gz"):
        write_ava_csv(read_ava_csv(text(GT), "ground_truth"), tmp_path / name)
        pd.testing.assert_frame_equal(
            read_ava_csv(tmp_path / name, "ground_truth"), read_ava_csv(text(GT), "ground_truth")
        )
    assert (tmp_path / "gt.csv").read_text(encoding="utf-8") == GT


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="no column"):
        write_ava_csv(frame().drop(columns="x1"), path)
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.slow
def test_reading_and_scoring_need_numpy_and_pandas_alone():
    code = (
        "import sys, avalib.data.layout, avalib.evaluation\n"
        "heavy = {'torch', 'scipy', 'matplotlib', 'av', 'PIL', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
