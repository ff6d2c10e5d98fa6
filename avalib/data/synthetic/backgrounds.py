"""Places: wide textured panoramas, a far wall and a ground that move at different rates, and things that stand there.

Pictures are drawn at twice the size of the video. Colours are muted, so that people stand out.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from avalib.data.synthetic.puppet import convert_hsv

PANORAMA = 1536  # pixels after which the panorama repeats
_WIDE = PANORAMA + 900  # painted a little further, so that no crop has to wrap
_TALL = 400


@dataclass(frozen=True)
class Place:
    """One of KINDS of places, its looks following from `seed`; `horizon` in pixels down the 640x480 stage."""

    kind: str
    horizon: int
    seed: int


@dataclass(frozen=True)
class Scenery:
    """A painted Place: the far picture (ends at the horizon), the ground, how fast the far one moves, and things."""

    far: Image.Image
    ground: Image.Image
    far_rate: float
    ground_colour: tuple
    things: tuple  # (x, depth, shapes): what stands behind the people
    moving: tuple  # (x, speed, depth, shapes): what passes behind them


def _clouded(rng, height, cell, low, high):
    """Smooth random texture (height, PANORAMA) float32 between `low` and `high` that wraps at its sides."""
    rows, columns = height // cell + 2, max(2, PANORAMA // cell)
    seed = rng.random((rows, columns)).astype(np.float32)
    seed = np.concatenate([seed, seed[:, :1]], axis=1)
    size = (PANORAMA + PANORAMA // columns, rows * cell)
    picture = Image.fromarray(seed).resize(size, Image.Resampling.BILINEAR)
    return np.float32(low) + np.float32(high - low) * np.asarray(picture)[:height, :PANORAMA]


def _surface(rng, height, colour, contrast, cell, depth=None):
    """Pixels (height, _WIDE, 3) of one colour with soft blotches and grain; `depth` (height,) shades rows."""
    soft = _clouded(rng, height, cell, 1 - contrast, 1 + contrast)
    soft *= _clouded(rng, height, 4, 1 - contrast / 2, 1 + contrast / 2)
    if depth is not None:
        soft *= depth[:, None].astype(np.float32)
    once = np.empty((height, PANORAMA, 3), np.uint8)
    for c in range(3):
        once[..., c] = np.minimum(soft * np.float32(colour[c]), 255)
    return np.concatenate([once, once[:, : _WIDE - PANORAMA]], axis=1)


def _repeat(draw_once):
    """Draw on a panorama twice, a period apart, so that it wraps."""
    for shift in (0, PANORAMA):
        draw_once(shift)


def _muted(rng, low=0.5, high=0.85):
    return convert_hsv(rng.random(), rng.uniform(0.05, 0.28), rng.uniform(low, high))


def _room(rng, far, draw):
    colour, accent = _muted(rng, 0.6, 0.9), _muted(rng, 0.35, 0.7)
    style, step = rng.integers(4), int(rng.choice([48, 64, 96]))
    far.paste(Image.fromarray(_surface(rng, _TALL, colour, 0.06, 90)))
    for x in range(0, _WIDE, step):
        if style == 0:
            draw.rectangle((x, 0, x + step // 3, _TALL), fill=tuple(int(c * 0.93) for c in colour))
        elif style == 1:
            for y in range(int(x / step) % 2 * step // 2, _TALL, step):
                draw.ellipse((x, y, x + 10, y + 10), fill=tuple(int(c * 0.88) for c in colour))
        elif style == 2:
            draw.line((x, _TALL // 2, x, _TALL), fill=tuple(int(c * 0.85) for c in colour), width=3)
    pictures = [(x, rng.integers(3), _muted(rng, 0.4, 0.95)) for x in range(60, PANORAMA - 150, 260)]
    heights = rng.integers(90, 190, len(pictures))

    def hang(shift):
        for (x, kind, shade), h in zip(pictures, heights, strict=True):
            x, h = x + shift, int(h)
            if kind == 0:  # a window
                draw.rectangle((x, 60, x + 130, 60 + h), fill=(188, 214, 232), outline=(245, 245, 240), width=9)
                draw.line((x + 65, 60, x + 65, 60 + h), fill=(245, 245, 240), width=6)
            elif kind == 1:  # a picture
                draw.rectangle((x, 90, x + 90, 90 + h // 2), fill=shade, outline=(84, 62, 40), width=6)
            else:  # a door or a cupboard
                draw.rectangle((x, _TALL - 270, x + 120, _TALL), fill=accent, outline=(70, 60, 56), width=4)

    _repeat(hang)
    draw.rectangle((0, _TALL - 14, _WIDE, _TALL), fill=tuple(int(c * 0.6) for c in accent))


def _street(rng, far, draw):
    far.paste(Image.fromarray(_surface(rng, _TALL, (168, 194, 216), 0.05, 160)))
    houses, x = [], 0
    while x < PANORAMA:
        width = min(int(rng.integers(150, 320)), PANORAMA - x)
        houses.append((x, width, int(rng.integers(10, 130)), _muted(rng, 0.45, 0.8), int(rng.integers(38, 62))))
        x += width

    def build(shift):
        for x, width, top, shade, step in houses:
            x += shift
            draw.rectangle((x, top, x + width, _TALL), fill=shade, outline=tuple(int(c * 0.6) for c in shade), width=3)
            for wx in range(x + 16, x + width - 30, step):
                for wy in range(top + 18, _TALL - 50, step + 8):
                    draw.rectangle((wx, wy, wx + step // 2, wy + step // 2 + 6), fill=(96, 108, 122))

    _repeat(build)


def _field(rng, far, draw):
    sky = [(170, 202, 228), (206, 214, 220), (226, 206, 190)][rng.integers(3)]
    clouds = _clouded(rng, _TALL, 110, -0.6, 1.2).clip(0, 0.5)[..., None]
    once = (np.array(sky, np.float32) * (1 - clouds) + 246 * clouds).astype(np.uint8)
    far.paste(Image.fromarray(np.concatenate([once, once[:, : _WIDE - PANORAMA]], axis=1)))
    x = np.arange(_WIDE)
    for level, value in ((0.55, 0.62), (0.75, 0.5)):
        green = convert_hsv(rng.uniform(0.22, 0.4), 0.28, value)
        ridge = _TALL * level + 34 * np.sin(2 * np.pi * rng.integers(2, 5) * x / PANORAMA + rng.uniform(0, 6))
        ridge += 12 * np.sin(2 * np.pi * rng.integers(7, 13) * x / PANORAMA)
        draw.polygon([(0, _TALL), *zip(x[::8].tolist(), ridge[::8].tolist(), strict=True), (_WIDE, _TALL)], fill=green)


def _gym(rng, far, draw):
    brick, mortar = _muted(rng, 0.55, 0.8), _muted(rng, 0.6, 0.85)
    far.paste(Image.fromarray(_surface(rng, _TALL, mortar, 0.05, 70)))
    shades = [tuple(int(c * f) for c in brick) for f in rng.uniform(0.86, 1.05, 24)]
    for row, y in enumerate(range(0, _TALL, 24)):
        for k, x in enumerate(range(-(row % 2) * 32, _WIDE, 64)):
            draw.rectangle((x, y, x + 60, y + 21), fill=shades[(row * 7 + k % 24 * 5) % 24])
    band = _muted(rng, 0.4, 0.8)
    draw.rectangle((0, 150, _WIDE, 190), fill=band)


def _ground(rng, kind, height):
    colour = {
        "room": convert_hsv(rng.uniform(0.03, 0.13), rng.uniform(0.1, 0.4), rng.uniform(0.45, 0.75)),
        "street": convert_hsv(0.6, 0.04, rng.uniform(0.45, 0.7)),
        "field": convert_hsv(rng.uniform(0.2, 0.33), rng.uniform(0.25, 0.42), rng.uniform(0.45, 0.65)),
        "gym": convert_hsv(rng.uniform(0.06, 0.6), rng.uniform(0.1, 0.3), rng.uniform(0.5, 0.75)),
    }[kind]
    rough = (0.2, 26) if kind == "field" else (0.09, 60)
    picture = Image.fromarray(_surface(rng, height, colour, *rough, depth=np.linspace(0.8, 1.06, height)))
    draw, dark = ImageDraw.Draw(picture), tuple(int(c * 0.72) for c in colour)
    if kind != "field":
        for i in range(7):  # boards, slabs, painted lines: closer together far away
            y = int(height * (i / 7) ** 1.6)
            draw.line((0, y, _WIDE, y), fill=dark, width=2)
        for x in range(0, _WIDE, 96 if kind == "room" else 192):
            draw.line((x, 0, x - 60, height), fill=dark, width=2)
    return picture, colour


def list_shapes(rng, what):
    """A thing as flat shapes: ("poly", [(x, z), …] in body heights, colour) and ("disc", (x, z, r), colour)."""
    box = lambda x1, z1, x2, z2, c: ("poly", [(x1, z1), (x2, z1), (x2, z2), (x1, z2)], c)  # noqa: E731
    c = _muted(rng, 0.3, 0.7)
    dark = tuple(int(v * 0.6) for v in c)
    if what == "tree":
        green, size = convert_hsv(rng.uniform(0.2, 0.38), 0.4, rng.uniform(0.3, 0.5)), rng.uniform(0.8, 1.2)
        crown = [("disc", (dx * size, z * size, r * size), green) for dx, z, r in ((-0.2, 1, 0.3), (0.2, 1, 0.3))]
        return [box(-0.05, 0, 0.05, size, (88, 68, 50)), *crown, ("disc", (0, 1.3 * size, 0.34 * size), green)]
    if what == "lamp":
        return [box(-0.025, 0, 0.025, 1.6, (70, 72, 76)), ("disc", (0, 1.6, 0.09), (240, 232, 190))]
    if what == "sofa":
        return [box(-0.5, 0.06, 0.5, 0.5, dark), box(-0.46, 0.06, 0.46, 0.26, c), box(-0.56, 0.02, -0.46, 0.36, c)]
    if what == "shelf":
        spines = np.linspace(-0.3, 0.225, 8)
        books = [box(x, 0.56, x + 0.06, rng.uniform(0.66, 0.76), _muted(rng)) for x in spines]
        return [box(-0.34, 0, 0.34, 1.2, dark), box(-0.3, 0.05, 0.3, 0.5, c), box(-0.3, 0.55, 0.3, 0.8, c), *books]
    if what == "plant":
        green = convert_hsv(rng.uniform(0.24, 0.4), 0.45, rng.uniform(0.3, 0.55))
        leaves = [("disc", (rng.uniform(-0.13, 0.13), 0.25 + 0.06 * i, 0.1), green) for i in range(5)]
        return [*leaves, box(-0.09, 0, 0.09, 0.2, (150, 92, 62))]
    if what == "table":
        return [box(-0.4, 0.3, 0.4, 0.36, c), box(-0.36, 0, -0.31, 0.3, dark), box(0.31, 0, 0.36, 0.3, dark)]
    if what == "fence":
        posts = [box(-0.9 + i * 0.2, 0, -0.83 + i * 0.2, 0.4, c) for i in range(10)]
        return [*posts, box(-0.95, 0.25, 1.0, 0.31, dark)]
    if what == "car":
        wheels = [("disc", (x, 0.1, 0.1), (34, 34, 38)) for x in (-0.42, 0.42)]
        roof = ("poly", [(-0.38, 0.34), (-0.24, 0.56), (0.26, 0.56), (0.42, 0.34)], (150, 172, 186))
        return [roof, box(-0.72, 0.1, 0.72, 0.36, c), *wheels]
    raise ValueError(f"no such thing as {what!r}")


_PAINT = {"room": _room, "street": _street, "field": _field, "gym": _gym}
_THINGS = {
    "room": ("sofa", "shelf", "lamp", "plant"),
    "street": ("lamp", "tree", "fence"),
    "field": ("tree", "tree", "fence"),
    "gym": ("table", "shelf"),
}
FOREGROUND = {"room": ("table", "plant"), "street": ("fence", "plant"), "field": ("fence", "plant"), "gym": ("table",)}
KINDS = tuple(_PAINT)


def paint_place(place):
    """The Scenery of a Place."""
    rng, kind = np.random.default_rng(place.seed), place.kind
    far = Image.new("RGB", (_WIDE, _TALL))
    _PAINT[kind](rng, far, ImageDraw.Draw(far))
    ground, colour = _ground(rng, kind, 560 - place.horizon)
    spots = np.arange(-2.4, 2.5, 1.2) + rng.uniform(-0.4, 0.4, 5)
    things = [
        (x, rng.uniform(1.15, 1.4), list_shapes(rng, rng.choice(_THINGS[kind]))) for x in spots if rng.random() < 0.6
    ]
    moving = []
    if kind == "street":
        way = rng.choice([-1, 1])
        moving = [
            (way * rng.uniform(-9, 1), way * rng.uniform(1.2, 2.4), 1.35, list_shapes(rng, "car")) for _ in range(3)
        ]
    rate = {"room": 0.62, "gym": 0.62, "street": 0.45, "field": 0.25}[kind]
    return Scenery(far, ground, rate, colour, tuple(things), tuple(moving))
