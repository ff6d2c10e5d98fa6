"""The colours that mean something, the same in every notebook: people, models, action groups.

Okabe and Ito's, which all kinds of eyes tell apart; where there are more things than colours they begin again.
"""

from avalib import zoo

SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7A00"]
GROUP_COLOURS = {"pose": "#0072B2", "object": "#D98200", "person": "#009E73"}
GROUP_WORDS = {"pose": "pose", "object": "person and object", "person": "person and person"}
MODEL_COLOURS = dict(zip(zoo.names(), SERIES, strict=False))  # the seven rows, in the table's order
PEOPLE = ["#E69F00", "#56B4E9", "#F0E442", "#CC79A7", "#00C08B", "#FF7A33", "#4F9DFF", "#E8E8E8"]  # bright, for photos


def rgb(colour):
    """'#RRGGBB' -> (r,g,b), 0..255."""
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def person_colour(person_id):
    """The colour of a person ('#RRGGBB'), the same in pictures and timelines."""
    return PEOPLE[int(person_id) % len(PEOPLE)]
