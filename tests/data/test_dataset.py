"""Clips of keyframes: reproducible samples, one pass of decoding for a video."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from avalib import zoo
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.utils.boxes import to_pixels
from avalib.video.frame_source import FrameSource
from avalib.video.reader import Video
from avalib.video.resize import resize_frames_and_boxes

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(
    zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=48, cache_short_side=None), cache_short_side=None
)


def clips_of(layout, split, training, recipe=RECIPE):
    keyframes = load_keyframes(layout, split, recipe.person_score, training)
    return ClipDataset(keyframes, ENTRY, recipe, FrameSource(layout), training)


def test_a_sample_depends_on_seed_epoch_and_index_alone(tiny):
    first, second = clips_of(tiny, "train", True), clips_of(tiny, "train", True)
    second[1]  # another history
    a, b = first[(3, 0)], second[(3, 0)]
    assert torch.equal(a["clip"], b["clip"]) and np.array_equal(a["boxes"], b["boxes"])
    assert not torch.equal(a["clip"], first[(4, 0)]["clip"])
    assert a["clip"].shape == (4, 48, 64, 3) and a["targets"][:, 1:].any(axis=1).all()


@pytest.mark.slow
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
        whole = reader.read_ava_frames(alone.choose_frame_numbers(k, 0, reader.n_ava_frames))
        boxes_px = to_pixels(alone.keyframes.get_proposals(k), reader.width, reader.height)
        clip, expected = resize_frames_and_boxes(whole, boxes_px, recipe.test_short_side)
        assert np.array_equal(in_order[k]["clip"], clip) and np.array_equal(in_order[k]["boxes"], expected)
    assert torch.equal(clips[2]["clip"], in_order[2]["clip"]), "going back begins anew"


def test_later_versions_read_the_frame_after_each(tiny):
    first, later = (
        clips_of(tiny, "val", False, replace(RECIPE, numbering=n, jitter_at_test=False)) for n in ("v0.10.0", "v1.x")
    )
    assert (later.choose_frame_numbers(1, 0, 26000) - first.choose_frame_numbers(1, 0, 26000) == 1).all()
    with pytest.raises(ValueError, match="'v2'.*'v0.10.0' or 'v1.x' or 'ava_kinetics'"):
        clips_of(tiny, "val", False, replace(RECIPE, numbering="v2"))
