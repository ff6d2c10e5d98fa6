"""The colours that mean something, the same in every notebook: people, models, action groups.

Curves and bars have Okabe and Ito's, which all kinds of eyes tell apart. More people than colours: they begin again.
"""

from avalib import zoo

SERIES_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7A00"]
GROUP_COLORS = {"pose": "#0072B2", "object": "#D98200", "person": "#009E73", "other": "#7A7A7A"}
GROUP_TITLES = {"pose": "pose", "object": "person and object", "person": "person and person", "other": "other"}
MODEL_COLORS = dict(zip(zoo.list_models(), SERIES_COLORS, strict=False))  # the seven rows, in the table's order
# Bright, for photos, and far apart for normal eyes and for those that lack one of the three kinds of cones (a test).
PERSON_COLORS = ["#FF6020", "#4090FF", "#C8FF70", "#C860B0", "#40FFB0", "#FFC0FF", "#909070"]


def to_rgb(colour):
    """'#RRGGBB' -> (r,g,b), 0..255."""
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def get_person_color(person_id):
    """The colour of a person ('#RRGGBB'), the same in pictures and timelines."""
    return PERSON_COLORS[int(person_id) % len(PERSON_COLORS)]
