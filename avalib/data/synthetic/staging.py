"""The stage: who performs what in one shot, and the tracks (poses, places, labels over time) that come of it.

World units are nominal body heights: x to the right, depth 0 (near) .. 1 (far) into the picture.
"""

from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.backgrounds import Place
from avalib.data.synthetic.motions import BLEND_S, Act, smooth
from avalib.data.synthetic.puppet import FIELDS, INDEX, Character


@dataclass(frozen=True)
class Performer:
    """A character with a place on the stage and a list of acts that lasts the whole shot."""

    character: Character
    x: float
    depth: float
    acts: tuple[Act, ...]
    seat: tuple | None = None  # colour of the chair that is under them when they sit
    prop: tuple | None = None  # (kind "box" or "bag", size, colour)
    holding: bool = False  # has the prop in hand at the start


@dataclass(frozen=True)
class Shot:
    """One take: performers, place, and how the camera moves; `size` is pixels per body height at depth 0."""

    seconds: float
    performers: tuple[Performer, ...]
    place: Place
    size: float
    foot: float  # where depth 0 meets the ground, pixels down the 640x480 stage
    pan: tuple  # (centre, sway, period s, follow): follow in body heights a second
    zoom: tuple  # (from, to)
    light: tuple  # (gain, tint (3,), side slope, flicker, period s)
    noise: float
    foreground: tuple  # (x, depth, shapes)


@dataclass
class Track:
    """One performer over the T frames of a shot."""

    poses: np.ndarray  # (T,20)
    x: np.ndarray  # (T,)
    yaw: np.ndarray  # (T,) degrees
    labels: list  # T tuples of action ids
    held: np.ndarray  # (T,) bool
    phone: np.ndarray  # (T,) bool


def perform_shot(performers, times):
    """Tracks of all performers at `times` (T,) seconds from the shot's start."""
    step = times[1] - times[0] if len(times) > 1 else 1 / 30
    tracks = [_carry_out(p, times, step) for p in performers]
    for p, (track, looks) in zip(performers, tracks, strict=True):
        track.poses[:, INDEX["hy"]] += _look(p, track, looks, performers, tracks)
    return [track for track, _ in tracks]


def _weights(acts, times):
    """(A,T) how much each act counts at each time; they sum to 1. And the acts' starts (A,)."""
    starts = np.cumsum([0.0] + [a.duration for a in acts])[:-1]
    begun = np.stack([smooth((times - s) / (2 * BLEND_S) + 0.5) for s in starts])
    begun[0] = 1
    return begun - np.concatenate([begun[1:], np.zeros((1, len(times)))]), starts


def _carry_out(performer, times, step):
    acts = performer.acts
    weights, starts = _weights(acts, times)
    n = len(times)
    poses, speed, yaw = np.zeros((n, len(FIELDS))), np.zeros(n), np.zeros(n)
    now = np.searchsorted(starts, times + 1e-9, side="right") - 1
    held, phone, heading = np.full(n, performer.holding), np.zeros(n, bool), acts[0].yaw or 0.0
    for act, weight, start in zip(acts, weights, starts, strict=True):
        on = weight > 0
        t = times[on] - start
        poses[on] += weight[on, None] * act.motion(t, t / act.duration)
        heading = heading if act.yaw is None else act.yaw
        yaw += weight * heading
        speed += weight * act.speed
        if act.grab:
            held[times >= start + act.duration / 2] = act.grab > 0
        if act.phone:
            phone[(times >= start) & (times < start + act.duration)] = True
    x = performer.x + np.cumsum(speed * np.cos(np.radians(yaw))) * step
    labels = [acts[i].labels for i in now]
    return Track(poses, x, yaw, labels, held, phone), (weights, acts)


def _look(performer, track, looks, performers, tracks):
    """Degrees (T,) that the head turns so that it faces whom each act looks at."""
    head = np.zeros(len(track.x))
    for weight, act in zip(*looks, strict=True):
        if act.look is not None:
            other, seen = performers[act.look], tracks[act.look][0]
            towards = np.degrees(np.arctan2((other.depth - performer.depth) * 0.8, seen.x - track.x))
            head += weight * np.clip((towards - track.yaw + 180) % 360 - 180, -75, 75)
    pad = np.pad(head, 4, mode="edge")
    return np.convolve(pad, np.full(9, 1 / 9), mode="valid")
