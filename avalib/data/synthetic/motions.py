"""Motions: what a body does over time, as poses; and acts: a motion with a length, a place to go, and AVA's labels.

A motion is a function (t, u) -> poses (T,20): t (T,) seconds since the act began, u = t / duration; both run a little
past their ends, where neighbouring acts are blended. Getting up is falling down run backwards, putting down is lifting
run backwards: the same poses in the other order, so one frame cannot tell them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.puppet import FIELDS, INDEX

BEND, CROUCH, DANCE, FALL, GET_UP, LIE, RUN, SIT, STAND, WALK = 1, 3, 4, 5, 6, 8, 10, 11, 12, 14
PHONE, CARRY, LIFT, PUT = 15, 17, 36, 47
FIGHT, WAVE, HUG, LISTEN, TALK, WATCH = 64, 69, 70, 74, 79, 80

ACTIONS = tuple(
    sorted(
        [BEND, CROUCH, DANCE, FALL, GET_UP, LIE, RUN, SIT, STAND, WALK]
        + [PHONE, CARRY, LIFT, PUT, FIGHT, WAVE, HUG, LISTEN, TALK, WATCH]
    )
)
POSES = tuple(a for a in ACTIONS if a <= 14)
TIME_ACTIONS = (FALL, GET_UP, RUN, WALK, LIFT, PUT, WAVE)  # order or speed: one frame does not show them

BLEND_S = 0.18  # half the time one act takes to pass into the next


@dataclass(frozen=True)
class Act:
    """What one person does for `duration` seconds; speed in body heights a second along `yaw` (None: as before)."""

    duration: float
    motion: Callable
    labels: tuple
    speed: float = 0.0
    yaw: float | None = None
    look: int | None = None  # the performer (index in the shot) that the head turns to
    grab: int = 0  # +1: the object is taken in hand halfway, -1: let go halfway
    phone: bool = False


def pose(**degrees):
    """One pose (20,): standing, arms hanging, with the given fields changed; `f=80` sets both lf and rf."""
    p = dict.fromkeys(FIELDS, 0.0)
    p |= dict(lf=4, rf=4, lb=9, rb=9, le=14, re=14, lc=5, rc=5, lt=3, rt=1, ls=-2, rs=-4, la=4, ra=4)
    for name, value in degrees.items():
        p |= {name: value} if name in p else {"l" + name: value, "r" + name: value}
    return np.array([p[name] for name in FIELDS], float)


STANDING = pose()
SITTING = pose(tp=-4, t=86, s=2, a=9, f=28, e=48, b=14, c=-8)
SITTING_LOW = pose(tp=-12, t=122, s=18, a=10, f=62, e=30, b=8, c=-6)  # on the ground, knees up
SQUAT = pose(tp=24, t=108, s=-38, a=12, f=70, e=38, b=4, c=-10)
KNEELING = pose(tp=4, t=4, s=-86, a=8, f=22, e=40)
ONE_KNEE = pose(tp=12, lt=88, ls=0, rt=-4, rs=-84, f=40, e=45)
BENT = pose(tp=78, t=-7, s=3, f=72, e=8, hp=-10)
SUPINE = pose(tp=-87, t=86, s=88, f=12, b=32, e=10, c=28, hp=4)
PRONE = pose(tp=86, t=-85, s=-86, f=150, b=30, e=-10, c=20, hp=-20)
RESTING = pose(tp=-86, lt=126, ls=44, rt=88, rs=88, f=165, e=10, b=28, c=-30, hp=8)
HOLDING = pose(tp=-3, f=38, e=58, b=4, c=-4)
REACHING = pose(tp=62, t=52, s=-42, f=66, e=6, b=6, c=2, a=7, hp=-15)

FALL_FORWARD = [
    (0.0, STANDING),
    (0.25, pose(tp=22, t=32, s=-34, f=50, b=35, e=25, hp=-15)),
    (0.5, pose(tp=48, t=45, s=-84, f=75, b=25, e=20, hp=-20)),
    (0.75, pose(tp=68, t=-15, s=-88, f=110, b=25, e=15, hp=-25)),
    (1.0, PRONE),
]
FALL_BACK = [
    (0.0, STANDING),
    (0.25, pose(tp=-10, t=38, s=-26, f=75, b=50, e=15, hp=15)),
    (0.5, pose(tp=-22, t=92, s=-14, f=60, b=60, e=10, hp=20)),
    (0.75, pose(tp=-52, t=112, s=40, f=30, b=60, e=5, hp=20)),
    (1.0, SUPINE),
]
TAKE = [(0.0, STANDING), (0.5, REACHING), (1.0, HOLDING)]


def smooth(u):
    """0..1 -> 0..1, slow at both ends; symmetric, so that backwards stays backwards."""
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def along(keys, backwards=False):
    """The motion through key poses [(u, pose)], or through them backwards."""
    at, poses = np.array([k[0] for k in keys]), np.stack([k[1] for k in keys])

    def motion(t, u):
        v = smooth(1 - u if backwards else u)
        return np.stack([np.interp(v, at, column) for column in poses.T], -1)

    return motion


def hold(still, rng, sway=1.5):
    """The motion of keeping a pose, breathing and swaying a little."""
    still = still + rng.normal(0, 2.0, len(FIELDS)) * (still != 0)
    phase, rate = rng.uniform(0, 6.28), rng.uniform(0.2, 0.4)

    def motion(t, u):
        poses = np.repeat(still[None], len(t), 0)
        wave = np.sin(2 * np.pi * rate * t + phase)
        for name, gain in (("tp", 1), ("tr", 0.8), ("lf", 2), ("rf", -2), ("hp", 1.5)):
            poses[:, INDEX[name]] += sway * gain * wave
        return poses

    return motion


def stride(rng, speed, running):
    """The motion of walking or running at `speed` (body heights a second); amplitudes of the two overlap."""
    swing = rng.uniform(34, 44) if running else rng.uniform(26, 34)
    flex = rng.uniform(60, 95) if running else rng.uniform(35, 55)
    elbow = rng.uniform(60, 100) if running else rng.choice([rng.uniform(12, 35), rng.uniform(60, 85)], p=[0.75, 0.25])
    rate = rng.uniform(1.25, 1.5) if running else speed / (1.88 * np.sin(np.radians(swing)))
    lean, start = rng.uniform(6, 14) if running else rng.uniform(0, 6), rng.uniform(0, 6.28)

    def motion(t, u):
        poses = np.repeat(pose(tp=lean, e=elbow)[None], len(t), 0)
        for side, phase in (("l", start), ("r", start + np.pi)):
            a = 2 * np.pi * rate * t + phase
            thigh = swing * np.sin(a) + (6 if running else 2)
            knee = 6 + flex * np.maximum(0, np.cos(a + 0.2)) ** 1.3
            poses[:, INDEX[side + "t"]], poses[:, INDEX[side + "s"]] = thigh, thigh - knee
            poses[:, INDEX[side + "f"]] = -(1.1 if running else 0.9) * swing * np.sin(a)
        if running:
            poses[:, INDEX["up"]] = 0.035 * np.abs(np.sin(2 * np.pi * rate * t + start))
        return poses

    return motion


def dance(rng):
    """The motion of one of three dances: knees bounce, hips sway, both arms swing wide."""
    style, rate, start = rng.integers(3), rng.uniform(0.85, 1.2), rng.uniform(0, 6.28)

    def motion(t, u):
        a = 2 * np.pi * rate * t + start
        beat, s = 0.5 - 0.5 * np.cos(2 * a), np.sin(a)
        poses = np.repeat(pose()[None], len(t), 0)

        def put(name, value):
            poses[:, INDEX[name]] = value

        for side, sign in (("l", 1), ("r", -1)):
            put(side + "t", 12 + 28 * np.maximum(0, sign * s) + 10 * beat)
            put(side + "s", -14 - 38 * np.maximum(0, sign * s) - 10 * beat)
            put(side + "a", 12)
            lift = (140 + 25 * sign * s, 85 + 65 * sign * s, 95 + 40 * np.cos(a))[style]
            put(side + "f", (0, 0, 25 * sign * s)[style])
            put(side + "e", (0, 0, 20)[style])
            put(side + "b", lift)
            put(side + "c", (lift - 25, lift + 10, lift + 60 * s * sign)[style])
        put("tr", 11 * s)
        put("hp", 6 * np.cos(2 * a))
        return poses

    return motion


def fight(rng, lead):
    """The motion of punching (and kicking) at somebody in front, every other beat; `lead` sets whose turn it is."""
    rate, kicks, strong = rng.uniform(0.75, 0.95), rng.random() < 0.4, rng.permutation(["l", "r"])

    def motion(t, u):
        poses = np.repeat(pose(tp=6, lt=22, ls=-8, rt=-16, rs=-24, f=48, e=112, b=12, c=-6)[None], len(t), 0)
        beat = rate * t + lead * 0.5
        turn_, x = np.floor(beat).astype(int), beat % 1
        hit = np.clip(1 - np.abs(x - 0.25) / 0.2, 0, 1)
        hurt = np.clip(1 - np.abs(x - 0.78) / 0.18, 0, 1)
        for k, side in enumerate(strong):
            now = hit * (turn_ % 2 == k)
            poses[:, INDEX[side + "f"]] += 44 * now
            poses[:, INDEX[side + "e"]] -= 108 * now
            if kicks and k:
                poses[:, INDEX[side + "t"]] += (80 - poses[:, INDEX[side + "t"]]) * now
                poses[:, INDEX[side + "s"]] += (75 - poses[:, INDEX[side + "s"]]) * now
        poses[:, INDEX["tp"]] += 12 * hit - 20 * hurt
        poses[:, INDEX["hp"]] -= 22 * hurt
        return poses

    return motion


def with_arms(motion, rng, what, facing_us=True):
    """`motion` with the arms (and mouth, head) doing `what`: one of ARMS."""
    side, other = rng.permutation(["l", "r"])
    rate, phase = rng.uniform(1.0, 1.4), rng.uniform(0, 6.28)

    def changed(t, u):
        poses = motion(t, u)
        a = 2 * np.pi * rate * t * (what != "raised") + phase
        for name, value in ARMS[what](a, facing_us).items():
            if name[0] in "12":  # arm 1: the one at random; 2: the other
                name = (side if name[0] == "1" else other) + name[1:]
            names = [name] if name in INDEX else ["l" + name, "r" + name]
            for n in names:
                poses[:, INDEX[n]] = value
        return poses

    return changed


def _waving(a, facing_us):
    if facing_us:  # in the plane of the body
        return {"1b": 118 + 30 * np.sin(a), "1c": 125 + 62 * np.sin(a - 0.5), "1f": 0, "1e": 0}
    return {"1f": 128 + 26 * np.sin(a), "1e": 4 + 48 * np.sin(a - 0.5), "1b": 14, "1c": 10}


def _talking(a, facing_us):
    stress = np.sin(a * 0.8)
    return {
        "1f": 32 + 22 * stress,
        "1e": 66 + 34 * np.sin(a * 0.8 + 0.7),
        "1b": 18 + 14 * stress,
        "1c": 20 + 24 * stress,
        "2f": 22 + 14 * np.sin(a * 0.55),
        "2e": 58 + 26 * np.sin(a * 0.55 + 1),
        "mouth": np.abs(np.sin(a * 2.3)),
        "hp": -4 + 5 * np.sin(a * 1.6),
    }


ARMS = {
    "wave": _waving,
    "raised": _waving,  # the same, frozen (with_arms keeps its phase): a hail, a grip on something; no wave
    "talk": _talking,
    "listen": lambda a, us: {"f": 24, "e": 98, "b": 8, "c": -52, "hp": 6 + 11 * np.sin(a)},  # folded arms, nodding
    "phone": lambda a, us: {"1f": 72, "1b": 26, "1e": 152, "1c": -14, "hp": 4, "mouth": 0.5 + 0.5 * np.sin(a * 2)},
    "hold": lambda a, us: {"f": 38 + 2 * np.sin(a), "e": 58, "b": 4, "c": -4},
    "hug": lambda a, us: {"f": 74, "e": 28, "b": 16, "c": -38, "tp": 5, "tr": 4 * np.sin(a * 0.4)},
    "hips": lambda a, us: {"f": -22, "b": 42, "e": 62, "c": -50},
    "behind": lambda a, us: {"f": -26, "b": 14, "e": 14, "c": -22},
}
