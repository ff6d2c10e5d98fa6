"""The puppet: poses as joint angles, and from them joints in space.

A pose is a row of `FIELDS`, in degrees, except `hop` (height of a hop, in body heights) and `mouth` (0 shut .. 1 open).
Trunk and legs are measured in the world: 0 is upright, legs straight down; positive is forward. Arms are measured
against the trunk: `arm` is the flexion of the shoulder, `arm_out` the angle to the side, `elbow` the flexion of the
elbow, `forearm_out` the forearm's angle to the side.

Joints are in body heights: x forward, y left, z up. Whatever is lowest touches the ground, so that standing, sitting,
lying and everything in between need no special cases.
"""

import numpy as np

FIELDS = (
    "trunk_pitch",
    "trunk_roll",
    "head_pitch",
    "head_yaw",
    "left_arm",
    "left_arm_out",
    "left_elbow",
    "left_forearm_out",
    "right_arm",
    "right_arm_out",
    "right_elbow",
    "right_forearm_out",
    "left_thigh",
    "left_shin",
    "left_leg_out",
    "right_thigh",
    "right_shin",
    "right_leg_out",
    "hop",
    "mouth",
)
FIELD_INDEX = {name: index for index, name in enumerate(FIELDS)}

JOINTS = (
    "pelvis",
    "chest",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_toe",
    "right_toe",
)
JOINT_INDEX = {name: index for index, name in enumerate(JOINTS)}
PELVIS = JOINT_INDEX["pelvis"]
CHEST = JOINT_INDEX["chest"]
HEAD = JOINT_INDEX["head"]

# Lengths in body heights.
HEAD_RADIUS = 0.088
TRUNK_LENGTH = 0.29
NECK_LENGTH = 0.045
SHOULDER_DROP = 0.03  # below the chest
SHOULDER_HALF_WIDTH = 0.105
HIP_HALF_WIDTH = 0.062
UPPER_ARM_LENGTH = 0.165
FOREARM_LENGTH = 0.15
HAND_REACH = 0.19  # from the elbow
THIGH_LENGTH = 0.235
SHIN_LENGTH = 0.225
FOOT_LENGTH = 0.085
PELVIS_THICKNESS = 0.07
CHEST_THICKNESS = 0.08
LIMB_THICKNESS = 0.03
MIN_FOOT_ANGLE = np.radians(35)  # a foot bends no further towards its shin


def build_pose(**degrees):
    """A pose (20,): standing, arms hanging, with some fields changed; `arm=80` sets both left_arm and right_arm."""
    values = dict.fromkeys(FIELDS, 0.0) | {
        "left_arm": 4,
        "right_arm": 4,
        "left_arm_out": 9,
        "right_arm_out": 9,
        "left_elbow": 14,
        "right_elbow": 14,
        "left_forearm_out": 5,
        "right_forearm_out": 5,
        "left_thigh": 3,
        "right_thigh": 1,
        "left_shin": -2,
        "right_shin": -4,
        "left_leg_out": 4,
        "right_leg_out": 4,
    }
    for name, value in degrees.items():
        for field in list_fields(name):
            values[field] = value
    return np.array([values[name] for name in FIELDS], float)


def list_fields(name):
    """The fields that a name stands for: itself, or those of both sides."""
    return [name] if name in FIELD_INDEX else [f"left_{name}", f"right_{name}"]


def compute_joints(poses, girth=1.0):
    """Joints (T,19,3) in body heights, with the feet on the ground, of poses (T,20)."""
    angles = {name: np.radians(poses[:, index]) for name, index in FIELD_INDEX.items()}  # each (T,)
    trunk_pitch = angles["trunk_pitch"]
    trunk_roll = angles["trunk_roll"]
    joints = np.zeros((len(poses), len(JOINTS), 3))

    # Unit vectors (T,3) along the trunk and to its left. The pelvis stays at the origin for now.
    trunk_up = np.stack(
        [np.sin(trunk_pitch) * np.cos(trunk_roll), np.sin(trunk_roll), np.cos(trunk_pitch) * np.cos(trunk_roll)], -1
    )
    trunk_left = np.stack([np.zeros_like(trunk_roll), np.cos(trunk_roll), -np.sin(trunk_roll)], -1)
    neck_pitch = trunk_pitch + angles["head_pitch"]
    neck_up = np.stack([np.sin(neck_pitch), np.sin(trunk_roll), np.cos(neck_pitch)], -1)
    joints[:, CHEST] = trunk_up * TRUNK_LENGTH
    joints[:, HEAD] = joints[:, CHEST] + neck_up * (NECK_LENGTH + HEAD_RADIUS)

    for side, sign in (("left", 1), ("right", -1)):
        limbs = _compute_arm(angles, side, sign, joints[:, CHEST], trunk_up, trunk_left, girth)
        limbs |= _compute_leg(angles, side, sign, trunk_left, girth)
        for name, joint in limbs.items():
            joints[:, JOINT_INDEX[f"{side}_{name}"]] = joint

    # Lift the whole body so that the lowest point, given the body's thickness there, touches the ground.
    thickness = np.full(len(JOINTS), LIMB_THICKNESS)
    thickness[[PELVIS, CHEST, HEAD]] = PELVIS_THICKNESS, CHEST_THICKNESS, HEAD_RADIUS
    lowest = (joints[..., 2] - thickness).min(axis=1)
    joints[..., 2] += (poses[:, FIELD_INDEX["hop"]] - lowest)[:, None]
    return joints


def _compute_arm(angles, side, sign, chest, trunk_up, trunk_left, girth):
    """{joint: positions (T,3)} of one arm; `sign` is 1 on the left, -1 on the right."""
    # Arms hang on the trunk: its lean and pitch count for them too.
    lean = sign * angles["trunk_roll"]
    flexion = angles[f"{side}_arm"]
    shoulder = chest - trunk_up * SHOULDER_DROP + sign * trunk_left * SHOULDER_HALF_WIDTH * girth
    upper_arm = _compute_limb_direction(flexion - angles["trunk_pitch"], angles[f"{side}_arm_out"] + lean, sign)
    elbow = shoulder + UPPER_ARM_LENGTH * upper_arm
    forearm = _compute_limb_direction(
        flexion + angles[f"{side}_elbow"] - angles["trunk_pitch"], angles[f"{side}_forearm_out"] + lean, sign
    )
    return {
        "shoulder": shoulder,
        "elbow": elbow,
        "wrist": elbow + FOREARM_LENGTH * forearm,
        "hand": elbow + HAND_REACH * forearm,
    }


def _compute_leg(angles, side, sign, trunk_left, girth):
    """{joint: positions (T,3)} of one leg, the pelvis at the origin."""
    out_angle = angles[f"{side}_leg_out"]
    shin_angle = angles[f"{side}_shin"]
    foot_angle = np.clip(shin_angle + np.pi / 2, MIN_FOOT_ANGLE, np.pi)
    hip = sign * trunk_left * HIP_HALF_WIDTH * girth
    knee = hip + THIGH_LENGTH * _compute_limb_direction(angles[f"{side}_thigh"], out_angle, sign)
    ankle = knee + SHIN_LENGTH * _compute_limb_direction(shin_angle, out_angle * 0.5, sign)
    toe = ankle + FOOT_LENGTH * _compute_limb_direction(foot_angle, out_angle, sign)
    return {"hip": hip, "knee": knee, "ankle": ankle, "toe": toe}


def _compute_limb_direction(angle, out_angle, sign):
    """Unit vectors (T,3) of a limb: `angle` forward from straight down, `out_angle` outward to side `sign`."""
    return np.stack(
        [np.sin(angle) * np.cos(out_angle), sign * np.sin(out_angle), -np.cos(angle) * np.cos(out_angle)], -1
    )


def compute_face(poses):
    """Unit vectors forward out of the face and up out of the head, each (T,3), in the body's frame."""
    neck_pitch = np.radians(poses[:, FIELD_INDEX["trunk_pitch"]] + poses[:, FIELD_INDEX["head_pitch"]])
    head_yaw = np.radians(poses[:, FIELD_INDEX["head_yaw"]])
    forward = np.stack(
        [np.cos(neck_pitch) * np.cos(head_yaw), np.sin(head_yaw), -np.sin(neck_pitch) * np.cos(head_yaw)], -1
    )
    # The head's crown does not move when the head turns.
    up = np.stack([np.sin(neck_pitch), np.zeros_like(neck_pitch), np.cos(neck_pitch)], -1)
    return forward, up


def rotate(points, yaw_deg):
    """Body frame -> world (X right, Y away from the viewer, Z up): yaw 0 faces right, -90 faces the viewer.

    points: (T,3) or (T,J,3); yaw_deg: (T,).
    """
    cos = np.cos(np.radians(yaw_deg))
    sin = np.sin(np.radians(yaw_deg))
    if points.ndim == 3:
        cos = cos[:, None]
        sin = sin[:, None]
    # Coordinates (T,) or (T,J) each.
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * cos - y * sin, x * sin + y * cos, z], -1)
