"""Pictures, GIFs, plots and the widget. The only room that knows matplotlib, ipywidgets and IPython.

people (tables -> who is where and does what), pictures (boxes and labels on frames, sheets), scenes (a stretch of video
with its annotations and detections), overlays (any video file), timelines (who does what when), plots (curves and
bars), comparisons (the zoo's rows), network (what a model does),
widgets (the workbench; persons, jumps), explained; colours (what they mean).
"""

from avalib.draw.annotate import annotate_frame, save_figure
from avalib.draw.colors import GROUP_COLORS, MODEL_COLORS, get_person_color
from avalib.draw.heatmap import draw_explanation_sheet
from avalib.draw.label_layout import BLUE, GREEN
from avalib.draw.model_detections import find_model_detections
from avalib.draw.model_plots import plot_published_order, plot_speed_accuracy
from avalib.draw.network import plot_feature_maps, plot_roi_on_frame, plot_stage_shapes
from avalib.draw.people import Person, select_people
from avalib.draw.plots import (
    LiveCurves,
    plot_ap_by_training,
    plot_class_counts,
    plot_per_class,
    plot_pr_curves,
    plot_proposal_recall,
    plot_training_curves,
)
from avalib.draw.render import RenderOptions, render_side_by_side, save_gif, save_mp4, show_gif, show_mp4
from avalib.draw.scene import Scene, load_scene, load_video_scene
from avalib.draw.sheets import draw_contact_sheet, draw_keyframe_sheet, draw_mistakes_sheet
from avalib.draw.timeline import find_segments, plot_timeline
from avalib.draw.video_overlay import render_frames, write_overlay_video
from avalib.draw.workbench import Workbench, open_scrubber, open_workbench

__all__ = [
    "BLUE",
    "GREEN",
    "GROUP_COLORS",
    "LiveCurves",
    "MODEL_COLORS",
    "Person",
    "RenderOptions",
    "Scene",
    "Workbench",
    "annotate_frame",
    "draw_contact_sheet",
    "draw_explanation_sheet",
    "draw_keyframe_sheet",
    "draw_mistakes_sheet",
    "find_model_detections",
    "find_segments",
    "get_person_color",
    "load_scene",
    "load_video_scene",
    "open_scrubber",
    "open_workbench",
    "plot_ap_by_training",
    "plot_class_counts",
    "plot_feature_maps",
    "plot_per_class",
    "plot_pr_curves",
    "plot_proposal_recall",
    "plot_published_order",
    "plot_roi_on_frame",
    "plot_speed_accuracy",
    "plot_stage_shapes",
    "plot_timeline",
    "plot_training_curves",
    "render_frames",
    "render_side_by_side",
    "save_figure",
    "save_gif",
    "save_mp4",
    "select_people",
    "show_gif",
    "show_mp4",
    "write_overlay_video",
]
