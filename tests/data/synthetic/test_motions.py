"""Motions and gestures: pairs of actions are each other backwards; waving moves, a raised arm does not."""

import numpy as np
import pytest

from avalib.data.synthetic.arm_gestures import add_gesture
from avalib.data.synthetic.motions import build_still, build_transition
from avalib.data.synthetic.poses import FALL_BACK, FALL_FORWARD, LIFT_BOX, STANDING
from avalib.data.synthetic.puppet import JOINT_INDEX, compute_joints

HANDS = [JOINT_INDEX["left_hand"], JOINT_INDEX["right_hand"]]


@pytest.mark.parametrize("key_poses", [FALL_FORWARD, FALL_BACK, LIFT_BOX])
def test_backwards_is_the_same_in_reverse(key_poses):
    """Falling and getting up, lifting and putting down: the same poses and joints, in the other order."""
    progress = np.linspace(0, 1, 21)
    forwards = build_transition(key_poses)(progress, progress)
    backwards = build_transition(key_poses, backwards=True)(progress, progress)
    np.testing.assert_allclose(backwards, forwards[::-1], atol=1e-9)
    np.testing.assert_allclose(compute_joints(backwards), compute_joints(forwards)[::-1], atol=1e-9)
    assert np.abs(forwards[0] - forwards[-1]).max() > 30


def compute_hands(gesture):
    """Both hands (60,2,3) of a standing person who makes a gesture for two seconds."""
    rng = np.random.default_rng(0)
    time_s = np.linspace(0, 2, 60)
    poses = add_gesture(build_still(STANDING, rng), rng, gesture)(time_s, time_s / 2)
    return compute_joints(poses)[:, HANDS]


def test_a_waving_hand_moves():
    assert np.ptp(compute_hands("wave"), axis=0).max() > 0.2


def test_a_raised_hand_does_not_move():
    assert np.ptp(compute_hands("raised"), axis=0).max() <= 0.2


@pytest.mark.parametrize("gesture", ["wave", "raised"])
def test_an_arm_is_out_or_up(gesture):
    assert compute_hands(gesture)[..., 2].max() > 0.65
