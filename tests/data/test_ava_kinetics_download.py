"""AVA-Kinetics from AVA's servers and a folder or server of clips to training clips; what is missing, and faults."""

import json
import os
import pickle
import re
import shutil

import fake_ava_server
import kinetics_clips
import numpy as np
import pandas as pd
import pytest
from numbered_videos import read_number

from avalib import zoo
from avalib.data import catalog
from avalib.data.ava_csv import read_ava_csv
from avalib.data.ava_kinetics_download import download_ava_kinetics
from avalib.data.ava_source import SERVERS
from avalib.data.dataset import ClipDataset
from avalib.data.download_record import get_download_record_path
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.validation import check
from avalib.utils import disk_space
from avalib.utils.disk_space import DiskFullError
from avalib.utils.download_errors import DownloadError
from avalib.video.dataset_frames import open_frames
from avalib.video.frame_source import FrameSource
from avalib.video.jpeg_folder import JpegFolder
from avalib.video.reader import Video

ENTRY = zoo.get("slowonly_r50")
RECIPE = zoo.update_recipe(zoo.build_mini_recipe(ENTRY), {"cache_short_side": None}, short_side=32)
PATIENCE = {"timeout_s": 2, "backoff_s": 0.01, "retries": 1, "progress": False}
WHOLE, IN_CLASS, SHORT = kinetics_clips.WHOLE, kinetics_clips.IN_CLASS, kinetics_clips.SHORT


@pytest.fixture(scope="module")
def servers(tiny, tmp_path_factory):
    """A folder with all files of AVA's servers, of AVA-Kinetics' annotations and of the clips."""
    folder = tmp_path_factory.mktemp("servers")
    fake_ava_server.publish(tiny, folder, "v2.2")
    kinetics_clips.write_archive(folder)
    kinetics_clips.write_clips(folder / "kinetics")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AVALIB_MIRROR", raising=False)


def prepare(root, folder, kinetics=None, **options):
    """(layout, record) of AVA-Kinetics in root/ava_kinetics, from a folder of `servers`."""
    mirrors = dict.fromkeys([*SERVERS, "kinetics_annotations"], folder)
    if kinetics:
        mirrors["kinetics"] = kinetics
    layout = DatasetLayout(root / "ava_kinetics", "ava_kinetics")
    return layout, download_ava_kinetics(layout, mirrors | options.pop("mirrors", {}), **(PATIENCE | options))


@pytest.fixture(scope="module")
def prepared(servers, tmp_path_factory):
    """(layout, record) of AVA-Kinetics with the clips of a folder. Nobody writes into it."""
    return prepare(tmp_path_factory.mktemp("data"), servers, servers / "kinetics")


def test_clips_are_linked_out_of_a_folder_and_its_classes(prepared, servers):
    layout, record = prepared
    assert sorted(path.name for path in layout.videos.iterdir()) == [f"{n}.mp4" for n in (IN_CLASS, WHOLE, SHORT)]
    assert layout.find_video(IN_CLASS).is_symlink() == (os.name != "nt")
    assert (record["videos"], record["videos_required"], record["clips"]) == (2, 5, 2)
    assert (record["boxes"], record["boxes_required"], record["labels"], record["labels_required"]) == (3, 6, 4, 8)


def test_both_parts_are_in_one_csv(prepared, tiny):
    layout, _ = prepared
    train = read_ava_csv(layout.get_csv_path("train"), "ground_truth")
    clips = train[train.video_id.isin([WHOLE, IN_CLASS])]
    assert clips.timestamp.tolist() == [14, 14, 14, 102], "decimals are cut off"
    assert clips.action_id.tolist() == [12, 80, 11, 12] and (clips.person_id == -1).all()
    lines = layout.get_csv_path("train").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"{WHOLE},0014,0.100,0.100,0.500,0.900,12,-1"
    # behind them AVA's own rows; val is AVA v2.2's
    assert train[len(clips) :].reset_index(drop=True).equals(read_ava_csv(tiny.get_csv_path("train"), "ground_truth"))
    assert layout.get_csv_path("val").read_bytes() == tiny.get_csv_path("val").read_bytes()
    assert layout.get_csv_path("val").name == "ava_val_v2.2.csv"


def test_what_is_missing_is_listed_with_what_it_costs(prepared):
    layout, record = prepared
    missing = pd.read_csv(layout.root / "missing_kinetics.csv").set_index("video_id")
    assert missing.loc["gonegonegon", ["keyframes", "boxes", "labels", "reason"]].tolist() == [1, 1, 2, "no clip of it"]
    assert missing.reason["outsideout0"] == f"second 9 is outside of {kinetics_clips.OUTSIDE}"
    assert missing.reason["shortshort0"] == f"{SHORT} is 3.00 s long, its name says 4 s"
    actions = pd.read_csv(layout.root / "missing_kinetics_actions.csv").set_index("action_id")
    assert actions.share_missing.to_dict() == {61: 1.0, 79: 1.0, 12: 0.5, 80: 0.0, 11: 0.0}
    assert actions.action[12] == "stand" and record["faulty_clips"] == {SHORT: missing.reason["shortshort0"]}


def test_the_summary_names_it_too(servers, tmp_path, capsys):
    prepare(tmp_path, servers, servers / "kinetics")
    printed = capsys.readouterr().out
    assert "2 of 5 videos (60.0% missing), 3 of 6 boxes (50.0% missing), 4 of 8 labels" in printed
    assert f"1 clip can't be used, such as: {SHORT} is 3.00 s long" in printed
    assert "1 videos aren't named as Kinetics names its clips" in printed and kinetics_clips.UNKNOWN in printed
    assert "no person boxes of Kinetics' clips (kinetics_proposal.pkl)" in printed
    capsys.readouterr()
    catalog.prepare("ava_kinetics", root=tmp_path / "ava_kinetics", progress=False)
    assert "2 of 5 videos" in capsys.readouterr().out, "a second call only tells"


def test_each_video_has_its_own_start(prepared):
    layout, _ = prepared
    keyframes = load_keyframes(layout, "train", training=True)
    start_s = dict(zip(keyframes.video_ids.tolist(), keyframes.start_s.tolist(), strict=True))
    assert (start_s.pop(WHOLE), start_s.pop(IN_CLASS)) == (12, 100) and set(start_s.values()) == {900}
    last = dict(zip(keyframes.video_ids.tolist(), keyframes.last_frame.tolist(), strict=True))
    assert last[WHOLE] == 4 * 30 - 1 and set(last.values()) == {119, 26999}


def test_clips_of_both_parts_are_read(prepared):
    layout, _ = prepared
    keyframes = load_keyframes(layout, "train", training=True)
    recipe = zoo.update_recipe(RECIPE, numbering="ava_kinetics", jitter_at_test=False)
    clips = ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training=True)
    names = keyframes.video_ids.tolist()
    for name in (WHOLE, next(name for name in names if not layout.get_clip(name))):
        sample = clips[names.index(name)]
        assert "missing" not in sample and sample["clip"].shape == (4, 32, 43, 3)
    # second 14 of a clip from 12 on: file numbers 60 - 32, … of MMAction2, frame n shows the number n - 1
    test_clips = ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training=False)
    numbers = test_clips.choose_frame_numbers(names.index(WHOLE), 0, 120)
    assert numbers.tolist() == [28, 44, 60, 76]
    frames = test_clips.frames.get_reader(WHOLE).read_ava_frames(numbers)
    assert [read_number(frame) for frame in frames] == [27, 43, 59, 75]


def test_a_clip_that_is_gone_is_named_before_training(prepared, tmp_path):
    layout = DatasetLayout(tmp_path / "ava_kinetics", "ava_kinetics")
    shutil.copytree(prepared[0].root, layout.root, symlinks=True)
    shutil.copytree(prepared[0].ava_root, layout.ava_root, symlinks=True)
    keyframes = [load_keyframes(layout, "train", training=True)]
    assert open_frames(layout, RECIPE, keyframes, progress=False).missing_keyframes.empty
    layout.find_video(WHOLE).unlink()
    missing = open_frames(layout, RECIPE, keyframes, progress=False, max_missing=1).missing_keyframes
    assert missing.video_id.tolist() == [WHOLE] and "no such video" in missing.reason[0]


def test_the_check_knows_clips(prepared):
    layout, _ = prepared
    table = check(layout, progress=False).table.set_index(["check", "split"])
    assert table.value["clips of Kinetics", "train"] == "2 with 4 labels"
    assert table.value["rows outside 902..1798 s or their clip", "train"] == 0
    assert table.value["videos", "train"] == 2, "the official numbers are AVA's"
    assert table.status["people with a person box, IoU 0.5", "train"] == "ok"
    assert WHOLE not in table.value["videos with a problem", "train"]


def test_a_row_outside_of_its_clip_is_wrong(prepared, tmp_path):
    layout = DatasetLayout(tmp_path / "ava_kinetics", "ava_kinetics")
    shutil.copytree(prepared[0].root, layout.root)
    shutil.copytree(prepared[0].ava_root, layout.ava_root)
    with open(layout.get_csv_path("train"), "a", encoding="utf-8") as file:
        file.write(f"{WHOLE},0018,0.1,0.1,0.5,0.9,12,-1\n")
    table = check(layout, progress=False).table.set_index(["check", "split"])
    row = table.loc["rows outside 902..1798 s or their clip", "train"]
    assert row.value == f"1, such as {WHOLE},18" and row.status == "wrong"


@pytest.mark.slow
def test_clips_come_from_a_server_and_interrupted_downloads_resume(servers, tmp_path, capsys):
    served = tmp_path / "served"
    served.mkdir()
    for path in (servers / "kinetics").rglob("*.mp4"):
        shutil.copy(path, served)
    names = [f"class1/{name}.mp4 1" for name in (WHOLE, IN_CLASS, SHORT, "gonegonegon_000003_000007")]
    (served / "kinetics700_train_list_videos.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    shutil.copy(servers / "ava_kinetics_v1_0.tar.gz", served)
    with fake_ava_server.serve_folder(served, {f"{WHOLE}.mp4": "cut 3000"}) as (url, asked):
        mirrors = {"kinetics_annotations": url}
        layout, record = prepare(tmp_path, servers, url, mirrors=mirrors, progress=True)
        assert (f"{WHOLE}.mp4", "bytes=3000-") in asked
        missing = pd.read_csv(layout.root / "missing_kinetics.csv").set_index("video_id")
        assert "HTTP 404" in missing.reason["gonegonegon"] and record["clips"] == 2
        first = len(asked)
        prepare(tmp_path, servers, url, mirrors=mirrors)
        again = {name for name, _ in asked[first:]}
        assert again == {"gonegonegon_000003_000007.mp4"}, "only what failed is asked for again"
    plan = capsys.readouterr().out
    assert re.search(r"clips of Kinetics +4 +0 +0\.0", plan)


def test_the_free_space_is_checked_before_clips_are_downloaded(servers, tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / f"{WHOLE}.mp4").write_bytes(bytes(30_000_000))
    list_path = tmp_path / "clips.txt"
    list_path.write_text(f"class1/{WHOLE}.mp4 1\n", encoding="utf-8")
    monkeypatch.setattr(disk_space, "get_free_bytes", lambda path: 29_000_000)
    with fake_ava_server.serve_folder(tmp_path / "served") as (url, _):
        with pytest.raises(DiskFullError, match=r"30.0 MB are needed \(for the downloads\), 29.0 MB"):
            prepare(tmp_path, servers, url, mirrors={"kinetics_list": str(list_path)})
    assert not (tmp_path / "ava_kinetics" / "videos" / f"{WHOLE}.mp4").exists()


def test_person_boxes_of_mmactions_script_are_merged(servers, tmp_path):
    boxes = kinetics_clips.write_proposals(tmp_path)
    layout, _ = prepare(tmp_path, servers, servers / "kinetics", mirrors={"kinetics_proposals": str(boxes.parent)})
    keyframes = load_keyframes(layout, "train", training=True)
    k = keyframes.video_ids.tolist().index(WHOLE)
    assert keyframes.get_proposals(k).tolist() == [[0.1, 0.1, 0.5, 0.9]]
    assert keyframes.n_without_proposals == 1, "the other clip has none"


@pytest.mark.parametrize("kind", ["frames", "videos"])
def test_a_folder_that_mmaction2_made_is_used_as_it_is(prepared, servers, tmp_path, kind):
    """Merged csv and pickle under AVA's names, clips cut, as frames or as videos; nothing is downloaded."""
    layout = DatasetLayout(tmp_path / "ava_kinetics", "ava_kinetics")
    shutil.copytree(prepared[0].annotations, layout.annotations)
    shutil.copytree(prepared[0].ava_root, layout.ava_root)
    with open(prepared[0].ava_root / "proposals" / "ava_dense_proposals_train.FAIR.recall_93.9.pkl", "rb") as file:
        boxes = pickle.load(file)
    boxes |= {"o3lCwWyyc_s,0014": np.array([[0.1, 0.1, 0.5, 0.9, 0.95]])}
    path = layout.annotations / "ava_dense_proposals_train.FAIR.recall_93.9.pkl"
    path.write_bytes(pickle.dumps(boxes))
    train = layout.get_csv_path("train").read_bytes()
    if kind == "frames":
        folder = layout.root / "rawframes" / WHOLE
        folder.mkdir(parents=True)
        with Video(servers / "kinetics" / f"{WHOLE}.mp4") as video:
            from PIL import Image

            for number, frame in enumerate(video.iter_ava_frames(), 1):
                Image.fromarray(frame).save(folder / f"img_{number:05d}.jpg")
    else:
        layout.videos.mkdir()
        shutil.copy(servers / "kinetics" / f"{WHOLE}.mp4", layout.videos)
    record = download_ava_kinetics(layout, **PATIENCE)
    assert (record["videos"], record["videos_required"], record["labels"]) == (1, 2, 3)
    assert layout.get_csv_path("train").read_bytes() == train
    keyframes = load_keyframes(layout, "train", training=True)
    k = keyframes.video_ids.tolist().index(WHOLE)
    assert keyframes.get_proposals(k).tolist() == [[0.1, 0.1, 0.5, 0.9]]
    frames = FrameSource(layout)
    assert isinstance(frames.get_reader(WHOLE), JpegFolder if kind == "frames" else Video)
    assert ClipDataset(keyframes, ENTRY, RECIPE, frames, training=True)[k]["clip"].shape == (4, 32, 43, 3)


def test_a_clip_that_is_no_video_is_listed(servers, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / f"{WHOLE}.mp4").write_bytes(b"no video")
    # another clip of the same seconds is taken in its place
    shutil.copy(servers / "kinetics" / f"{WHOLE}.mp4", clips / "o3lCwWyyc_s_000013_000016.mp4")
    layout, record = prepare(tmp_path, servers, clips)
    assert list(record["faulty_clips"]) == [WHOLE] and record["clips"] == 1
    assert "o3lCwWyyc_s_000013_000016" in layout.get_csv_path("train").read_text(encoding="utf-8")


def test_clips_are_opened_once(servers, tmp_path, monkeypatch):
    layout, _ = prepare(tmp_path, servers, servers / "kinetics")
    opened = []
    monkeypatch.setattr("avalib.data.kinetics_check.open_video", lambda layout, name: opened.append(name))
    _, record = prepare(tmp_path, servers, servers / "kinetics")
    assert not opened and list(record["faulty_clips"]) == [SHORT]
    assert json.loads(get_download_record_path(layout).read_text(encoding="utf-8"))["clips"] == 2


def test_without_clips_it_is_ava_and_says_what_is_missing(servers, tmp_path, capsys):
    layout, record = prepare(tmp_path, servers)
    assert (record["clips"], record["labels"], record["labels_required"]) == (0, 0, 8)
    ava = DatasetLayout(layout.ava_root, "v2.2")
    rows = [read_ava_csv(part.get_csv_path("train"), "ground_truth") for part in (layout, ava)]
    assert rows[0].equals(rows[1])
    printed = capsys.readouterr().out
    assert "no folder of Kinetics' clips is given" in printed and "8 labels (100.0% missing)" in printed
    # clips that come later are taken in
    _, record = prepare(tmp_path, servers, servers / "kinetics")
    assert record["clips"] == 2


def test_a_csv_with_six_columns_is_named(servers, tmp_path):
    kinetics_clips.write_annotations(tmp_path, [("o3lCwWyyc_s", "14.0", 0.1, 0.1, 0.5, 0.9)])
    with pytest.raises(ValueError, match=r"kinetics_train_v1.0.csv, line 1, 6 columns"):
        prepare(tmp_path / "data", servers, mirrors={"kinetics_annotations": str(tmp_path)})


def test_a_damaged_archive_is_named(servers, tmp_path):
    (tmp_path / "ava_kinetics_v1_0.tar.gz").write_bytes((servers / "ava_kinetics_v1_0.tar.gz").read_bytes()[:100])
    with pytest.raises(DownloadError, match=r"ava_kinetics_v1_0.tar.gz: .*Delete it and call again"):
        prepare(tmp_path / "data", servers, mirrors={"kinetics_annotations": str(tmp_path)})


def test_an_unknown_kind_of_mirror_is_named(tmp_path):
    layout = DatasetLayout(tmp_path / "ava_kinetics", "ava_kinetics")
    with pytest.raises(ValueError, match="mirrors: clips unknown; expected some of annotations"):
        download_ava_kinetics(layout, {"clips": "here"}, **PATIENCE)


def test_the_folder_of_ava_itself_is_refused(tmp_path):
    with pytest.raises(ValueError, match="AVA itself belongs there"):
        download_ava_kinetics(DatasetLayout(tmp_path / "ava", "ava_kinetics"), **PATIENCE)
