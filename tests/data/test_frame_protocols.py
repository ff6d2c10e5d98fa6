"""The frames of a clip by each code base's rules, against the numbers that the originals gave."""

import json
from pathlib import Path

import numpy as np
import pytest

from avalib.data.frame_protocols import FRAME_PROTOCOLS, choose_clip_frames
from avalib.video.frame_numbers import LAST_FRAME

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "golden2.json").read_text(encoding="utf-8"))
SAMPLING = RECORDED["sampling_and_transforms"]
N_FRAMES = 27030  # of AVA's cuts


def choose(numbering, clip, timestamp, n_frames=N_FRAMES, start_s=900, last_frame=LAST_FRAME, rng=None):
    """The frames of a clip "8x8" (frames x interval)."""
    clip_len, interval = map(int, clip.split("x"))
    return choose_clip_frames(numbering, timestamp, clip_len, interval, n_frames, start_s, last_frame, rng).tolist()


def list_cases(key):
    return [(clip, float(t), numbers) for clip, of_clip in SAMPLING[key].items() for t, numbers in of_clip.items()]


@pytest.mark.parametrize(("clip", "timestamp", "numbers"), list_cases("mmaction1x_AVADataset_file_numbers"))
def test_mmaction_1x_on_ava(clip, timestamp, numbers):
    assert choose("v1.x", clip, timestamp) == numbers


@pytest.mark.parametrize(("clip", "timestamp", "numbers"), list_cases("mmaction1x_AVAKineticsDataset_file_numbers"))
def test_mmaction_1x_on_ava_in_ava_kinetics(clip, timestamp, numbers):
    assert choose("ava_kinetics", clip, timestamp) == numbers


def test_mmaction_1x_on_a_kinetics_clip():
    case = SAMPLING["mmaction1x_AVAKinetics_kinetics_part_example"]
    length_s = case["timestamp_end"] - case["timestamp_start"]
    frames = choose("ava_kinetics", case["clip"], case["timestamp"], 300, case["timestamp_start"], 30 * length_s - 1)
    assert frames == case["files"]


def test_a_clip_of_kinetics_ends_with_the_seconds_in_its_name():
    # 3 s at the end of a clip of 4 s, whose file has a few frames more than its name says
    assert choose("ava_kinetics", "16x4", 15, 125, 12, 119)[-3:] == [110, 114, 118]
    assert choose("ava_kinetics", "32x2", 15.8, 125, 12, 119)[-4:] == [120, 120, 120, 120]
    assert choose("ava_kinetics", "16x4", 13, 125, 12, 119)[:2] == [1, 2]


@pytest.mark.parametrize(("clip", "timestamp", "positions"), list_cases("pyslowfast_frame_list_positions"))
def test_pyslowfast(clip, timestamp, positions):
    # a list of all frames: its first position, 0, is the file with number 1
    assert choose("pyslowfast", clip, timestamp) == [position + 1 for position in positions]


def test_pyslowfast_is_clipped_to_the_list_alone():
    assert choose("pyslowfast", "64x2", 1800)[-2:] == [N_FRAMES, N_FRAMES] != choose("v1.x", "64x2", 1800)[-2:]


def test_umt_takes_eight_frames_out_of_the_ten_seconds_around():
    positions = SAMPLING["umt_positions_in_the_decoded_span"]["with --sparse (span 300)"]
    first = 30 * (1000 - 5 - 900) + 1  # number of the span's first frame
    assert choose("umt", "8x8", 1000) == [first + position for position in positions]


@pytest.mark.parametrize("numbering", FRAME_PROTOCOLS)
def test_training_moves_frames_where_the_original_does(numbering):
    nominal = choose(numbering, "8x8", 1000)
    moved = choose(numbering, "8x8", 1000, rng=np.random.default_rng(0))
    shifts = np.subtract(moved, nominal)
    assert shifts.any() == FRAME_PROTOCOLS[numbering].can_jitter and (abs(shifts) <= 4).all()


def test_v0_10_ends_a_frame_before_1x():
    assert choose("v0.10.0", "4x16", 1799.9)[-1] == LAST_FRAME == choose("v1.x", "4x16", 1799.9)[-1] - 1
