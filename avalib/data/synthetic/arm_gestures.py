"""Arm gestures: waving, talking, telephoning and the like, laid over any motion.

A gesture is a function (angle (T,), is_frontal) -> {field: degrees}. `first_` and `second_` stand for one side at
random and the other; a field without a side is set on both.
"""

import numpy as np

from avalib.data.synthetic.puppet import FIELD_INDEX, list_fields


def add_gesture(motion, rng, gesture, is_frontal=True):
    """`motion` with the arms (and mouth, head) making a gesture, one of GESTURES; is_frontal: facing the viewer."""
    first_side, second_side = rng.permutation(["left", "right"])
    rate_hz = rng.uniform(1.0, 1.4)
    phase = rng.uniform(0, 6.28)
    is_moving = gesture != "raised"

    def move(time_s, progress):
        # The body's own motion (T,20), whose arms the gesture replaces.
        poses = motion(time_s, progress)
        # A raised arm keeps its phase, others run through the cycle (T,).
        angle = 2 * np.pi * rate_hz * time_s * is_moving + phase
        for name, values in GESTURES[gesture](angle, is_frontal).items():
            name = name.replace("first_", f"{first_side}_").replace("second_", f"{second_side}_")
            for field in list_fields(name):
                poses[:, FIELD_INDEX[field]] = values
        return poses

    return move


def _wave(angle, is_frontal):
    if is_frontal:  # in the plane of the body
        return {
            "first_arm_out": 118 + 30 * np.sin(angle),
            "first_forearm_out": 125 + 62 * np.sin(angle - 0.5),
            "first_arm": 0,
            "first_elbow": 0,
        }
    return {
        "first_arm": 128 + 26 * np.sin(angle),
        "first_elbow": 4 + 48 * np.sin(angle - 0.5),
        "first_arm_out": 14,
        "first_forearm_out": 10,
    }


def _talk(angle, is_frontal):
    # Both arms, mouth and head move at rates of their own.
    stress = np.sin(angle * 0.8)
    return {
        "first_arm": 32 + 22 * stress,
        "first_elbow": 66 + 34 * np.sin(angle * 0.8 + 0.7),
        "first_arm_out": 18 + 14 * stress,
        "first_forearm_out": 20 + 24 * stress,
        "second_arm": 22 + 14 * np.sin(angle * 0.55),
        "second_elbow": 58 + 26 * np.sin(angle * 0.55 + 1),
        "mouth": np.abs(np.sin(angle * 2.3)),
        "head_pitch": -4 + 5 * np.sin(angle * 1.6),
    }


def _listen(angle, is_frontal):
    return {"arm": 24, "elbow": 98, "arm_out": 8, "forearm_out": -52, "head_pitch": 6 + 11 * np.sin(angle)}


def _telephone(angle, is_frontal):
    return {
        "first_arm": 72,
        "first_arm_out": 26,
        "first_elbow": 152,
        "first_forearm_out": -14,
        "head_pitch": 4,
        "mouth": 0.5 + 0.5 * np.sin(angle * 2),
    }


def _hold(angle, is_frontal):
    return {"arm": 38 + 2 * np.sin(angle), "elbow": 58, "arm_out": 4, "forearm_out": -4}


def _hug(angle, is_frontal):
    return {
        "arm": 74,
        "elbow": 28,
        "arm_out": 16,
        "forearm_out": -38,
        "trunk_pitch": 5,
        "trunk_roll": 4 * np.sin(angle * 0.4),
    }


def _put_on_hips(angle, is_frontal):
    return {"arm": -22, "arm_out": 42, "elbow": 62, "forearm_out": -50}


def _put_behind(angle, is_frontal):
    return {"arm": -26, "arm_out": 14, "elbow": 14, "forearm_out": -22}


GESTURES = {
    "wave": _wave,
    "raised": _wave,  # the same, but frozen: a hail, a grip on something; no wave
    "talk": _talk,
    "listen": _listen,  # arms folded, nodding
    "phone": _telephone,
    "hold": _hold,
    "hug": _hug,
    "hips": _put_on_hips,
    "behind": _put_behind,
}
