"""Videos whose frames show their own number, and shots that differ from one another."""

from fractions import Fraction

import numpy as np

from avalib.video.writer import write_mp4

NTSC_FILM = Fraction(24000, 1001)
NTSC = Fraction(30000, 1001)
# presentation times of 21 frames at a variable rate
VARIABLE_TIMES_S = np.cumsum([0] + [1 / 30, 1 / 60, 0.1, 1 / 24, 0.2, 1 / 30, 1 / 60, 1 / 60, 0.5, 1 / 24] * 2)


def draw_number(n):
    """A frame 64x128 that carries the number n (12 bits) as black and white blocks, which lossy coding keeps."""
    frame = np.full((64, 128, 3), 90, np.uint8)
    for bit in range(12):
        y, x = bit // 6 * 32, 4 + bit % 6 * 20
        frame[y : y + 32, x : x + 20] = 230 if n >> bit & 1 else 20
    return frame


def read_number(frame):
    """The number that a frame of `draw_number` carries, after coding and decoding."""
    blocks = [frame[bit // 6 * 32 + 8 :][:16, 9 + bit % 6 * 20 :][:, :10].mean() > 125 for bit in range(12)]
    return sum(int(on) << bit for bit, on in enumerate(blocks))


def write_numbered_video(folder, name, fps, n=40, **options):
    """Write a video of n numbered frames, in groups of 12 with two B-frames; options: write_mp4's. Returns the path."""
    return write_mp4(folder / name, map(draw_number, range(n)), fps, **{"gop": 12, "bframes": 2, **options})


def make_shot(level, n):
    """n grey frames (64,128,3) of one shot: one brightness with a little noise."""
    rng = np.random.default_rng(level)
    return [(level + rng.integers(0, 8, (64, 128, 3))).astype(np.uint8) for _ in range(n)]
