"""Sampling and transforms against recorded outputs of the original pipeline (tests/golden/golden.json)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avalib import zoo
from avalib.data.transforms import augment_clip, cut_clips, draw_augmentation, flip_clips, normalize_clips
from avalib.utils.boxes import crop_boxes, flip_boxes, to_pixels
from avalib.video.frame_numbers import compute_clip_frames
from avalib.video.resize import resize_frames_and_boxes

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))["transforms"]
GOLDEN2 = json.loads((FOLDER / "golden2.json").read_text(encoding="utf-8"))["sampling_and_transforms"]
RECIPE = zoo.build_published_recipe(zoo.get("slowonly_r50"))


class LegacyGenerator:
    """numpy's old generator behind the new one's name: the original drew with np.random.randint."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def integers(self, low, high, size):
        return self.state.randint(low, high, size=size)


@pytest.mark.parametrize(
    "case", GOLDEN["SampleAVAFrames"], ids=lambda c: f"{c['clip_len']}x{c['frame_interval']}@{c['timestamp']}"
)
def test_frame_numbers(case):
    wanted = case["timestamp"], case["clip_len"], case["frame_interval"], 26999
    assert compute_clip_frames(*wanted).tolist() == case["nominal"]
    assert compute_clip_frames(*wanted, rng=LegacyGenerator(5)).tolist() == case["frame_inds_seed5"]
    low, high = case["offset_range"]
    rng = np.random.default_rng(0)
    middle = compute_clip_frames(1000, *wanted[1:])
    moved = np.concatenate([compute_clip_frames(1000, *wanted[1:], rng=rng) - middle for _ in range(500)])
    assert (moved.min(), moved.max()) == (low, high)


@pytest.mark.parametrize("case", GOLDEN["boxes"], ids=lambda c: "x".join(map(str, c["image"])))
def test_boxes_follow_resize_crop_flip(case):
    height, width = case["image"]
    px = to_pixels(case["boxes_norm"], width, height)
    frames, px = resize_frames_and_boxes(np.zeros((1, height, width, 3), np.uint8), px, case["short"])
    assert list(frames.shape[1:3]) == case["resized"] and px.dtype == np.float32
    np.testing.assert_array_equal(px, np.float32(case["boxes_resized"]))
    cropped = crop_boxes(px, *case["crop_xy"], 256, 256)
    np.testing.assert_array_equal(cropped, np.float32(case["boxes_cropped"]))
    np.testing.assert_array_equal(flip_boxes(cropped, 256), np.float32(case["boxes_flipped"]))


def test_crop_offsets_never_reach_the_last():
    recipe = replace(RECIPE, train_short_side=(256, 256))
    rng = np.random.default_rng(0)
    offsets = {draw_augmentation((256, 260), recipe, rng).left for _ in range(200)}
    assert sorted(offsets) == GOLDEN["crop_offsets_w260"]


def test_a_crop_that_does_not_fit_is_refused():
    recipe = replace(RECIPE, train_short_side=(200, 200))
    with pytest.raises(ValueError, match="crop of 256 does not fit into frames of 300x200"):
        draw_augmentation((200, 300), recipe, np.random.default_rng(0))


def test_normalise():
    clips = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 1, 2, 2, 3)
    entry = zoo.get("slowonly_r50")
    out = normalize_clips(clips, entry.mean, entry.std)
    assert out.shape == (1, 3, 1, 2, 2)
    assert out[0, :, 0, 0, 0].tolist() == pytest.approx(GOLDEN["normalize_pixel_0_128_255"], abs=1e-6)
    numbers = clips.float()
    assert torch.equal(normalize_clips(numbers, entry.mean, entry.std), out) and torch.equal(numbers, clips.float())


def test_each_model_has_its_own_mean_and_deviation():
    clips = torch.tensor([0, 255, 10], dtype=torch.uint8).expand(1, 1, 1, 1, 3)
    out = normalize_clips(clips, (114.75, 55, 10), (57.375, 100, 1))
    assert out.flatten().tolist() == pytest.approx([-2, 2, 0])


def test_mirrored_boxes_are_shifted_as_the_recipe_says():
    """1.x has no -1: the recorded boxes of its own Flip."""
    recorded = GOLDEN2["mmaction1x_flip_width256"]
    frames = np.zeros((1, 256, 256, 3), np.uint8)
    recipe = replace(RECIPE, train_short_side=(256, 256), flip=1.0, flip_shift=0)
    boxes_px = np.float32([recorded["gt_in"], recorded["prop_in"]])
    _, flipped, _ = augment_clip(frames, boxes_px, recipe, np.random.default_rng(0))
    assert flipped.tolist() == [recorded["gt_out"], recorded["prop_out"]]


def test_training_clip_and_boxes_move_together():
    """A white square on black stays under its box through rescale, crop and flip."""
    frames = np.zeros((2, 120, 160, 3), np.uint8)
    frames[:, 40:80, 60:100] = 255
    recipe, flips = replace(RECIPE, train_short_side=(120, 150), crop=112, crop_aspect=1.25), set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        out, px, flip = augment_clip(frames, np.float32([[60, 40, 100, 80]]), recipe, rng)
        assert out.shape == (2, 112, 140, 3) and out.flags.c_contiguous
        out = flip_clips(torch.from_numpy(out)[None], torch.tensor([flip]))[0].numpy()
        ys, xs = np.nonzero(out[0, :, :, 0] > 127)
        assert px[0] == pytest.approx([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], abs=2.1)
        flips.add(flip)
    assert flips == {True, False}


def test_frames_that_are_narrower_than_the_crop_are_enlarged():
    """As of a phone held upright: the crop is as wide as its frames, and has their people's proportions."""
    frames = np.zeros((1, 160, 90, 3), np.uint8)
    recipe = replace(RECIPE, train_short_side=(64, 64), crop=64, crop_aspect=1.25, flip=0.0)
    out, boxes_px, _ = augment_clip(frames, np.float32([[0, 0, 90, 160]]), recipe, np.random.default_rng(0))
    assert out.shape == (1, 64, 80, 3)
    assert boxes_px[0].tolist() == [0, 0, 79, 63]
    drawn = draw_augmentation((160, 90), recipe, np.random.default_rng(0))
    assert (drawn.height, drawn.width, drawn.left) == (142, 80, 0)


def test_clips_that_the_device_resizes_are_the_same_within_a_level():
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (2, *shape, 3), dtype=np.uint8) for shape in ((240, 320), (256, 300))]
    drawn = [draw_augmentation(clip.shape[1:3], RECIPE, rng) for clip in clips]
    expected = np.stack([augmentation.cut(clip) for augmentation, clip in zip(drawn, clips, strict=True)])
    numbers = torch.tensor([[d.height, d.width, d.left, d.top] for d in drawn])
    cut = cut_clips([torch.from_numpy(clip) for clip in clips], numbers, RECIPE.crop_shape)
    assert cut.shape == (2, 2, 256, 256, 3) and cut.dtype == torch.uint8
    assert np.abs(cut.numpy().astype(int) - expected).max() <= 1


def test_only_the_clips_that_say_so_are_mirrored_and_the_batch_stays_as_it_is():
    clips = torch.arange(2 * 1 * 2 * 3 * 3, dtype=torch.uint8).reshape(2, 1, 2, 3, 3)
    before = clips.clone()
    out = flip_clips(clips, torch.tensor([True, False]))
    assert torch.equal(out[0, 0, :, 0], before[0, 0, :, 2]) and torch.equal(out[1], before[1])
    assert torch.equal(clips, before)


def test_testing_takes_the_whole_frame():
    frames, px = resize_frames_and_boxes(
        np.zeros((1, 360, 480, 3), np.uint8), np.float32([[0, 0, 480, 360]]), RECIPE.test_short_side
    )
    assert frames.shape == (1, 256, 341, 3) and px[0] == pytest.approx([0, 0, 341, 256], abs=1e-3)
