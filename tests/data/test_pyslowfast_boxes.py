"""PySlowFast's person boxes, and telling the formats of person boxes apart by their content."""

import pickle

import numpy as np
import pytest

from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import read_proposals, write_proposals

ROWS = (
    "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,0.998\n"
    "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,9,0.998\n"
    "-5KQ66BBWC4,0902,0.332,0.194,0.481,0.891,,0.85\n"
    "1j20qq1JyX4,0903,0.1,0.2,0.3,0.9,-1,0.5\n"
)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "ava_detection_val_boxes_and_labels.csv").write_text(ROWS, encoding="utf-8")
    return tmp_path / "ava_detection_val_boxes_and_labels.csv"


def test_a_box_with_several_actions_or_none_is_one_box(path):
    table = read_proposals(path)
    assert list(table) == ["video_id", "timestamp", "x1", "y1", "x2", "y2", "score"]
    assert table.video_id.tolist() == ["-5KQ66BBWC4", "-5KQ66BBWC4", "1j20qq1JyX4"]
    assert table.score.tolist() == [0.998, 0.85, 0.5] and table.timestamp.tolist() == [902, 902, 903]
    assert table.x1.tolist() == [0.077, 0.332, 0.1]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a,0904,0.1,0.2,0.3,0.9,12", "line 5: 7 columns, expected 8: video,second"),
        ("a,0904,0.1,0.2,wide,0.9,12,0.5", "line 5, column x2, value 'wide'"),
        ("a,0904,0.1,0.2,320,0.9,12,0.5", "line 5, column x2, value 320.*in pixels"),
        ("a,0904,0.1,0.2,0.3,0.9,stand,0.5", "line 5, value 'stand': expected an action's number"),
        ("a,0904,0.1,0.2,0.3,0.9,12,nan", "line 5, column score, value 'nan'"),
        ("a,0904,0.1,0.2,0.3,0.9,12,17", "line 5, column score, value 17.*a csv of annotations"),
        ("../a,0904,0.1,0.2,0.3,0.9,12,0.5", "line 5, video_id '../a'"),
    ],
)
def test_faults_are_named_with_file_line_and_value(path, row, fault):
    path.write_text(ROWS + row + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"boxes_and_labels.csv, {fault}"):
        read_proposals(path)


def write_as(content, table, path):
    """Write person boxes in one of five formats, whatever the file's name."""
    if content in ("csv", "parquet"):
        write_proposals(table, path.with_name(f"written.{content}"))
        path.write_bytes(path.with_name(f"written.{content}").read_bytes())
        return
    if content == "pyslowfast":
        path.write_text(ROWS, encoding="utf-8")
        return
    boxes = {}
    for row in table.itertuples(index=False):
        boxes.setdefault(f"{row.video_id},{row.timestamp:04.0f}", []).append(list(row[2:]))
    protocol = int(content.removeprefix("pickle"))
    path.write_bytes(pickle.dumps({key: np.array(value) for key, value in boxes.items()}, protocol))


@pytest.mark.parametrize(
    ("suffix", "contents"),
    {
        ".pkl": ("pickle0", "pickle4", "csv", "parquet", "pyslowfast"),
        ".txt": ("pickle0", "pickle4", "csv", "parquet", "pyslowfast"),
        # text under these names is taken for what the name says
        ".csv": ("pickle4", "csv", "parquet", "pyslowfast"),
        ".parquet": ("pickle4", "parquet"),
    }.items(),
)
def test_the_content_decides_not_the_name(path, tmp_path, suffix, contents):
    table = read_proposals(path)
    for content in contents:
        write_as(content, table, tmp_path / f"{content}{suffix}")
        assert read_proposals(tmp_path / f"{content}{suffix}").equals(table), content


def test_they_are_used_where_mmactions_pickle_is_missing(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, "v2.2")
    layout.annotations.mkdir()
    for path, target in (
        (tiny.get_csv_path("val"), layout.get_csv_path("val")),
        (tiny.get_exclusions_path("val"), layout.get_exclusions_path("val")),
    ):
        target.write_bytes(path.read_bytes())
    assert layout.get_proposals_path("val").name == "ava_dense_proposals_val.FAIR.recall_93.9.pkl"
    boxes = read_proposals(tiny.get_proposals_path("val"))
    lines = [
        f"{row.video_id},{row.timestamp:04.0f},{row.x1},{row.y1},{row.x2},{row.y2},,{row.score}\n"
        for row in boxes.itertuples()
    ]
    path = layout.annotations / "ava_detection_val_boxes_and_labels.csv"
    path.write_text("".join(lines), encoding="utf-8")
    assert layout.get_proposals_path("val") == path
    expected = load_keyframes(tiny, "val", 0.8)
    keyframes = load_keyframes(layout, "val", 0.8)
    assert np.array_equal(keyframes.proposals_norm, expected.proposals_norm) and len(expected.proposals_norm)
