"""What a network does with a clip: its stages as blocks, its feature maps, one person's RoI. Returns figures.

Tensors may be torch's or numpy's; nothing here imports torch.
"""

import textwrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from avalib.data.labels import get_action_group, shorten_action_name
from avalib.draw.colors import GROUP_COLORS, SERIES_COLORS
from avalib.draw.plots import apply_style, create_figure

PATHWAY_COLORS = {"slow": SERIES_COLORS[0], "fast": SERIES_COLORS[1]}


@apply_style
def plot_stage_shapes(stages, title="What one clip becomes: fewer, smaller pictures of more channels"):
    """The network as blocks: a sheet per frame, sheets as high as the pictures, the wider the more channels.

    stages: table with stage, what, output ("CxTxHxW", "CxHxW" or "C") and parameters, as models.describe.stage_table
    gives it; stages of a fast_path stand in a second row, laterals are arrows up into the slow one.
    """
    rows = stages.to_dict("records")
    two = any("fast_path" in row["stage"] for row in rows)
    columns = []
    for row in rows:
        if "lateral" not in row["stage"] and row["stage"].rpartition(".")[2] not in columns:
            columns.append(row["stage"].rpartition(".")[2])
    fig, axis = create_figure(1, (1.75 * len(columns), 7 if two else 3.9))
    for row in rows:
        path, _, name = row["stage"].rpartition(".")
        shape = [int(n) for n in row["output"].split("x")]
        fast = "fast" in path
        level = -3.6 if fast else 0 if not two or path else -1.8
        if "lateral" in name:
            x = columns.index(name.removesuffix("_lateral"))
            axis.annotate(
                "", (x + 0.1, -1.62), (x + 0.1, -2.4), arrowprops={"arrowstyle": "-|>", "color": SERIES_COLORS[1]}
            )
            axis.text(x + 0.16, -2.0, f"{row['what'].split(',')[0].removeprefix('lateral ')}\n+{shape[0]} channels",
                      fontsize=7, va="center")  # fmt: skip
        else:
            colour = PATHWAY_COLORS["fast" if fast else "slow"] if "layer" in name or "conv" in name else "#777777"
            _block(axis, columns.index(name), level, name, row, shape, colour)
    for path, level, words in (("slow", 0, "slow pathway: few frames"), ("fast", -3.6, "fast pathway: few channels")):
        if two:
            axis.text(0.7, level + 0.95, words, color=PATHWAY_COLORS[path], fontsize=10)
    axis.set(xlim=(-0.55, len(columns) - 0.4), ylim=(-5.3 if two else -1.6, 1.2))
    axis.axis("off")
    total = sum(row["parameters"] for row in rows)
    axis.set_title(f"{title}   ({total / 1e6:.1f} M parameters)")
    return fig


def _block(axis, x, y, name, row, shape, colour):
    """One stage: its frames as sheets, and what it is, its output and its parameters beneath."""
    channels, frames, height = shape[0], shape[1] if len(shape) == 4 else 1, shape[-2] if len(shape) > 1 else 0
    high = 0.16 + 0.085 * np.sqrt(height)
    wide = 0.05 + 0.032 * np.log2(max(channels, 2))
    step = 0.28 / max(frames, 2)
    behind = 0.45 * np.array(to_rgb(colour)) + 0.55
    for i in reversed(range(frames)):
        corner = (x - 0.25 + i * step, y - high / 2 + i * step / 2)
        look = {"facecolor": behind if i else colour, "edgecolor": "white", "linewidth": min(0.6, 6 / frames)}
        axis.add_patch(Rectangle(corner, wide, high, **look))
    number = row["parameters"]
    size = f"{number / 1e6:.2f} M parameters" if number >= 1e5 else f"{number:,} parameters" if number else ""
    words = "\n".join(line for part in row["what"].split(", ") for line in textwrap.wrap(part, 19))
    if name != "logits":
        style = {"arrowstyle": "->", "color": "#999999", "linewidth": 0.9}
        axis.annotate("", (x + 0.7, y), (x + 0.52, y), arrowprops=style)
    axis.text(x - 0.27, y - 0.86, name, fontsize=9, fontweight="bold", va="top")
    axis.text(x - 0.27, y - 1.0, f"{row['output']}\n{words}\n{size}", fontsize=7, va="top")


@apply_style
def plot_feature_maps(
    followed, title="Mean activation of each stage, middle frame: coarser and coarser, drawn to people"
):
    """The middle frame of a clip, the mean over channels of each stage's output for it, and a person's best actions.

    followed: {stage: tensor} as models.describe.follow gives it: clips and stages (B,C,T,H,W), RoIAlign (N,C,8,8),
    logits (N,81). The first clip and person are shown.
    """
    maps = {name: np.asarray(t.float().cpu() if hasattr(t, "cpu") else t)[0] for name, t in followed.items()}
    maps = {name: array for name, array in maps.items() if "lateral" not in name}
    logits = maps.pop("logits", None)
    columns = -(-(len(maps) + (logits is not None)) // (2 if len(maps) > 6 else 1))
    rows = 2 if len(maps) > 6 else 1
    fig, axes = plt.subplots(rows, columns, figsize=(2.5 * columns, 2.5 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, array) in zip(axes.flat, maps.items(), strict=False):
        picture = array[:, array.shape[1] // 2] if array.ndim == 4 else array
        if name == "clips":
            picture = (picture - picture.min()) / max(np.ptp(picture), 1e-6)
            axis.imshow(picture.transpose(1, 2, 0))
        else:
            axis.imshow(picture.mean(0), cmap="viridis")
        axis.set_title(f"{name.removeprefix('backbone.')}\n{'x'.join(map(str, array.shape))}", fontsize=8.5)
    if logits is not None:
        _best_actions(axes.flat[len(maps)], logits)
    fig.suptitle(title)
    return fig


def _best_actions(axis, logits, count=6):
    """The highest scores of one person, columns 1..80 of its logits."""
    scores = 1 / (1 + np.exp(-logits[1:]))
    best = np.argsort(-scores)[:count] + 1
    axis.axis("on")
    colours = [GROUP_COLORS[get_action_group(int(action))] for action in best]
    axis.barh(np.arange(len(best))[::-1], scores[best - 1], color=colours)
    axis.set_yticks(np.arange(len(best))[::-1], [shorten_action_name(int(action)) for action in best], fontsize=7.5)
    axis.set_title("highest scores of\nthe first person", fontsize=8.5)
    axis.set_xlim(0, 1)


@apply_style
def plot_roi_on_frame(
    frame, box_px, features, title="One person: RoIAlign reads an 8x8 grid of the last map inside the box"
):
    """The frame with the box and its grid, the person cut out, and what RoIAlign took there (mean over channels).

    frame (H,W,3) uint8; box_px (4,) x1,y1,x2,y2 pixels of it; features (C,8,8).
    """
    features = np.asarray(features.float().cpu() if hasattr(features, "cpu") else features).mean(0)
    x1, y1, x2, y2 = (float(v) for v in box_px)
    fig, (whole, person, grid) = create_figure(3, (11, 3.7), width_ratios=[frame.shape[1] / frame.shape[0], 0.8, 1])
    whole.imshow(frame)
    person.imshow(frame, extent=(0, frame.shape[1], frame.shape[0], 0))
    person.set(xlim=(x1, x2), ylim=(y2, y1), title="the person, 8x8 cells")
    whole.set_title(f"frame {frame.shape[1]}x{frame.shape[0]}, box {x2 - x1:.0f}x{y2 - y1:.0f}")
    for axis, colour in ((whole, "#5AE16E"), (person, "white")):
        for i in range(features.shape[0] + 1):
            edge = i in (0, features.shape[0])
            line = {"color": colour, "linewidth": 2 if edge else 0.7}
            axis.plot([x1, x2], [y1 + (y2 - y1) * i / features.shape[0]] * 2, **line)
            axis.plot([x1 + (x2 - x1) * i / features.shape[1]] * 2, [y1, y2], **line)
    shown = grid.imshow(features, cmap="viridis")
    grid.set_title("what the head gets")
    fig.colorbar(shown, ax=grid, shrink=0.85, label="mean activation")
    for axis in (whole, person, grid):
        axis.grid(False)
        axis.axis("off")
    fig.suptitle(title)
    return fig
