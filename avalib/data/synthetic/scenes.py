"""Scenes: cast, roles, place, camera and light of every shot of a video, all drawn from one random generator."""

from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.backgrounds import FOREGROUND_THINGS, PLACE_KINDS, Place
from avalib.data.synthetic.characters import draw_character
from avalib.data.synthetic.pair_roles import PAIR_DISTANCES, PAIR_ROLES, play_stroll
from avalib.data.synthetic.roles import ROLES, play_marcher, play_mover
from avalib.data.synthetic.script import Script
from avalib.data.synthetic.staging import Light, Pan, Performer, Shot
from avalib.data.synthetic.things import Thing, build_shapes

STAGE_WIDTH = 640  # pixels
PERSON_WIDTH = 0.75  # body heights of the picture's width per person
MIN_PEOPLE = 2
MAX_PEOPLE = 4
MAX_DEALING_NOISE = 0.1  # by which shots that are due are dealt in another order


@dataclass(frozen=True)
class ShotKind:
    """A kind of shot: how often it comes, how large people are in it, and what they do."""

    share: float
    min_size: float  # pixels per body height, of 480
    max_size: float
    roles: tuple[str, ...] = ()  # of those who are not in a pair: the first one always, the others at random


SHOT_KINDS = {
    "falls": ShotKind(0.21, 315, 395, ("faller", "faller", "faller", "bystander")),
    "boxes": ShotKind(0.2, 325, 410, ("lifter", "lifter", "lifter", "lifter", "bystander")),
    "talk": ShotKind(0.09, 325, 415, ("bystander", "waver", "sitter")),
    "walk": ShotKind(0.05, 285, 350, ("mover", "mover", "carrier", "waver")),
    "run": ShotKind(0.055, 275, 335, ("runner", "runner", "runner", "mover")),
    "stroll": ShotKind(0.03, 325, 395),
    "jog": ShotKind(0.03, 325, 395),
    "dance": ShotKind(0.065, 300, 365, ("dancer", "dancer", "dancer", "bystander")),
    "brawl": ShotKind(0.06, 325, 395, ("waver", "bystander", "croucher")),
    "meet": ShotKind(0.085, 325, 395, ("waver", "bystander", "mover")),
    "sit": ShotKind(0.06, 335, 425, ("sitter", "sitter", "sleeper", "waver")),
    "kneel": ShotKind(0.08, 335, 430, ("croucher", "croucher", "croucher", "bender")),
}


def deal_shot_kinds(rng, kinds=()):
    """Yield kinds of shots without end: after any number, each has come about as often as SHOT_KINDS says.

    kinds: only these; all if empty.
    """
    kinds = kinds or tuple(SHOT_KINDS)
    shares = np.array([SHOT_KINDS[kind].share for kind in kinds])
    credit = rng.uniform(0, 1, len(shares)) * shares  # how many shots of each kind are due
    while True:
        credit += shares / shares.sum()
        dealt = int(np.argmax(credit + rng.uniform(0, MAX_DEALING_NOISE, len(credit))))
        credit[dealt] -= 1
        yield kinds[dealt]


def plan_video(rng, duration, kinds):
    """The Shots of one video, one for each of `kinds`, about equally long; cuts fall between the annotated seconds."""
    # The people of this video, of which each shot shows some.
    cast = [draw_character(rng, index + 1) for index in range(rng.integers(8, 12))]
    n_cuts = len(kinds) - 1
    # (n_cuts,) seconds: evenly spread, then moved, then put between whole seconds.
    even_cuts = np.arange(1, len(kinds)) * duration / len(kinds)
    moved_cuts = even_cuts + rng.uniform(-0.15, 0.15, n_cuts) * duration / len(kinds)
    edges = [0.0, *(np.floor(moved_cuts) + rng.uniform(0.35, 0.65, n_cuts)), duration]
    return [
        plan_shot(rng, kind, cast, end - start) for kind, start, end in zip(kinds, edges[:-1], edges[1:], strict=True)
    ]


def plan_shot(rng, kind, cast, duration):
    """One Shot of `duration` seconds of one of SHOT_KINDS, with some of the `cast`."""
    size = rng.uniform(SHOT_KINDS[kind].min_size, SHOT_KINDS[kind].max_size)
    width = STAGE_WIDTH / size  # body heights across the picture
    # As many people as fit side by side.
    n_people = round(width / PERSON_WIDTH + rng.uniform(-0.4, 0.4))
    n_people = int(np.clip(n_people, MIN_PEOPLE, min(MAX_PEOPLE, len(cast))))
    actors = [cast[index] for index in rng.permutation(len(cast))[:n_people]]
    place = Place(
        kind=PLACE_KINDS[rng.integers(len(PLACE_KINDS))],
        horizon=int(rng.integers(250, 330)),
        seed=int(rng.integers(2**31)),
    )
    camera_speed, scripts = _write_scripts(rng, kind, n_people, width, duration)
    if kind not in PAIR_ROLES:
        for script in scripts:
            script.start_midway()
    performers = [
        Performer(
            character=actor,
            x=script.start_x,
            depth=script.depth,
            acts=tuple(script.acts),
            seat_color=script.seat_color,
            prop=script.prop,
            holds_prop=script.holds_prop,
        )
        for actor, script in zip(actors, scripts, strict=True)
    ]
    # Some cameras stand still.
    zoom = rng.uniform(1.0, 1.08, 2) if rng.random() < 0.6 else np.ones(2)
    sway = rng.uniform(0.04, 0.16) if rng.random() < 0.7 else 0.0
    return Shot(
        duration=duration,
        performers=tuple(performers),
        place=place,
        size=size,
        foot_y=rng.uniform(440, 466),
        pan=Pan(center=rng.uniform(-0.05, 0.05), sway=sway, period_s=rng.uniform(5, 11), speed=camera_speed),
        zoom=tuple(zoom),
        light=_draw_light(rng),
        noise=rng.uniform(1, 4),
        foreground=_draw_foreground(rng, width, place),
    )


def _write_scripts(rng, kind, n_people, width, duration):
    """(the camera's speed, a Script per person) of one kind of shot; width: of the picture, in body heights."""
    # People stand side by side, about evenly, at different depths.
    spots = (np.arange(n_people) + 0.5) / n_people - 0.5
    spots = spots * (width - 0.25) + rng.uniform(-0.1, 0.1, n_people)
    depths = rng.permutation(np.linspace(0.0, rng.uniform(0.1, 0.35), n_people))
    scripts = [
        Script(rng, index, spots[index], depths[index], duration=duration, n_performers=n_people)
        for index in range(n_people)
    ]
    if kind in ("stroll", "jog"):
        return _write_march(rng, scripts, is_running=kind == "jog"), scripts
    alone = _write_pairs(rng, scripts, kind) if kind in PAIR_ROLES else scripts
    _write_single_roles(rng, alone, kind, width)
    return 0.0, scripts


def _write_march(rng, scripts, is_running):
    """Let all walk or run in one direction, some of them talking; returns the speed at which the camera follows."""
    direction = rng.choice([-1, 1])
    speed = rng.uniform(1.2, 1.8) if is_running else rng.uniform(0.4, 0.7)
    marchers = scripts
    if not is_running and rng.random() < 0.6:
        play_stroll(scripts[0], scripts[1], speed, direction)
        marchers = scripts[2:]
    for script in marchers:
        play_marcher(script, speed, is_running, direction)
    return direction * speed


def _write_pairs(rng, scripts, kind):
    """Let one pair, or of four people two pairs, do something together; returns the scripts of the others."""
    # Neighbors make a pair.
    first_indices = [0, 2] if len(scripts) == 4 else [int(rng.integers(len(scripts) - 1))]
    alone = list(scripts)
    for first in first_indices:
        script, partner = scripts[first : first + 2]
        middle = (script.x + partner.x) / 2
        distance = PAIR_DISTANCES[kind]
        script.x = script.start_x = middle - distance / 2
        partner.x = partner.start_x = middle + distance / 2
        partner.depth = script.depth + 0.03
        PAIR_ROLES[kind](script, partner)
        alone.remove(script)
        alone.remove(partner)
    return alone


def _write_single_roles(rng, scripts, kind, width):
    """Give each a role of the kind of shot."""
    role_names = SHOT_KINDS[kind].roles
    for index, script in enumerate(scripts):
        role = rng.choice(role_names) if index else role_names[0]
        if role in ("mover", "runner"):
            play_mover(script, reach=width / 2 + 0.1, is_running=role == "runner")
        else:
            ROLES[role](script)


def _draw_light(rng):
    tint = 1 + rng.uniform(-0.07, 0.07, 3)
    return Light(
        gain=rng.uniform(0.8, 1.08),
        tint=tuple(tint),
        slope=rng.uniform(-0.18, 0.18),
        flicker=rng.uniform(0, 0.07),
        flicker_period_s=rng.uniform(2, 8),
    )


def _draw_foreground(rng, width, place):
    """Sometimes a thing between the camera and the people."""
    if rng.random() > 0.2:
        return ()
    # Nearer than the people: depth below 0.
    kind = rng.choice(FOREGROUND_THINGS[place.kind])
    x = rng.uniform(-0.45, 0.45) * width
    depth = -rng.uniform(0.15, 0.3)
    return (Thing(x, depth, build_shapes(rng, kind)),)
