"""Boxes that are given to detect, and what is given for a video: each fault with its file, row and value."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import write_numbered_video

import avalib
from avalib import draw
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.given_boxes import find_start_time, read_given_boxes
from avalib.detection.video_detector import _as_options, main, write_detections
from avalib.video.reader import Video

ROW = "0.1,0.1,0.5,0.9"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_numbered_video(tmp_path_factory.mktemp("v"), "clip.mp4", 25, n=75)


@pytest.fixture
def reader(path):
    with Video(path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"frame,x1,y1,x2,y2\n,{ROW}\n30,{ROW}\n", "line 2, column frame, value '': expected a whole number"),
        (f"frame,x1,y1,x2,y2\n30,{ROW}\n75,{ROW}\n", r"line 3, frame 75: the video has 0\.\.74"),
        (f"frame,x1,y1,x2,y2\n1.5,{ROW}\n", "line 2, column frame, value '1.5'"),
        (f"time_s,x1,y1,x2,y2,score\n1,{ROW},high\n", "line 2, column score, value 'high': expected a finite number"),
        (f"time_s,x1,y1,x2,y2,person_id\n1,{ROW},Anna\n", "line 2, column person_id, value 'Anna'"),
        (f"time_s,x1,y1,x2,y2\n1,{ROW}\n\n1,0.1,nan,0.5,0.9\n", "line 4, column y1"),
        (f"time_s,x1,y1,x2,y2\n1,{ROW}\n1,{ROW},7\n", "line 3"),
        (f"time_s,x1,y1,x2,y2,x1\n1,{ROW},7\n", "column x1 is there twice"),
        ("time_s,x1,y1,x2,y2\n1,1.2,0.1,1.5,0.9\n", "line 2: .*outside the frame"),
        ("time_s;x1;y1;x2;y2\n1;0.1;0.1;0.5;0.9\n", "no column x1"),
        ("", "an empty file"),
        ("\0", "NUL bytes"),
    ],
)
def test_a_fault_in_a_csv_of_boxes_is_named(text, message, reader, tmp_path):
    (tmp_path / "boxes.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"(?s)boxes\.csv.*({message})"):
        read_given_boxes(tmp_path / "boxes.csv", reader)


def test_a_parquet_of_boxes_is_read(reader, tmp_path):
    table = pd.DataFrame({"time_s": [1.0, 2.0], "x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.9})
    table.to_parquet(tmp_path / "boxes.parquet")
    pd.testing.assert_frame_equal(read_given_boxes(tmp_path / "boxes.parquet", reader), table)
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "boxes.parquet").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"torn\.parquet"):
        read_given_boxes(tmp_path / "torn.parquet", reader)


def test_boxes_that_arent_there_are_named(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"boxes: .*none\.csv: no such file"):
        read_given_boxes(tmp_path / "none.csv", reader)
    with pytest.raises(FileNotFoundError, match="is a folder; expected a table"):
        read_given_boxes(tmp_path, reader)
    with pytest.raises(ValueError, match="boxes: a list; expected a table"):
        read_given_boxes([1, 2], reader)
    with pytest.raises((ValueError, OSError), match="boxes: x{50,}"):
        read_given_boxes("x" * 300 + ".csv", reader)


def test_timestamps_are_those_by_which_all_lie_inside_the_video(reader):
    table = pd.DataFrame({"x1": [0.1, 0.1], "y1": 0.1, "x2": 0.5, "y2": 0.9})
    for timestamps in ([1, 2], [901, 902]):
        assert read_given_boxes(table.assign(timestamp=timestamps), reader).time_s.tolist() == [1, 2]
    with pytest.raises(ValueError, match="row 1: .*at 49 s: expected a time inside the video's 3.00 s"):
        read_given_boxes(table.assign(timestamp=[1, 49]), reader)
    assert find_start_time([902, 1798], 901, "p") == 900 and find_start_time([902], 3600, "p", start=0) == 0
    with pytest.raises(ValueError, match="p: timestamps 902 to 1798 may count from 0 or from 900.*boxes_start=0"):
        find_start_time([902, 1798], 3600, "p")


def test_seconds_of_a_data_sets_own_files_are_known_by_their_names(reader, tmp_path):
    """A video of more than 900 seconds would be ambiguous."""
    reader.duration_s = 2000.0
    table = pd.DataFrame({"video_id": "clip", "timestamp": [902.0], "x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.9})
    for version, start in (("own", 0), ("mini", 900)):
        path = DatasetLayout(tmp_path / version, version).get_proposals_path("val")
        write_proposals(table.assign(score=1.0), path)
        assert read_given_boxes(path, reader).time_s.tolist() == [902 - start]


# --- what is given for a video ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "video='0': expected a file or a URL"),
        (None, "expected a file or a URL"),
        ("", "expected a file or a URL"),
        (Path("https://host/a.mp4"), "a URL made into a path"),
        ("rtsp://camera/1", "rtsp isn't read, only files and http"),
        ("file:///tmp/a.mp4", "file isn't read"),
        ("x" * 300 + ".mp4", "x{50,}.*not a file's name .File name too long"),
        ("a\0.mp4", "not a file's name|no such video"),
        ("{folder}", "is a folder; give one video file"),
        ("{folder}/none.mp4", r"none\.mp4: no such video file"),
        ("{folder}/a.jpg", r"a\.jpg: is a picture"),
        ("{folder}/a.txt", r"a\.txt: not readable as a video"),
    ],
)
def test_what_is_no_video_is_refused_by_name(given, message, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "a.txt").write_text("hello\n" * 100, encoding="utf-8")
    given = given.format(folder=tmp_path) if isinstance(given, str) else given
    with pytest.raises((ValueError, OSError), match=message):
        avalib.detect(given, progress=False)


@pytest.mark.parametrize(
    ("option", "value"),
    [("step", float("nan")), ("step", 1e-9), ("batch_size", 0), ("batch_size", 1.5), ("smooth", -1), ("start", "a")],
)
def test_an_option_that_is_no_fit_number_is_named(option, value, path):
    with pytest.raises(ValueError, match=f"{option}={value!r}: expected"):
        avalib.detect(path, progress=False, **{option: value})


def test_the_command_spells_its_options(path, capsys, tmp_path):
    assert main([str(path), "--checkpoint", "best"]) == 1
    assert "--checkpoint 'best': notebook 03's run" in capsys.readouterr().err
    assert main([str(path), "--step", "0"]) == 1
    assert "--step 0.0: expected seconds above 0" in capsys.readouterr().err
    assert main([str(tmp_path), "--boxes", "none.csv"]) == 1
    assert (
        _as_options("give boxes_start=0 or x_start=1", ["boxes_start", "start"]) == "give --boxes-start 0 or x_start=1"
    )


# --- times and names --------------------------------------------------------------------------------------------------


def test_times_of_a_long_video_are_written_to_the_millisecond(tmp_path):
    box = dict(zip(BOX_COLUMNS, (0.123456789, 0.2, 0.3, 0.4), strict=True))
    table = pd.DataFrame({"time_s": [1000.04, 36000.0416667, 0.5], "frame": [25001, 900001, 12], "person_id": 0, **box})
    table = table.assign(action_id=3, action="wave, twice", score=0.000123456)
    read = pd.read_csv(write_detections(table, tmp_path / "d.csv"))
    assert list(read) == list(table)
    assert read.time_s.tolist() == [1000.04, 36000.042, 0.5] and read.frame.tolist() == table.frame.tolist()
    assert (
        np.allclose(read[[*BOX_COLUMNS, "score"]], table[[*BOX_COLUMNS, "score"]], rtol=1e-4)
        and read.action[0] == "wave, twice"
    )


def test_ones_own_actions_keep_their_names_on_a_timeline():
    table = pd.DataFrame({"time_s": [0.0, 1.0], "person_id": 0, "action_id": [3, 200], "score": 0.9})
    assert draw.find_segments(table.assign(action=["dribble", "shoot"])).action.tolist() == ["dribble", "shoot"]
    figure = draw.plot_timeline(table.assign(action=["dribble", "shoot"]))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["dribble", "shoot"]
    assert draw.find_segments(table, label_map={3: "pass", 200: "shoot"}).action.tolist() == ["pass", "shoot"]
    assert draw.find_segments(table).action.tolist() == ["crouch/kneel", "action 200"], (
        "AVA's, where nothing else is known"
    )
