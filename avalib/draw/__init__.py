"""Pictures, GIFs, plots and the widget. The only room that knows matplotlib, ipywidgets and IPython.

people (tables -> who is where and does what), pictures (boxes and labels on frames, sheets), scenes (a stretch of video
with its annotations and detections), overlays (any video file), timelines (who does what when), plots (curves and
bars), comparisons (the zoo's rows), network (what a model does),
widgets (the workbench; persons, jumps), explained; colours (what they mean).
"""

from avalib.draw.colours import GROUP_COLOURS, MODEL_COLOURS, person_colour
from avalib.draw.comparisons import published_order, speed_accuracy
from avalib.draw.explained import explanation_sheet
from avalib.draw.network import feature_maps, roi_on_frame, stage_shapes
from avalib.draw.overlays import watch, write_overlay
from avalib.draw.people import Person, people_at
from avalib.draw.pictures import contact_sheet, keyframe_sheet, mistakes_sheet, overlay, save
from avalib.draw.plots import (
    LiveCurves,
    ap_by_training,
    class_counts,
    per_class_bars,
    pr_curves,
    proposal_recall,
    training_curves,
)
from avalib.draw.rows import find_rows
from avalib.draw.scenes import Look, Scene, gif, mp4, scene, show_gif, show_mp4, side_by_side, video_scene
from avalib.draw.tags import BLUE, GREEN
from avalib.draw.timelines import segments, timeline
from avalib.draw.widgets import Workbench, scrubber, workbench

__all__ = [
    "BLUE",
    "GREEN",
    "GROUP_COLOURS",
    "LiveCurves",
    "Look",
    "MODEL_COLOURS",
    "Person",
    "Scene",
    "Workbench",
    "ap_by_training",
    "class_counts",
    "contact_sheet",
    "explanation_sheet",
    "feature_maps",
    "find_rows",
    "gif",
    "keyframe_sheet",
    "mistakes_sheet",
    "mp4",
    "overlay",
    "people_at",
    "per_class_bars",
    "person_colour",
    "pr_curves",
    "proposal_recall",
    "published_order",
    "roi_on_frame",
    "save",
    "scene",
    "scrubber",
    "segments",
    "show_gif",
    "show_mp4",
    "side_by_side",
    "speed_accuracy",
    "stage_shapes",
    "timeline",
    "training_curves",
    "video_scene",
    "watch",
    "workbench",
    "write_overlay",
]
