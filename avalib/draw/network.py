"""What a network does with a clip: its stages as blocks, its feature maps, one person's RoI. Returns figures.

Tensors may be torch's or numpy's; nothing here imports torch.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from avalib.data.labels import get_action_group, shorten_action_name
from avalib.draw.colors import GROUP_COLORS, SERIES_COLORS
from avalib.draw.figure_style import apply_style, create_figure

PATHWAY_COLORS = {"slow": SERIES_COLORS[0], "fast": SERIES_COLORS[1]}
PATHWAY_LEVELS = {"slow": 0.0, "fast": -3.6}  # the y of each pathway's blocks
PATHWAY_TITLES = {"slow": "slow pathway: few frames", "fast": "fast pathway: few channels"}
SHARED_LEVEL = -1.8  # of the blocks that belong to neither of two pathways
NOT_BACKBONE = ("clips", "RoIAlign", "logits")
OTHER_COLOR = "#777777"  # of these
MAX_MAPS_PER_LINE = 6


@dataclass(frozen=True)
class StageBlock:
    """A line of the stage table, prepared for drawing."""

    pathway: str  # "slow", "fast", or "" where there is one
    name: str
    description: str
    output: str  # "CxTxHxW", "CxHxW" or "C"
    parameters: int

    @property
    def shape(self):
        return [int(n) for n in self.output.split("x")]

    @property
    def is_lateral(self):
        """Whether it connects the pathways."""
        return "lateral" in self.name

    @classmethod
    def from_row(cls, row):
        # "slow_path.layer1" -> pathway "slow", name "layer1"
        path, _, name = row["stage"].rpartition(".")
        pathway = ""
        if path:
            pathway = "fast" if "fast" in path else "slow"
        return cls(pathway, name, row["what"], row["output"], row["parameters"])


@apply_style
def plot_stage_shapes(
    stages: pd.DataFrame, title: str = "What one clip becomes: fewer, smaller pictures of more channels"
) -> Figure:
    """Plot the network as blocks: a sheet for each frame, as high as the pictures, the wider the more channels.

    Stages of a fast pathway stand in a second line; lateral connections are arrows up into the slow one.

    Parameters
    ----------
    stages : DataFrame
        From `build_stage_table`: stage, what, output ("CxTxHxW", "CxHxW" or "C"), parameters.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    # A column per stage; the stages of both pathways that have one name share a column.
    blocks = [StageBlock.from_row(row) for row in stages.to_dict("records")]
    has_two_pathways = any(block.pathway == "fast" for block in blocks)
    columns = list(dict.fromkeys(block.name for block in blocks if not block.is_lateral))
    figure, axis = create_figure(1, (1.75 * len(columns), 7.6 if has_two_pathways else 4.3))
    for block in blocks:
        if block.is_lateral:
            _draw_lateral(axis, columns.index(block.name.removesuffix("_lateral")), block)
            continue
        level = PATHWAY_LEVELS[block.pathway or "slow"]
        if has_two_pathways and not block.pathway:
            level = SHARED_LEVEL
        _draw_block(axis, columns.index(block.name), level, block)
    if has_two_pathways:
        for pathway, level in PATHWAY_LEVELS.items():
            axis.text(0.7, level + 0.95, PATHWAY_TITLES[pathway], color=PATHWAY_COLORS[pathway], fontsize=12)
    axis.set(xlim=(-0.55, len(columns) - 0.4), ylim=(-5.3 if has_two_pathways else -1.6, 1.2))
    axis.axis("off")
    n_parameters = sum(block.parameters for block in blocks)
    axis.set_title(f"{title}   ({n_parameters / 1e6:.1f} M parameters)")
    return figure


def _draw_lateral(axis, x, block):
    """An arrow from the fast pathway up into the slow one, and what it adds."""
    arrow = {"arrowstyle": "-|>", "color": PATHWAY_COLORS["fast"]}
    axis.annotate("", (x + 0.1, -1.8), (x + 0.1, -2.5), arrowprops=arrow)
    operation = block.description.split(",")[0].removeprefix("lateral ")
    axis.text(x + 0.16, -2.15, f"{operation}\n+{block.shape[0]} channels", fontsize=9, va="center")


def _draw_block(axis, x, y, block):
    """A stage: its frames as sheets, and below them its output, what it is, and its parameters."""
    _draw_sheets(axis, x, y, block)
    if block.name != "logits":
        arrow = {"arrowstyle": "->", "color": "#999999", "linewidth": 0.9}
        axis.annotate("", (x + 0.7, y), (x + 0.52, y), arrowprops=arrow)
    size = ""
    if block.parameters >= 1e5:
        size = f"{block.parameters / 1e6:.2f} M param."
    elif block.parameters:
        size = f"{block.parameters:,} param."
    description = "\n".join(line for part in block.description.split(", ") for line in textwrap.wrap(part, 17))
    axis.text(x - 0.27, y - 0.84, block.name, fontsize=11, fontweight="bold", va="top")
    axis.text(x - 0.27, y - 1.02, f"{block.output}\n{description}\n{size}", fontsize=9.5, va="top")


def _draw_sheets(axis, x, y, block):
    """A sheet for each frame of a stage's output, from the back to the front."""
    shape = block.shape
    # CxTxHxW has T sheets, CxHxW one; a vector has pictures without height.
    n_frames = shape[1] if len(shape) == 4 else 1
    picture_height = shape[-2] if len(shape) > 1 else 0
    # In units of a column: height by the root of the pictures' height, width by the logarithm of the channels, so that
    # 256 pixels and 8, 8 channels and 2048 fit into one drawing.
    sheet_height = 0.16 + 0.085 * np.sqrt(picture_height)
    sheet_width = 0.05 + 0.032 * np.log2(max(shape[0], 2))
    step = 0.28 / max(n_frames, 2)
    # The first frame in the pathway's color, those behind it pale.
    color = OTHER_COLOR if block.name in NOT_BACKBONE else PATHWAY_COLORS[block.pathway or "slow"]
    pale_color = 0.45 * np.array(to_rgb(color)) + 0.55
    line_width = min(0.6, 6 / n_frames)
    for i in reversed(range(n_frames)):
        corner = (x - 0.25 + i * step, y - sheet_height / 2 + i * step / 2)
        fill = pale_color if i else color
        axis.add_patch(
            Rectangle(corner, sheet_width, sheet_height, facecolor=fill, edgecolor="white", linewidth=line_width)
        )


@apply_style
def plot_feature_maps(
    outputs: dict[str, Any],
    title: str = "Mean activation of each stage, middle frame: coarser and coarser, drawn to people",
) -> Figure:
    """Plot the middle frame of a clip, each stage's mean over channels for it, and a person's best actions.

    Parameters
    ----------
    outputs : dict
        {stage: tensor} from `trace_stages`: clips and stages (B,C,T,H,W), RoIAlign (N,C,8,8), logits (N,81). The first
        clip and the first person are shown.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    # The first clip's or person's outputs: (C,T,H,W), (C,8,8) or (81,)
    first_outputs = {name: to_array(tensor)[0] for name, tensor in outputs.items() if "lateral" not in name}
    logits = first_outputs.pop("logits", None)
    # A panel per stage and one for the scores, in one line or two.
    n_lines = 2 if len(first_outputs) > MAX_MAPS_PER_LINE else 1
    n_panels = len(first_outputs) + (logits is not None)
    columns = -(-n_panels // n_lines)
    size = (2.5 * columns, 2.5 * n_lines)
    figure, axes = plt.subplots(n_lines, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, array) in zip(axes.flat, first_outputs.items(), strict=False):
        # (C,T,H,W) -> the middle frame (C,H,W)
        picture = array[:, array.shape[1] // 2] if array.ndim == 4 else array
        # The clip is normalized: stretched to 0..1 it is a picture again. Of a stage: the mean over channels, (H,W).
        if name == "clips":
            picture = (picture - picture.min()) / max(np.ptp(picture), 1e-6)
            axis.imshow(picture.transpose(1, 2, 0))
        else:
            axis.imshow(picture.mean(0), cmap="viridis")
        axis.set_title(f"{name.removeprefix('backbone.')}\n{'x'.join(map(str, array.shape))}", fontsize=8.5)
    if logits is not None:
        _plot_best_actions(axes.flat[len(first_outputs)], logits)
    figure.suptitle(title)
    return figure


def to_array(tensor):
    """A tensor, torch's on any device or numpy's, as a numpy array (float32 from torch)."""
    return np.asarray(tensor.float().cpu() if hasattr(tensor, "cpu") else tensor)


def _plot_best_actions(axis, logits, count=6):
    """The highest scores of one person, from its logits (81,); column 0 is reserved."""
    scores = 1 / (1 + np.exp(-logits[1:]))
    best_actions = np.argsort(-scores)[:count] + 1
    places = np.arange(len(best_actions))[::-1]
    colors = [GROUP_COLORS[get_action_group(int(action))] for action in best_actions]
    names = [shorten_action_name(int(action)) for action in best_actions]
    axis.axis("on")
    axis.barh(places, scores[best_actions - 1], color=colors)
    axis.set_yticks(places, names, fontsize=7.5)
    axis.set_title("highest scores of\nthe first person", fontsize=8.5)
    axis.set_xlim(0, 1)


@apply_style
def plot_roi_on_frame(
    frame: np.ndarray,
    box_px: Sequence[float],
    features: Any,
    title: str = "One person: RoIAlign reads an 8x8 grid of the last map inside the box",
) -> Figure:
    """Plot a frame with a box and its grid, the person cut out, and RoIAlign's features.

    Parameters
    ----------
    frame : (H,W,3) uint8
    box_px : (4,) float
        x1, y1, x2, y2 in the frame's pixels.
    features : (C,8,8) tensor
        Their mean over channels is drawn.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    grid_features = to_array(features).mean(0)  # (8,8)
    x1, y1, x2, y2 = (float(v) for v in box_px)
    height, width = frame.shape[:2]
    figure, axes = create_figure(3, (11, 3.7), width_ratios=[width / height, 0.8, 1])
    frame_axis, person_axis, grid_axis = axes
    frame_axis.imshow(frame)
    frame_axis.set_title(f"frame {width}x{height}, box {x2 - x1:.0f}x{y2 - y1:.0f}")
    person_axis.imshow(frame, extent=(0, width, height, 0))
    person_axis.set(xlim=(x1, x2), ylim=(y2, y1), title="the person, 8x8 cells")
    # The grid's lines on the frame and on the person; those of the box are thicker.
    n_cells = grid_features.shape[0]
    for axis, color in ((frame_axis, "#5AE16E"), (person_axis, "white")):
        for i in range(n_cells + 1):
            x = x1 + (x2 - x1) * i / n_cells
            y = y1 + (y2 - y1) * i / n_cells
            line_width = 2 if i in (0, n_cells) else 0.7
            axis.plot([x1, x2], [y, y], color=color, linewidth=line_width)
            axis.plot([x, x], [y1, y2], color=color, linewidth=line_width)
    image = grid_axis.imshow(grid_features, cmap="viridis")
    grid_axis.set_title("what the head gets")
    figure.colorbar(image, ax=grid_axis, shrink=0.85, label="mean activation")
    for axis in axes:
        axis.grid(False)
        axis.axis("off")
    figure.suptitle(title)
    return figure
