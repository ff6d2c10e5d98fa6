"""Bodies: people of their own looks, joint angles to joints in space, and drawing them.

A pose is a row of `FIELDS`: degrees, except `up` (height of a hop, in body heights) and `mouth` (0 shut .. 1 open).
Trunk and legs are measured in the world (0 = upright, legs straight down; positive = forward), arms against the trunk
(f flexion, b to the side, e elbow, c forearm to the side). Joints are in body heights: x forward, y left, z up, and
whatever is lowest touches the ground, so standing, sitting, lying and all between need no further care.
"""

from dataclasses import dataclass

import numpy as np

FIELDS = "tp tr hp hy lf lb le lc rf rb re rc lt ls la rt rs ra up mouth".split()
INDEX = {name: i for i, name in enumerate(FIELDS)}

JOINTS = "pelvis chest head shl shr ell elr wrl wrr fil fir hil hir knl knr anl anr tol tor".split()
_J = {name: i for i, name in enumerate(JOINTS)}
HEAD_RADIUS = 0.088
OUTLINE = 0.011

# Each limb is a tapered capsule: group, joint, joint, radius, radius (body heights), colour of the Character.
_PARTS = [
    (group, _J[a], _J[b], ra, rb, colour)
    for group, a, b, ra, rb, colour in (
        ("legr", "hir", "knr", 0.062, 0.047, "thigh"),
        ("legr", "knr", "anr", 0.046, 0.034, "shin"),
        ("legr", "anr", "tor", 0.036, 0.026, "shoe"),
        ("legl", "hil", "knl", 0.062, 0.047, "thigh"),
        ("legl", "knl", "anl", 0.046, 0.034, "shin"),
        ("legl", "anl", "tol", 0.036, 0.026, "shoe"),
        ("torso", "hil", "hir", 0.066, 0.066, "hip"),
        ("torso", "pelvis", "chest", 0.080, 0.088, "shirt"),
        ("torso", "shl", "shr", 0.056, 0.056, "shirt"),
        ("armr", "shr", "elr", 0.046, 0.038, "shirt"),
        ("armr", "elr", "wrr", 0.037, 0.030, "sleeve"),
        ("armr", "wrr", "fir", 0.034, 0.030, "skin"),
        ("arml", "shl", "ell", 0.046, 0.038, "shirt"),
        ("arml", "ell", "wrl", 0.037, 0.030, "sleeve"),
        ("arml", "wrl", "fil", 0.034, 0.030, "skin"),
    )
]
_GROUPS = ("legr", "legl", "torso", "armr", "arml", "head", "prop")
_GROUP_PARTS = [[i for i, p in enumerate(_PARTS) if p[0] == g] for g in _GROUPS]
_A, _B = np.array([p[1] for p in _PARTS]), np.array([p[2] for p in _PARTS])
_RA, _RB = np.array([p[3] for p in _PARTS]), np.array([p[4] for p in _PARTS])
_LIT = {i for i, p in enumerate(_PARTS) if p[3] >= 0.037 and p[5] != "hip"}  # hands and shoes are too small to shade
_ARC = np.radians(np.linspace(-90, 90, 6))  # half a circle, for the capsules' ends


@dataclass(frozen=True)
class Character:
    """One person's looks; `height` in nominal heights, `girth` a factor on widths, colours RGB 0..255."""

    person_id: int
    height: float
    girth: float
    skin: tuple
    hair: tuple
    shirt: tuple
    trousers: tuple
    shoe: tuple
    long_sleeves: bool
    legwear: str  # "long", "short" or "skirt"
    haircut: str  # "short", "long" or "cap"

    def colour(self, key):
        """RGB of a part's colour key."""
        if key == "sleeve":
            return self.shirt if self.long_sleeves else self.skin
        if key == "thigh":
            return self.skin if self.legwear == "skirt" else self.trousers
        if key == "shin":
            return self.trousers if self.legwear == "long" else self.skin
        return self.trousers if key == "hip" else getattr(self, key)


def convert_hsv(h, s, v):
    """RGB 0..255 tuple of a colour given as hue, saturation, value in 0..1."""
    k = (np.array([5.0, 3.0, 1.0]) + h * 6) % 6
    return tuple(int(c) for c in 255 * v * (1 - s * np.clip(np.minimum(k, 4 - k), 0, 1)))


def invent_character(rng, person_id):
    """A Character at random, in saturated clothes that stand out from the muted backgrounds."""
    hue = rng.random()
    skin = [(250, 214, 184), (236, 188, 150), (205, 150, 108), (160, 108, 74), (112, 74, 52)][rng.integers(5)]
    hair = [(40, 28, 22), (92, 58, 30), (190, 140, 62), (160, 66, 34), (120, 120, 124), (20, 20, 26)][rng.integers(6)]
    trousers = convert_hsv((hue + rng.uniform(0.25, 0.75)) % 1, rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.75))
    return Character(
        person_id,
        height=rng.uniform(0.88, 1.06) if rng.random() < 0.85 else rng.uniform(0.7, 0.8),
        girth=rng.uniform(0.9, 1.3),
        skin=skin,
        hair=hair,
        shirt=convert_hsv(hue, rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0)),
        trousers=trousers,
        shoe=convert_hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.15, 0.9)),
        long_sleeves=rng.random() < 0.5,
        legwear=("long", "long", "long", "short", "skirt")[rng.integers(5)],
        haircut=("short", "short", "long", "cap")[rng.integers(4)],
    )


def _limb(angle, side_angle, sign):
    """Unit vectors (T,3) of a limb: `angle` forward from straight down, `side_angle` outward to side `sign`."""
    return np.stack(
        [np.sin(angle) * np.cos(side_angle), sign * np.sin(side_angle), -np.cos(angle) * np.cos(side_angle)], -1
    )


def compute_joints(poses, girth=1.0):
    """Joints (T,19,3) in body heights, grounded, of poses (T,20)."""
    p = {name: np.radians(poses[:, i]) for name, i in INDEX.items()}
    out = np.zeros((len(poses), len(JOINTS), 3))
    up = np.stack([np.sin(p["tp"]) * np.cos(p["tr"]), np.sin(p["tr"]), np.cos(p["tp"]) * np.cos(p["tr"])], -1)
    left = np.stack([np.zeros_like(p["tr"]), np.cos(p["tr"]), -np.sin(p["tr"])], -1)
    neck = p["tp"] + p["hp"]
    out[:, 1] = up * 0.29
    out[:, 2] = out[:, 1] + np.stack([np.sin(neck), np.sin(p["tr"]), np.cos(neck)], -1) * (0.045 + HEAD_RADIUS)
    for side, sign in (("l", 1), ("r", -1)):
        shoulder = out[:, 1] - up * 0.03 + sign * left * 0.105 * girth
        elbow = shoulder + 0.165 * _limb(p[side + "f"] - p["tp"], p[side + "b"] + sign * p["tr"], sign)
        fore = _limb(p[side + "f"] + p[side + "e"] - p["tp"], p[side + "c"] + sign * p["tr"], sign)
        hip = sign * left * 0.062 * girth
        knee = hip + 0.235 * _limb(p[side + "t"], p[side + "a"], sign)
        ankle = knee + 0.225 * _limb(p[side + "s"], p[side + "a"] * 0.5, sign)
        toe = ankle + 0.085 * _limb(np.clip(p[side + "s"] + np.pi / 2, np.radians(35), np.pi), p[side + "a"], sign)
        chain = (shoulder, elbow, elbow + 0.15 * fore, elbow + 0.19 * fore, hip, knee, ankle, toe)
        for name, joint in zip(("sh", "el", "wr", "fi", "hi", "kn", "an", "to"), chain, strict=True):
            out[:, _J[name + side]] = joint
    thickness = np.full(len(JOINTS), 0.03)
    thickness[:3] = 0.07, 0.08, HEAD_RADIUS
    lowest = (out[..., 2] - thickness).min(axis=1)
    out[..., 2] += (poses[:, INDEX["up"]] - lowest)[:, None]
    return out


def compute_face(poses):
    """Unit vectors forward out of the face and up out of the head, each (T,3), in the body's frame."""
    neck = np.radians(poses[:, INDEX["tp"]] + poses[:, INDEX["hp"]])
    turn = np.radians(poses[:, INDEX["hy"]])
    forward = np.stack([np.cos(neck) * np.cos(turn), np.sin(turn), -np.sin(neck) * np.cos(turn)], -1)
    return forward, np.stack([np.sin(neck), np.zeros_like(neck), np.cos(neck)], -1)


def rotate(points, yaw):
    """Body frame -> world (X right, Y away from the viewer, Z up): yaw 0 faces right, -90 faces the viewer."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    if points.ndim == 3:
        c, s = c[:, None], s[:, None]
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * c - y * s, x * s + y * c, z], -1)


def _capsules(a, b, ra, rb):
    """Outlines (T,P,12,2) float32 of tapered capsules between points (T,P,2) with radii (T,P), pixels."""
    angle = np.arctan2(b[..., 1] - a[..., 1], b[..., 0] - a[..., 0])[..., None]
    end, start = angle + _ARC, angle + np.pi + _ARC
    head = b[..., None, :] + rb[..., None, None] * np.stack([np.cos(end), np.sin(end)], -1)
    tail = a[..., None, :] + ra[..., None, None] * np.stack([np.cos(start), np.sin(start)], -1)
    return np.ascontiguousarray(np.concatenate([head, tail], axis=2), np.float32)


def _shade(rgb, factor):
    return tuple(int(min(255, c * factor)) for c in rgb)


class Figure:
    """A Character's drawing over the T frames of a shot.

    `points` (T,19,2) are its joints on the screen, `nearness` (T,19) their distance towards the viewer (body heights),
    `scale` (T,) pixels per body height, `face` and `crown` (T,3) world vectors, `mouth` (T,) 0..1.
    """

    def __init__(self, character, points, nearness, scale, face, crown, mouth):
        girth = character.girth
        a, b, size = points[:, _A], points[:, _B], scale[:, None] * girth
        self.fills = _capsules(a, b, size * _RA, size * _RB)
        rim = scale[:, None] * OUTLINE
        self.rims = _capsules(a, b, size * _RA + rim, size * _RB + rim)
        lit = size[..., None] * np.array([-0.3, -0.3])  # the light comes from above, left
        radii = np.array([_RA, _RB])[..., None]
        self.lights = _capsules(a + lit * radii[0], b + lit * radii[1], size * _RA * 0.5, size * _RB * 0.5)
        self.skirt = self._skirt(points, size[:, 0]) if character.legwear == "skirt" else None
        colours = [character.colour(part[5]) for part in _PARTS]
        self.colours = [(_shade(c, 0.28), c, _shade(c, 1.22)) for c in colours]
        self.skirt_colours = (_shade(character.trousers, 0.35), character.trousers)
        self.order = self._order(nearness)
        self.character = character
        self._plan_head(points, scale, face, crown, mouth)

    @staticmethod
    def _skirt(points, size):
        """Outlines (T,8,2) float32: round the hips, straight down to a hem above the knees."""
        knees = points[:, [_J["knl"], _J["knr"]]]
        hem = points[:, 0] * 0.3 + knees.mean(axis=1) * 0.7
        down = hem - points[:, 0]
        down /= np.maximum(np.linalg.norm(down, axis=1), 1)[:, None]
        across = np.stack([-down[:, 1], down[:, 0]], -1)
        half = size * 0.1 + 0.35 * np.abs(((knees[:, 0] - knees[:, 1]) * across).sum(axis=1))
        hips = _capsules(points[:, :1], hem[:, None], size[:, None] * 0.086, size[:, None] * 0.01)[:, 0, 6:]
        corners = [hem - across * half[:, None], hem + across * half[:, None]]
        return np.ascontiguousarray(np.concatenate([hips, np.stack(corners, 1)], axis=1), np.float32)

    @staticmethod
    def _order(nearness):
        """Groups of parts from far to near, one list a frame; small biases keep shirts over trousers."""
        trunk = nearness[:, :2].mean(axis=1)
        keys = [nearness[:, _J["knr"]] - trunk - 0.12, nearness[:, _J["knl"]] - trunk - 0.12, 0 * trunk]
        for side in "rl":
            arm = nearness[:, [_J["el" + side], _J["wr" + side]]].mean(axis=1)
            keys.append(arm - trunk + 0.04)
        keys.append(np.maximum(nearness[:, 2] - trunk, 0) + 0.03)
        keys.append(nearness[:, [_J["fil"], _J["fir"]]].mean(axis=1) - trunk + 0.06)
        return np.argsort(np.stack(keys, axis=1), axis=1, kind="stable").tolist()

    def _plan_head(self, points, scale, face, crown, mouth):
        """Circles of head, face, nose, eyes and mouth: (x, y, rx, ry) lists; a zero radius is not drawn."""
        radius = scale * HEAD_RADIUS
        side = np.cross(crown, face)

        def disc(direction, reach, rx, ry=None, hidden=-9.0):
            centre = points[:, 2] + (direction[:, [0, 2]] * [1, -1]) * (reach * radius)[:, None]
            rx = np.where(-direction[:, 1] > hidden, rx * radius, 0)
            return np.stack([*centre.T, rx, rx if ry is None else np.where(rx > 0, ry * radius, 0)], 1).tolist()

        one = np.ones(len(points))
        seen = np.sqrt(np.clip(1 - 1.2 * face[:, 1], 0, 1))  # how much of the face is turned to us
        eyes = [face * 0.88 + s * side * 0.42 + crown * 0.1 for s in (1, -1)]
        self.skull = disc(crown * 0.16 - face * 0.1, one, 1.04)
        self.face = disc(face * 0.26 - crown * 0.14, one, 0.93 * seen)
        self.nose = disc(face - crown * 0.1, one, 0.17, hidden=-0.45)
        self.eyes = [disc(e, one, 0.13, hidden=0.1) for e in eyes]
        self.mouth = disc(face * 0.85 - crown * 0.48, one, 0.24, 0.06 + 0.3 * mouth, hidden=0.0)
        self.locks = disc(-face * 0.35 - crown * 0.45, one, 0.85)
        self.brim = disc(face * 0.8 + crown * 0.42, one, 0.55, 0.18, hidden=-0.6)

    def draw(self, canvas, t, draw_prop=None):
        """Draw frame t on a PIL ImageDraw; `draw_prop()` is called where a held object belongs in depth."""
        for g in self.order[t]:
            if _GROUPS[g] == "head":
                self._draw_head(canvas, t)
            elif _GROUPS[g] == "prop":
                if draw_prop:
                    draw_prop()
            else:
                for i in _GROUP_PARTS[g]:
                    canvas.polygon(self.rims[t, i], fill=self.colours[i][0])
                for i in _GROUP_PARTS[g]:
                    canvas.polygon(self.fills[t, i], fill=self.colours[i][1])
                    if i in _LIT:
                        canvas.polygon(self.lights[t, i], fill=self.colours[i][2])
                if self.skirt is not None and _GROUPS[g] == "torso":
                    canvas.polygon(self.skirt[t], fill=self.skirt_colours[1], outline=self.skirt_colours[0])

    def _draw_head(self, canvas, t):
        who = self.character
        dark, cap = _shade(who.hair, 0.35), who.haircut == "cap"
        if who.haircut == "long":
            _ellipse(canvas, self.locks[t], who.hair, dark)
        _ellipse(canvas, self.skull[t], who.trousers if cap else who.hair, dark)
        _ellipse(canvas, self.face[t], who.skin, _shade(who.skin, 0.45))
        _ellipse(canvas, self.nose[t], _shade(who.skin, 0.86))
        _ellipse(canvas, self.mouth[t], (120, 24, 30))
        for eye in self.eyes:
            _ellipse(canvas, eye[t], (16, 16, 22))
        if cap:
            _ellipse(canvas, self.brim[t], who.trousers, dark)

    def silhouette(self, canvas, t, ink, shift=(0, 0)):
        """Fill everything the person covers in frame t with one ink (for masks)."""
        shift = np.array(shift, np.float32)
        for outline in self.rims[t]:
            canvas.polygon(outline + shift, fill=ink)
        x, y, rx, ry = self.skull[t]
        _ellipse(canvas, (x + shift[0], y + shift[1], rx, ry), ink)
        if self.skirt is not None:
            canvas.polygon(self.skirt[t] + shift, fill=ink)


def _ellipse(canvas, disc, fill, outline=None):
    x, y, rx, ry = disc
    if rx > 0.4:
        canvas.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill, outline=outline, width=2)
