"""The check reports what was broken on purpose, and nothing in what is whole."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import avalib
from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.layout import DatasetLayout
from avalib.data.validation import check
from avalib.data.video_survey import VideoSurvey, inspect_video


@pytest.fixture
def copy(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "tiny", dirs_exist_ok=True)
    return DatasetLayout(tmp_path / "tiny", "mini")


def index_rows(checkup):
    """The checkup's table, by check and split."""
    return checkup.table.set_index(["check", "split"])


@pytest.mark.slow
def test_whole_data_is_all_right(tiny, tmp_path):
    checkup = avalib.check(tiny, decode="all", progress=False)
    assert checkup.ok and checkup.verdict.startswith("All right: 3 videos"), checkup
    saved = json.loads(checkup.save(tmp_path / "check.json").read_text(encoding="utf-8"))
    assert saved["ok"] and len(saved["videos"]) == 3 and saved["verdict"] == checkup.verdict
    # a notebook shows the verdict, and all checks folded
    shown = checkup._repr_html_()
    assert shown.startswith("<p><b>All right: 3 videos")
    assert shown.index("<details>") < shown.index("<table")


@pytest.fixture(scope="module")
def damaged(tiny, tmp_path_factory):
    """(checkup, video ids of train): what the check says of a copy with eight kinds of damage."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(tiny.root, folder, dirs_exist_ok=True)
    layout = DatasetLayout(folder, "mini")
    train_ids = read_ava_csv(layout.get_csv_path("train"), "ground_truth").video_id.unique()
    # a missing and a truncated video
    layout.find_video(train_ids[0]).unlink()
    path = layout.find_video(train_ids[1])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    # an unknown action, in a video of the other split
    with open(layout.get_csv_path("val"), "a", encoding="utf-8") as file:
        file.write(f"{train_ids[0]},0902,0.1,0.1,0.2,0.5,99,1\n")
    layout.get_proposals_path("val").unlink()
    exclusions = pd.DataFrame({"video_id": ["nobody"], "timestamp": [902.0]})
    write_exclusions(exclusions, layout.get_exclusions_path("train"))
    return avalib.check(layout, progress=False), train_ids


def test_a_notebook_shows_what_is_wrong_before_the_rest(damaged):
    shown, folded = damaged[0]._repr_html_().split("<details>")
    assert "<td>wrong</td>" in shown
    assert "<td>ok</td>" not in shown
    assert "<td>ok</td>" in folded


def test_the_verdict_on_damaged_data(damaged):
    checkup, _ = damaged
    assert not checkup.ok
    assert " checks failed: " in checkup.verdict


@pytest.mark.parametrize(
    ("check", "split", "column", "expected"),
    [
        ("videos that can be read", "train", "value", "1 of 2"),
        ("keyframes without frames", "train", "status", "wrong"),
        ("action_id isn't one of AVA's 1..80", "val", "status", "wrong"),
    ],
)
def test_damage_has_a_row_in_the_table(damaged, check, split, column, expected):
    checkup, _ = damaged
    assert index_rows(checkup).loc[(check, split), column] == expected


@pytest.mark.parametrize(
    ("check", "split", "part"),
    [
        ("videos with a problem", "train", "truncated"),
        ("action_id isn't one of AVA's 1..80", "val", "1 row"),
        ("action_id isn't one of AVA's 1..80", "val", "action_id 99"),
        ("person boxes", "val", "is missing"),
        ("excluded seconds", "train", "unknown videos ['nobody']"),
    ],
)
def test_damage_is_described(damaged, check, split, part):
    checkup, _ = damaged
    assert part in index_rows(checkup).loc[(check, split), "value"]


def test_a_missing_video_is_named(damaged):
    checkup, train_ids = damaged
    assert f"{train_ids[0]}: " in index_rows(checkup).loc[("videos with a problem", "train"), "value"]


def test_a_video_in_both_splits_is_named(damaged):
    checkup, train_ids = damaged
    assert index_rows(checkup).loc[("videos in train and in val", ""), "value"] == train_ids[0]


def test_the_line_of_a_wrong_row_is_listed(damaged):
    checkup, _ = damaged
    assert checkup.problems.lines.tolist()[-1]


def test_rows_that_cannot_be_read_are_findings(copy):
    with open(copy.get_csv_path("val"), "a", encoding="utf-8") as file:
        file.write("a,0902,oops,0.1,0.2,0.5,1,1\n../a,0902,0.1,0.1,0.2,0.5,1,1\n")
    report = avalib.check(copy, progress=False)
    problems = report.problems.set_index("problem")
    assert not report.ok
    assert "oops" in problems.example["can't be read: column x1"]
    assert problems.lines["video_id isn't a video's name"] == [problems.lines["can't be read: column x1"][0] + 1]
    assert not report.videos.video_id.str.contains("/").any()


def test_a_folder_with_frames_left_out_is_misnumbered(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, "v2.1")
    (folder := tmp_path / "rawframes" / "a").mkdir(parents=True)
    for n in (1, 2, 3):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"img_{n:05d}.jpg")
    row = inspect_video(layout, VideoSurvey("train", "a"), pd.DataFrame({"timestamp": [902.0]}), decode="some")
    assert row.misnumbered and "expected 27,030 frames, found 3" in row.problem and row.unreadable == 1


@pytest.mark.slow
def test_damage_inside_a_video_costs_its_keyframes(copy):
    name = read_ava_csv(copy.get_csv_path("val"), "ground_truth").video_id[0]
    path = copy.find_video(name)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 30_000] = bytes(30_000)  # several frames: within one a decoder may not notice it
    path.write_bytes(data)
    keyframes = pd.DataFrame({"timestamp": np.arange(900.0, 906.0)})
    row = inspect_video(copy, VideoSurvey("val", name), keyframes, decode="all")
    assert row.decode_errors > 0 and "can't be decoded" in row.problem


def test_unknown_ways_to_decode_are_refused(tiny):
    with pytest.raises(ValueError, match='\'few\'.*"some" or "all"'):
        check(tiny, decode="few")


@pytest.mark.parametrize("splits", [["val"], ["train", "val"]])
def test_a_split_without_keyframes_is_not_right(copy, splits):
    for split in splits:
        copy.get_csv_path(split).write_text("", encoding="utf-8")
    checkup = avalib.check(copy, progress=False)
    assert not checkup.ok
    assert f"keyframes with boxes ({splits[0]}): 0" in checkup.verdict
