"""Things that stand in the synthetic places, as flat shapes in body heights: x to the right, z up from the ground."""

from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.characters import convert_hsv, scale_color


@dataclass(frozen=True)
class Polygon:
    """A filled polygon."""

    points: list  # (x, z) of each corner
    color: tuple


@dataclass(frozen=True)
class Disc:
    """A filled circle."""

    x: float
    z: float
    radius: float
    color: tuple


@dataclass(frozen=True)
class Thing:
    """Shapes at a place: x (body heights), depth 0 (near) .. 1 (far), speed to the right (body heights per second)."""

    x: float
    depth: float
    shapes: list
    speed: float = 0.0


def draw_muted_color(rng, min_value=0.5, max_value=0.85):
    """A random color of low saturation, against which people stand out."""
    return convert_hsv(rng.random(), rng.uniform(0.05, 0.28), rng.uniform(min_value, max_value))


def build_shapes(rng, kind):
    """The shapes of a thing, one of THING_BUILDERS, in random colors; raises ValueError for another kind."""
    if kind not in THING_BUILDERS:
        raise ValueError(f"thing {kind!r}: expected one of {', '.join(THING_BUILDERS)}")
    # Every builder is called with a color and a darker one, used or not: the draws stay the same.
    color = draw_muted_color(rng, 0.3, 0.7)
    return THING_BUILDERS[kind](rng, color, scale_color(color, 0.6))


def _build_box(x1, z1, x2, z2, color):
    return Polygon([(x1, z1), (x2, z1), (x2, z2), (x1, z2)], color)


def _build_tree(rng, color, dark):
    # A trunk and three discs of leaves.
    green = convert_hsv(rng.uniform(0.2, 0.38), 0.4, rng.uniform(0.3, 0.5))
    size = rng.uniform(0.8, 1.2)
    return [
        _build_box(-0.05, 0, 0.05, size, (88, 68, 50)),
        Disc(-0.2 * size, 1 * size, 0.3 * size, green),
        Disc(0.2 * size, 1 * size, 0.3 * size, green),
        Disc(0, 1.3 * size, 0.34 * size, green),
    ]


def _build_lamp(rng, color, dark):
    return [_build_box(-0.025, 0, 0.025, 1.6, (70, 72, 76)), Disc(0, 1.6, 0.09, (240, 232, 190))]


def _build_sofa(rng, color, dark):
    return [
        _build_box(-0.5, 0.06, 0.5, 0.5, dark),
        _build_box(-0.46, 0.06, 0.46, 0.26, color),
        _build_box(-0.56, 0.02, -0.46, 0.36, color),
    ]


def _build_shelf(rng, color, dark):
    # Eight books in the upper of two compartments.
    books = []
    for x in np.linspace(-0.3, 0.225, 8):
        top = rng.uniform(0.66, 0.76)
        books.append(_build_box(x, 0.56, x + 0.06, top, draw_muted_color(rng)))
    return [
        _build_box(-0.34, 0, 0.34, 1.2, dark),
        _build_box(-0.3, 0.05, 0.3, 0.5, color),
        _build_box(-0.3, 0.55, 0.3, 0.8, color),
        *books,
    ]


def _build_plant(rng, color, dark):
    green = convert_hsv(rng.uniform(0.24, 0.4), 0.45, rng.uniform(0.3, 0.55))
    # Leaves one above the other, behind a pot.
    leaves = [Disc(rng.uniform(-0.13, 0.13), 0.25 + 0.06 * index, 0.1, green) for index in range(5)]
    return [*leaves, _build_box(-0.09, 0, 0.09, 0.2, (150, 92, 62))]


def _build_table(rng, color, dark):
    return [
        _build_box(-0.4, 0.3, 0.4, 0.36, color),
        _build_box(-0.36, 0, -0.31, 0.3, dark),
        _build_box(0.31, 0, 0.36, 0.3, dark),
    ]


def _build_fence(rng, color, dark):
    # Ten posts and a rail.
    posts = [_build_box(-0.9 + index * 0.2, 0, -0.83 + index * 0.2, 0.4, color) for index in range(10)]
    return [*posts, _build_box(-0.95, 0.25, 1.0, 0.31, dark)]


def _build_car(rng, color, dark):
    return [
        Polygon([(-0.38, 0.34), (-0.24, 0.56), (0.26, 0.56), (0.42, 0.34)], (150, 172, 186)),
        _build_box(-0.72, 0.1, 0.72, 0.36, color),
        Disc(-0.42, 0.1, 0.1, (34, 34, 38)),
        Disc(0.42, 0.1, 0.1, (34, 34, 38)),
    ]


THING_BUILDERS = {
    "tree": _build_tree,
    "lamp": _build_lamp,
    "sofa": _build_sofa,
    "shelf": _build_shelf,
    "plant": _build_plant,
    "table": _build_table,
    "fence": _build_fence,
    "car": _build_car,
}
