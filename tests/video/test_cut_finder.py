"""Cuts are found where shots meet, in dissolves and after a fade through black; motion, flashes and light are none."""

import numpy as np
import pytest
from numbered_videos import draw_number, make_shot

from avalib.video.cut_finder import FLASH_WINDOW, find_cuts

BRIGHT = np.uint8(255)


def list_cuts(frames):
    """The places in a list of frames that a cut lies before."""
    return (30 * find_cuts(frames, np.arange(len(frames)) / 30)).round().astype(int).tolist()


def test_a_cut_between_shots():
    assert list_cuts([*make_shot(40, 9), *make_shot(150, 9), *make_shot(90, 9)]) == [9, 18]


def test_a_cut_between_equally_bright_places():
    red, blue = np.zeros((2, 48, 64, 3), np.uint8)
    red[..., 0] = 120
    blue[..., 2] = 250
    blue[..., 1] = 13
    assert list_cuts([red, red, blue, blue]) == [2]


def test_moving_things_are_no_cut():
    assert list_cuts([np.roll(draw_number(0), 6 * n, axis=1) for n in range(20)]) == []


@pytest.mark.parametrize("length", range(1, FLASH_WINDOW))
@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 250), (0, 0, 0)])
def test_a_flash_is_no_cut(length, color):
    frames = make_shot(110, 20)
    for n in range(8, 8 + length):
        frames[n] = np.full_like(frames[n], color)
    assert list_cuts(frames) == []


def test_a_flash_beside_a_cut_leaves_the_cut():
    frames = [*make_shot(60, 12), *make_shot(160, 12)]
    frames[6] = np.full_like(frames[6], BRIGHT)
    assert list_cuts(frames) == [12]


def test_a_shot_that_is_longer_than_a_flash_has_two_cuts():
    insert = make_shot(170, FLASH_WINDOW)
    assert list_cuts([*make_shot(60, 12), *insert, *make_shot(60, 12)]) == [12, 12 + FLASH_WINDOW]


def test_a_fade_through_black_is_one_cut():
    shots = [*make_shot(120, 20), *make_shot(120, 20)]
    # From full brightness to nothing and back, in 30 frames around the middle.
    brightness = np.clip(np.abs(np.arange(40) - 19.5) / 15, 0.03, 1) - 0.03
    frames = [(frame * share).astype(np.uint8) for frame, share in zip(shots, brightness, strict=True)]
    (cut,) = list_cuts(frames)
    assert 19 <= cut <= 24


def test_pictures_between_black_ones_are_a_shot():
    black = [np.zeros((48, 64, 3), np.uint8)] * 5
    assert list_cuts([*black, *[np.full((48, 64, 3), 90, np.uint8)] * 9, *black]) == [5, 14]


def test_fewer_frames_than_a_window_are_enough():
    assert list_cuts([]) == []
    assert list_cuts(make_shot(40, 1)) == []
    assert list_cuts([*make_shot(40, 1), *make_shot(150, 1)]) == [1]


def make_place(seed, n):
    """n frames of a place of its own: coarse random colors and a little noise."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 240, (4, 8, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return [(picture + rng.integers(0, 8, picture.shape)).astype(np.uint8) for _ in range(n)]


def mix(before, after, share):
    return [((1 - s) * a + s * b).astype(np.uint8) for s, a, b in zip(share, before, after, strict=True)]


@pytest.mark.parametrize("length", [8, 16, 24])
def test_a_dissolve_is_one_cut_in_its_middle(length):
    share = np.clip((np.arange(60) - 30 + length / 2) / length, 0, 1)
    (cut,) = list_cuts(mix(make_place(0, 60), make_place(1, 60), share))
    assert abs(cut - 30) <= 2


@pytest.mark.parametrize("speed", [0, 1])
def test_a_change_of_the_light_is_no_cut(speed):
    """Also while the camera moves, by `speed` pixels a frame."""
    frames = [np.roll(frame, speed * n, axis=1) for n, frame in enumerate(make_place(2, 60))]
    brightness = 1 - 0.6 * np.clip((np.arange(60) - 20) / 16, 0, 1)
    assert list_cuts([(b * f).astype(np.uint8) for b, f in zip(brightness, frames, strict=True)]) == []


def test_a_pan_over_several_places_is_no_cut():
    wide = np.concatenate([make_place(seed, 1)[0] for seed in range(8)], axis=1)
    assert list_cuts([wide[:, n : n + 128] for n in range(200)]) == []


@pytest.mark.parametrize("speed", [12, 24])
def test_a_fast_pan_is_no_cut(speed):
    """By up to a fifth of the picture a frame."""
    wide = np.concatenate([make_place(seed, 1)[0] for seed in range(16)], axis=1)
    frames = [wide[:, speed * n : speed * n + 128] for n in range(60)]
    assert list_cuts(frames) == []


@pytest.mark.parametrize("length", [1, 2, 5])
def test_light_that_goes_out_in_a_few_frames_is_no_cut(length):
    brightness = 1 - 0.5 * np.clip((np.arange(40) - 20) / length, 0, 1)
    frames = [(b * f).astype(np.uint8) for b, f in zip(brightness, make_place(2, 40), strict=True)]
    assert list_cuts(frames) == []
    assert list_cuts(frames[::-1]) == []


def test_a_cut_to_a_darker_place_is_one():
    darker = [(0.5 * frame).astype(np.uint8) for frame in make_place(1, 20)]
    assert list_cuts([*make_place(0, 20), *darker]) == [20]
