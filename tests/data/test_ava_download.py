"""The real AVA's way from servers to clips, on a miniature of it behind a real server; jpg folders; what is lost."""

import json
import os
import pickle
import shutil
import zipfile

import fake_ava_server
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from avalib import zoo
from avalib.data import catalog
from avalib.data.ava_csv import read_ava_csv
from avalib.data.ava_download import download_ava, list_required_videos
from avalib.data.ava_source import SERVERS, build_source
from avalib.data.dataset import ClipDataset
from avalib.data.download_plan import RequiredVideos, plan_downloads
from avalib.data.download_record import get_download_record_path, read_download_record
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.video_survey import survey_videos
from avalib.utils.download_errors import DownloadError
from avalib.video.dataset_frames import open_frames
from avalib.video.frame_source import FrameSource, open_video
from avalib.video.reader import Video
from avalib.video.video_error import VideoError

ENTRY = zoo.get("slowonly_r50")
PATIENCE = {"timeout_s": 2, "backoff_s": 0.01, "retries": 1, "progress": False}


@pytest.fixture(scope="module")
def servers(tiny, tmp_path_factory):
    """A folder with all files of the official servers, in small; -> (folder, {video_id: file name})."""
    folder = tmp_path_factory.mktemp("servers")
    return folder, fake_ava_server.publish(tiny, folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AVALIB_MIRROR", raising=False)


def prepare(root, place, version="v2.1", **options):
    layout = DatasetLayout(root, version)
    return layout, download_ava(layout, dict.fromkeys(SERVERS, place), **(PATIENCE | options))


def layout_of(tiny, root, folder):
    """The tiny set's annotations as AVA v2.1's in `root`, its videos left out."""
    layout, _ = prepare(root, folder)
    shutil.rmtree(layout.videos)
    return layout


@pytest.mark.slow
def test_from_an_empty_disk(servers, tiny, tmp_path, capsys):
    folder, names = servers
    first = next(iter(names.values()))
    mirrors = {}
    with fake_ava_server.serve_folder(folder, {first: "cut 50000"}) as (url, asked):
        mirrors = dict.fromkeys(SERVERS, url)
        layout = catalog.prepare("ava2.1", root=tmp_path / "ava", mirrors=mirrors, **PATIENCE)
        assert (first, "bytes=50000-") in asked, "a cut connection goes on where it ended"
        asked.clear()
        catalog.prepare("ava2.1", root=tmp_path / "ava", mirrors=mirrors, again=True, **PATIENCE)
        assert not asked, "what is there is not asked for again"
    assert "labels of the test split were never published" in capsys.readouterr().out
    record = json.loads(get_download_record_path(layout).read_text(encoding="utf-8"))
    assert (record["videos"], record["missing_videos"]) == (3, []) and len(record["hashes"]) == 9
    assert catalog.prepare("ava2.1", root=tmp_path / "ava") == layout  # no server, no question
    videos = survey_videos(layout)
    assert (videos.frames > 0).all()
    # the rendered videos are seconds long; nothing else is wrong with them
    assert videos.problem.str.fullmatch(r"expected 27,030 frames, found \d{3}").all()
    for name in names:
        with open_video(layout, name) as uncut, Video(tiny.find_video(name)) as cut:
            before = len(fake_ava_server.BEFORE)
            assert (uncut.ava_index - before).tolist() == cut.ava_index.tolist()
            assert np.abs(uncut.read_ava_frames([100])[0].astype(int) - cut.read_ava_frames([100])[0]).mean() < 4
    recipe = zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=32, cache_short_side=None)
    keyframes = load_keyframes(layout, "val")
    clips = ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training=True)
    assert clips[0]["clip"].shape == (4, 32, 43, 3) and "missing" not in clips[0]


def test_v22_shares_the_videos(servers, tiny, tmp_path):
    folder, _ = servers
    prepare(tmp_path, folder)
    with zipfile.ZipFile(folder / "ava_v2.1.zip") as old, zipfile.ZipFile(tmp_path / "ava_v2.2.zip", "w") as new:
        for name in old.namelist():
            new.writestr("ava_v2.2/" + name.replace("v2.1", "v2.2").replace("2018", "2019"), old.read(name))
    with fake_ava_server.serve_folder(tmp_path) as (url, asked):
        layout = DatasetLayout(tmp_path, "v2.2")
        record = download_ava(layout, {"annotations": url}, **PATIENCE)
    assert [name for name, _ in asked] == ["ava_v2.2.zip"] and record["videos"] == 3
    assert layout.get_csv_path("val").read_bytes() == tiny.get_csv_path("val").read_bytes()


def test_a_record_with_earlier_names_is_read(tmp_path):
    path = tmp_path / "prepare_v2.2.json"
    path.write_text('{"videos_wanted": 2, "not_had": [{"video_id": "a", "classes_lost": "swim"}]}', encoding="utf-8")
    record = {"videos_required": 2, "missing_videos": [{"video_id": "a", "missing_classes": "swim"}]}
    assert read_download_record(path) == record


def test_what_can_not_be_had_is_listed_with_what_it_costs(servers, tiny, tmp_path, capsys):
    folder, names = servers
    gone = read_ava_csv(tiny.get_csv_path("val"), "ground_truth").video_id[0]
    with fake_ava_server.serve_folder(folder, {names[gone]: "404"}) as (url, _):
        layout, record = prepare(tmp_path, url)
    (row,) = record["missing_videos"]
    truth = read_ava_csv(tiny.get_csv_path("val"), "ground_truth")
    assert row["video_id"] == gone and "HTTP 404" in row["reason"] and row["split"] == "val"
    assert (row["keyframes"], row["labels"]) == (truth.timestamp.nunique(), len(truth))
    assert row["classes"] == truth.action_id.nunique() and len(row["missing_classes"].split(", ")) == row["classes"]
    assert f"missing: {gone}" in capsys.readouterr().out
    assert pd.read_csv(layout.root / "missing_videos_v2.1.csv").video_id.tolist() == [gone]
    recipe = zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=32, cache_short_side=None)
    with pytest.raises(VideoError, match=rf"1 of 1 videos are missing.*more than the 1% allowed.*{gone}"):
        open_frames(layout, recipe, [load_keyframes(layout, "val")])
    layout, record = prepare(tmp_path, folder)  # from elsewhere
    assert record["missing_videos"] == [] and layout.find_video(gone).is_symlink() == (os.name != "nt")


def test_a_video_that_is_none_or_too_short_is_kept_apart(servers, tiny, tmp_path):
    folder, names = servers
    other = shutil.copytree(folder, tmp_path / "other")
    first, second, _ = names
    (other / names[first]).write_bytes(b"no video at all")
    shutil.copy(tiny.find_video(second), other / names[second])  # a cut, where an uncut one belongs
    with fake_ava_server.serve_folder(other) as (url, _):
        layout, record = prepare(tmp_path / "ava", url)
    reasons = {row["video_id"]: row["reason"] for row in record["missing_videos"]}
    assert "not readable as a video" in reasons[first] and "begin at 900 s" in reasons[second]
    assert (layout.videos / f"{names[first]}.refused").is_file()
    shutil.copy(tiny.find_video(second), layout.videos / names[second])
    with open_video(layout, second) as opened, pytest.raises(VideoError, match="nothing from second 900 on"):
        opened.read_ava_frames([1])


@pytest.mark.slow
def test_cuts_show_what_the_uncut_videos_show(servers, tmp_path):
    folder, names = servers
    layout, _ = prepare(tmp_path, folder, cut=True, max_videos=1, workers=1)
    name = list_required_videos(layout, 1)[0]
    with open_video(layout, name) as cut, Video(layout.videos / names[name], cut=(900, 901)) as uncut:
        assert cut.path.parent == layout.cuts and cut.n_ava_frames == uncut.n_ava_frames
        a, b = cut.read_ava_frames(range(50, 60)).astype(int), uncut.read_ava_frames(range(50, 60)).astype(int)
        apart = np.abs(a[:, None] - b[None]).mean(axis=(2, 3, 4))
        assert apart.diagonal().max() < 4 and (apart.argmin(axis=1) - np.arange(10) <= 0).all()
    made = (layout.cuts / f"{name}.mp4").stat().st_mtime_ns
    prepare(tmp_path, folder, cut=True, max_videos=1, workers=1)
    assert (layout.cuts / f"{name}.mp4").stat().st_mtime_ns == made


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["img_{:05d}.jpg", "{name}_{:06d}.jpg"])
def test_folders_of_jpgs_are_found_and_give_the_same_clips(servers, tiny, tmp_path, spelling):
    layout = layout_of(tiny, tmp_path, servers[0])
    name = read_ava_csv(layout.get_csv_path("val"), "ground_truth").video_id[0]
    (folder := tmp_path / "rawframes" / name).mkdir(parents=True)
    with Video(tiny.find_video(name)) as cut:
        for number, frame in enumerate(cut.iter_ava_frames(), 1):
            Image.fromarray(frame).save(folder / spelling.format(number, name=name), quality=95)
            Image.fromarray(frame[:8, :8]).save(folder / f"flow_x_{number:05d}.jpg")
    recipe = zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=32, cache_short_side=None)
    keyframes = load_keyframes(layout, "val")
    (a, b) = (
        ClipDataset(keyframes, ENTRY, recipe, FrameSource(place), training=True)[(3, 1)]["clip"].int()
        for place in (layout, tiny)
    )
    assert (a - b).abs().float().mean() < 2


def test_damaged_or_foreign_files_are_refused(servers, tmp_path):
    folder, _ = servers
    other = shutil.copytree(folder, tmp_path / "other")
    data = bytearray((folder / "ava_v2.1.zip").read_bytes())
    data[200] ^= 255
    (other / "ava_v2.1.zip").write_bytes(data)
    with pytest.raises(DownloadError, match=r"ava_v2.1.zip: .*(damaged|CRC|decompressing|Bad).*Delete it"):
        prepare(tmp_path / "a", other)
    with zipfile.ZipFile(other / "ava_v2.1.zip", "w") as empty:
        empty.writestr("readme", "")
    with pytest.raises(DownloadError, match=r"it has no ava_train_v2.1.csv"):
        prepare(tmp_path / "b", other)
    shutil.copy(folder / "ava_v2.1.zip", other)
    boxes = DatasetLayout(other, "v2.1").get_proposals_path("test").name
    (other / boxes).write_bytes(pickle.dumps({"a,0902": os.getcwd}))
    with pytest.raises(DownloadError, match=r"getcwd.*numpy arrays and nothing else"):
        prepare(tmp_path / "c", other)
    with pytest.raises(ValueError, match="mirrors: video unknown; expected some of annotations, names, videos"):
        download_ava(DatasetLayout(tmp_path, "v2.1"), {"video": "here"})
    with pytest.raises(DownloadError, match="not in this mirror"):
        prepare(tmp_path / "d", tmp_path)


def test_a_mirror_in_the_environment_keeps_its_files(servers, tmp_path, monkeypatch):
    folder, _ = servers
    before = sorted(path.name for path in folder.iterdir())
    monkeypatch.setenv("AVALIB_MIRROR", str(folder))
    record = download_ava(DatasetLayout(tmp_path, "v2.1"), **PATIENCE)
    assert record["videos"] == 3 and sorted(path.name for path in folder.iterdir()) == before


def test_the_plan_asks_the_servers_for_sizes(servers, tmp_path):
    folder, names = servers
    layout, _ = prepare(tmp_path, folder)
    videos = RequiredVideos(ids=list(names), pending=list(names), file_names=names)
    with fake_ava_server.serve_folder(folder) as (url, _):
        source = build_source(dict.fromkeys(SERVERS, url))
        steps = plan_downloads(layout, videos, source, cut=True).set_index("step")
    size = sum((folder / name).stat().st_size for name in names.values()) / 1e9
    assert steps.loc["videos", "GB"] == pytest.approx(size, abs=0.001) and steps.loc["videos", "present"] == 0
    assert steps.loc["person boxes", "present"] == 3 and steps.loc["cuts", "minutes"] > 0
