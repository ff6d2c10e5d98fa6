"""A decoded frame as an array of RGB pixels, turned and mirrored as players show it."""

import math

import numpy as np

IDENTITY = (1, 0, 0, 1)
UNIT = 1 << 16  # of a display matrix's numbers


def read_display_matrix(frame):
    """(a, b, c, d): how the file wants its pictures turned or mirrored; the four numbers that do so, in units of 1."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY
    a, b, _, c, d = np.frombuffer(bytes(data)[:20], np.int32) / UNIT
    return a, b, c, d


def read_rotation_degrees(matrix):
    """Clockwise turn in degrees, 0..359, that a display matrix asks for (0 where it has no extent)."""
    a, b, c, d = matrix
    scale_x, scale_y = math.hypot(a, c), math.hypot(b, d)
    if not scale_x or not scale_y:
        return 0
    return round(math.degrees(math.atan2(b / scale_y, a / scale_x))) % 360


def turn_upright(array, matrix):
    """A picture (H,W,3) as the display matrix wants it shown: one of eight ways, others are left as they are.

    Source: FFmpeg, fftools/ffmpeg_filter.c, configure_input_video_filter (5.1 and later).
    """
    a, _, c, d = matrix
    degrees = read_rotation_degrees(matrix)
    transposed = array.swapaxes(0, 1)  # mirrored at the diagonal from top left: ffmpeg's cclock_flip
    if degrees == 90:
        array = transposed if c > 0 else transposed[:, ::-1]  # the second: a quarter turn clockwise
    elif degrees == 180:
        array = array[:, ::-1] if a < 0 else array
        array = array[::-1] if d < 0 else array
    elif degrees == 270:
        array = transposed[::-1, ::-1] if c < 0 else transposed[::-1]  # the other diagonal; counterclockwise
    elif degrees == 0 and d < 0:
        array = array[::-1]
    return np.ascontiguousarray(array)
