"""Roles: what one person, or two together, do for the length of a shot, as lists of acts."""

from dataclasses import replace

import numpy as np

from avalib.data.synthetic.motions import (
    BEND,
    BENT,
    CARRY,
    CROUCH,
    DANCE,
    FALL,
    FALL_BACK,
    FALL_FORWARD,
    FIGHT,
    GET_UP,
    HOLDING,
    HUG,
    KNEELING,
    LIE,
    LIFT,
    LISTEN,
    ONE_KNEE,
    PHONE,
    PRONE,
    PUT,
    RESTING,
    RUN,
    SIT,
    SITTING,
    SITTING_LOW,
    SQUAT,
    STAND,
    STANDING,
    SUPINE,
    TAKE,
    TALK,
    WALK,
    WATCH,
    WAVE,
    Act,
    along,
    dance,
    fight,
    hold,
    stride,
    with_arms,
)
from avalib.data.synthetic.puppet import convert_hsv


def facing(rng, way, low=8, high=48):
    """A yaw towards the right (way > 0) or the left, turned a little to the viewer, so that faces are seen."""
    turned = rng.uniform(low, high)
    return -turned if way > 0 else -180 + turned


def colour(rng):
    """A colour for an object: bright enough to see."""
    return convert_hsv(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.55, 0.95))


class Script:
    """The acts of one performer being written: where they stand, how long it lasts so far, whom they may look at."""

    def __init__(self, rng, index, x, depth, seconds, others):
        self.rng, self.index, self.x, self.depth, self.seconds = rng, index, x, depth, seconds
        self.others = [o for o in others if o != index]
        self.acts, self.total = [], 0.0
        self.seat = self.prop = None
        self.holding = False
        self.x0 = x
        self.yaw = facing(rng, rng.choice([-1, 1]))

    @property
    def left(self):
        """Seconds still to fill."""
        return self.seconds + 0.5 - self.total

    def add(self, low, high, motion, *labels, speed=0.0, **more):
        """An act of low..high seconds."""
        act = Act(self.rng.uniform(low, high), motion, labels, speed=speed, yaw=self.yaw, **more)
        self.acts.append(act)
        self.total += act.duration
        self.x += speed * np.cos(np.radians(self.yaw)) * act.duration
        return act.duration

    def cut_in(self):
        """Begin somewhere in the middle of the first act, as a cut does."""
        first = self.acts[0]
        if not first.grab and first.labels[0] not in (FALL, GET_UP) and not first.speed:
            spared = self.rng.uniform(0, 0.6) * first.duration
            self.acts[0] = replace(first, duration=first.duration - spared)

    def turn_to(self, way):
        self.yaw = facing(self.rng, way)

    def bag(self, chance):
        """Perhaps give a bag to carry all the time, in a hand that hangs; returns whether."""
        if self.rng.random() >= chance:
            return False
        self.prop, self.holding = ("bag", self.rng.uniform(0.15, 0.22), colour(self.rng)), True
        return True

    def idle(self, low, high, still=STANDING, label=STAND, quiet=False):
        """Keep a pose: watching somebody, waving, on the phone, an arm held up, or nothing in particular."""
        rng, more, labels = self.rng, {}, [label]
        motion = hold(still, rng)
        what = rng.choice(["watch", "plain", "phone", "wave", "raised"], p=[0.51, 0.1, 0.2, 0.12, 0.07])
        if quiet and what in ("phone", "wave", "raised"):
            what = "plain"
        if what == "watch" and self.others:
            more["look"] = int(rng.choice(self.others))
            labels.append(WATCH)
        if self.prop and self.prop[0] == "bag":
            labels.append(CARRY)
        if what == "phone":
            motion, more = with_arms(motion, rng, "phone"), {"phone": True}
            labels.append(PHONE)
        elif what in ("wave", "raised"):
            motion = with_arms(motion, rng, what, facing_us=abs(self.yaw + 90) < 62)
            labels += [WAVE] if what == "wave" else []
        elif label == STAND and not self.prop and rng.random() < 0.45:
            motion = with_arms(motion, rng, rng.choice(["hips", "behind"]))
        self.add(low, high, motion, *labels, **more)


# --- alone ------------------------------------------------------------------------------------------------------------


def faller(s):
    """Stands or walks, falls, lies, gets up, and again."""
    lying = s.rng.random() < 0.4
    while s.left > 0:
        s.turn_to(s.rng.choice([-1, 1]) if abs(s.x) < 0.3 else -s.x)
        forward = s.rng.random() < 0.5
        keys = FALL_FORWARD if forward else FALL_BACK
        if not lying:
            if s.rng.random() < 0.3:
                speed = s.rng.uniform(0.4, 0.6)
                s.add(0.8, 1.6, stride(s.rng, speed, False), WALK, speed=speed)
            else:
                s.idle(0.8, 1.7, quiet=True)
            s.add(1.6, 2.0, along(keys), FALL)
        s.add(1.0, 2.4, hold(keys[-1][1], s.rng, sway=0.6), LIE)
        s.add(1.6, 2.0, along(keys, backwards=True), GET_UP)
        lying = False


def lifter(s):
    """Lifts a box, holds or carries it, puts it down, and again."""
    s.holding = bool(s.rng.random() < 0.5)
    s.prop = ("box", s.rng.uniform(0.2, 0.3), colour(s.rng))
    holding = s.holding
    while s.left > 0:
        if not holding:
            s.idle(0.5, 1.6, quiet=True)
            s.add(1.7, 2.0, along(TAKE), BEND, LIFT, grab=1)
        hold_or_carry(s, 1.0, 2.2)
        s.add(1.7, 2.0, along(TAKE, backwards=True), BEND, PUT, grab=-1)
        holding = False


def hold_or_carry(s, low, high):
    """Some time with the box in the arms, standing or walking."""
    if s.rng.random() < 0.35:
        s.turn_to(-s.x if abs(s.x) > 0.2 else s.rng.choice([-1, 1]))
        speed = s.rng.uniform(0.35, 0.6)
        s.add(low, high, with_arms(stride(s.rng, speed, False), s.rng, "hold"), WALK, CARRY, speed=speed)
    else:
        s.add(low, high, with_arms(hold(HOLDING, s.rng), s.rng, "hold"), STAND, CARRY)


def carrier(s):
    """Carries a box or a bag to and fro, with rests."""
    s.prop, s.holding = ("box", s.rng.uniform(0.2, 0.32), colour(s.rng)), True
    while s.left > 0:
        hold_or_carry(s, 1.5, 3.0)


def dancer(s):
    """Dances, with short rests."""
    s.yaw = -90 + s.rng.uniform(-50, 50)
    while s.left > 0:
        s.add(3.0, 6.0, dance(s.rng), DANCE)
        if s.rng.random() < 0.4:
            s.idle(1.0, 2.0)


def waver(s):
    """Waves, holds an arm up, and stands."""
    s.yaw = -90 + s.rng.uniform(-55, 55) if s.rng.random() < 0.75 else facing(s.rng, -s.x, 5, 30)
    frontal = abs(s.yaw + 90) < 62
    still, label = (STANDING, STAND) if s.rng.random() < 0.8 else (SITTING, SIT)
    s.seat = colour(s.rng) if label == SIT else None
    while s.left > 0:
        what = s.rng.choice(["wave", "raised", "idle"], p=[0.55, 0.25, 0.2])
        if what == "idle":
            s.idle(1.0, 2.5, still, label)
        else:
            motion = with_arms(hold(still, s.rng), s.rng, what, facing_us=frontal)
            s.add(1.8, 3.6, motion, label, *([WAVE] if what == "wave" else []))


def mover(s, running=None, reach=1.2):
    """Walks or runs to and fro across the picture, some on the phone, with stops."""
    running = s.rng.random() < 0.5 if running is None else running
    speed = s.rng.uniform(1.1, 1.7) if running else s.rng.uniform(0.38, 0.75)
    motion, labels, phone = stride(s.rng, speed, running), [RUN if running else WALK], False
    if not running and s.bag(0.3):
        labels.append(CARRY)
    elif not running and s.rng.random() < 0.5:
        motion, phone = with_arms(motion, s.rng, "phone"), True
        labels.append(PHONE)
    way = s.rng.choice([-1, 1])
    while s.left > 0:
        s.yaw = facing(s.rng, way, 5, 35)
        room = max(reach - way * s.x, 0.5)
        long = min(room / (speed * np.cos(np.radians(s.yaw + (180 if way < 0 else 0)))), 4.0)
        s.add(long, long + 0.01, motion, *labels, speed=speed, phone=phone)
        way = -way
        if not running and s.rng.random() < 0.35:
            s.idle(1.0, 2.2, quiet=s.holding)


def marcher(s, speed, running, way):
    """Walks or runs all the time, the camera beside."""
    s.yaw = 0.0 if way > 0 else -180.0
    motion, labels, phone = stride(s.rng, speed, running), [RUN if running else WALK], False
    what = s.rng.choice(["plain", "phone", "hold"], p=[0.6, 0.2, 0.2]) if not running else "plain"
    if what != "plain":
        motion, phone = with_arms(motion, s.rng, what), what == "phone"
        labels.append(PHONE if phone else CARRY)
    if what == "hold":
        s.prop, s.holding = ("box", s.rng.uniform(0.18, 0.28), colour(s.rng)), True
    while s.left > 0:
        s.add(3, 4, motion, *labels, speed=speed, phone=phone)


def sitter(s):
    """Sits on a chair or on the ground."""
    chair = s.rng.random() < 0.6
    s.seat = colour(s.rng) if chair else None
    s.yaw = facing(s.rng, -s.x, 10, 60)
    while s.left > 0:
        s.idle(2.0, 4.5, SITTING if chair else SITTING_LOW, SIT)


def sleeper(s):
    """Lies, resting."""
    s.yaw = facing(s.rng, s.rng.choice([-1, 1]), 0, 30)
    still = (SUPINE, PRONE, RESTING)[s.rng.integers(3)]
    while s.left > 0:
        s.add(3, 5, hold(still, s.rng, sway=0.8), LIE)


def croucher(s):
    """Crouches or kneels, with spells of standing."""
    while s.left > 0:
        still = (SQUAT, KNEELING, ONE_KNEE)[s.rng.integers(3)]
        s.idle(2.5, 4.5, still, CROUCH, quiet=s.rng.random() < 0.7)
        if s.rng.random() < 0.4:
            s.idle(1.0, 2.0)


def bender(s):
    """Bends over and straightens up."""
    while s.left > 0:
        s.add(1.8, 3.2, hold(BENT, s.rng, sway=4), BEND)
        s.idle(0.8, 1.8)


def bystander(s):
    """Stands about."""
    s.yaw = facing(s.rng, -s.x, 0, 80)
    s.bag(0.35)
    while s.left > 0:
        s.idle(2.0, 4.0, quiet=s.holding)


# --- two together -----------------------------------------------------------------------------------------------------


def face_each_other(a, b, low=8, high=38):
    a.yaw, b.yaw = facing(a.rng, b.x - a.x, low, high), facing(b.rng, a.x - b.x, low, high)


def talk(a, b, turns=99):
    """Stand or sit, and take turns in talking and listening; returns after `turns` or when the shot is full."""
    face_each_other(a, b)
    sitting = a.total == 0 and a.rng.random() < 0.35
    if sitting:
        a.seat, b.seat = colour(a.rng), colour(b.rng)
    still, label = (SITTING, SIT) if sitting else (STANDING, STAND)
    _take_turns(a, b, turns, lambda rng: hold(still, rng), label)


def stroll(a, b, speed, way):
    """Walk side by side, talking, the camera beside."""
    a.yaw = b.yaw = 0.0 if way > 0 else -180.0
    _take_turns(a, b, 99, lambda rng: stride(rng, speed, False), WALK, speed=speed)


def _take_turns(a, b, turns, motion, label, **more):
    speaker, listener = (a, b) if a.rng.random() < 0.5 else (b, a)
    while a.left > 0 and turns > 0:
        long = a.rng.uniform(2.0, 4.2)
        for s, other, what, said in ((speaker, listener, "talk", TALK), (listener, speaker, "listen", LISTEN)):
            moving = with_arms(motion(s.rng), s.rng, what)
            s.add(long, long, moving, label, said, WATCH, look=other.index, **more)
        speaker, listener, turns = listener, speaker, turns - 1


def brawl(a, b):
    """Fight, facing each other."""
    face_each_other(a, b, 0, 22)
    while a.left > 0:
        long = a.rng.uniform(3, 6)
        a.add(long, long, fight(a.rng, 0), STAND, FIGHT)
        b.add(long, long, fight(a.rng, 1), STAND, FIGHT)


def meet(a, b):
    """Walk up to each other, hug, talk, part, and again."""
    speed = a.rng.uniform(0.4, 0.55)

    def walking(rng):
        return stride(rng, speed, False)

    def hugging(rng):
        return with_arms(hold(STANDING, rng), rng, "hug")

    while a.left > 0:
        face_each_other(a, b, 6, 20)
        gap = abs(a.x - b.x) - 0.19
        if gap > 0.05:
            both(a, b, gap / 2 / speed / np.cos(np.radians(13)), walking, WALK, speed=speed)
        both(a, b, a.rng.uniform(3.0, 5.0), hugging, STAND, HUG)
        a.turn_to(a.x0 - b.x0)
        b.turn_to(b.x0 - a.x0)
        both(a, b, a.rng.uniform(0.6, 0.9), walking, WALK, speed=speed)
        if a.rng.random() < 0.45:
            talk(a, b, turns=1)


def both(a, b, long, motion, *labels, **more):
    """The same for two, each with their own small differences."""
    for s in (a, b):
        s.add(long, long, motion(s.rng), *labels, **more)
