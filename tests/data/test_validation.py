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


def rows_of(checkup):
    return checkup.table.set_index(["check", "split"])


@pytest.mark.slow
def test_whole_data_is_all_right(tiny, tmp_path):
    checkup = avalib.check(tiny, decode="all", progress=False)
    assert checkup.ok and checkup.verdict.startswith("All right: 3 videos"), checkup
    saved = json.loads(checkup.save(tmp_path / "check.json").read_text(encoding="utf-8"))
    assert saved["ok"] and len(saved["videos"]) == 3 and saved["verdict"] == checkup.verdict
    assert "<table" in checkup._repr_html_()


def test_every_kind_of_damage_is_named(copy):
    train = read_ava_csv(copy.get_csv_path("train"), "ground_truth")
    first, second = train.video_id.unique()
    copy.find_video(first).unlink()
    path = copy.find_video(second)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open(copy.get_csv_path("val"), "a", encoding="utf-8") as file:
        file.write(f"{first},0902,0.1,0.1,0.2,0.5,99,1\n")
    copy.get_proposals_path("val").unlink()
    write_exclusions(pd.DataFrame({"video_id": ["nobody"], "timestamp": [902.0]}), copy.get_exclusions_path("train"))
    checkup = avalib.check(copy, progress=False)
    found = rows_of(checkup)
    assert not checkup.ok and checkup.verdict.startswith("Not right")
    assert found.loc[("videos that can be read", "train"), "value"] == "1 of 2", checkup.videos
    assert f"{first}: " in found.loc[("videos with a problem", "train"), "value"]
    assert "truncated" in found.loc[("videos with a problem", "train"), "value"]
    assert found.loc[("keyframes without frames", "train"), "status"] == "wrong"
    assert found.loc[("action_id isn't one of AVA's 1..80", "val"), "status"] == "wrong"
    assert "1 rows" in found.loc[("action_id isn't one of AVA's 1..80", "val"), "value"]
    assert "action_id 99" in found.loc[("action_id isn't one of AVA's 1..80", "val"), "value"]
    assert found.loc[("videos in train and in val", ""), "value"] == first
    assert "is missing" in found.loc[("person boxes", "val"), "value"]
    assert "unknown videos ['nobody']" in found.loc[("excluded seconds", "train"), "value"]
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
    found = avalib.check(copy, progress=False)
    assert not found.ok
    assert f"keyframes with boxes ({splits[0]}): 0" in found.verdict
