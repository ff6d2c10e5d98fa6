"""AVA's files: reading exactly, refusing by line, writing as MMAction2 does, lint, proposals, layout."""

import gzip
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from avalib.data import ava_csv
from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.exclusions import read_exclusions, write_exclusions
from avalib.data.layout import DatasetLayout
from avalib.data.lint import lint_csv
from avalib.data.proposals import read_proposals, write_proposals

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


@pytest.mark.parametrize("reader", ["typed", "row by row"])
def test_every_reader_reads_the_same_bits(reader, monkeypatch):
    rng = np.random.default_rng(0)
    numbers = [repr(float(x)) for x in rng.random(400)] + ["1e-05", "1E-5", "-2.5", "3", "0.30000000000000004", "1e308"]
    names = ["nan", "NA", "null", "1e5", "007", "True", "-", "0x10", "ünï"]
    rows = [
        [names[i % 9], f"{902 + i:04d}", *rng.choice(numbers, 4), str(i % 80 + 1), rng.choice(numbers)]
        for i in range(200)
    ]
    content = "\r\n".join(map(",".join, rows)) + "\r\n"
    if reader == "row by row":
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


def test_seven_and_two_columns():
    table = read_ava_csv(text("a,0902,0.1,0.1,0.5,0.9,12\na,0903\n"), "ground_truth")
    assert table["person_id"].tolist() == [-1, -1]
    assert table["action_id"].tolist() == [12, 0] and table["x1"].isna().tolist() == [False, True]
    assert read_ava_csv(text("a,0902,0.1,0.1,0.5,0.9,12\n"), "detections")["score"].tolist() == [1.0]
    assert len(read_ava_csv(text(""), "detections")) == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,0902,0.1,x,0.3,0.4,1,1", "column y1, value 'x': expected a finite number"),
        ("a,0902,0.1,nan,0.3,0.4,1,1", "column y1, value 'nan'"),
        ("a,0902,0.1,0.1,0.3,inf,1,1", "column y2, value 'inf'"),
        ("a,0902,0.1,0.1,0.3,0.4,1.0,1", "column action_id, value '1.0': expected a whole number"),
        ("a,0902,0.1,0.1,0.3,0.4,1,0.5", "column person_id, value '0.5': expected a whole number"),
        ("a,0902,0.1,0.1,0.3,0.4,,1", "column action_id, value ''"),
        ("a,1_0,0.1,0.1,0.3,0.4,1,1", "column timestamp, value '1_0'"),
        ("a,0902,0.1", "3 columns"),
        ("", "0 columns"),
    ],
)
def test_a_bad_row_is_named_by_file_line_column_and_value(tmp_path, row, said):
    path = tmp_path / "gt.csv"
    path.write_text(GT + row + "\n" + GT, encoding="utf-8")
    with pytest.raises(ValueError, match="gt.csv, line 3, ") as error:
        read_ava_csv(path, "ground_truth")
    assert said in str(error.value)


def test_other_wrong_inputs():
    with pytest.raises(ValueError, match="line 1, column timestamp.*a header"):
        read_ava_csv(text("video_id,timestamp,x1,y1,x2,y2,action_id,score\n"), "detections")
    with pytest.raises(ValueError, match="UTF-8"):
        read_ava_csv(io.BytesIO(b"\xff,902"), "detections")
    with pytest.raises(ValueError, match='kind "predictions"|kind'):
        read_ava_csv(text(DET), "predictions")
    with pytest.raises(ValueError, match=r"no column \['x2'\]"):
        read_ava_csv(frame().drop(columns="x2"), "detections")
    with pytest.raises(ValueError, match="row 1, column score, value nan"):
        read_ava_csv(frame(2, score=[0.5, np.nan]), "detections")
    with pytest.raises(ValueError, match="row 0, column action_id, value 1.5"):
        read_ava_csv(frame(action_id=[1.5]), "detections")
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
    with pytest.raises((ValueError, TypeError)):
        write_exclusions(pd.DataFrame({"video_id": ["a", "b"], "timestamp": [902.0, "x"]}), path)
    assert path.read_text(encoding="utf-8") == "old"


def test_exclusions(tmp_path):
    table = pd.DataFrame({"video_id": ["nan", "b"], "timestamp": [902.0, 1000.0]})
    write_exclusions(table, tmp_path / "e.csv")
    assert (tmp_path / "e.csv").read_text(encoding="utf-8") == "nan,0902\nb,1000\n"
    pd.testing.assert_frame_equal(read_exclusions(tmp_path / "e.csv"), table)
    assert len(read_exclusions(text(""))) == 0
    with pytest.raises(ValueError, match="line 2, value 'b,902,1'"):
        read_exclusions(text("a,0902\nb,902,1\n"))


PROPOSALS = {
    "a,0902": np.array([[0.1, 0.2, 0.3, 0.4, 0.9], [0.5, 0.2, 0.7, 0.4, 0.8]], np.float32),
    "b,0903": np.zeros((0, 5)),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_proposals_of_both_numpys(tmp_path, protocol, module):
    data = pickle.dumps(PROPOSALS, protocol)
    written = b"numpy._core.multiarray" if b"numpy._core" in data else b"numpy.core.multiarray"
    if protocol < 4:  # names are stored with their length from 4 on
        data = data.replace(written, module)
    (tmp_path / "p.pkl").write_bytes(data)
    table = read_proposals(tmp_path / "p.pkl")
    assert table["video_id"].tolist() == ["a", "a"] and table["timestamp"].tolist() == [902.0, 902.0]
    assert np.array_equal(table[["x1", "y1", "x2", "y2", "score"]], PROPOSALS["a,0902"])


def test_proposals_come_back(tmp_path):
    table = frame(3, timestamp=[903.0, 902.0, 902.0], score=[0.9, 0.5, 0.25]).drop(columns="action_id")
    write_proposals(table, tmp_path / "p.pkl")
    assert list(pickle.loads((tmp_path / "p.pkl").read_bytes())) == ["a,0903", "a,0902"]
    pd.testing.assert_frame_equal(read_proposals(tmp_path / "p.pkl"), table)


class Payload:
    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_is_never_run(tmp_path):
    payload = Payload()
    payload.target = tmp_path / "hacked"
    (tmp_path / "p.pkl").write_bytes(pickle.dumps({"a,0902": payload}))
    with pytest.raises(ValueError, match="p.pkl.*mkdir.*numpy arrays and nothing else"):
        read_proposals(tmp_path / "p.pkl")
    assert not payload.target.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "a list; expected a dict"),
        ({"a,0902": np.zeros((2, 4))}, r"key 'a,0902': float64 array \(2, 4\)"),
        ({"a": np.zeros((2, 5))}, "expected key video_id,0902"),
        ({"a,0902": np.array([["x"] * 5])}, "dtype .U1.; expected numbers"),
        ({"a,0902": 5}, "key 'a,0902'"),
        ({"a,0902": np.zeros(5)}, "key 'a,0902'"),
        ({"a,0902": np.ones((2, 4))}, r"float64 array \(2, 4\).*the score is missing"),
        ({"a,0902": [[0.1, 0.2, 0.4, 0.8, 0.9], [0.1, 0.2]]}, "key 'a,0902': a list of rows that are not all 5"),
        ({"a,0902": np.array([None] * 5)}, "p.pkl"),
        (
            {"a,0902": np.full((2, 5), 0.5) * [[1] * 5, [1, 1, np.nan, 1, 1]]},
            "key 'a,0902', row 1, column x2, value nan",
        ),
        (
            {"b,0902": np.zeros((0, 5)), "a,0902": np.array([[0.1, 0.1, 0.2, np.inf, 1]])},
            "key 'a,0902', row 0, column y2",
        ),
        ({"a,0902": np.array([[6.0, 8, 25, 38, 0.9]])}, "key 'a,0902', row 0, column x1, value 6.*in pixels"),
        ({"a,0902": np.array([[6, 8, 25, 38, 1]])}, "in pixels"),
        ({"a,nan": np.zeros((1, 5))}, "key 'a,nan': expected key video_id,0902"),
        ({5: np.zeros((1, 5))}, "key 5: expected key"),
        ({"../a,0902": np.full((1, 5), 0.5)}, r"key '\.\./a,0902'.*a path"),
    ],
)
def test_wrong_proposals(tmp_path, content, said):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=said):
        read_proposals(tmp_path / "p.pkl")


def test_keys_of_python_2_are_bytes(tmp_path):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps({b"a,b,0902": np.full((1, 5), 0.5)}))
    table = read_proposals(tmp_path / "p.pkl")
    assert table.values.tolist() == [["a,b", 902.0, 0.5, 0.5, 0.5, 0.5, 0.5]]


def test_proposals_in_pixels_are_refused_in_a_csv_too(tmp_path):
    table = frame(2, x2=[0.5, 320.0], score=0.5).drop(columns="action_id")
    write_proposals(table, tmp_path / "p.csv")
    with pytest.raises(ValueError, match="p.csv, line 3, column x2, value 320.*in pixels"):
        read_proposals(tmp_path / "p.csv")


def test_layout(tmp_path):
    mini, ava = DatasetLayout(tmp_path, "mini"), DatasetLayout(str(tmp_path), "v2.2")
    assert mini.get_csv_path("val") == tmp_path / "annotations/ava_val_mini.csv"
    assert mini.get_exclusions_path("train").name == "ava_train_excluded_timestamps_mini.csv"
    assert mini.get_proposals_path("val") == tmp_path / "proposals/ava_dense_proposals_val.mini.pkl"
    assert ava.get_proposals_path("val").name == "ava_dense_proposals_val.FAIR.recall_93.9.pkl"
    assert ava.label_map_path.name == "ava_action_list_v2.2.pbtxt"
    assert ava.evaluated_label_map_path.name == "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    assert (
        DatasetLayout(tmp_path, "v2.1").evaluated_label_map_path.name
        == "ava_action_list_v2.1_for_activitynet_2018.pbtxt"
    )
    mini.videos.mkdir()
    (mini.videos / "a.b.mkv").touch()
    assert mini.find_video("a.b").name == "a.b.mkv"
    with pytest.raises(FileNotFoundError, match="videos/c"):
        mini.find_video("c")
    with pytest.raises(ValueError, match="v2.3"):
        DatasetLayout(tmp_path, "v2.3")


def problems(source, **options):
    return {row.problem: row for row in lint_csv(source, **options).itertuples()}


def test_lint_finds_nothing_in_a_clean_file():
    assert lint_csv(text(GT), "ground_truth").empty and lint_csv(text(DET)).empty


def test_lint_names_rows_and_what_they_look_like():
    rows = [
        "a,902,0.1,0.1,0.3,0.9,12,0.5",
        "a,902,32,48,96,230,12,0.5",
        "a,902,0.3,0.1,0.1,0.9,12,0.5",
        "a,902,0.3,0.1,0.3,0.9,12,0.5",
        "a,902,0.1,0.1,1.3,0.9,12,0.5",
        "a,902,0.1,0.1,0.3,0.9,0,0.5",
        "a,2,0.1,0.1,0.3,0.9,12,0.5",
        "a,902,0.1,0.1,0.3,0.9,12,0.4",
        "a,903,0.1,0.1,0.3,0.9,12,-7.5",
    ]
    found = problems(text("\n".join(rows) + "\n"))
    lines = {problem: row.lines for problem, row in found.items()}
    assert lines == {
        "box in numbers far above 1": [2],
        "x2 < x1 or y2 < y1": [3],
        "box without area": [4],
        "box reaches outside the frame (0..1)": [5],
        "action_id isn't one of AVA's 1..80": [6],
        "timestamp outside 900..1800": [7],
        "the same frame, box and action again": [8],
        "score outside 0..1": [9],
    }
    assert "pixels" in found["box in numbers far above 1"].looks_like
    assert "96" in found["box in numbers far above 1"].example


def test_lint_lists_what_can_not_be_read():
    found = problems(text(DET + "a,902,0.1\n" + "a,902,0.1,0.1,0.3,oops,12,0.5\n" + DET.replace("902", "902.0")))
    assert found["can't be read: columns"].lines == [2]
    assert found["can't be read: column y2"].lines == [3] and "oops" in found["can't be read: column y2"].example
    assert found["timestamp isn't spelt as a whole number"].lines == [4]
    assert problems(text(DET.replace("902", "902.0")))["timestamp isn't spelt as a whole number"].lines == [1]


def test_lint_sees_swapped_axes_and_sizes():
    rng = np.random.default_rng(0)
    x, y = rng.random(40) * 0.5, rng.random(40) * 0.2
    people = frame(40, x1=x, y1=y, x2=x + 0.25, y2=y + 0.7, timestamp=np.arange(902.0, 942.0))
    swapped = people.rename(columns={"x1": "y1", "y1": "x1", "x2": "y2", "y2": "x2"})
    assert "x and y look swapped" not in problems(people)
    assert len(problems(swapped)["x and y look swapped"].lines) == 40
    half = pd.concat([people[:30], swapped[30:]], ignore_index=True)
    assert problems(half, ground_truth=people)["x and y look swapped"].lines == list(range(30, 40))
    sizes = people.assign(x2=people["x2"] - people["x1"], y2=people["y2"] - people["y1"])
    assert "width,height" in problems(sizes)["x2 < x1 or y2 < y1"].looks_like


def test_reading_and_scoring_need_numpy_and_pandas_alone():
    code = (
        "import sys, avalib.data.layout, avalib.evaluation\n"
        "heavy = {'torch', 'scipy', 'matplotlib', 'av', 'PIL', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_proposals_without_pickle(tmp_path, suffix):
    table = frame(3, timestamp=[903.0, 902.0, 902.0], x1=[1 / 3, 0.1, 1e-9], video_id=["007", "nan", "a"])
    table = table.assign(score=[0.9, 0.5, 0.25]).drop(columns="action_id")
    write_proposals(table, tmp_path / f"p{suffix}")
    pd.testing.assert_frame_equal(read_proposals(tmp_path / f"p{suffix}"), table)
    for wrong, said in (
        (table.drop(columns="x2"), "no column x2"),
        (table.assign(x1=np.nan), "(line 2|row 0), column x1.*finite"),
    ):
        wrong.to_csv(tmp_path / "q.csv", index=False) if suffix == ".csv" else wrong.to_parquet(tmp_path / "q.parquet")
        with pytest.raises(ValueError, match=rf"q{suffix}.*{said}"):
            read_proposals(tmp_path / f"q{suffix}")


def test_safe_proposals_are_found_beside_the_pickles_place(tmp_path):
    layout = DatasetLayout(tmp_path, "v2.1")
    table = frame(1, score=[0.5]).drop(columns="action_id")
    write_proposals(table, layout.get_proposals_path("val").with_suffix(".parquet"))
    assert layout.get_proposals_path("val").suffix == ".parquet" and layout.get_proposals_path("train").suffix == ".pkl"
    pd.testing.assert_frame_equal(read_proposals(layout.get_proposals_path("val")), table)


def test_person_boxes_with_more_columns_than_their_header_are_refused(tmp_path):
    row = "a,902,0.1,0.1,0.3,0.9,0.5,7\n"
    (tmp_path / "p.csv").write_text("video_id,timestamp,x1,y1,x2,y2,score\n" + row * 2, encoding="utf-8")
    with pytest.raises(ValueError, match="p.csv: rows with more columns than its header"):
        read_proposals(tmp_path / "p.csv")
