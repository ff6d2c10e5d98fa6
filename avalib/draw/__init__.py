"""Pictures, GIFs, plots and the widget. The only room that knows matplotlib, ipywidgets and IPython.

people (tables -> who is where and does what), pictures (boxes and labels on frames, sheets), scenes (a stretch of video
with its annotations and detections), plots (curves and bars), network (what a model does), widgets.
"""

from avalib.draw.network import feature_maps, roi_on_frame, stage_shapes
from avalib.draw.people import Person, people_at
from avalib.draw.pictures import BLUE, GREEN, contact_sheet, keyframe_sheet, mistakes_sheet, overlay
from avalib.draw.plots import (
    LiveCurves,
    class_counts,
    per_class_bars,
    pr_curves,
    proposal_recall,
    training_curves,
)
from avalib.draw.scenes import Scene, gif, mp4, scene, show_gif, show_mp4, side_by_side
from avalib.draw.watch import watch, write_overlay
from avalib.draw.widgets import scrubber

__all__ = [
    "BLUE",
    "GREEN",
    "LiveCurves",
    "Person",
    "Scene",
    "class_counts",
    "contact_sheet",
    "feature_maps",
    "gif",
    "keyframe_sheet",
    "mistakes_sheet",
    "mp4",
    "overlay",
    "people_at",
    "per_class_bars",
    "pr_curves",
    "proposal_recall",
    "roi_on_frame",
    "scene",
    "scrubber",
    "show_gif",
    "show_mp4",
    "side_by_side",
    "stage_shapes",
    "training_curves",
    "watch",
    "write_overlay",
]
