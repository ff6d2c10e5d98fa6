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
from avalib.evaluation.inference import build_detections_table
from avalib.video.dataset_frames import find_missing_keyframes
from avalib.video.frame_source import FrameSource
from avalib.video.video_error import VideoError

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(
    zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=48, cache_short_side=None), cache_short_side=None
)


def clips_of(layout, split, training, recipe=RECIPE):
    keyframes = load_keyframes(layout, split, recipe.person_score, training)
    return ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training)


@pytest.mark.slow
def test_loader_gives_the_same_batches_with_and_without_workers(tiny):
    clips = clips_of(tiny, "train", True)
    plain = list(build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0), workers=0))
    spread = list(build_loader(clips, TrainBatchSampler(len(clips), 4, seed=0), workers=1))
    assert len(plain) == len(spread) == -(-len(clips) // 4)
    for a, b in zip(plain, spread, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
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
