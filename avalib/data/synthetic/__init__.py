"""A small synthetic AVA rendered from a seed, as real H.264 files in the real layout; no network, no license.

    layout = render_dataset("data/mini", size="mini", seed=0)

`SIZES` lists the sizes, `ACTIONS` the action ids that occur, `TIME_ACTIONS` those of them that one frame cannot show.
"""

from avalib.data.synthetic.action_ids import ACTIONS, TIME_ACTIONS
from avalib.data.synthetic.generate import iter_frames, render_dataset
from avalib.data.synthetic.render_manifest import VERSION
from avalib.data.synthetic.video_specs import SIZES, VideoSpec, list_videos

__all__ = [
    "ACTIONS",
    "SIZES",
    "TIME_ACTIONS",
    "VERSION",
    "VideoSpec",
    "iter_frames",
    "list_videos",
    "render_dataset",
]
