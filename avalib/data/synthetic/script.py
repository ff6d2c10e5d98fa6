"""Scripts: what one performer does in a shot, written as a list of acts that follow each other."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from avalib.data.synthetic.action_ids import CARRY, FALL, GET_UP, PHONE, STAND, WATCH, WAVE
from avalib.data.synthetic.arm_gestures import add_gesture
from avalib.data.synthetic.characters import draw_object_color
from avalib.data.synthetic.motions import build_still
from avalib.data.synthetic.poses import STANDING

TO_VIEWER_DEG = -90.0  # the yaw of a performer who faces the viewer
FRONTAL_DEG = 62  # up to so many degrees off, gestures are made in the plane of the body
SPARE_S = 0.5  # by which the acts outlast the shot

# What people do while they keep a pose, and how often.
PASTIMES = ("watch", "plain", "phone", "wave", "raised")
PASTIME_SHARES = (0.51, 0.1, 0.2, 0.12, 0.07)
LIVELY_PASTIMES = ("phone", "wave", "raised")


@dataclass(frozen=True)
class Act:
    """What one person does for a while."""

    duration: float  # seconds
    motion: Callable  # see motions
    labels: tuple  # action ids
    speed: float = 0.0  # along `yaw`, in body heights per second
    yaw: float | None = None  # degrees; None: as before
    watched: int | None = None  # index of the performer that the head turns to
    grab: int = 0  # +1: the prop is taken in hand halfway, -1: let go halfway
    has_phone: bool = False


@dataclass(frozen=True)
class Prop:
    """An object that a performer carries."""

    kind: str  # "box" or "bag"
    size: float  # body heights
    color: tuple


class Script:
    """The acts of one performer while they are written.

    Parameters
    ----------
    rng : Generator
    index : int
        The performer's, in the shot.
    x, depth : float
        Where the performer stands at the start.
    duration : float
        Of the shot, in seconds.
    n_performers : int
        In the shot; any other one may be watched.
    """

    def __init__(self, rng, index, x, depth, duration, n_performers):
        self.rng = rng
        self.index = index
        self.start_x = x
        self.x = x
        self.depth = depth
        self.duration = duration
        self.others = [other for other in range(n_performers) if other != index]
        self.acts = []
        self.total_s = 0.0
        self.seat_color = None
        self.prop = None
        self.holds_prop = False  # at the start
        self.yaw = draw_yaw(rng, rng.choice([-1, 1]))

    @property
    def remaining_s(self):
        """Seconds that are still to be filled."""
        return self.duration + SPARE_S - self.total_s

    @property
    def has_bag(self):
        return self.prop is not None and self.prop.kind == "bag"

    @property
    def is_frontal(self):
        """Whether the performer faces the viewer."""
        return abs(self.yaw - TO_VIEWER_DEG) < FRONTAL_DEG

    def add_act(self, min_s, max_s, motion, *labels, speed=0.0, **options):
        """Add an act of min_s..max_s seconds; options: further fields of Act."""
        act = Act(self.rng.uniform(min_s, max_s), motion, labels, speed=speed, yaw=self.yaw, **options)
        self.acts.append(act)
        self.total_s += act.duration
        # Where the next act begins.
        self.x += speed * np.cos(np.radians(self.yaw)) * act.duration

    def start_midway(self):
        """Begin somewhere in the middle of the first act, as a cut does."""
        first = self.acts[0]
        if not first.grab and first.labels[0] not in (FALL, GET_UP) and not first.speed:
            # Acts with a beginning that must be visible stay whole.
            skipped_s = self.rng.uniform(0, 0.6) * first.duration
            self.acts[0] = replace(first, duration=first.duration - skipped_s)

    def turn_towards(self, direction):
        """Turn to the right (direction > 0) or to the left."""
        self.yaw = draw_yaw(self.rng, direction)

    def give_box(self, min_size, max_size):
        """Put a box in the performer's hands."""
        self.prop = Prop("box", self.rng.uniform(min_size, max_size), draw_object_color(self.rng))
        self.holds_prop = True

    def give_bag_at_random(self, chance):
        """Perhaps give a bag to carry all the time, in a hand that hangs; returns whether."""
        if self.rng.random() >= chance:
            return False
        self.prop = Prop("bag", self.rng.uniform(0.15, 0.22), draw_object_color(self.rng))
        self.holds_prop = True
        return True

    def add_pastime(self, min_s, max_s, pose=STANDING, label=STAND, is_quiet=False):
        """Keep a pose: watching somebody, waving, on the phone, an arm held up, or nothing in particular."""
        labels = [label]
        options = {}
        motion = build_still(pose, self.rng)
        pastime = self.rng.choice(PASTIMES, p=PASTIME_SHARES)
        if is_quiet and pastime in LIVELY_PASTIMES:
            pastime = "plain"
        if pastime == "watch" and self.others:
            options["watched"] = int(self.rng.choice(self.others))
            labels.append(WATCH)
        if self.has_bag:
            labels.append(CARRY)
        # What the arms do: the pastime's gesture, or now and then hands on hips or behind the back.
        if pastime == "phone":
            motion = add_gesture(motion, self.rng, "phone")
            options["has_phone"] = True
            labels.append(PHONE)
        elif pastime in ("wave", "raised"):
            motion = add_gesture(motion, self.rng, pastime, is_frontal=self.is_frontal)
            if pastime == "wave":
                labels.append(WAVE)
        elif label == STAND and not self.prop and self.rng.random() < 0.45:
            motion = add_gesture(motion, self.rng, self.rng.choice(["hips", "behind"]))
        self.add_act(min_s, max_s, motion, *labels, **options)


def draw_yaw(rng, direction, min_turn=8, max_turn=48):
    """A random yaw to the right (direction > 0) or left, turned a little to the viewer, so that faces are visible."""
    turn = rng.uniform(min_turn, max_turn)
    return -turn if direction > 0 else -180 + turn
