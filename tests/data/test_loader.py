"""Loading clips: workers change nothing, keyframes without frames are counted, errors name their file."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from avalib import zoo
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.loader import build_loader
from avalib.data.samplers import PerVideoBatchSampler, TrainBatchSampler
from avalib.data.transforms import cut_clips
from avalib.evaluation.inference import build_detections_table
from avalib.video.dataset_frames import find_missing_keyframes
from avalib.video.frame_source import FrameSource
from avalib.video.video_error import VideoError

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(
    zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=48, cache_short_side=None), cache_short_side=None
)


def make_clips(layout, split, training, recipe=RECIPE):
    keyframes = load_keyframes(layout, split, recipe.person_score, training)
    return ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training)


@pytest.mark.slow
def test_loader_gives_the_same_batches_with_and_without_workers(tiny):
    clips = make_clips(tiny, "train", True)
    plain = list(build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0), workers=0))
    spread = list(build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0), workers=1))
    assert len(plain) == len(spread) == -(-len(clips) // 4)
    for a, b in zip(plain, spread, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_clips_for_the_device_to_resize_have_the_same_boxes_and_the_same_pixels_within_a_level(tiny):
    recipe = replace(RECIPE, color_jitter=0.0)
    keyframes = load_keyframes(tiny, "train", recipe.person_score, training=True)
    batches = []
    for resize_on_device in (False, True):
        frames = FrameSource(tiny)
        clips = ClipDataset(keyframes, ENTRY, recipe, frames, training=True, resize_on_device=resize_on_device)
        batches.append(next(iter(build_loader(clips, [[0, 5]]))))
    expected, batch = batches
    assert all(torch.equal(batch[key], expected[key]) for key in ("rois", "targets", "flips", "index"))
    assert [tuple(clip.shape) for clip in batch["clips"]] == [(4, 240, 320, 3)] * 2
    cut = cut_clips(batch["clips"], batch["augmentations"], recipe.crop_shape)
    assert (cut.int() - expected["clips"].int()).abs().max() <= 1


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of the tiny layout."""
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    return DatasetLayout(tmp_path, tiny.version)


@pytest.fixture
def clips_without_a_video(copied):
    """The training clips after the first keyframe's video was removed."""
    keyframes = load_keyframes(copied, "train")
    copied.find_video(keyframes.video_ids[0]).unlink()
    return ClipDataset(keyframes, ENTRY, RECIPE, FrameSource(copied), training=True)


@pytest.mark.slow
def test_a_training_keyframe_without_frames_is_replaced_by_another(clips_without_a_video):
    missing_id = clips_without_a_video.keyframes.video_ids[0]
    sample = clips_without_a_video[(1, 0)]
    index, problem = sample["missing"]
    assert index == 0 and missing_id in problem
    assert clips_without_a_video.keyframes.video_ids[sample["index"]] != missing_id
    assert sample["clip"].shape[1] == 48


@pytest.mark.slow
def test_too_many_keyframes_without_frames_stop_the_loader(clips_without_a_video):
    missing_id = clips_without_a_video.keyframes.video_ids[0]
    loader = build_loader(clips_without_a_video, TrainBatchSampler(len(clips_without_a_video), 4, seed=0))
    with pytest.raises(VideoError, match=f"keyframes can't be read, more than the limit of 1%: .*{missing_id}"):
        list(loader)


@pytest.mark.slow
def test_keyframes_without_frames_are_counted(clips_without_a_video, capsys):
    video_ids = clips_without_a_video.keyframes.video_ids
    loader = build_loader(clips_without_a_video, TrainBatchSampler(len(clips_without_a_video), 4, seed=0))
    loader.max_missing = 0.6
    assert sum(len(batch["clips"]) for batch in loader) == len(clips_without_a_video)
    assert set(loader.missing) == set(np.flatnonzero(video_ids == video_ids[0]).tolist())
    assert capsys.readouterr().out.count("left out: ") == 1
    assert loader.clips_per_s > 0


@pytest.mark.slow
def test_a_workers_error_names_the_file_it_came_from(tiny):
    keyframes = load_keyframes(tiny, "train")
    impossible = replace(RECIPE, crop=1000)  # nothing is wrong with the video
    clips = ClipDataset(keyframes, ENTRY, impossible, FrameSource(tiny), training=True)
    name = keyframes.video_ids[2]
    second = keyframes.timestamps[2]
    message = rf"crop of 1000 .*\n.*{tiny.find_video(name)} for keyframe {name},0{second:.0f}"
    with pytest.raises(ValueError, match="(?s)" + message):
        list(build_loader(clips, [[2]], workers=1))


@pytest.mark.slow
def test_no_keyframe_of_a_whole_data_set_is_missing(tiny):
    keyframes = load_keyframes(tiny, "train")
    table = pd.DataFrame({"video_id": keyframes.video_ids, "timestamp": keyframes.timestamps})
    assert not len(find_missing_keyframes(FrameSource(tiny), table))


@pytest.mark.slow
def test_a_keyframe_behind_the_end_of_its_video_is_missing(tiny):
    video_ids = load_keyframes(tiny, "train").video_ids
    late = pd.DataFrame({"video_id": video_ids[:1], "timestamp": [1000.0]})
    missing = find_missing_keyframes(FrameSource(tiny), late)
    assert "ends at frame" in missing.reason[0]


@pytest.mark.slow
def test_in_a_test_missing_keyframes_are_left_out(tiny):
    keyframes = load_keyframes(tiny, "train")
    missing = pd.DataFrame(
        {"video_id": keyframes.video_ids[:2], "timestamp": keyframes.timestamps[:2], "reason": "torn"}
    )
    frames = FrameSource(tiny, missing_keyframes=missing)
    clips = ClipDataset(keyframes, ENTRY, RECIPE, frames, training=False)
    loader = build_loader(clips, PerVideoBatchSampler(keyframes.video_ids, 2))
    loader.max_missing = 0.5
    indices = [index for batch in loader for index in batch["index"].tolist()]
    assert indices == list(range(2, len(keyframes)))
    assert set(loader.missing) == {0, 1}


def test_keyframes_without_scores_are_not_in_the_table_of_detections(tiny):
    keyframes = load_keyframes(tiny, "train")
    scores = np.full((keyframes.proposal_start[-1], 81), 0.5, np.float32)
    scores[: keyframes.proposal_start[2]] = np.nan
    table = build_detections_table(keyframes, scores, keyframes.proposals_norm)
    assert len(table) == 80 * (~np.isnan(scores[:, 0])).sum()
    assert not table.score.isna().any()
    is_first = (table.video_id == keyframes.video_ids[0]) & (table.timestamp == keyframes.timestamps[0])
    assert not is_first.any()
