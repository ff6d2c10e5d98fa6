"""Scenes: casting, roles, place, camera and light of every shot of a video, all drawn from one random generator."""

import numpy as np

from avalib.data.synthetic import backgrounds, roles
from avalib.data.synthetic.backgrounds import FOREGROUND, Place, list_shapes
from avalib.data.synthetic.puppet import invent_character
from avalib.data.synthetic.roles import Script, brawl, marcher, meet, mover, stroll, talk
from avalib.data.synthetic.staging import Performer, Shot

# How often each kind of shot comes, and pixels per body height (of 480) in it: low, high.
KINDS = {
    "falls": (0.21, 315, 395),
    "boxes": (0.2, 325, 410),
    "talk": (0.09, 325, 415),
    "walk": (0.05, 285, 350),
    "run": (0.055, 275, 335),
    "stroll": (0.03, 325, 395),
    "jog": (0.03, 325, 395),
    "dance": (0.065, 300, 365),
    "brawl": (0.06, 325, 395),
    "meet": (0.085, 325, 395),
    "sit": (0.06, 335, 425),
    "kneel": (0.08, 335, 430),
}
_ROLES = {  # who is there besides a pair: the first always, the others at random
    "falls": ("faller", "faller", "faller", "bystander"),
    "boxes": ("lifter", "lifter", "lifter", "lifter", "bystander"),
    "talk": ("bystander", "waver", "sitter"),
    "walk": ("mover", "mover", "carrier", "waver"),
    "run": ("runner", "runner", "runner", "mover"),
    "dance": ("dancer", "dancer", "dancer", "bystander"),
    "brawl": ("waver", "bystander", "croucher"),
    "meet": ("waver", "bystander", "mover"),
    "sit": ("sitter", "sitter", "sleeper", "waver"),
    "kneel": ("croucher", "croucher", "croucher", "bender"),
}
_PAIRS = {"talk": talk, "brawl": brawl, "meet": meet}
_WIDTH = 640


def deal_roles(rng, kinds=()):
    """Yield kinds of shots without end, evenly: after any number of them each has come about as often as KINDS says.

    kinds: only these; all if there are none.
    """
    kinds = kinds or tuple(KINDS)
    shares = np.array([KINDS[kind][0] for kind in kinds])
    owed = rng.uniform(0, 1, len(shares)) * shares
    while True:
        owed += shares / shares.sum()
        owed[next_one := int(np.argmax(owed + rng.uniform(0, 0.1, len(owed))))] -= 1
        yield kinds[next_one]


def plan_shot(rng, kind, cast, seconds):
    """One Shot of `seconds` of one of KINDS, with some of the `cast`."""
    size = rng.uniform(*KINDS[kind][1:])
    width = _WIDTH / size
    people = int(np.clip(round(width / 0.75 + rng.uniform(-0.4, 0.4)), 2, min(4, len(cast))))
    actors = [cast[i] for i in rng.permutation(len(cast))[:people]]
    where = backgrounds.KINDS[rng.integers(len(backgrounds.KINDS))]
    place = Place(where, int(rng.integers(250, 330)), int(rng.integers(2**31)))
    follow, scripts = _write(rng, kind, people, width, seconds)
    if kind not in _PAIRS:
        for script in scripts:
            script.cut_in()
    performers = tuple(
        Performer(actor, s.x0, s.depth, tuple(s.acts), s.seat, s.prop, s.holding)
        for actor, s in zip(actors, scripts, strict=True)
    )
    zoom = rng.uniform(1.0, 1.08, 2) if rng.random() < 0.6 else np.ones(2)
    sway = rng.uniform(0.04, 0.16) if rng.random() < 0.7 else 0.0
    return Shot(
        seconds,
        performers,
        place,
        size,
        foot=rng.uniform(440, 466),
        pan=(rng.uniform(-0.05, 0.05), sway, rng.uniform(5, 11), follow),
        zoom=tuple(zoom),
        light=_light(rng),
        noise=rng.uniform(1, 4),
        foreground=_foreground(rng, width, place),
    )


def _write(rng, kind, people, width, seconds):
    """(camera's speed, scripts) of one kind of shot."""
    spots = (np.arange(people) + 0.5) / people - 0.5
    spots = spots * (width - 0.25) + rng.uniform(-0.1, 0.1, people)
    depths = rng.permutation(np.linspace(0.0, rng.uniform(0.1, 0.35), people))
    scripts = [Script(rng, i, spots[i], depths[i], seconds, range(people)) for i in range(people)]
    if kind in ("stroll", "jog"):
        running, way = kind == "jog", rng.choice([-1, 1])
        speed = rng.uniform(1.2, 1.8) if running else rng.uniform(0.4, 0.7)
        talking = 2 if not running and rng.random() < 0.6 else 0
        if talking:
            stroll(*scripts[:2], speed, way)
        for s in scripts[talking:]:
            marcher(s, speed, running, way)
        return way * speed, scripts
    alone, firsts = scripts, []
    if kind in _PAIRS:
        firsts = [0, 2] if people == 4 else [int(rng.integers(people - 1))]
    for first in firsts:
        a, b = scripts[first : first + 2]
        middle, gap = (a.x + b.x) / 2, {"talk": 0.62, "brawl": 0.46, "meet": 0.8}[kind]
        a.x = a.x0 = middle - gap / 2
        b.x = b.x0 = middle + gap / 2
        b.depth = a.depth + 0.03
        _PAIRS[kind](a, b)
        alone = [s for s in alone if s not in (a, b)]
    for i, s in enumerate(alone):
        role = rng.choice(_ROLES[kind]) if i else _ROLES[kind][0]
        if role in ("mover", "runner"):
            mover(s, running=role == "runner", reach=width / 2 + 0.1)
        else:
            getattr(roles, role)(s)
    return 0.0, scripts


def _light(rng):
    tint = 1 + rng.uniform(-0.07, 0.07, 3)
    return rng.uniform(0.8, 1.08), tuple(tint), rng.uniform(-0.18, 0.18), rng.uniform(0, 0.07), rng.uniform(2, 8)


def _foreground(rng, width, place):
    """Sometimes a thing between the camera and the people."""
    if rng.random() > 0.2:
        return ()
    what = rng.choice(FOREGROUND[place.kind])
    return ((rng.uniform(-0.45, 0.45) * width, -rng.uniform(0.15, 0.3), list_shapes(rng, what)),)


def plan_video(rng, seconds, kinds):
    """The Shots of one video, one for each of `kinds`, about equally long; cuts fall between the annotated seconds."""
    cast = [invent_character(rng, i + 1) for i in range(rng.integers(8, 12))]
    even = np.arange(1, len(kinds)) * seconds / len(kinds)
    moved = even + rng.uniform(-0.15, 0.15, len(even)) * seconds / len(kinds)
    edges = [0.0, *(np.floor(moved) + rng.uniform(0.35, 0.65, len(moved))), seconds]
    return [plan_shot(rng, kind, cast, b - a) for kind, a, b in zip(kinds, edges[:-1], edges[1:], strict=True)]
