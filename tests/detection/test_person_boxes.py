"""Person boxes that come with a video: read from any table; each fault is named with its file, row and value."""

import numpy as np
import pandas as pd
import pytest
from numbered_videos import write_numbered_video

from avalib.data.ava_csv import write_ava_csv
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.person_boxes import read_person_boxes
from avalib.video.reader import Video

BOX = "0.1,0.1,0.5,0.9"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A video of three seconds at 25 frames a second."""
    return write_numbered_video(tmp_path_factory.mktemp("v"), "clip.mp4", 25, n=75)


@pytest.fixture
def reader(path):
    with Video(path) as opened:
        yield opened


def make_table(**columns):
    """Two boxes, with other columns or values."""
    return pd.DataFrame({"x1": [0.1, 0.5], "y1": 0.2, "x2": [0.3, 0.9], "y2": 0.8} | columns)


def make_video_table():
    return make_table(timestamp=[901, 902], video_id="clip")


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        make_table(time_s=[1.0, 2.0]),
        make_table(frame=[25, 50]),
        make_table(timestamp=[901, 902]),
        make_table(timestamp=[1, 2]),
        make_video_table(),
        pd.concat([make_table(timestamp=[901, 902], video_id=video_id) for video_id in ("other", "clip")]),
        make_table(time_s=[2.0, 1.0]).iloc[::-1],
    ],
    ids=["time_s", "frame", "timestamp", "own timestamp", "video_id", "two videos", "unordered"],
)
def test_times_come_in_several_columns(table, reader):
    assert read_person_boxes(table, reader).time_s.tolist() == [1, 2]


def test_a_csv_is_read(reader, tmp_path):
    table = make_table(time_s=[1.0, 2.0])
    table.to_csv(tmp_path / "b.csv", index=False)
    pd.testing.assert_frame_equal(read_person_boxes(tmp_path / "b.csv", reader), table[["time_s", *BOX_COLUMNS]])


def test_a_parquet_is_read(reader, tmp_path):
    table = make_table(time_s=[1.0, 2.0])
    table.to_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(read_person_boxes(tmp_path / "b.parquet", reader), table[["time_s", *BOX_COLUMNS]])


def test_proposals_are_read_but_for_people_with_low_scores(reader, tmp_path):
    write_proposals(make_video_table().assign(score=[0.9, 0.3]), tmp_path / "p.pkl")
    assert read_person_boxes(tmp_path / "p.pkl", reader).time_s.tolist() == [1]


def test_a_csv_of_annotations_has_person_ids(reader, tmp_path):
    truth = pd.concat([make_video_table().assign(action_id=a, person_id=[7, 8]) for a in (12, 80)])
    write_ava_csv(truth, tmp_path / "ava.csv")
    assert read_person_boxes(tmp_path / "ava.csv", reader).person_id.tolist() == [7, 8]


def test_scores_of_actions_are_not_those_of_people(reader, tmp_path):
    detections = pd.concat([make_video_table().assign(action_id=a, score=0.1) for a in (12, 80)])
    write_ava_csv(detections, tmp_path / "ava.csv")
    assert len(read_person_boxes(tmp_path / "ava.csv", reader)) == 2


# --- the timestamp of the first frame ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "start"), [("own", 0), ("mini", 900)])
def test_the_files_of_a_data_set_tell_by_their_names(version, start, reader, tmp_path):
    reader.duration_s = 2000.0  # the timestamps alone would be ambiguous
    path = DatasetLayout(tmp_path / version, version).get_proposals_path("val")
    write_proposals(make_table(video_id="clip", timestamp=902.0, score=1.0), path)
    assert set(read_person_boxes(path, reader).time_s) == {902 - start}


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"frame,x1,y1,x2,y2\n,{BOX}\n30,{BOX}\n", "line 2, column frame, value '': expected a whole number"),
        (f"frame,x1,y1,x2,y2\n30,{BOX}\n75,{BOX}\n", r"line 3, frame 75: the video has 0\.\.74"),
        (f"frame,x1,y1,x2,y2\n1.5,{BOX}\n", "line 2, column frame, value '1.5'"),
        (f"time_s,x1,y1,x2,y2,score\n1,{BOX},high\n", "line 2, column score, value 'high': expected a finite number"),
        (f"time_s,x1,y1,x2,y2,person_id\n1,{BOX},Anna\n", "line 2, column person_id, value 'Anna'"),
        (
            f"time_s,x1,y1,x2,y2,person_id\n1,{BOX},1\n1,{BOX},\n",
            "line 3, column person_id, value '': expected a whole",
        ),
        (f"time_s,x1,y1,x2,y2\n1,{BOX}\n\n1,0.1,nan,0.5,0.9\n", "line 4, column y1"),
        (f"time_s,x1,y1,x2,y2\n1,{BOX}\n1,{BOX},7\n", "line 3"),
        (f"time_s,x1,y1,x2,y2,x1\n1,{BOX},7\n", "column x1 occurs twice"),
        ("time_s,x1,y1,x2,y2\n1,1.2,0.1,1.5,0.9\n", "line 2: .*outside the frame"),
        ("time_s;x1;y1;x2;y2\n1;0.1;0.1;0.5;0.9\n", "no column x1"),
        ("", "an empty file"),
        ("\0", "NUL bytes"),
    ],
)
def test_a_fault_in_a_csv_is_named(text, message, reader, tmp_path):
    (tmp_path / "boxes.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"(?s)boxes\.csv.*({message})"):
        read_person_boxes(tmp_path / "boxes.csv", reader)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (make_table(), "no column time_s, timestamp or frame"),
        (make_table(time_s=1.0).drop(columns="y2"), "no column y2"),
        (
            make_table(time_s=[1, 3.5]),
            r"row 1: box 0\.5, 0\.2, 0\.9, 0\.8 at 3\.5 s: expected a time inside .* 3\.00 s",
        ),
        (make_table(timestamp=[1, 49]), "row 1: .*at 49 s: expected a time inside the video's 3.00 s"),
        (make_table(time_s=1.0, x2=[0.3, 0.4]), "row 1: .*expected x1 < x2"),
        (make_table(time_s=1.0, x2=[0.3, np.nan]), "row 1, column x2, value 'nan': expected a finite number"),
        (make_table(time_s=1.0, x2=[0.3, 90]), "row 1: .*looks like pixels; divide x by 128 and y by 64"),
        (make_table(frame=[0, 75]), r"row 1, frame 75: the video has 0\.\.74"),
        (make_table(timestamp=901, video_id="other"), "no boxes of video_id 'clip' .*it has other"),
    ],
    ids=range(9),
)
def test_a_fault_in_a_table_is_named(reader, table, message):
    with pytest.raises(ValueError, match=f"boxes.*{message}"):
        read_person_boxes(table, reader)


def test_a_torn_parquet_is_named(reader, tmp_path):
    make_table(time_s=1.0).to_parquet(tmp_path / "torn.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "torn.parquet").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"torn\.parquet"):
        read_person_boxes(tmp_path / "torn.parquet", reader)


@pytest.mark.parametrize(
    ("boxes", "error", "message"),
    [
        ("{folder}/none.csv", FileNotFoundError, r"boxes: .*none\.csv: no such file"),
        ("{folder}", FileNotFoundError, "is a folder; expected a table"),
        ([1, 2], ValueError, "boxes: a list; expected a table"),
        ("x" * 300 + ".csv", (ValueError, OSError), "boxes: x{50,}"),
    ],
)
def test_what_is_no_table_is_named(boxes, error, message, reader, tmp_path):
    if isinstance(boxes, str):
        boxes = boxes.format(folder=tmp_path)
    with pytest.raises(error, match=message):
        read_person_boxes(boxes, reader)
