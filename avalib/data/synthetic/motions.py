"""Motions: what a body does over time, as poses.

A motion is a function (time_s, progress) -> poses (T,20): time_s (T,) are seconds since the act began, progress is
time_s / duration. Both run a little past their ends, where neighboring acts are blended.

Getting up is falling down run backwards, and putting down is lifting run backwards: the same poses in the other order,
so that one frame cannot tell them apart.
"""

import numpy as np

from avalib.data.synthetic.puppet import FIELD_INDEX, FIELDS, build_pose

SIDES = (("left", 1), ("right", -1))
STEP_LENGTH = 1.88  # body heights that a walking cycle covers per unit of the thighs' swing (its sine)
STILL_NOISE_DEG = 2.0  # by which people differ in the same pose
SWAY_GAINS = {"trunk_pitch": 1, "trunk_roll": 0.8, "left_arm": 2, "right_arm": -2, "head_pitch": 1.5}

FIGHTING_STANCE = build_pose(
    trunk_pitch=6,
    left_thigh=22,
    left_shin=-8,
    right_thigh=-16,
    right_shin=-24,
    arm=48,
    elbow=112,
    arm_out=12,
    forearm_out=-6,
)
HIT_PHASE = 0.25  # of a beat
HURT_PHASE = 0.78


def smooth(progress):
    """0..1 -> 0..1, slow at both ends; symmetric, so that backwards stays backwards."""
    progress = np.clip(progress, 0, 1)
    return progress * progress * (3 - 2 * progress)


def build_transition(key_poses, backwards=False):
    """The motion through key poses [(progress, pose)], or through them backwards."""
    key_progress = np.array([progress for progress, _ in key_poses])
    poses = np.stack([pose for _, pose in key_poses])

    def move(time_s, progress):
        # Each field (T,) follows the key poses; all fields together are (T,20).
        eased = smooth(1 - progress if backwards else progress)
        return np.stack([np.interp(eased, key_progress, field) for field in poses.T], -1)

    return move


def build_still(pose, rng, sway=1.5):
    """The motion of keeping a pose, breathing and swaying a little (`sway` in degrees)."""
    # Fields that are 0 stay 0: a body that stands upright does not lean by chance.
    pose = pose + rng.normal(0, STILL_NOISE_DEG, len(FIELDS)) * (pose != 0)
    phase = rng.uniform(0, 6.28)
    rate_hz = rng.uniform(0.2, 0.4)

    def move(time_s, progress):
        poses = np.repeat(pose[None], len(time_s), 0)
        wave = np.sin(2 * np.pi * rate_hz * time_s + phase)
        for field, gain in SWAY_GAINS.items():
            poses[:, FIELD_INDEX[field]] += sway * gain * wave
        return poses

    return move


def build_stride(rng, speed, is_running):
    """The motion of running or walking at `speed` (body heights per second); their amplitudes overlap."""
    return build_run(rng) if is_running else build_walk(rng, speed)


def build_walk(rng, speed):
    """The motion of walking at `speed` (body heights per second)."""
    # Degrees that the thighs swing and the knees bend, both ways of carrying the arms.
    swing = rng.uniform(26, 34)
    knee_flexion = rng.uniform(35, 55)
    elbow = rng.choice([rng.uniform(12, 35), rng.uniform(60, 85)], p=[0.75, 0.25])
    rate_hz = speed / (STEP_LENGTH * np.sin(np.radians(swing)))
    lean = rng.uniform(0, 6)
    phase = rng.uniform(0, 6.28)

    return _build_gait(
        rate_hz, phase, lean, elbow, swing=swing, knee_flexion=knee_flexion, arm_gain=0.9, thigh_offset=2
    )


def build_run(rng):
    """The motion of running; its rate does not depend on the speed."""
    swing = rng.uniform(34, 44)
    knee_flexion = rng.uniform(60, 95)
    elbow = rng.uniform(60, 100)
    rate_hz = rng.uniform(1.25, 1.5)
    lean = rng.uniform(6, 14)
    phase = rng.uniform(0, 6.28)

    return _build_gait(
        rate_hz, phase, lean, elbow, hop=0.035, swing=swing, knee_flexion=knee_flexion, arm_gain=1.1, thigh_offset=6
    )


def _build_gait(rate_hz, phase, lean, elbow, hop=0.0, **limbs):
    """The motion of cycles of swinging legs and arms; hop: in body heights, two per cycle; limbs: of _swing_limbs."""

    def move(time_s, progress):
        poses = np.repeat(build_pose(trunk_pitch=lean, elbow=elbow)[None], len(time_s), 0)
        cycle = 2 * np.pi * rate_hz * time_s  # (T,) radians
        _swing_limbs(poses, cycle, phase, **limbs)
        poses[:, FIELD_INDEX["hop"]] = hop * np.abs(np.sin(cycle + phase))
        return poses

    return move


def _swing_limbs(poses, cycle, phase, swing, knee_flexion, arm_gain, thigh_offset):
    """Swing legs and arms in place, the right side half a cycle after the left one; cycle (T,) in radians."""
    for side, side_phase in (("left", phase), ("right", phase + np.pi)):
        angle = cycle + side_phase
        thigh = swing * np.sin(angle) + thigh_offset
        # The knee bends while the leg swings forward.
        knee = 6 + knee_flexion * np.maximum(0, np.cos(angle + 0.2)) ** 1.3
        poses[:, FIELD_INDEX[f"{side}_thigh"]] = thigh
        poses[:, FIELD_INDEX[f"{side}_shin"]] = thigh - knee
        poses[:, FIELD_INDEX[f"{side}_arm"]] = -arm_gain * swing * np.sin(angle)


def build_dance(rng):
    """The motion of one of three dances: knees bounce, hips sway, both arms swing wide."""
    style = rng.integers(len(DANCE_ARMS))
    rate_hz = rng.uniform(0.85, 1.2)
    phase = rng.uniform(0, 6.28)

    def move(time_s, progress):
        angle = 2 * np.pi * rate_hz * time_s + phase
        # Knees bend twice per cycle, hips sway once.
        beat = 0.5 - 0.5 * np.cos(2 * angle)
        sway = np.sin(angle)
        poses = np.repeat(build_pose()[None], len(time_s), 0)
        for side, sign in SIDES:
            lifted = np.maximum(0, sign * sway)  # how far this leg is lifted, 0..1
            fields = {"thigh": 12 + 28 * lifted + 10 * beat, "shin": -14 - 38 * lifted - 10 * beat, "leg_out": 12}
            fields |= DANCE_ARMS[style](sign * sway, angle)
            for name, values in fields.items():
                poses[:, FIELD_INDEX[f"{side}_{name}"]] = values
        poses[:, FIELD_INDEX["trunk_roll"]] = 11 * sway
        poses[:, FIELD_INDEX["head_pitch"]] = 6 * np.cos(2 * angle)
        return poses

    return move


def _raise_arms(sway, angle):
    arm_out = 140 + 25 * sway
    return {"arm": 0, "elbow": 0, "arm_out": arm_out, "forearm_out": arm_out - 25}


def _swing_arms(sway, angle):
    arm_out = 85 + 65 * sway
    return {"arm": 0, "elbow": 0, "arm_out": arm_out, "forearm_out": arm_out + 10}


def _flap_arms(sway, angle):
    arm_out = 95 + 40 * np.cos(angle)
    return {"arm": 25 * sway, "elbow": 20, "arm_out": arm_out, "forearm_out": arm_out + 60 * sway}


DANCE_ARMS = (_raise_arms, _swing_arms, _flap_arms)  # (sway of the side, angle) -> {field: degrees}, one per style


def build_fight(rng, lead):
    """The motion of punching (and kicking) at somebody in front, every other beat; `lead` 0 or 1: whose turn it is."""
    rate_hz = rng.uniform(0.75, 0.95)
    kicks = rng.random() < 0.4
    sides = rng.permutation(["left", "right"])

    def move(time_s, progress):
        poses = np.repeat(FIGHTING_STANCE[None], len(time_s), 0)
        beats = rate_hz * time_s + lead * 0.5
        beat = np.floor(beats).astype(int)
        phase = beats % 1
        # How much the person hits, and is hit, at each time (T,), 0..1.
        hit = np.clip(1 - np.abs(phase - HIT_PHASE) / 0.2, 0, 1)
        hurt = np.clip(1 - np.abs(phase - HURT_PHASE) / 0.18, 0, 1)
        # The sides hit in turns; the other side's share is 0.
        for turn, side in enumerate(sides):
            side_hit = hit * (beat % 2 == turn)
            poses[:, FIELD_INDEX[f"{side}_arm"]] += 44 * side_hit
            poses[:, FIELD_INDEX[f"{side}_elbow"]] -= 108 * side_hit
            if kicks and turn == 1:
                _blend_towards(poses, f"{side}_thigh", 80, side_hit)
                _blend_towards(poses, f"{side}_shin", 75, side_hit)
        poses[:, FIELD_INDEX["trunk_pitch"]] += 12 * hit - 20 * hurt
        poses[:, FIELD_INDEX["head_pitch"]] -= 22 * hurt
        return poses

    return move


def _blend_towards(poses, field, degrees, weight):
    """Move a field towards `degrees`, in place, by `weight` (T,) of the way."""
    poses[:, FIELD_INDEX[field]] += (degrees - poses[:, FIELD_INDEX[field]]) * weight
