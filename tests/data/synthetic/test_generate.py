"""The rendered data set: its files, that it is deterministic, and that an interrupted call resumes."""

import dataclasses
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import read_proposals
from avalib.data.synthetic.action_ids import ACTIONS
from avalib.data.synthetic.generate import build_takes, iter_frames, render_dataset, render_video
from avalib.data.synthetic.scenes import SHOT_KINDS
from avalib.data.synthetic.video_specs import list_videos
from avalib.video.reader import Video

SPLITS = ("train", "val")
RENDER_TINY = (  # a shell's & switches Ctrl-C off; here it is on
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from avalib.data.synthetic import render_dataset; "
    "render_dataset(sys.argv[1], 'tiny', 3, workers=2, progress=False)"
)


def hash_tables(layout):
    """{file: sha256} of a rendered folder's annotations; videos are left out, as their containers may differ."""
    paths = [path for path in sorted(layout.root.rglob("*")) if path.is_file() and path.parent != layout.videos]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.name != "manifest.json"}


def read_manifest(root):
    return json.loads((root / "manifest.json").read_text(encoding="utf-8"))


def get_pixel_hashes(layout):
    return {video_id: entry["pixels_sha256"] for video_id, entry in read_manifest(layout.root)["videos"].items()}


def get_write_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_csv_lines_are_avas(split, rendered):
    lines = rendered.get_csv_path(split).read_text(encoding="utf-8").splitlines()
    row = re.compile(r"[\w-]{11},09\d\d(,[01]\.\d{3}){4},\d{1,2},\d+")
    assert len(lines) > 10
    assert all(row.fullmatch(line) for line in lines)


@pytest.mark.parametrize("split", SPLITS)
def test_annotations_are_valid(split, rendered):
    table = read_ava_csv(rendered.get_csv_path(split), "ground_truth")
    assert table.timestamp.min() >= 902
    assert set(table.action_id) <= set(ACTIONS)
    assert (table.x1 < table.x2).all()
    assert (table.y1 < table.y2).all()
    read_exclusions(rendered.get_exclusions_path(split))


@pytest.mark.parametrize("split", SPLITS)
def test_proposals_are_of_the_annotated_videos(split, rendered):
    table = read_ava_csv(rendered.get_csv_path(split), "ground_truth")
    proposals = read_proposals(rendered.get_proposals_path(split))
    assert set(proposals.video_id) == set(table.video_id)
    assert proposals.score.between(0, 1).all()


def test_label_maps_are_avas_and_the_actions_that_occur(rendered):
    assert read_label_map(rendered.label_map_path) == get_action_names()
    assert list(read_label_map(rendered.evaluated_label_map_path)) == list(ACTIONS)


def test_videos_are_what_the_manifest_says(rendered):
    entries = read_manifest(rendered.root)["videos"]
    for spec in list_videos("tiny", seed=3):
        with Video(rendered.find_video(spec.video_id)) as video:
            assert (video.width, video.height, video.n_frames) == (320, 240, entries[spec.video_id]["frames"])
            assert video.fps == pytest.approx(float(spec.fps), rel=1e-3)


def test_the_encoder_keeps_the_picture(rendered):
    spec = list_videos("tiny", seed=3)[0]
    with Video(rendered.find_video(spec.video_id)) as video:
        encoded = next(video.iter_frames()).astype(int)
    raw = next(iter_frames(spec))
    assert raw.shape == (240, 320, 3)
    assert raw.dtype == np.uint8
    assert np.abs(encoded - raw).mean() < 8


def test_tables_have_the_hashes_of_the_manifest(rendered):
    assert hash_tables(rendered) == read_manifest(rendered.root)["files"]


# --- which videos -----------------------------------------------------------------------------------------------------


def test_video_ids_are_youtubes_and_differ():
    specs = list_videos("mini")
    assert {len(spec.video_id) for spec in specs} == {11}
    assert len({spec.video_id for spec in specs}) == len(specs)
    assert not {spec.video_id for spec in specs} & {spec.video_id for spec in list_videos("mini", seed=1)}


def test_rates_and_containers_vary():
    specs = list_videos("mini")
    assert {round(float(spec.fps), 2) for spec in specs} == {25.0, 29.97, 30.0}
    assert [spec.suffix for spec in specs].count(".mkv") == 1


@pytest.mark.parametrize("size", ["mini", "large"])
def test_videos_last_20_to_60_seconds(size):
    assert all(20 <= spec.duration_s <= 60 for spec in list_videos(size))


def test_a_size_may_have_one_kind_of_shot_only():
    specs = list_videos("falls")
    assert {kind for spec in specs for kind in spec.kinds} == {"falls"}
    assert len(specs[0].kinds) > 4


def test_mini_has_all_kinds_of_shots():
    assert {kind for spec in list_videos("mini") for kind in spec.kinds} == set(SHOT_KINDS)


def test_train_and_val_share_no_looks_and_no_places():
    looks = {split: set() for split in SPLITS}
    for spec in list_videos("tiny"):
        for placed in build_takes(spec):
            shot = placed.take.shot
            looks[spec.split] |= {dataclasses.replace(each.character, person_id=0) for each in shot.performers}
            looks[spec.split].add(shot.place)
    assert not looks["train"] & looks["val"]


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_a_second_call_writes_nothing(rendered):
    before = get_write_times(rendered.root)
    render_dataset(rendered.root, "tiny", seed=3)
    assert get_write_times(rendered.root) == before


@pytest.fixture(scope="module")
def repaired(rendered, tmp_path_factory):
    """(layout, write times before) of a data set that lost a video and had a csv overwritten, rendered again."""
    root = tmp_path_factory.mktemp("repaired") / "copy"
    shutil.copytree(rendered.root, root)
    layout = DatasetLayout(root, "mini")
    before = get_write_times(root)
    layout.find_video(list_videos("tiny", 3)[2].video_id).unlink()
    layout.get_csv_path("train").write_text("damaged\n", encoding="utf-8")
    render_dataset(root, "tiny", seed=3, progress=False)
    return layout, before


def test_only_a_missing_video_is_rendered_again(repaired):
    layout, before = repaired
    missing_id = list_videos("tiny", 3)[2].video_id
    others = [path for path in layout.videos.iterdir() if path.stem != missing_id]
    assert len(others) == 2
    assert all(path.stat().st_mtime_ns == before[path] for path in others)


def test_a_repaired_data_set_is_the_same(repaired, rendered):
    layout, _ = repaired
    assert hash_tables(layout) == hash_tables(rendered)
    assert get_pixel_hashes(layout) == get_pixel_hashes(rendered)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """(folder, stderr, {video: write time}) of a rendering in processes that Ctrl-C stopped after the first video."""
    root = tmp_path_factory.mktemp("interrupted")
    process = subprocess.Popen([sys.executable, "-c", RENDER_TINY, str(root)], stderr=subprocess.PIPE)
    while process.poll() is None and not (root / "manifest.json").exists():  # it is written after every video
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate()[1]
    return root, stderr, get_write_times(root / "videos")


@pytest.mark.slow
def test_an_interruption_leaves_only_whole_videos(interrupted):
    root, stderr, videos = interrupted
    assert b"KeyboardInterrupt" in stderr
    assert 0 < len(videos) < 3
    assert not any(".part" in path.name for path in videos)
    assert not (root / "annotations").exists()


@pytest.mark.slow
def test_an_interrupted_rendering_resumes_and_ends_the_same(interrupted, rendered, tmp_path):
    root, _, videos = interrupted
    subprocess.run([sys.executable, "-c", RENDER_TINY, str(root)], check=True)
    layout = DatasetLayout(root, "mini")
    assert hash_tables(layout) == hash_tables(rendered)
    assert get_pixel_hashes(layout) == get_pixel_hashes(rendered)
    assert any(path.stat().st_mtime_ns == written for path, written in videos.items())


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'huge'.*tiny, mini, large"):
        render_dataset(tmp_path, "huge")


def test_a_folder_of_another_seed_is_refused(rendered):
    with pytest.raises(ValueError, match="holds seed 3, expected 4"):
        render_dataset(rendered.root, "tiny", seed=4)


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match=re.escape(str(tmp_path)) + ".*MB are needed"):
        render_dataset(tmp_path, "tiny", progress=False)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_named_and_not_left_half(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match=r"[\w-]{11}\.mp4: .* MB are needed, .* MB are free"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            render_dataset(tmp_path, "tiny", progress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_failure_names_the_video(tmp_path):
    spec = dataclasses.replace(list_videos("tiny")[0], kinds=("opera", "opera"))
    with pytest.raises(RuntimeError, match=f"{spec.file_name}.*opera"):
        render_video(spec, tmp_path, is_missing=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_import_needs_no_torch():
    code = "import sys, avalib.data.synthetic; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
