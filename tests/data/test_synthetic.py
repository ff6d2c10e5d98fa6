"""The rendered mini-AVA: formats, determinism, going on after a break, what is annotated, actions that need time."""

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
import pandas as pd
import pytest

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.label_map import read_label_map
from avalib.data.labels import GROUPS, get_action_group, get_action_names, get_evaluated_actions
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import read_proposals
from avalib.data.synthetic.generate import (
    RenderPool,
    annotate_video,
    build_takes,
    iter_frames,
    list_videos,
    make_video,
    render_dataset,
)
from avalib.data.synthetic.ground_truth import get_labels
from avalib.data.synthetic.motions import (
    ACTIONS,
    BENT,
    FALL_BACK,
    FALL_FORWARD,
    POSES,
    PRONE,
    RUN,
    SITTING,
    SQUAT,
    STAND,
    STANDING,
    SUPINE,
    TAKE,
    TIME_ACTIONS,
    WALK,
    along,
    hold,
    with_arms,
)
from avalib.data.synthetic.puppet import JOINTS, compute_joints
from avalib.data.synthetic.scenes import KINDS
from avalib.utils.boxes import compute_iou_matrix
from avalib.video.reader import Video

BOX = ["x1", "y1", "x2", "y2"]
SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return render_dataset(tmp_path_factory.mktemp("tiny"), "tiny", seed=3, progress=False)


@pytest.fixture(scope="module")
def val():
    """Annotations of the whole val split of `mini`, without drawing it: truth, excluded, proposals."""
    parts = ([], [], [])
    for spec in (s for s in list_videos("mini") if s.split == "val"):
        for part, rows in zip(parts, annotate_video(spec), strict=True):
            part += [(spec.video_id, *np.atleast_1d(row)) for row in rows]
    frame, last = ["video_id", "timestamp"], (["action_id", "person_id"], [], ["score"])
    columns = [[*frame, *(BOX if kind else []), *kind] for kind in last]
    return [pd.DataFrame(rows, columns=names) for rows, names in zip(parts, columns, strict=True)]


def files_of(layout):
    """{file: sha256} of everything in a rendered folder but the videos, whose containers may differ."""
    paths = [p for p in sorted(layout.root.rglob("*")) if p.is_file() and p.parent != layout.videos]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.name != "manifest.json"}


def pixels_of(layout):
    manifest = json.loads((layout.root / "manifest.json").read_text(encoding="utf-8"))
    return {name: entry["pixels_sha256"] for name, entry in manifest["videos"].items()}


# --- formats ----------------------------------------------------------------------------------------------------------


def test_the_layout_is_avas(tiny):
    for split in SPLITS:
        lines = tiny.get_csv_path(split).read_text(encoding="utf-8").splitlines()
        row = re.compile(r"[\w-]{11},09\d\d(,[01]\.\d{3}){4},\d{1,2},\d+")
        assert len(lines) > 10 and all(row.fullmatch(line) for line in lines)
        table = read_ava_csv(tiny.get_csv_path(split), "ground_truth")
        assert table.timestamp.min() >= 902 and set(table.action_id) <= set(ACTIONS)
        assert ((table.x1 < table.x2) & (table.y1 < table.y2)).all()
        proposals = read_proposals(tiny.get_proposals_path(split))
        assert set(proposals.video_id) == set(table.video_id) and proposals.score.between(0, 1).all()
        read_exclusions(tiny.get_exclusions_path(split))
    assert read_label_map(tiny.label_map_path) == get_action_names()
    assert list(read_label_map(tiny.evaluated_label_map_path)) == list(ACTIONS)
    assert set(ACTIONS) <= set(get_evaluated_actions()) and set(TIME_ACTIONS) < set(ACTIONS)
    assert {get_action_group(a) for a in ACTIONS} == set(GROUPS)


def test_videos_are_what_the_manifest_says(tiny):
    manifest = json.loads((tiny.root / "manifest.json").read_text(encoding="utf-8"))
    for spec in list_videos("tiny", seed=3):
        entry = manifest["videos"][spec.video_id]
        with Video(tiny.find_video(spec.video_id)) as opened:
            assert (opened.width, opened.height, opened.n_frames) == (320, 240, entry["frames"])
            assert opened.fps == pytest.approx(float(spec.fps), rel=1e-3)
            first = next(opened.iter_frames()).astype(int)
        raw = next(iter_frames(spec))
        assert raw.shape == (240, 320, 3) and raw.dtype == np.uint8
        assert np.abs(first - raw).mean() < 8  # the encoder keeps the picture
    for name, sha in manifest["files"].items():
        assert files_of(tiny)[name] == sha


def test_names_rates_and_containers_vary():
    specs = list_videos("mini")
    assert len({s.video_id for s in specs}) == len(specs) and all(len(s.video_id) == 11 for s in specs)
    assert {round(float(s.fps), 2) for s in specs} == {25.0, 29.97, 30.0}
    assert [s.suffix for s in specs].count(".mkv") == 1
    assert all(20 <= s.n_frames / s.fps <= 60 for size in ("mini", "large") for s in list_videos(size))
    assert not {s.video_id for s in specs} & {s.video_id for s in list_videos("mini", seed=1)}


def test_a_size_may_have_one_kind_of_shot_only():
    specs = list_videos("falls")
    assert {kind for s in specs for kind in s.kinds} == {"falls"} and len(specs[0].kinds) > 4
    assert {kind for s in list_videos("mini") for kind in s.kinds} == set(KINDS)


# --- the same again, and going on -------------------------------------------------------------------------------------


def test_a_second_call_does_nothing_and_a_lost_video_is_made_again(tiny, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(tiny.root, root)
    layout, lost = DatasetLayout(root, "mini"), list_videos("tiny", 3)[2]
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    render_dataset(root, "tiny", seed=3)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before
    layout.find_video(lost.video_id).unlink()
    layout.get_csv_path("train").write_text("spoilt\n", encoding="utf-8")
    render_dataset(root, "tiny", seed=3, progress=False)
    kept = [p for p in layout.videos.iterdir() if p.stem != lost.video_id]
    assert len(kept) == 2 and all(p.stat().st_mtime_ns == before[p] for p in kept)
    assert files_of(layout) == files_of(tiny) and pixels_of(layout) == pixels_of(tiny)


@pytest.mark.slow
def test_interrupted_in_parallel_it_goes_on_and_ends_the_same(tiny, tmp_path):
    code = "import sys; from avalib import mini; mini.render(sys.argv[1], 'tiny', 3, workers=2, progress=False)"
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's & switches it off
    code = heed + code
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE)
    videos = tmp_path / "videos"
    while process.poll() is None and not (tmp_path / "manifest.json").exists():  # written after every video
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate()[1]
    made = {p: p.stat().st_mtime_ns for p in videos.iterdir()}
    assert 0 < len(made) < 3 and not any(".part" in p.name for p in made)
    assert not (tmp_path / "annotations").exists()
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    layout = DatasetLayout(tmp_path, "mini")
    assert files_of(layout) == files_of(tiny) and pixels_of(layout) == pixels_of(tiny)
    known = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["videos"]
    assert len(known) == 3 and any(p.stat().st_mtime_ns == at for p, at in made.items())


def test_wrong_requests_are_refused(tiny, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="'huge'.*tiny, mini, large"):
        render_dataset(tmp_path, "huge")
    with pytest.raises(ValueError, match="holds seed 3, 4 was asked for"):
        render_dataset(tiny.root, "tiny", seed=4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match=re.escape(str(tmp_path)) + ".*MB are needed"):
        render_dataset(tmp_path, "tiny", progress=False)
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


def test_a_file_that_cannot_be_written_is_named_and_not_left_half(tmp_path):
    resource = pytest.importorskip("resource")
    with pytest.raises(OSError, match=r"[\w-]{11}\.mp4: .* MB are needed, .* MB are free"):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            render_dataset(tmp_path, "tiny", progress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


def test_a_failure_names_the_video(tmp_path):
    spec = dataclasses.replace(list_videos("tiny")[0], kinds=("opera", "opera"))
    with RenderPool(1, [spec], tmp_path) as jobs, pytest.raises(RuntimeError, match=f"{spec.file}.*opera"):
        list(jobs.each(make_video, [spec], tmp_path))
    assert not list(tmp_path.iterdir())


def test_import_needs_no_torch():
    code = "import sys, avalib.data.synthetic; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what is annotated ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_action_is_there_with_a_long_tail(val):
    truth, excluded, _ = val
    counts = truth.action_id.value_counts()
    people = truth.drop_duplicates(["video_id", "timestamp", "person_id"])
    assert set(counts.index) == set(ACTIONS) and counts.min() >= 25
    assert counts.max() > 8 * counts.min() and counts.idxmax() == STAND
    keyframes = people.drop_duplicates(["video_id", "timestamp"])
    assert 1.5 < len(truth) / len(people) < 2.5 and 2 < len(people) / len(keyframes) < 4
    assert 1 <= len(excluded) < 0.1 * len(keyframes)
    poses = truth[truth.action_id.isin(POSES)]
    assert len(poses) == len(people)  # one pose each


@pytest.mark.slow
def test_proposals_are_like_a_detectors(val):
    truth, _, proposals = val
    people = truth.drop_duplicates(["video_id", "timestamp", "person_id"])
    sure = dict(list(proposals[proposals.score >= 0.9].groupby(["video_id", "timestamp"])))
    overlaps = []
    for key, group in people.groupby(["video_id", "timestamp"]):
        found = sure[key][BOX].to_numpy() if key in sure else np.zeros((0, 4))
        overlaps += compute_iou_matrix(group[BOX].to_numpy(), found).max(axis=1, initial=0).tolist()
    overlaps = np.array(overlaps)
    assert 0.87 < (overlaps >= 0.5).mean() < 0.96
    assert 0.8 < np.median(overlaps) < 0.97  # jittered, not copied
    assert (proposals.score < 0.9).mean() > 0.05 and proposals.groupby(["video_id", "timestamp"]).size().mean() < 5


@pytest.mark.slow
def test_person_ids_persist(val):
    truth, _, _ = val
    people = truth.drop_duplicates(["video_id", "timestamp", "person_id"])
    boxes_of = people.drop_duplicates(["video_id", "timestamp", *BOX])
    assert len(boxes_of) == len(people)
    seconds = people.groupby(["video_id", "person_id"]).timestamp.agg(lambda t: len(set(t)))
    assert seconds.median() > 8  # of some 30 annotated
    for spec in list_videos("mini")[:2]:
        cast = {p.character.person_id: p.character for _, take in build_takes(spec) for p in take.shot.performers}
        seen = [p.character for _, take in build_takes(spec) for p in take.shot.performers]
        assert len(cast) < len(seen) and all(cast[c.person_id] == c for c in seen)


def test_boxes_hold_the_drawn_body():
    """Against the difference that leaving a person out makes to the picture."""
    spec = list_videos("mini")[1]
    checked = 0
    for _, take in build_takes(spec):
        i = len(take.times) // 2
        for k, performer in enumerate(take.shot.performers):
            if performer.prop or performer.seat or take.tracks[k].phone[i]:
                continue
            mask = take.mask(i) == k + 1
            order = take.order
            shown = take.draw(i, np.random.default_rng(0)).astype(int)
            take.order = [other for other in order if other != k]
            without = take.draw(i, np.random.default_rng(0)).astype(int)
            take.order = order
            rows, columns = np.nonzero(np.abs(shown - without).sum(axis=2) > 12)
            if mask.sum() < 5000:
                continue
            rows_m, columns_m = np.nonzero(mask[::2, ::2])
            drawn = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
            held = np.array([[columns_m.min(), rows_m.min(), columns_m.max() + 1, rows_m.max() + 1]])
            assert compute_iou_matrix(drawn, held)[0, 0] > 0.7, performer
            checked += 1
    assert checked >= 4


def test_labels_follow_half_a_second_either_side():
    labels = [(12,)] * 40 + [(12, 69)] * 30 + [(5,)] * 40
    assert get_labels(labels, 20, 30) == [12]
    assert get_labels(labels, 55, 30) == [12, 69]
    assert get_labels(labels, 75, 30) == [5]


def test_train_and_val_share_nobody():
    looks = {split: set() for split in SPLITS}
    for spec in list_videos("tiny"):
        for _, take in build_takes(spec):
            looks[spec.split] |= {dataclasses.replace(p.character, person_id=0) for p in take.shot.performers}
            looks[spec.split].add(take.shot.place)
    assert not looks["train"] & looks["val"]


# --- actions that need time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [FALL_FORWARD, FALL_BACK, TAKE])
def test_the_way_back_is_the_way_there_in_reverse(keys):
    """Falling and getting up, lifting and putting down: the same poses and joints, in the other order."""
    u = np.linspace(0, 1, 21)
    there, back = along(keys)(u, u), along(keys, backwards=True)(u, u)
    np.testing.assert_allclose(back, there[::-1], atol=1e-9)
    np.testing.assert_allclose(compute_joints(back), compute_joints(there)[::-1], atol=1e-9)
    assert np.abs(there[0] - there[-1]).max() > 30


def test_running_is_faster_than_walking_and_waving_moves():
    speeds = {WALK: [], RUN: []}
    for spec in list_videos("mini")[:8]:
        for _, take in build_takes(spec):
            for track in take.tracks:
                pace = np.abs(np.gradient(track.x) * float(spec.fps)) / np.maximum(
                    np.abs(np.cos(np.radians(track.yaw))), 0.3
                )
                for action in speeds:
                    speeds[action] += pace[[action in labels for labels in track.labels]].tolist()
    assert np.percentile(speeds[RUN], 20) > 1.3 * np.percentile(speeds[WALK], 80)
    rng, t = np.random.default_rng(0), np.linspace(0, 2, 60)
    for what, swings in (("wave", True), ("raised", False)):
        poses = with_arms(hold(STANDING, rng), rng, what)(t, t / 2)
        hands = compute_joints(poses)[:, [JOINTS.index("fil"), JOINTS.index("fir")]]
        assert (np.ptp(hands, axis=0).max() > 0.2) == swings
        assert hands[..., 2].max() > 0.65  # an arm is out or up either way


def test_bodies_touch_the_ground_and_keep_their_lengths():
    rng = np.random.default_rng(1)
    for still in (STANDING, SITTING, SQUAT, SUPINE, PRONE, BENT):
        joints = compute_joints(hold(still, rng)(np.linspace(0, 3, 9), np.zeros(9)))
        assert np.allclose((joints[..., 2]).min(axis=1), 0.03, atol=0.06)
        j = {name: joints[:, i] for i, name in enumerate(JOINTS)}
        np.testing.assert_allclose(np.linalg.norm(j["knl"] - j["hil"], axis=1), 0.235, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(j["elr"] - j["shr"], axis=1), 0.165, atol=1e-9)
    heights = [compute_joints(p[None])[0, 2, 2] for p in (STANDING, SITTING, SQUAT, SUPINE)]
    assert heights == sorted(heights, reverse=True) and heights[0] > 0.8 > 0.25 > heights[-1]
