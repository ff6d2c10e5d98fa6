"""The puppet: bodies touch the ground, and limbs keep their lengths."""

import numpy as np
import pytest

from avalib.data.synthetic.motions import build_still
from avalib.data.synthetic.poses import BENT, PRONE, SITTING, SQUAT, STANDING, SUPINE
from avalib.data.synthetic.puppet import HEAD, JOINTS, THIGH_LENGTH, UPPER_ARM_LENGTH, compute_joints

POSES = {"standing": STANDING, "sitting": SITTING, "squat": SQUAT, "supine": SUPINE, "prone": PRONE, "bent": BENT}


@pytest.fixture(params=POSES.values(), ids=POSES.keys())
def joints(request):
    """{joint: positions (9,3)} of a person who keeps a pose for three seconds."""
    poses = build_still(request.param, np.random.default_rng(1))(np.linspace(0, 3, 9), np.zeros(9))
    positions = compute_joints(poses)
    return {name: positions[:, index] for index, name in enumerate(JOINTS)}


def test_bodies_touch_the_ground(joints):
    lowest = np.min([positions[:, 2] for positions in joints.values()], axis=0)
    np.testing.assert_allclose(lowest, 0.03, atol=0.06)


@pytest.mark.parametrize(
    ("start", "end", "length"),
    [("left_hip", "left_knee", THIGH_LENGTH), ("right_shoulder", "right_elbow", UPPER_ARM_LENGTH)],
)
def test_limbs_keep_their_lengths(start, end, length, joints):
    np.testing.assert_allclose(np.linalg.norm(joints[end] - joints[start], axis=1), length, atol=1e-9)


def test_heads_are_lower_the_lower_the_pose():
    heights = [compute_joints(pose[None])[0, HEAD, 2] for pose in (STANDING, SITTING, SQUAT, SUPINE)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 0.8
    assert heights[-1] < 0.25
