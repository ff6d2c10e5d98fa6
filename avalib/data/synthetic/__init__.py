"""Mini-AVA: a small AVA rendered out of a seed, real H.264 files in the real layout; no network, no licence.

    layout = mini.render("data/mini", size="mini", seed=0)

`SIZES` lists the sizes, `ACTIONS` the action ids that occur, `TIME_ACTIONS` those of them that one frame cannot show.
"""

from avalib.data.synthetic.generate import SIZES, VERSION, Spec, iter_frames, list_videos, render_dataset
from avalib.data.synthetic.motions import ACTIONS, TIME_ACTIONS

__all__ = [
    "ACTIONS",
    "SIZES",
    "Spec",
    "TIME_ACTIONS",
    "VERSION",
    "iter_frames",
    "list_videos",
    "render_dataset",
]
