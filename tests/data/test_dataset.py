import pickle
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.dataset import ClipDataset
from avalib.data.exclusions import write_exclusions
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.loader import build_loader
from avalib.data.proposals import write_proposals
from avalib.data.samplers import PerVideoBatchSampler, TrainBatchSampler, order_in_stretches
from avalib.evaluation.inference import build_detections_table
from avalib.utils.boxes import to_pixels
from avalib.video.dataset_frames import find_missing_keyframes, open_frames
from avalib.video.frame_cache_builder import build_frame_caches, estimate_frame_caches
from avalib.video.frame_source import FrameSource, get_cache_path
from avalib.video.reader import Video
from avalib.video.resize import resize_frames_and_boxes
from avalib.video.video_error import VideoError

ENTRY = zoo.get("slowonly_r50")
RECIPE = zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=48, cache_short_side=None)
RECIPE = replace(RECIPE, cache_short_side=None)


def clips_of(layout, split, training, recipe=RECIPE):
    keyframes = load_keyframes(layout, split, recipe.person_score, training)
    return ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training)


def test_keyframes_are_the_csvs(tiny):
    table = read_ava_csv(tiny.get_csv_path("train"), "ground_truth")
    keyframes = load_keyframes(tiny, "train")
    assert len(keyframes) == table.groupby(["video_id", "timestamp"]).ngroups
    assert keyframes.labels.sum() == len(
        table.drop_duplicates(["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"])
    )
    for k in (0, len(keyframes) - 1):
        rows = table[(table.video_id == keyframes.video_ids[k]) & (table.timestamp == keyframes.timestamps[k])]
        boxes, labels = keyframes.get_ground_truth(k)
        for (x1, y1), person in rows.groupby(["x1", "y1"]):
            (at,) = np.flatnonzero((boxes[:, 0] == x1) & (boxes[:, 1] == y1))
            assert set(np.flatnonzero(labels[at])) == set(person.action_id)


def test_excluded_seconds_leave_training_only(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    for folder in ("annotations", "proposals"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    whole = load_keyframes(layout, "train", training=True)
    one = pd.DataFrame({"video_id": [whole.video_ids[0]], "timestamp": [whole.timestamps[0]]})
    write_exclusions(one, layout.get_exclusions_path("train"))
    assert (
        len(load_keyframes(layout, "train", training=False)) == len(load_keyframes(layout, "train", training=True)) + 1
    )


def test_proposals_at_the_threshold_the_frames_best_or_the_whole_frame(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    for folder in ("annotations", "proposals"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    keys = read_ava_csv(layout.get_csv_path("val"), "ground_truth")[["video_id", "timestamp"]].drop_duplicates()
    box = {"x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.5}
    rows = [{**dict(keys.iloc[0]), **box, "score": s} for s in (0.95, 0.9, 0.89)]
    rows += [{**dict(keys.iloc[1]), **box, "score": s} for s in (0.3, 0.5)]
    write_proposals(pd.DataFrame(rows), layout.get_proposals_path("val"))
    keyframes = load_keyframes(layout, "val")
    scores = [
        keyframes.proposal_scores[keyframes.proposal_start[k] : keyframes.proposal_start[k + 1]] for k in range(3)
    ]
    assert scores[0] == pytest.approx([0.95, 0.9]) and scores[1] == pytest.approx([0.5])
    assert keyframes.get_proposals(2).tolist() == [[0, 0, 1, 1]] and keyframes.n_without_proposals == len(keyframes) - 2


def test_a_sample_depends_on_seed_epoch_and_index_alone(tiny):
    first, second = clips_of(tiny, "train", True), clips_of(tiny, "train", True)
    second[1]  # another history
    a, b = first[(3, 0)], second[(3, 0)]
    assert torch.equal(a["clip"], b["clip"]) and np.array_equal(a["boxes"], b["boxes"])
    assert not torch.equal(a["clip"], first[(4, 0)]["clip"])
    assert a["clip"].shape == (4, 48, 48, 3) and a["targets"][:, 1:].any(axis=1).all()


@pytest.mark.slow
def test_loader_gives_the_same_batches_with_and_without_workers(tiny):
    clips = clips_of(tiny, "train", True)
    plain = list(build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0), workers=0))
    spread = list(build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0), workers=1))
    assert len(plain) == len(spread) == -(-len(clips) // 4)
    for a, b in zip(plain, spread, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_training_batches_go_on_in_mid_epoch():
    order = TrainBatchSampler(10, 4, seed=0)
    whole = list(order)
    order.skip = 1
    assert list(order) == whole[1:] and len(order) == 2 and len(whole[-1]) == 2
    order.epoch, order.skip = 1, 0
    assert sorted(k for b in order for _, k in b) == list(range(10)) and list(order) != whole


@pytest.mark.parametrize("count", [1, 10, 13, 24])
def test_however_many_processes_a_step_has_the_same_clips_in_the_same_shares(count):
    def steps(processes, accumulate):
        made = [list(TrainBatchSampler(count, 3, 0, accumulate, r, processes)) for r in range(processes)]
        assert len({len(m) for m in made}) == 1, "every process does as many shares as the others"
        return [
            [share for m in made for share in m[s : s + accumulate]] for s in range(0, len(made[0]), accumulate)
        ]  # step -> its shares, in order

    alone = steps(1, 4)
    assert alone == steps(4, 1) == steps(2, 2)
    seen = [k for step in alone for share in step for _, k in share]
    assert set(seen) == set(range(count)) and len(seen) == -(-count // 4) * 4  # filled up from the beginning
    order = [k for _, k in next(iter(TrainBatchSampler(count, count, 0)))]
    assert sorted(k for share in alone[0] for _, k in share) == sorted(np.resize(order, len(seen))[:12])


def test_test_batches_stay_within_a_video():
    order = PerVideoBatchSampler(np.array(list("aaabbc")), 2)
    assert list(order) == [[0, 1], [2], [3, 4], [5]]


def test_workers_who_take_turns_get_stretches():
    order = order_in_stretches(list("abcdefg"), 3)
    assert [order[w::3] for w in range(3)] == [list("abc"), list("de"), list("fg")]
    assert order_in_stretches(list("abc"), 1) == list("abc") and order_in_stretches([], 2) == []
    assert sorted(order_in_stretches(list("ab"), 4)) == list("ab")


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, jitter_at_test=True, shuffle_frames=True)], ids=["", "odd"])
def test_a_pass_in_order_decodes_once_what_single_clips_do(tiny, recipe, monkeypatch):
    passes = []
    iter_numbered_frames = Video.iter_numbered_frames

    def counted(self, numbers):
        passes.append(self.path)
        return iter_numbered_frames(self, numbers)

    monkeypatch.setattr(Video, "iter_numbered_frames", counted)
    clips = clips_of(tiny, "train", False, recipe)
    count = int((clips.keyframes.video_ids == clips.keyframes.video_ids[0]).sum())
    in_order = [clips[k] for k in range(count + 1)]
    assert len(passes) == len(set(passes)) == 2, "one pass a video"
    for k in (0, count - 1, count):
        alone = clips_of(tiny, "train", False, recipe)
        reader = alone.frames.get_reader(alone.keyframes.video_ids[k])
        whole = reader.read_ava_frames(alone.choose_frames(k, 0, reader.n_ava_frames))
        boxes_px = to_pixels(alone.keyframes.get_proposals(k), reader.width, reader.height)
        clip, expected = resize_frames_and_boxes(whole, boxes_px, recipe.test_short_side)
        assert np.array_equal(in_order[k]["clip"], clip) and np.array_equal(in_order[k]["boxes"], expected)
    assert torch.equal(clips[2]["clip"], in_order[2]["clip"]), "going back begins anew"


def test_packed_frames_are_the_videos(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.videos, layout.videos)
    name = load_keyframes(tiny, "val").video_ids[0]
    size = build_frame_caches(layout, [name], 48, workers=1, progress=False)
    assert size == get_cache_path(layout, name, 48).stat().st_size
    numbers = [9, 10, 11, 12, 60]
    packed = FrameSource(layout, 48).get_reader(name).read_ava_frames(numbers)
    direct = FrameSource(layout).get_reader(name).read_ava_frames(numbers)
    exact, _ = resize_frames_and_boxes(direct, np.zeros((0, 4), np.float32), 48)
    assert packed.shape == exact.shape
    luma = np.array([0.299, 0.587, 0.114])  # what a JPEG keeps at full resolution
    apart = np.abs((packed @ luma)[:, None] - (exact @ luma)[None]).mean(axis=(2, 3))  # (packed, exact) grey levels
    assert (apart.argmin(axis=1) == np.arange(len(numbers))).all(), "each is its own frame, not a neighbour"
    assert apart.diagonal().max() < 3


def test_a_video_that_changed_is_packed_anew(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.videos, layout.videos)
    first, other = dict.fromkeys(load_keyframes(tiny, "train").video_ids)
    build_frame_caches(layout, [first], 48, workers=1, progress=False)
    before = FrameSource(layout, 48).get_reader(first).read_ava_frames([20])
    layout.find_video(first).write_bytes(layout.find_video(other).read_bytes())
    build_frame_caches(layout, [first], 48, workers=1, progress=False)
    assert not np.array_equal(before, FrameSource(layout, 48).get_reader(first).read_ava_frames([20]))


def test_missing_and_unreadable_videos_are_named_and_counted(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    keyframes = [load_keyframes(layout, "train")]
    names = list(dict.fromkeys(keyframes[0].video_ids))
    layout.find_video(names[0]).unlink()
    with pytest.raises(VideoError, match=f"1 of 2 videos are missing.*keyframes .*more than the 1%.*{names[0]}"):
        open_frames(layout, RECIPE, keyframes)
    layout.find_video(names[1]).write_bytes(b"not a video")
    with pytest.raises(OSError, match=f"1 of 1 videos can't be read.*{names[1]}"):
        build_frame_caches(layout, [names[1]], 48, workers=1, progress=False)


def test_keyframes_of_lost_frames_are_replaced_counted_and_too_many_stop(tiny, tmp_path, capsys):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    keyframes = load_keyframes(layout, "train")
    gone = keyframes.video_ids[0]
    layout.find_video(gone).unlink()
    clips = ClipDataset(keyframes, ENTRY, RECIPE, FrameSource(layout), training=True)
    sample = clips[(1, 0)]
    assert sample["missing"][0] == 0 and gone in sample["missing"][1]
    assert keyframes.video_ids[sample["index"]] != gone and sample["clip"].shape[1] == 48
    loader = build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0))
    with pytest.raises(VideoError, match=f"keyframes can't be read, more than the limit of 1%: .*{gone}"):
        list(loader)
    loader.missing, loader.max_missing = {}, 0.6
    sizes = [len(batch["clips"]) for batch in loader]
    assert sum(sizes) == len(clips) and set(loader.missing) == set(np.flatnonzero(keyframes.video_ids == gone).tolist())
    assert capsys.readouterr().out.count("left out: ") == 2 and loader.clips_per_s > 0


@pytest.mark.slow
def test_a_workers_error_names_the_file_it_came_from(tiny):
    keyframes = load_keyframes(tiny, "train")
    impossible = replace(RECIPE, crop=1000)  # nothing is wrong with the video
    clips = ClipDataset(keyframes, ENTRY, impossible, FrameSource(tiny), training=True)
    name, second = keyframes.video_ids[2], keyframes.timestamps[2]
    said = rf"crop of 1000 .*\n.*{tiny.find_video(name)} for keyframe {name},0{second:.0f}"
    with pytest.raises(ValueError, match="(?s)" + said):
        list(build_loader(clips, [[2]], workers=1))


@pytest.mark.slow
def test_tests_leave_lost_keyframes_out(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    keyframes = load_keyframes(layout, "train")
    lost = find_missing_keyframes(FrameSource(layout), pd.DataFrame(
        {"video_id": keyframes.video_ids, "timestamp": keyframes.timestamps}
    ))  # fmt: skip
    assert not len(lost)
    late = pd.DataFrame({"video_id": keyframes.video_ids[:1], "timestamp": [1000.0]})
    lost = find_missing_keyframes(FrameSource(layout), late)
    assert "ends at frame" in lost.reason[0]
    lost = pd.DataFrame({"video_id": keyframes.video_ids[:2], "timestamp": keyframes.timestamps[:2], "reason": "torn"})
    clips = ClipDataset(keyframes, ENTRY, RECIPE, FrameSource(layout, missing_keyframes=lost), training=False)
    loader = build_loader(clips, PerVideoBatchSampler(keyframes.video_ids, 2))
    loader.max_missing = 0.5
    seen = [k for batch in loader for k in batch["index"].tolist()]
    assert seen == list(range(2, len(keyframes))) and set(loader.missing) == {0, 1}
    scores = np.full((keyframes.proposal_start[-1], 81), 0.5, np.float32)
    scores[: keyframes.proposal_start[2]] = np.nan
    table = build_detections_table(keyframes, scores, keyframes.proposals_norm)
    assert len(table) == 80 * (~np.isnan(scores[:, 0])).sum() and not table.score.isna().any()
    assert (keyframes.video_ids[0], keyframes.timestamps[0]) not in set(
        zip(table.video_id, table.timestamp, strict=True)
    )


def test_later_versions_read_the_frame_after_each(tiny):
    first, later = (
        clips_of(tiny, "val", False, replace(RECIPE, numbering=n, jitter_at_test=False)) for n in ("v0.10.0", "v1.x")
    )
    assert (later.choose_frames(1, 0, 26000) - first.choose_frames(1, 0, 26000) == 1).all()
    with pytest.raises(ValueError, match="'v2'.*'v0.10.0' or 'v1.x'"):
        clips_of(tiny, "val", False, replace(RECIPE, numbering="v2"))


def test_workers_share_the_annotations_memory(tiny):
    keyframes = load_keyframes(tiny, "train")
    copy = pickle.loads(pickle.dumps(keyframes))
    for name, value in vars(copy).items():
        assert np.array_equal(value, getattr(keyframes, name)), name
    state = keyframes.__getstate__()
    assert all(value.is_shared() for value in state.values() if isinstance(value, torch.Tensor))
    assert keyframes.__getstate__() is state, "kept as long as the keyframes are"


def test_the_cache_says_its_size_and_speed_before(tiny, tmp_path, capsys):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.videos, layout.videos)
    names = list(dict.fromkeys(load_keyframes(tiny, "val").video_ids))
    plan = estimate_frame_caches(layout, names, 48)
    size = build_frame_caches(layout, names, 48, workers=1, progress=False)
    assert 0.5 < plan.size_GB * 1e9 / size < 2 and plan.frames_per_s > 0
    assert "packing 1 videos at short side 48: about 0.00 GB" in capsys.readouterr().out
