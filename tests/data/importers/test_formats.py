"""Every format gives the table it was written from; unknown formats and options are refused."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
from annotation_files import CSV_ROWS, build_csv
from slow_marks import slow_but

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers import check_annotations, export_annotations, read_annotations
from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names
from avalib.data.row_checks import BOX_COLUMNS
from avalib.video.reader import Video

HALF_FRAME_S = 0.5 / 25
TUBE_FILES = {"ucf101-24": "UCF101v2-GT.pkl", "jhmdb": "JHMDB-GT.pkl", "multisports": "multisports_GT.pkl"}


@pytest.fixture(scope="module")
def truth(tiny):
    """The tiny data set as one table, with class names, seconds from the video's beginning and the split."""
    label_map = read_label_map(tiny.label_map_path)
    tables = [read_ava_csv(tiny.get_csv_path(split), "ground_truth").assign(split=split) for split in ("train", "val")]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(action=table.action_id.map(label_map), timestamp=table.timestamp - tiny.start_s)


def assert_same_rows(annotations, truth, max_seconds=HALF_FRAME_S):
    """The same rows in both, in any order: classes by name, boxes as they are written, times nearly."""
    table = annotations.table.assign(action=annotations.table.action_id.map(annotations.label_map))
    key = ["video_id", "split", "action", "second", "x1", "y1"]
    table, truth = (
        each.assign(second=each.timestamp.round()).sort_values(key, ignore_index=True) for each in (table, truth)
    )
    assert len(table) == len(truth)
    assert (table[key[:4]].astype(str) == truth[key[:4]].astype(str)).all(axis=None)
    assert np.abs(table[BOX_COLUMNS] - truth[BOX_COLUMNS]).max(axis=None) <= 1e-9
    assert np.abs(table.timestamp - truth.timestamp).max() <= max_seconds


def assert_same_people(annotations, truth):
    key = ["video_id", "timestamp", "x1", "y1", "person_id"]
    table, truth = (
        each.assign(timestamp=each.timestamp.round()).sort_values(key, ignore_index=True)
        for each in (annotations.table, truth)
    )
    assert table.person_id.tolist() == truth.person_id.tolist()


@pytest.fixture(scope="module", params=["csv", "coco", "cvat"])
def exported(request, tiny, tmp_path_factory):
    """The ImportedAnnotations of the tiny data set, exported in a format and read again."""
    folder = export_annotations(tiny, request.param, tmp_path_factory.mktemp(request.param))
    source = folder / "annotations.csv" if request.param == "csv" else folder
    return read_annotations(source, request.param, videos=tiny.videos)


def test_exported_annotations_are_read_back(exported, truth):
    assert_same_rows(exported, truth)
    assert_same_people(exported, truth)


def test_exported_annotations_have_no_faults(exported):
    assert not check_annotations(exported).findings


def test_exported_annotations_are_of_all_videos(exported, tiny):
    assert {video.path.name for video in exported.videos.values()} == {path.name for path in tiny.videos.iterdir()}


def test_avas_own_csv_is_read(tiny, truth):
    annotations = read_annotations(tiny.annotations, "ava", videos=tiny.videos, start=900)
    assert_same_rows(annotations, truth, max_seconds=0)
    assert_same_people(annotations, truth)
    assert annotations.label_map == get_action_names()


def find_native_rows(tiny, video_id, rows):
    """(nearest native frames (n,), boxes in pixels (n,4), (height, width)) of rows of one video."""
    with Video(tiny.find_video(video_id)) as video:
        frames = np.abs(video.times_s[None] - rows.timestamp.to_numpy()[:, None]).argmin(axis=1)
        size = [video.width, video.height, video.width, video.height]
        return frames, rows[BOX_COLUMNS].to_numpy() * size, (video.height, video.width)


@pytest.mark.parametrize("format", slow_but(TUBE_FILES, "jhmdb"))
def test_tubes_are_read(format, tiny, truth, tmp_path):
    labels = sorted(truth.action.unique())
    content = {"labels": labels, "gttubes": {}, "resolution": {}, "nframes": {}}
    for (video_id, action, _), rows in truth.groupby(["video_id", "action", "person_id"], sort=True):
        frames, boxes_px, size = find_native_rows(tiny, video_id, rows)
        key = f"aerobics/{video_id}"
        content["resolution"][key] = size
        tubes = content["gttubes"].setdefault(key, {}).setdefault(labels.index(action), [])
        tubes.append(np.column_stack([frames + 1, boxes_px]).astype(np.float32))
    for kind, split in (("train", "train"), ("test", "val")):
        content[f"{kind}_videos"] = [
            [f"aerobics/{video_id}" for video_id in truth.video_id[truth.split == split].unique()]
        ]
    (tmp_path / TUBE_FILES[format]).write_bytes(pickle.dumps(content, protocol=2))
    annotations = read_annotations(tmp_path, format, videos=tiny.videos)
    assert_same_rows(annotations, truth)
    assert annotations.label_map == dict(enumerate(labels, 1))


def test_pyannot_of_ucf101_is_read(tiny, truth, tmp_path):
    (tmp_path / "Walk").mkdir()
    (tmp_path / "splitfiles").mkdir()
    (tmp_path / "splitfiles" / "trainlist01.txt").write_text("Walk/v_Walk_g01_c01\n", encoding="utf-8")
    content = {}
    expected = []
    for number, (video_id, rows) in enumerate(truth[truth.action == "stand"].groupby("video_id", sort=False), 1):
        name = f"v_Walk_g0{number}_c01"
        path = tiny.find_video(video_id)
        os.symlink(path, tmp_path / "Walk" / f"{name}{path.suffix}")
        frames, boxes_px, _ = find_native_rows(tiny, video_id, rows)
        boxes_px[:, 2:] -= boxes_px[:, :2]
        tubes = [
            {"label": 5, "sf": int(frame), "ef": int(frame) + 1, "boxes": box[None]}
            for frame, box in zip(frames, boxes_px, strict=True)
        ]
        content[f"Walk/{name}"] = {"label": 5, "numf": 200, "annotations": tubes}
        expected.append(rows.assign(video_id=name, action="Walk", split="train" if number == 1 else "val"))
    (tmp_path / "pyannot.pkl").write_bytes(pickle.dumps(content, protocol=2))
    annotations = read_annotations(tmp_path, "ucf101-24")
    assert_same_rows(annotations, pd.concat(expected))
    assert annotations.label_map == {6: "Walk"}


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="format 'yolo': expected one of csv, ava, coco, cvat"):
        read_annotations(tmp_path, "yolo")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_fram": 1}, "option 'first_fram' of format 'csv': it has first_frame. Did you mean 'first_frame'"),
        ({"first_frame": "1"}, "first_frame='1': expected a number"),
        ({"val_share": 2}, "val_share=2: expected 0 to 1"),
        ({"min_gap_s": -1}, "min_gap_s=-1: expected 0"),
        ({"fps": 0}, "fps=0: expected"),
    ],
)
def test_faulty_options_are_refused(options, message, import_source):
    with pytest.raises(ValueError, match=message):
        import_source(build_csv(*CSV_ROWS), **options)
