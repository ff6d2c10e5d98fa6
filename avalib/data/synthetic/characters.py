"""Characters: how the people of the synthetic data look."""

from dataclasses import dataclass

import numpy as np

SKIN_COLORS = [(250, 214, 184), (236, 188, 150), (205, 150, 108), (160, 108, 74), (112, 74, 52)]
HAIR_COLORS = [(40, 28, 22), (92, 58, 30), (190, 140, 62), (160, 66, 34), (120, 120, 124), (20, 20, 26)]
LEGWEAR = ("long", "long", "long", "short", "skirt")
HAIRCUTS = ("short", "short", "long", "cap")
ADULT_SHARE = 0.85  # of all people; the others are small


@dataclass(frozen=True)
class Character:
    """One person's looks; colors are RGB, 0..255."""

    person_id: int
    height: float  # in nominal body heights
    girth: float  # a factor on widths
    skin: tuple
    hair: tuple
    shirt: tuple
    trousers: tuple
    shoe: tuple
    has_long_sleeves: bool
    legwear: str  # "long", "short" or "skirt"
    haircut: str  # "short", "long" or "cap"

    def get_color(self, part):
        """RGB of a body part: "sleeve", "thigh", "shin", "hip", "skin", "shirt" or "shoe"."""
        if part == "sleeve":
            return self.shirt if self.has_long_sleeves else self.skin
        if part == "thigh":
            return self.skin if self.legwear == "skirt" else self.trousers
        if part == "shin":
            return self.trousers if self.legwear == "long" else self.skin
        if part == "hip":
            return self.trousers
        return getattr(self, part)


def convert_hsv(hue, saturation, value):
    """The RGB color (0..255) of a hue, saturation and value in 0..1."""
    # Where each channel (3,) stands on the circle of hues, in sixths.
    sector = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    weights = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return tuple(int(channel) for channel in 255 * value * (1 - saturation * weights))


def scale_color(color, factor):
    """A color made darker (factor < 1) or brighter, at most 255."""
    return tuple(int(min(255, channel * factor)) for channel in color)


def draw_object_color(rng):
    """A random color for an object: bright enough to be visible."""
    return convert_hsv(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.55, 0.95))


def draw_character(rng, person_id):
    """A random Character, in saturated clothes that stand out from the muted backgrounds."""
    shirt_hue = rng.random()
    skin = SKIN_COLORS[rng.integers(len(SKIN_COLORS))]
    hair = HAIR_COLORS[rng.integers(len(HAIR_COLORS))]
    trousers_hue = (shirt_hue + rng.uniform(0.25, 0.75)) % 1
    trousers = convert_hsv(trousers_hue, rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.75))
    # The order of the draws is part of the data: another one gives other people.
    is_adult = rng.random() < ADULT_SHARE
    return Character(
        person_id=person_id,
        height=rng.uniform(0.88, 1.06) if is_adult else rng.uniform(0.7, 0.8),
        girth=rng.uniform(0.9, 1.3),
        skin=skin,
        hair=hair,
        shirt=convert_hsv(shirt_hue, rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0)),
        trousers=trousers,
        shoe=convert_hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.15, 0.9)),
        has_long_sleeves=rng.random() < 0.5,
        legwear=LEGWEAR[rng.integers(len(LEGWEAR))],
        haircut=HAIRCUTS[rng.integers(len(HAIRCUTS))],
    )
