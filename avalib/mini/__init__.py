"""Mini-AVA: a small AVA rendered out of a seed, real H.264 files in the real layout; no network, no licence.

    layout = mini.render("data/mini", size="mini", seed=0)

`SIZES` lists the sizes, `ACTIONS` the action ids that occur, `TIME_ACTIONS` those of them that one frame cannot show.
"""

from avalib.mini.motions import ACTIONS, TIME_ACTIONS
from avalib.mini.produce import SIZES, VERSION, Spec, frames, render, videos

__all__ = ["ACTIONS", "SIZES", "TIME_ACTIONS", "VERSION", "Spec", "frames", "render", "videos"]
