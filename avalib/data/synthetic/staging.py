"""The stage: who performs what in one shot, and the tracks (poses, places, labels over time) that come of it.

World units are nominal body heights: x to the right, depth 0 (near) .. 1 (far) into the picture.
"""

from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.backgrounds import Place
from avalib.data.synthetic.characters import Character
from avalib.data.synthetic.motions import smooth
from avalib.data.synthetic.puppet import FIELD_INDEX, FIELDS
from avalib.data.synthetic.script import Act, Prop
from avalib.data.synthetic.things import Thing

BLEND_S = 0.18  # half the time in which one act passes into the next
DEFAULT_STEP_S = 1 / 30  # between frames, if there is only one
MAX_HEAD_TURN_DEG = 75
HEAD_SMOOTHING_FRAMES = 9
DEPTH_TO_X = 0.8  # body heights of x that a unit of depth counts for when heads turn


@dataclass(frozen=True)
class Performer:
    """A character with a place on the stage and a list of acts that lasts the whole shot."""

    character: Character
    x: float
    depth: float
    acts: tuple[Act, ...]
    seat_color: tuple | None = None  # of the chair they sit on
    prop: Prop | None = None
    holds_prop: bool = False  # at the start


@dataclass(frozen=True)
class Pan:
    """How the camera moves along x, in body heights."""

    center: float
    sway: float
    period_s: float  # of the sway
    speed: float  # per second, to follow people who walk


@dataclass(frozen=True)
class Light:
    """How the picture is lit; all but the period are factors, or parts of 1."""

    gain: float
    tint: tuple  # (3,), of RGB
    slope: float  # from the left side to the right one
    flicker: float
    flicker_period_s: float


@dataclass(frozen=True)
class Shot:
    """One shot: performers, place, and how the camera moves."""

    duration: float  # seconds
    performers: tuple[Performer, ...]
    place: Place
    size: float  # pixels per body height at depth 0
    foot_y: float  # where depth 0 meets the ground, pixels down the 640x480 stage
    pan: Pan
    zoom: tuple  # factors (at the start, at the end)
    light: Light
    noise: float
    foreground: tuple[Thing, ...]


@dataclass
class Track:
    """One performer over the T frames of a shot."""

    poses: np.ndarray  # (T,20)
    x: np.ndarray  # (T,)
    yaw: np.ndarray  # (T,) degrees
    labels: list  # T tuples of action ids
    is_holding: np.ndarray  # (T,) bool
    has_phone: np.ndarray  # (T,) bool


def perform_shot(performers, times_s):
    """The Tracks of all performers at `times_s` (T,) seconds from the shot's start."""
    step_s = times_s[1] - times_s[0] if len(times_s) > 1 else DEFAULT_STEP_S
    weights = [_compute_act_weights(performer.acts, times_s) for performer in performers]
    tracks = [
        _build_track(performer, act_weights, times_s, step_s)
        for performer, act_weights in zip(performers, weights, strict=True)
    ]
    for index, (track, act_weights) in enumerate(zip(tracks, weights, strict=True)):
        head_yaw = _compute_head_yaw(index, act_weights, performers, tracks)
        track.poses[:, FIELD_INDEX["head_yaw"]] += head_yaw
    return tracks


def _compute_start_times(acts):
    """The start (A,) of each act, in seconds."""
    return np.cumsum([0.0] + [act.duration for act in acts])[:-1]


def _compute_act_weights(acts, times_s):
    """How much each act counts at each time (A,T), 0..1; they sum to 1."""
    # How far each act has been blended in (A,T); the first one counts from the start.
    begun = np.stack([smooth((times_s - start) / (2 * BLEND_S) + 0.5) for start in _compute_start_times(acts)])
    begun[0] = 1
    # An act counts by what the next one has not yet taken over.
    next_begun = np.concatenate([begun[1:], np.zeros((1, len(times_s)))])
    return begun - next_begun


def _build_track(performer, weights, times_s, step_s):
    """The Track of one performer: the blended acts; weights (A,T)."""
    acts = performer.acts
    starts = _compute_start_times(acts)
    n_frames = len(times_s)
    poses = np.zeros((n_frames, len(FIELDS)))
    speed = np.zeros(n_frames)
    yaw = np.zeros(n_frames)
    is_holding = np.full(n_frames, performer.holds_prop)
    has_phone = np.zeros(n_frames, bool)
    heading = acts[0].yaw or 0.0
    for act, weight, start in zip(acts, weights, starts, strict=True):
        is_active = weight > 0
        act_times_s = times_s[is_active] - start
        poses[is_active] += weight[is_active, None] * act.motion(act_times_s, act_times_s / act.duration)
        if act.yaw is not None:
            heading = act.yaw
        yaw += weight * heading
        speed += weight * act.speed
        if act.grab:
            is_holding[times_s >= start + act.duration / 2] = act.grab > 0
        if act.has_phone:
            has_phone[(times_s >= start) & (times_s < start + act.duration)] = True
    x = performer.x + np.cumsum(speed * np.cos(np.radians(yaw))) * step_s
    # Labels do not blend: each frame has those of the act that has begun last.
    current_act = np.searchsorted(starts, times_s + 1e-9, side="right") - 1
    labels = [acts[index].labels for index in current_act]
    return Track(poses=poses, x=x, yaw=yaw, labels=labels, is_holding=is_holding, has_phone=has_phone)


def _compute_head_yaw(index, weights, performers, tracks):
    """Degrees (T,) that a performer's head turns towards whom each act watches."""
    performer = performers[index]
    track = tracks[index]
    head_yaw = np.zeros(len(track.x))
    for act, weight in zip(performer.acts, weights, strict=True):
        if act.watched is not None:
            watched = performers[act.watched]
            direction = np.degrees(
                np.arctan2((watched.depth - performer.depth) * DEPTH_TO_X, tracks[act.watched].x - track.x)
            )
            # The angle from the body's yaw, -180..180, as far as a head turns.
            turn = (direction - track.yaw + 180) % 360 - 180
            head_yaw += weight * np.clip(turn, -MAX_HEAD_TURN_DEG, MAX_HEAD_TURN_DEG)
    # A moving average over the frames around each one.
    padded = np.pad(head_yaw, HEAD_SMOOTHING_FRAMES // 2, mode="edge")
    return np.convolve(padded, np.full(HEAD_SMOOTHING_FRAMES, 1 / HEAD_SMOOTHING_FRAMES), mode="valid")
