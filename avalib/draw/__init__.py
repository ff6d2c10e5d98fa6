"""Pictures, videos, plots and notebook widgets. The only package that imports matplotlib, ipywidgets and IPython.

- frames: annotate, box_styles, label_tags, label_layout, sheets, frame_orders, heatmap
- videos: people, scene, predictions, render, video_overlay, video_page, zoo_gif
- figures: class_plots, training_plots, run_comparison, proposal_plots, model_plots, ladder_plot, network, timeline,
  timeline_comparison, point_labels, text_table, figure_style, colors
- live: live_overlay, mjpeg_server, live_view
- the workbench: workbench, workbench_opening, workbench_controls, person_timeline, mistake_navigator
"""

from avalib.draw.annotate import FrameAnnotator, annotate_frame
from avalib.draw.box_styles import BLUE, GREEN, BoxStyle
from avalib.draw.class_plots import (
    plot_ap_by_training,
    plot_ap_comparison,
    plot_class_counts,
    plot_per_class,
    plot_pr_curves,
)
from avalib.draw.colors import GROUP_COLORS, MODEL_COLORS, get_person_color
from avalib.draw.figure_style import save_figure
from avalib.draw.frame_orders import draw_frame_orders
from avalib.draw.heatmap import draw_explanation_sheet
from avalib.draw.ladder_plot import plot_ladder
from avalib.draw.live_overlay import LiveAnnotator, play_live, render_live
from avalib.draw.live_view import LiveView, show_live
from avalib.draw.mjpeg_server import MjpegServer
from avalib.draw.model_plots import plot_published_order, plot_speed_accuracy
from avalib.draw.network import plot_feature_maps, plot_roi_on_frame, plot_stage_shapes
from avalib.draw.people import Person, select_people
from avalib.draw.predictions import load_predictions
from avalib.draw.proposal_plots import plot_proposal_recall
from avalib.draw.render import RenderOptions, SceneRenderer, render_side_by_side, save_gif, save_mp4, show_gif, show_mp4
from avalib.draw.run_comparison import plot_run_comparison
from avalib.draw.scene import Scene, load_scene, load_video_scene
from avalib.draw.scene_choice import find_busiest_video
from avalib.draw.sheets import draw_contact_sheet, draw_keyframe_sheet, draw_mistakes_sheet
from avalib.draw.text_table import TextTable
from avalib.draw.timeline import find_segments, plot_timeline
from avalib.draw.timeline_comparison import plot_timeline_comparison
from avalib.draw.training_plots import LiveCurves, plot_training_curves
from avalib.draw.video_overlay import render_frames, write_overlay_video
from avalib.draw.video_page import write_video_page
from avalib.draw.workbench import Workbench
from avalib.draw.workbench_opening import open_scrubber, open_workbench
from avalib.draw.zoo_gif import write_zoo_gif

__all__ = [
    "BLUE",
    "BoxStyle",
    "FrameAnnotator",
    "GREEN",
    "GROUP_COLORS",
    "LiveAnnotator",
    "LiveCurves",
    "LiveView",
    "MODEL_COLORS",
    "MjpegServer",
    "Person",
    "RenderOptions",
    "Scene",
    "SceneRenderer",
    "TextTable",
    "Workbench",
    "annotate_frame",
    "draw_contact_sheet",
    "draw_explanation_sheet",
    "draw_frame_orders",
    "draw_keyframe_sheet",
    "draw_mistakes_sheet",
    "find_busiest_video",
    "find_segments",
    "get_person_color",
    "load_predictions",
    "load_scene",
    "load_video_scene",
    "open_scrubber",
    "open_workbench",
    "play_live",
    "plot_ap_by_training",
    "plot_ap_comparison",
    "plot_class_counts",
    "plot_feature_maps",
    "plot_ladder",
    "plot_per_class",
    "plot_pr_curves",
    "plot_proposal_recall",
    "plot_published_order",
    "plot_roi_on_frame",
    "plot_run_comparison",
    "plot_speed_accuracy",
    "plot_stage_shapes",
    "plot_timeline",
    "plot_timeline_comparison",
    "plot_training_curves",
    "render_frames",
    "render_live",
    "render_side_by_side",
    "save_figure",
    "save_gif",
    "save_mp4",
    "select_people",
    "show_gif",
    "show_live",
    "show_mp4",
    "write_overlay_video",
    "write_video_page",
    "write_zoo_gif",
]
