"""Roles for two people together: talking, strolling, fighting, meeting."""

import numpy as np

from avalib.data.synthetic.action_ids import FIGHT, HUG, LISTEN, SIT, STAND, TALK, WALK, WATCH
from avalib.data.synthetic.arm_gestures import add_gesture
from avalib.data.synthetic.characters import draw_object_color
from avalib.data.synthetic.motions import build_fight, build_still, build_walk
from avalib.data.synthetic.poses import SITTING, STANDING
from avalib.data.synthetic.script import draw_yaw

UNLIMITED_TURNS = 99
HUG_DISTANCE = 0.19  # body heights between two who hug
MEAN_MEETING_TURN_DEG = 13  # of two who walk up to each other, towards the viewer


def play_talk(script, partner, max_turns=UNLIMITED_TURNS):
    """Stand or sit, and take turns in talking and listening, until `max_turns` or until the shot is full."""
    _face_each_other(script, partner)
    # Whoever has stood already stays on their feet.
    is_sitting = script.total_s == 0 and script.rng.random() < 0.35
    if is_sitting:
        script.seat_color = draw_object_color(script.rng)
        partner.seat_color = draw_object_color(partner.rng)
    pose = SITTING if is_sitting else STANDING
    label = SIT if is_sitting else STAND
    _take_turns(script, partner, max_turns, lambda rng: build_still(pose, rng), label)


def play_stroll(script, partner, speed, direction):
    """Walk side by side, talking, the camera beside."""
    for walker in (script, partner):
        walker.yaw = 0.0 if direction > 0 else -180.0
    _take_turns(script, partner, UNLIMITED_TURNS, lambda rng: build_walk(rng, speed), WALK, speed=speed)


def _take_turns(script, partner, max_turns, build_motion, label, speed=0.0):
    """Talk and listen in turns; build_motion(rng) is what the body does meanwhile, `label` its pose."""
    speaker, listener = (script, partner) if script.rng.random() < 0.5 else (partner, script)
    n_turns = 0
    while script.remaining_s > 0 and n_turns < max_turns:
        duration = script.rng.uniform(2.0, 4.2)
        _add_speech(speaker, listener, duration, "talk", build_motion, (label, TALK, WATCH), speed)
        _add_speech(listener, speaker, duration, "listen", build_motion, (label, LISTEN, WATCH), speed)
        speaker, listener = listener, speaker
        n_turns += 1


def _add_speech(script, partner, duration, gesture, build_motion, labels, speed):
    motion = add_gesture(build_motion(script.rng), script.rng, gesture)
    script.add_act(duration, duration, motion, *labels, watched=partner.index, speed=speed)


def play_brawl(script, partner):
    """Fight, facing each other."""
    _face_each_other(script, partner, 0, 22)
    while script.remaining_s > 0:
        duration = script.rng.uniform(3, 6)
        script.add_act(duration, duration, build_fight(script.rng, 0), STAND, FIGHT)
        partner.add_act(duration, duration, build_fight(partner.rng, 1), STAND, FIGHT)


def play_meeting(script, partner):
    """Walk up to each other, hug, talk, part, and again."""
    rng = script.rng
    speed = rng.uniform(0.4, 0.55)
    while script.remaining_s > 0:
        _face_each_other(script, partner, 6, 20)
        # Each walks half of the gap, as far as the turn towards the viewer lets them.
        gap = abs(script.x - partner.x) - HUG_DISTANCE
        if gap > 0.05:
            duration = gap / 2 / speed / np.cos(np.radians(MEAN_MEETING_TURN_DEG))
            _walk_both(script, partner, duration, speed)
        # Then they part, each back towards where they started.
        _hug_both(script, partner, rng.uniform(3.0, 5.0))
        script.turn_towards(script.start_x - partner.start_x)
        partner.turn_towards(partner.start_x - script.start_x)
        _walk_both(script, partner, rng.uniform(0.6, 0.9), speed)
        if rng.random() < 0.45:
            play_talk(script, partner, max_turns=1)


def _walk_both(script, partner, duration, speed):
    for walker in (script, partner):
        walker.add_act(duration, duration, build_walk(walker.rng, speed), WALK, speed=speed)


def _hug_both(script, partner, duration):
    for hugger in (script, partner):
        motion = add_gesture(build_still(STANDING, hugger.rng), hugger.rng, "hug")
        hugger.add_act(duration, duration, motion, STAND, HUG)


def _face_each_other(script, partner, min_turn=8, max_turn=38):
    script.yaw = draw_yaw(script.rng, partner.x - script.x, min_turn, max_turn)
    partner.yaw = draw_yaw(partner.rng, script.x - partner.x, min_turn, max_turn)


# By kind of shot: what two people do, and how far apart they begin, in body heights.
PAIR_ROLES = {"talk": play_talk, "brawl": play_brawl, "meet": play_meeting}
PAIR_DISTANCES = {"talk": 0.62, "brawl": 0.46, "meet": 0.8}
