"""Turn and mirror the pictures of a video as players show them: the display matrix of a file."""

from __future__ import annotations

import math

import numpy as np

from avalib.video.pyav import av

IDENTITY = (1, 0, 0, 1)
UNIT = 1 << 16  # the numbers of a display matrix are fixed-point


def read_display_matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """Read (a, b, c, d), the four numbers of a frame's display matrix that turn or mirror the picture."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY
    # 3x3 numbers, row by row: a b u, c d v, x y w
    a, b, _, c, d = np.frombuffer(bytes(data)[:20], np.int32) / UNIT
    return a, b, c, d


def compute_rotation_degrees(matrix: tuple[float, float, float, float]) -> int:
    """Compute the clockwise rotation of a display matrix in degrees, 0..359 (0 if a scale is zero)."""
    a, b, c, d = matrix
    scale_x = math.hypot(a, c)
    scale_y = math.hypot(b, d)
    if not scale_x or not scale_y:
        return 0
    return round(math.degrees(math.atan2(b / scale_y, a / scale_x))) % 360


def turn_upright(array: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Turn and mirror a picture by a display matrix.

    Parameters
    ----------
    array : (H,W,3) ndarray
    matrix : tuple
        See `read_display_matrix`.

    Returns
    -------
    (H,W,3) or (W,H,3) ndarray
        Contiguous. Rotations by other angles than quarter turns leave the picture as it is.

    Source: FFmpeg, fftools/ffmpeg_filter.c, configure_input_video_filter (5.1 and later).
    """
    a, _, c, d = matrix
    degrees = compute_rotation_degrees(matrix)
    # (W,H,3): mirrored at the diagonal from top left (ffmpeg's cclock_flip)
    transposed = array.swapaxes(0, 1)
    if degrees == 90:
        # mirrored, or a quarter turn clockwise
        array = transposed if c > 0 else transposed[:, ::-1]
    elif degrees == 180:
        # left to right, top to bottom
        array = array[:, ::-1] if a < 0 else array
        array = array[::-1] if d < 0 else array
    elif degrees == 270:
        # mirrored at the other diagonal, or a quarter turn counterclockwise
        array = transposed[::-1, ::-1] if c < 0 else transposed[::-1]
    elif degrees == 0 and d < 0:
        array = array[::-1]
    return np.ascontiguousarray(array)
