"""Names beside the points of a plot that cover neither each other nor the points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

POINT_RADIUS = 5  # around a point nothing is written, in points of 1/72 inch
DISTANCES = (6, 12, 20, 30, 42, 56, 72, 90)  # of a name's nearest edge, the first free one is taken
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (-1, 1), (-1, -1))  # right first
LINE_FROM = 12  # names at this distance or farther have a line to their point


def label_points(axis: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str], font_size: float = 7.5):
    """Write a name beside each point. Call it when the axis has its limits and its other contents.

    Parameters
    ----------
    axis : Axes
    x, y : sequences of float
        The points, in data coordinates.
    names : sequence of str
    font_size : float
    """
    figure = axis.figure
    figure.draw_without_rendering()  # where the axis lies is known only then
    pixels_per_point = figure.dpi / 72
    points = axis.transData.transform(np.column_stack([x, y])) / pixels_per_point  # (N,2)
    frame = axis.get_window_extent().extents / pixels_per_point
    taken = [(px - POINT_RADIUS, py - POINT_RADIUS, px + POINT_RADIUS, py + POINT_RADIUS) for px, py in points]
    # crowded points are few places' neighbors: the highest first, so that names fan out upwards
    for i in np.argsort(-points[:, 1], kind="stable"):
        size = _measure(axis, names[i], font_size) / pixels_per_point
        offset, distance = _find_free_offset(points[i], size, taken, frame)
        corner = points[i] + offset
        taken.append((*corner, *(corner + size)))
        line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        label = axis.annotate(
            names[i],
            (x[i], y[i]),
            tuple(offset),
            textcoords="offset points",
            fontsize=font_size,
            va="bottom",
            arrowprops=line if distance >= LINE_FROM else None,
        )
        label.set_in_layout(False)  # or the axis would move away from under the names


def _measure(axis, text, font_size):
    """Width and height of a text in pixels, (2,)."""
    probe = axis.text(0, 0, text, fontsize=font_size, va="bottom")
    extent = probe.get_window_extent()
    probe.remove()
    return np.array([extent.width, extent.height])


def _find_free_offset(point, size, taken, frame):
    """(offset of a text's lower left corner from its point, distance): the nearest free one, all in points."""
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            # from the middle of the text outwards: half its size, then the distance
            offset = np.array(direction) * (distance + size / 2) - size / 2
            rect = (*(point + offset), *(point + offset + size))
            is_inside = rect[0] >= frame[0] and rect[1] >= frame[1] and rect[2] <= frame[2] and rect[3] <= frame[3]
            if is_inside and not any(_overlap(rect, other) for other in taken):
                return offset, distance
    return np.array([DISTANCES[0], 0.0]), DISTANCES[0]  # no free place: as if it were alone


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
