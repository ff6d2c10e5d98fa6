"""Roles for one person: what somebody does for the length of a shot."""

import numpy as np

from avalib.data.synthetic.action_ids import (
    BEND,
    CARRY,
    CROUCH,
    DANCE,
    FALL,
    GET_UP,
    LIE,
    LIFT,
    PHONE,
    PUT,
    RUN,
    SIT,
    STAND,
    WALK,
    WAVE,
)
from avalib.data.synthetic.arm_gestures import add_gesture
from avalib.data.synthetic.characters import draw_object_color
from avalib.data.synthetic.motions import build_dance, build_still, build_stride, build_transition, build_walk
from avalib.data.synthetic.poses import (
    BENT,
    FALL_BACK,
    FALL_FORWARD,
    HOLDING,
    KNEELING,
    LIFT_BOX,
    ONE_KNEE,
    PRONE,
    RESTING,
    SITTING,
    SITTING_LOW,
    SQUAT,
    STANDING,
    SUPINE,
)
from avalib.data.synthetic.script import TO_VIEWER_DEG, draw_yaw


def play_faller(script):
    """Stand or walk, fall, lie, get up, and again."""
    rng = script.rng
    # Some shots begin with the person on the ground.
    is_lying = rng.random() < 0.4
    while script.remaining_s > 0:
        script.turn_towards(rng.choice([-1, 1]) if abs(script.x) < 0.3 else -script.x)
        key_poses = FALL_FORWARD if rng.random() < 0.5 else FALL_BACK
        if not is_lying:
            if rng.random() < 0.3:
                speed = rng.uniform(0.4, 0.6)
                script.add_act(0.8, 1.6, build_walk(rng, speed), WALK, speed=speed)
            else:
                script.add_pastime(0.8, 1.7, is_quiet=True)
            script.add_act(1.6, 2.0, build_transition(key_poses), FALL)
        # Whoever fell forward lies on the front, whoever fell back on the back.
        _, lying_pose = key_poses[-1]
        script.add_act(1.0, 2.4, build_still(lying_pose, rng, sway=0.6), LIE)
        script.add_act(1.6, 2.0, build_transition(key_poses, backwards=True), GET_UP)
        is_lying = False


def play_lifter(script):
    """Lift a box, hold or carry it, put it down, and again."""
    rng = script.rng
    # The box is in hand or on the ground when the shot begins.
    starts_holding = bool(rng.random() < 0.5)
    script.give_box(0.2, 0.3)
    script.holds_prop = starts_holding
    is_holding = starts_holding
    while script.remaining_s > 0:
        if not is_holding:
            script.add_pastime(0.5, 1.6, is_quiet=True)
            script.add_act(1.7, 2.0, build_transition(LIFT_BOX), BEND, LIFT, grab=1)
        _hold_or_carry(script, 1.0, 2.2)
        script.add_act(1.7, 2.0, build_transition(LIFT_BOX, backwards=True), BEND, PUT, grab=-1)
        is_holding = False


def play_carrier(script):
    """Carry a box to and fro, with rests."""
    script.give_box(0.2, 0.32)
    while script.remaining_s > 0:
        _hold_or_carry(script, 1.5, 3.0)


def _hold_or_carry(script, min_s, max_s):
    """Some time with the box in the arms, standing or walking."""
    rng = script.rng
    if rng.random() < 0.35:
        script.turn_towards(-script.x if abs(script.x) > 0.2 else rng.choice([-1, 1]))
        speed = rng.uniform(0.35, 0.6)
        # Both arms stay around the box.
        motion = add_gesture(build_walk(rng, speed), rng, "hold")
        script.add_act(min_s, max_s, motion, WALK, CARRY, speed=speed)
    else:
        script.add_act(min_s, max_s, add_gesture(build_still(HOLDING, rng), rng, "hold"), STAND, CARRY)


def play_dancer(script):
    """Dance, with short rests."""
    script.yaw = TO_VIEWER_DEG + script.rng.uniform(-50, 50)
    while script.remaining_s > 0:
        script.add_act(3.0, 6.0, build_dance(script.rng), DANCE)
        if script.rng.random() < 0.4:
            script.add_pastime(1.0, 2.0)


def play_waver(script):
    """Wave, hold an arm up, and stand or sit."""
    rng = script.rng
    # Most face the viewer; others are seen from the side, waving across the body.
    if rng.random() < 0.75:
        script.yaw = TO_VIEWER_DEG + rng.uniform(-55, 55)
    else:
        script.yaw = draw_yaw(rng, -script.x, 5, 30)
    is_standing = rng.random() < 0.8
    pose = STANDING if is_standing else SITTING
    label = STAND if is_standing else SIT
    if not is_standing:
        script.seat_color = draw_object_color(rng)
    while script.remaining_s > 0:
        gesture = rng.choice(["wave", "raised", "idle"], p=[0.55, 0.25, 0.2])
        if gesture == "idle":
            script.add_pastime(1.0, 2.5, pose, label)
        else:
            motion = add_gesture(build_still(pose, rng), rng, gesture, is_frontal=script.is_frontal)
            labels = [label, WAVE] if gesture == "wave" else [label]
            script.add_act(1.8, 3.6, motion, *labels)


def play_mover(script, reach=1.2, is_running=None):
    """Walk or run to and fro between -reach and reach, some on the phone, with stops; is_running None: at random."""
    rng = script.rng
    if is_running is None:
        is_running = rng.random() < 0.5
    # Body heights per second.
    speed = rng.uniform(1.1, 1.7) if is_running else rng.uniform(0.38, 0.75)
    motion = build_stride(rng, speed, is_running)
    labels = [RUN if is_running else WALK]
    has_phone = False
    # Some walkers have a bag, some a phone, runners neither.
    if not is_running and script.give_bag_at_random(0.3):
        labels.append(CARRY)
    elif not is_running and rng.random() < 0.5:
        motion = add_gesture(motion, rng, "phone")
        has_phone = True
        labels.append(PHONE)
    direction = rng.choice([-1, 1])
    while script.remaining_s > 0:
        script.yaw = draw_yaw(rng, direction, 5, 35)
        # As long as it takes to the end of the way, at most 4 seconds.
        distance = max(reach - direction * script.x, 0.5)
        turn = script.yaw + (180 if direction < 0 else 0)
        duration = min(distance / (speed * np.cos(np.radians(turn))), 4.0)
        script.add_act(duration, duration + 0.01, motion, *labels, speed=speed, has_phone=has_phone)
        direction = -direction
        if not is_running and rng.random() < 0.35:
            script.add_pastime(1.0, 2.2, is_quiet=script.holds_prop)


def play_marcher(script, speed, is_running, direction):
    """Walk or run all the time, the camera beside."""
    rng = script.rng
    script.yaw = 0.0 if direction > 0 else -180.0
    motion = build_stride(rng, speed, is_running)
    labels = [RUN if is_running else WALK]
    # What the arms do: nothing special, a phone, or a box.
    gesture = "plain"
    if not is_running:
        gesture = rng.choice(["plain", "phone", "hold"], p=[0.6, 0.2, 0.2])
    if gesture != "plain":
        motion = add_gesture(motion, rng, gesture)
        labels.append(PHONE if gesture == "phone" else CARRY)
    if gesture == "hold":
        script.give_box(0.18, 0.28)
    while script.remaining_s > 0:
        script.add_act(3, 4, motion, *labels, speed=speed, has_phone=gesture == "phone")


def play_sitter(script):
    """Sit on a chair or on the ground."""
    has_chair = script.rng.random() < 0.6
    if has_chair:
        script.seat_color = draw_object_color(script.rng)
    script.yaw = draw_yaw(script.rng, -script.x, 10, 60)
    while script.remaining_s > 0:
        script.add_pastime(2.0, 4.5, SITTING if has_chair else SITTING_LOW, SIT)


def play_sleeper(script):
    """Lie, resting."""
    rng = script.rng
    script.yaw = draw_yaw(rng, rng.choice([-1, 1]), 0, 30)
    pose = (SUPINE, PRONE, RESTING)[rng.integers(3)]
    while script.remaining_s > 0:
        script.add_act(3, 5, build_still(pose, rng, sway=0.8), LIE)


def play_croucher(script):
    """Crouch or kneel, with spells of standing."""
    rng = script.rng
    while script.remaining_s > 0:
        pose = (SQUAT, KNEELING, ONE_KNEE)[rng.integers(3)]
        script.add_pastime(2.5, 4.5, pose, CROUCH, is_quiet=rng.random() < 0.7)
        if rng.random() < 0.4:
            script.add_pastime(1.0, 2.0)


def play_bender(script):
    """Bend over and straighten up."""
    while script.remaining_s > 0:
        script.add_act(1.8, 3.2, build_still(BENT, script.rng, sway=4), BEND)
        script.add_pastime(0.8, 1.8)


def play_bystander(script):
    """Stand about."""
    script.yaw = draw_yaw(script.rng, -script.x, 0, 80)
    script.give_bag_at_random(0.35)
    while script.remaining_s > 0:
        script.add_pastime(2.0, 4.0, is_quiet=script.holds_prop)


# Movers and runners also need to know how far they can go: see scenes.
ROLES = {
    "faller": play_faller,
    "lifter": play_lifter,
    "carrier": play_carrier,
    "dancer": play_dancer,
    "waver": play_waver,
    "sitter": play_sitter,
    "sleeper": play_sleeper,
    "croucher": play_croucher,
    "bender": play_bender,
    "bystander": play_bystander,
}
