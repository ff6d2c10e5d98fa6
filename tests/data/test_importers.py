"""Data of one's own: every format gives the tables it was made from, faults are named, and what is written is read."""

import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import avalib
from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.catalog import prepare
from avalib.data.dataset import ClipDataset
from avalib.data.importers.import_checks import check_annotations
from avalib.data.importers.annotation_export import export_annotations
from avalib.data.importers.dataset_import import import_dataset
from avalib.data.importers.formats import read_annotations
from avalib.data.keyframe_table import load_keyframes
from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.data.video_survey import survey_videos
from avalib.evaluation.evaluator import compare_protocols, evaluate
from avalib.models.checkpoint import check_classes, save_checkpoint
from avalib.training.initial_state import build_initial_model, compute_prior_bias
from avalib.training.train_config import configure_training
from avalib.video.frame_source import FrameSource
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=32), cache_short_side=None)
HEADER = "video,frame,x1,y1,x2,y2,action,person,split\n"


@pytest.fixture(scope="module")
def truth(tiny):
    """The tiny mini-AVA as one table, with class names, seconds from the video's beginning and the split."""
    label_map = read_label_map(tiny.label_map_path)
    tables = [read_ava_csv(tiny.get_csv_path(s), "ground_truth").assign(split=s) for s in ("train", "val")]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(action=table.action_id.map(label_map), timestamp=table.timestamp - tiny.start_s)


def assert_same(found, truth, people=True, box=1e-9, seconds=0.5 / 25):
    """The same rows in both: classes by name, boxes after rounding to 3 decimals, times to half a frame."""
    table = found.table.assign(action=found.table.action_id.map(found.label_map))
    key = ["video_id", "split", "action", "second", "x1", "y1"]
    a, b = (t.assign(second=t.timestamp.round()).sort_values(key, ignore_index=True) for t in (table, truth))
    assert len(a) == len(b) and (a[key[:4]].astype(str) == b[key[:4]].astype(str)).all(axis=None)
    assert np.abs(a[BOX_COLUMNS] - b[BOX_COLUMNS]).max(axis=None) <= box
    assert np.abs(a.timestamp - b.timestamp).max() <= seconds
    assert not people or a.person_id.tolist() == b.person_id.tolist()


@pytest.mark.parametrize("format", ["csv", "coco", "cvat"])
def test_the_mini_written_in_a_format_is_read_back(format, tiny, truth, tmp_path):
    folder = export_annotations(tiny, format, tmp_path)
    found = read_annotations(folder / "annotations.csv" if format == "csv" else folder, format, videos=tiny.videos)
    assert_same(found, truth, seconds=1e-9 if format == "csv" else 0.5 / 25)
    assert not len(check_annotations(found))
    assert {clip.path.name for clip in found.videos.values()} == {path.name for path in tiny.videos.iterdir()}


def test_avas_own_csv_is_read_back(tiny, truth):
    found = read_annotations(tiny.annotations, "ava", videos=tiny.videos, start=900)
    assert_same(found, truth, seconds=0)
    assert found.label_map == get_action_names()
    late = check_annotations(read_annotations(tiny.annotations, "ava", videos=tiny.videos))
    assert late.problem.tolist() == ["timestamp beyond the video's end"] and "start=900" in late.looks_like[0]


def tubes(tiny, truth):
    """(class names, [(video, class from 0, frames from 0 (n,), boxes in pixels (n,4), (height, width))])."""
    labels, found = sorted(truth.action.unique()), []
    for (name, action, _), rows in truth.groupby(["video_id", "action", "person_id"], sort=True):
        with Video(tiny.find_video(name)) as opened:
            frames = np.abs(opened.times_s[None] - rows.timestamp.to_numpy()[:, None]).argmin(axis=1)
            size = (opened.height, opened.width)
        found.append(
            (name, labels.index(action), frames, rows[BOX_COLUMNS].to_numpy() * [*size[::-1], *size[::-1]], size)
        )
    return labels, found


@pytest.mark.parametrize("format, name", [("ucf101-24", "UCF101v2-GT"), ("jhmdb", "JHMDB-GT"), ("multisports",) * 2])
def test_the_mini_as_tubes_is_read_back(format, name, tiny, truth, tmp_path):
    labels, found = tubes(tiny, truth)
    content = {"labels": labels, "gttubes": {}, "resolution": {}, "nframes": {}}
    for of_video, action, frames, boxes, size in found:
        key = f"aerobics/{of_video}"
        content["resolution"][key] = size
        of_class = content["gttubes"].setdefault(key, {}).setdefault(action, [])
        of_class.append(np.column_stack([frames + 1, boxes]).astype(np.float32))
    for kind, split in (("train", "train"), ("test", "val")):
        content[f"{kind}_videos"] = [[f"aerobics/{v}" for v in truth.video_id[truth.split == split].unique()]]
    name = "multisports_GT" if format == "multisports" else name
    (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content, protocol=2))
    found = read_annotations(tmp_path, format, videos=tiny.videos)
    assert_same(found, truth, people=False)
    assert found.label_map == dict(enumerate(labels, 1))


def test_ucf101s_pyannot_is_read(tiny, truth, tmp_path):
    (tmp_path / "Walk").mkdir()
    content, expected = {}, []
    for i, (name, rows) in enumerate(truth[truth.action == "stand"].groupby("video_id", sort=False), 1):
        key = f"Walk/v_Walk_g0{i}_c01"
        os.symlink(tiny.find_video(name), tmp_path / f"{key}{tiny.find_video(name).suffix}")
        with Video(tiny.find_video(name)) as opened:
            frames = np.abs(opened.times_s[None] - rows.timestamp.to_numpy()[:, None]).argmin(axis=1)
            boxes = _pixels(rows, opened)
        boxes[:, 2:] -= boxes[:, :2]
        found = [
            {"label": 5, "sf": int(f), "ef": int(f) + 1, "boxes": b[None]} for f, b in zip(frames, boxes, strict=True)
        ]
        content[key] = {"label": 5, "numf": 200, "annotations": found}
        split = "train" if i == 1 else "val"
        expected.append(rows.assign(video_id=f"v_Walk_g0{i}_c01", action="Walk", split=split))
    (tmp_path / "pyannot.pkl").write_bytes(pickle.dumps(content, protocol=2))
    (tmp_path / "splitfiles").mkdir()
    (tmp_path / "splitfiles" / "trainlist01.txt").write_text("Walk/v_Walk_g01_c01\n", encoding="utf-8")
    found = read_annotations(tmp_path, "ucf101-24")
    assert_same(found, pd.concat(expected), people=False)
    assert found.label_map == {6: "Walk"}


def _pixels(rows, opened):
    return rows[BOX_COLUMNS].to_numpy() * [opened.width, opened.height, opened.width, opened.height]


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "JHMDB-GT.pkl").write_bytes(pickle.dumps({"labels": ["a"], "gttubes": Evil()}))
    with pytest.raises(ValueError, match="JHMDB-GT.pkl: not a pickle of tubes: it asks for .*system"):
        read_annotations(tmp_path, "jhmdb")
    assert not (tmp_path / "ran").exists()


# --- videos of any rate, faults, and the data set that is written -----------------------------------------------------


def grey(k):
    return 20 + 4 * k


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four videos of 50 frames whose frame k is grey(k): at 10, 25, 29.97 and 60 a second."""
    folder = tmp_path_factory.mktemp("clips")
    for name, fps in (("ten", 10), ("pal", 25), ("ntsc", 30000 / 1001), ("sixty", 60)):
        write_mp4(folder / f"{name}.mp4", (np.full((48, 64, 3), grey(k), np.uint8) for k in range(50)), fps, crf=4)
    return folder


def csv_of(path, *rows, header=HEADER):
    path.write_text(header + "".join(row + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(name, frames, action="juggle", split=""):
    return [f"{name},{frame},10,5,40,45,{action},{name},{split}" for frame in frames]


def test_the_clip_of_a_keyframe_is_around_its_frame_at_any_rate(clips, tmp_path):
    frames = [0, 7, 24, 37, 49]
    rows = [row for name in ("ten", "pal", "ntsc", "sixty") for row in rows_of(name, frames, split="val")]
    source = csv_of(tmp_path / "a.csv", *rows, *rows_of("ten", [3], split="train"))
    layout = import_dataset(source, "csv", tmp_path / "own", videos=clips)
    keyframes = load_keyframes(layout, "val")
    assert keyframes.labels.shape == (20, 2) and keyframes.n_without_proposals == 0
    found = ClipDataset(keyframes, ENTRY, RECIPE, FrameSource(layout), training=False)
    centres = {name: [] for name in keyframes.video_ids}
    for k in range(len(keyframes)):
        level = found[k]["clip"][ENTRY.clip_len // 2].float().mean().item()
        centres[keyframes.video_ids[k]].append((level - grey(0)) / 4)
    for name, shown in centres.items():
        off = 60 * 0.06 if name == "sixty" else 0.6  # the numbering at 30 a second may be two of its frames early there
        assert np.abs(np.array(shown) - frames).max() < off, (name, shown)


def test_what_is_written_is_a_data_set_of_its_own(clips, tmp_path, monkeypatch, capsys):
    rows = [
        *rows_of("pal", range(0, 50, 5), "run"),
        *rows_of("ten", range(0, 50, 5)),
        *rows_of("ten", [10], 'say "hi"'),
    ]
    source = csv_of(tmp_path / "a.csv", *rows, *rows_of("ntsc", [20, 21, 22]), rows[0])
    monkeypatch.setenv("AVALIB_DATA", str(tmp_path / "data"))
    layout = avalib.import_data(source, "csv", "gym", videos=clips, min_gap_s=0.3, val_share=0.34)
    said = capsys.readouterr().out
    assert "gym (csv), 3 classes" in said and "1 rows occurred twice" in said and "1 of 3 videos" in said
    assert prepare("gym") == layout and layout.start_s == 0 and layout.n_columns == 4
    assert read_label_map(layout.label_map_path) == {1: "juggle", 2: "run", 3: 'say "hi"'}
    tables = {s: read_ava_csv(layout.get_csv_path(s), "ground_truth") for s in ("train", "val")}
    assert set(tables["val"].video_id) == {"ntsc"}, "the only video whose classes others have too"
    times = tables["train"].timestamp[tables["train"].video_id == "pal"]
    assert times.tolist() == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])  # every 10th frame, 0.2 s were too near
    proposals = read_proposals(layout.get_proposals_path("train"))
    assert sorted(proposals.timestamp) == sorted(
        tables["train"].drop_duplicates([*KEYFRAME_COLUMNS, *BOX_COLUMNS]).timestamp
    )
    assert survey_videos(layout).problem.eq("").all() and layout.find_video("pal").samefile(clips / "pal.mp4")
    made = json.loads((layout.root / "dataset.json").read_text(encoding="utf-8"))
    assert made["counts"]["val"]["keyframes"] == 1 and str(tmp_path) not in json.dumps(made)
    with pytest.raises(ValueError, match="name 'mini'"):
        avalib.import_data(source, "csv", "mini", videos=clips)


def test_one_video_is_divided_in_time(clips, tmp_path, capsys):
    source = csv_of(tmp_path / "a.csv", *rows_of("ten", range(0, 50, 5)))
    layout = import_dataset(source, "csv", tmp_path / "own", videos=clips)
    assert read_ava_csv(layout.get_csv_path("val"), "ground_truth").timestamp.tolist() == pytest.approx([4.0, 4.5])
    assert "from second 4 on it is for validation" in capsys.readouterr().out


def test_pictures_become_a_video(tmp_path):
    folder = tmp_path / "Frames" / "wave" / "clip1"
    folder.mkdir(parents=True)
    for k in range(30):
        Image.fromarray(np.full((48, 64, 3), grey(k), np.uint8)).save(folder / f"{k + 1:05d}.png")
    tube = np.array([[f, 10, 5, 40, 45] for f in range(1, 31)], np.float32)
    lists = {"train_videos": [["wave/clip1"]], "test_videos": [[]]}
    content = {"labels": ["wave"], "gttubes": {"wave/clip1": {0: [tube]}}, "resolution": {"wave/clip1": (48, 64)}}
    (tmp_path / "JHMDB-GT.pkl").write_bytes(pickle.dumps(content | lists))
    layout = import_dataset(tmp_path, "jhmdb", tmp_path / "own", fps=25)
    with Video(layout.find_video("clip1")) as made:
        assert made.n_frames == 30 and made.fps == pytest.approx(25)
        assert np.abs(made.read_frames([0, 11, 29]).mean(axis=(1, 2, 3)) - grey(np.array([0, 11, 29]))).max() < 2


@pytest.mark.parametrize(
    "row, message",
    [
        ("pal,3,10,5,forty,45,run,1,", "line 2, column x2, value 'forty': expected a finite number"),
        ("pal,3,10,5,40,45,run,1", "line 2: 8 columns, the header has 9"),
        ("pal,3,10,5,40,45,,1,", "line 2, column action: empty"),
        ("pal,3,10,5,40,45,run,1,dev", "line 2: split 'dev', expected train, val or test"),
        ("nobody,3,10,5,40,45,run,1,", "1 of 1 videos with 1 of 1 rows .* are not in this folder: nobody"),
        ("pal,50,10,5,40,45,run,1,", "frame 50 of video pal .line 2., which has the frames 0..49"),
        ("pal,3,40,5,10,45,run,1,", "1 rows: x2 < x1 .*line 2"),
        ("pal,3,10,5,400,45,run,1,", "1 rows: box in numbers far above 1"),
    ],
)
def test_a_fault_in_a_csv_is_named(row, message, clips, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        import_dataset(csv_of(tmp_path / "a.csv", row), "csv", tmp_path / "own", videos=clips)


def test_faults_are_left_out_on_request_and_counted(clips, tmp_path, capsys):
    faulty = ["nobody,3,10,5,40,45,run,1,", "pal,50,10,5,40,45,run,1,", "pal,3,40,5,10,45,run,1,"]
    source = csv_of(tmp_path / "a.csv", *rows_of("pal", range(10)), *faulty)
    import_dataset(source, "csv", tmp_path / "own", videos=clips, skip_faulty=True)
    said = capsys.readouterr().out
    assert "nobody" in said and "beyond their video's end" in said and "1 rows left out: x2 < x1" in said
    assert "train: 1 videos, 8 keyframes" in said


def test_other_faults_are_named(clips, tmp_path):
    with pytest.raises(ValueError, match="no column time_s or frame"):
        read_annotations(csv_of(tmp_path / "a.csv", header="video,x1,y1,x2,y2,action\n"), "csv")
    with pytest.raises(ValueError, match="line 2: class 'run' isn't in the label map"):
        read_annotations(csv_of(tmp_path / "a.csv", *rows_of("pal", [1], "run")), "csv", clips, label_map=["walk"])
    (tmp_path / "a.xml").write_text("<annotations><image/></annotations>", encoding="utf-8")
    with pytest.raises(ValueError, match='export the task as "CVAT for video 1.1"'):
        read_annotations(tmp_path / "a.xml", "cvat")
    (tmp_path / "a.json").write_text(
        '{"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": [], "categories": []}', encoding="utf-8"
    )
    with pytest.raises(ValueError, match="image 1, file_name 'x.jpg': can't tell its video and frame"):
        read_annotations(tmp_path / "a.json", "coco")
    with pytest.raises(ValueError, match="format 'yolo': expected one of csv, ava, coco, cvat"):
        read_annotations(tmp_path, "yolo")


CVAT = """<annotations><meta><task><labels>
<label><name>person</name><attributes>
<attribute><name>action</name><input_type>select</input_type></attribute>
<attribute><name>age</name><input_type>number</input_type></attribute></attributes></label>
<label><name>jump</name><attributes/></label></labels>
<source>pal.mp4</source></task></meta>
<track id="0" label="person">
<box frame="4" outside="0" keyframe="1" xtl="1" ytl="2" xbr="30" ybr="40">
<attribute name="action">walk</attribute><attribute name="age">7</attribute></box>
<box frame="5" outside="0" keyframe="0" xtl="1" ytl="2" xbr="30" ybr="40">
<attribute name="action">__undefined__</attribute></box>
<box frame="6" outside="1" keyframe="1" xtl="1" ytl="2" xbr="30" ybr="40">
<attribute name="action">walk</attribute></box></track>
<track id="2" label="jump"><polygon frame="4" outside="0" points="1,1;2,2;3,1"/></track>
<track id="1" label="jump"><box frame="4" outside="0" keyframe="1" xtl="31" ytl="2" xbr="60" ybr="40"/></track>
</annotations>"""


def test_cvats_selects_labels_and_outside_boxes(clips, tmp_path):
    (tmp_path / "a.xml").write_text(CVAT, encoding="utf-8")
    found = read_annotations(tmp_path / "a.xml", "cvat", videos=clips)
    assert found.label_map == {1: "jump", 2: "walk"} and set(found.notes) == {
        "1 boxes without an action left out",
        "1 polygon shapes left out",
    }
    assert found.table[["timestamp", "action_id", "person_id"]].values.tolist() == [[0.16, 2, 0], [0.16, 1, 1]]


def test_coco_names_frames_by_files(clips, tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "pal/img_00005.jpg", "width": 32, "height": 24}],
        "annotations": [{"id": 9, "image_id": 1, "category_id": 0, "bbox": [8, 6, 8, 12]}],
        "categories": [{"id": 0, "name": "run"}],
    }
    (tmp_path / "one.json").write_text(json.dumps(content), encoding="utf-8")
    row = read_annotations(tmp_path, "coco", clips, first_frame=1).table.iloc[0]
    assert row[["timestamp", *BOX_COLUMNS, "action_id"]].tolist() == [0.16, 0.25, 0.25, 0.5, 0.75, 1]
    assert read_annotations(tmp_path, "coco", clips, first_frame=1, rate=4).table.timestamp[0] == 1.0


def test_the_class_map_travels_in_the_checkpoint(clips, tmp_path, capsys):
    source = csv_of(tmp_path / "a.csv", *rows_of("pal", [5, 20], "run"), *rows_of("ten", [5, 20]))
    layout = import_dataset(source, "csv", tmp_path / "own", videos=clips, label_map=["walk", "run", "juggle"])
    setup = configure_training(ENTRY, RECIPE, layout, "cpu", "float32", workers=0)
    model = build_initial_model(setup, compute_prior_bias(load_keyframes(layout, "train")))
    assert model.roi_head.bbox_head.fc_cls.out_features == 4
    label_map = read_label_map(layout.label_map_path)
    path = save_checkpoint(model, tmp_path / "own.pth", recipe=RECIPE, label_map=label_map, protocol=layout.protocol)
    again = avalib.build_model(None, path, verbose=False)
    assert again.meta.label_map == {1: "walk", 2: "run", 3: "juggle"} and again.meta.protocol == "frame"
    check_classes(again, label_map)
    with pytest.raises(ValueError, match="class 1 is 'walk' there, 'sit' here"):
        check_classes(again, {1: "sit", 3: "juggle"})
    other = avalib.build_model(ENTRY, path, label_map={1: "run", 2: "walk", 3: "juggle"})
    assert "a new head: class 1 of own.pth is 'walk', 'run' is wanted" in capsys.readouterr().out
    assert other.meta.label_map[1] == "run" and len(other.report.initialized) == 2
    kept = avalib.build_model(ENTRY, path, label_map=label_map, verbose=False)
    assert not kept.report.initialized


def test_the_frame_protocol_is_mmactions_at_any_time():
    rng = np.random.default_rng(0)
    rows = {"video_id": ["a"] * 40, "timestamp": np.repeat(np.arange(10.0), 4), "action_id": np.tile([1, 2], 20)}
    low = rng.uniform(0, 0.5, (40, 2)).round(3)
    gt = pd.DataFrame(rows).assign(x1=low[:, 0], y1=low[:, 1], x2=low[:, 0] + 0.3, y2=low[:, 1] + 0.3)
    det = gt.assign(x1=gt.x1 + rng.normal(0, 0.12, 40), score=rng.random(40).round(3))
    names = {1: "juggle", 2: "run"}
    whole = evaluate(gt, det, names)
    shifted = [t.assign(timestamp=t.timestamp * 0.04 + 0.001) for t in (gt, det)]
    report = evaluate(*shifted, names, protocol="frame")
    assert 0 < report.mAP < 1 and report.mAP == whole.mAP == evaluate(gt, det, names, protocol="frame").mAP
    with pytest.raises(ValueError, match='use protocol "activitynet" or "frame"'):
        evaluate(*shifted, names)
    assert report.per_class["group"].tolist() == ["other", "other"]
    ledger = compare_protocols(*shifted, names, base="frame")
    assert ledger.protocol.tolist()[-1] == "frame" and ledger.mAP.iloc[-1] == report.mAP
