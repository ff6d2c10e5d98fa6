"""AVA's ids of the actions that the synthetic data shows."""

BEND = 1
CROUCH = 3
DANCE = 4
FALL = 5
GET_UP = 6
LIE = 8
RUN = 10
SIT = 11
STAND = 12
WALK = 14
PHONE = 15
CARRY = 17
LIFT = 36
PUT = 47
FIGHT = 64
WAVE = 69
HUG = 70
LISTEN = 74
TALK = 79
WATCH = 80

POSE_ACTIONS = (BEND, CROUCH, DANCE, FALL, GET_UP, LIE, RUN, SIT, STAND, WALK)  # a person has one of them at any time
ACTIONS = (*POSE_ACTIONS, PHONE, CARRY, LIFT, PUT, FIGHT, WAVE, HUG, LISTEN, TALK, WATCH)
TIME_ACTIONS = (FALL, GET_UP, RUN, WALK, LIFT, PUT, WAVE)  # order or speed matters: one frame does not show them
