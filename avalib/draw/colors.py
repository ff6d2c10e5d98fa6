"""The colors that carry a meaning, the same in every notebook: people, models, groups of actions.

Curves and bars use the palette of Okabe and Ito, which is safe for color-blind readers.
"""

import itertools

from avalib import zoo

SERIES_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#908000"]
GROUP_COLORS = {"pose": "#0072B2", "object": "#D98200", "person": "#009E73", "other": "#7A7A7A"}
GROUP_TITLES = {"pose": "pose", "object": "person and object", "person": "person and person", "other": "other"}
# By family: points of several models beside one another.
FAMILY_COLORS = dict(zip(zoo.FAMILIES, SERIES_COLORS, strict=False))
# In the order of the zoo's table; from the ninth model on colors repeat.
MODEL_COLORS = dict(zip(zoo.list_models(), itertools.cycle(SERIES_COLORS), strict=False))
# Bright, for photos. Far apart for normal vision and for the three kinds of color blindness (a test checks this).
PERSON_COLORS = [
    "#00FFD2",
    "#B44BFF",
    "#FF2D0F",
    "#FFFF0F",
    "#6987B4",
    "#B4FF87",
    "#D26969",
    "#A5A54B",
    "#FFB41E",
    "#FFB4FF",
    "#5AB4B4",
    "#9678E1",
]


def parse_hex_color(color: str) -> tuple[int, int, int]:
    """'#RRGGBB' -> (r,g,b), 0..255."""
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def get_person_color(person_id: int) -> str:
    """Get the color of a person, the same in pictures and timelines.

    Parameters
    ----------
    person_id : int

    Returns
    -------
    str
        '#RRGGBB'. Colors repeat after the twelfth person.
    """
    return PERSON_COLORS[int(person_id) % len(PERSON_COLORS)]
