"""Person boxes: pickles of any protocol without running code in them, csv, parquet."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from avalib.data.layout import DatasetLayout
from avalib.data.proposals import read_proposals, write_proposals


def frame(n=1, last="score", **columns):
    row = {"video_id": "a", "timestamp": 902.0, "x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.9, "action_id": 12, last: 1}
    return pd.DataFrame({key: columns.get(key, [value] * n) for key, value in row.items()})


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
    ("content", "message"),
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
def test_wrong_proposals(tmp_path, content, message):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
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


BOXES = frame(3, timestamp=[903.0, 902.0, 902.0], x1=[1 / 3, 0.1, 1e-9], video_id=["007", "nan", "a"])
BOXES = BOXES.assign(score=[0.9, 0.5, 0.25]).drop(columns="action_id")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_proposals_without_pickle_come_back(tmp_path, suffix):
    write_proposals(BOXES, tmp_path / f"p{suffix}")
    pd.testing.assert_frame_equal(read_proposals(tmp_path / f"p{suffix}"), BOXES)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (BOXES.drop(columns="x2"), "no column x2"),
        (BOXES.assign(x1=np.nan), "(line 2|row 0), column x1.*finite"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_wrong_proposals_without_pickle(tmp_path, suffix, table, message):
    path = tmp_path / f"p{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    with pytest.raises(ValueError, match=rf"p{suffix}.*{message}"):
        read_proposals(path)


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
