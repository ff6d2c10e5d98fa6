"""A film to measure with, made from a seed: a picture that pans, things that move over it, a grain; frames numbered."""

import numpy as np
from PIL import Image

from avalib.video.writer import write_mp4

BITS, SIDE = 16, 16  # blocks of SIDE pixels in the upper left corner: the frame's number


def generate_frames(count, width=640, height=360, seed=0):
    """`count` frames (H,W,3) uint8, one at a time."""
    rng = np.random.default_rng(seed)
    wide = draw_smooth(rng, height + 80, 2 * width)
    things = [
        (draw_smooth(rng, height // 3, width // 8), rng.uniform(0, 6.28, 2), rng.uniform(0.02, 0.06)) for _ in range(4)
    ]
    grain = rng.integers(-4, 5, (8, height, width, 1), np.int8)
    for n in range(count):
        x, y = int(width / 2 * (1 + np.sin(n / 90))), int(40 * (1 + np.sin(n / 40)))
        picture = wide[y : y + height, x : x + width].copy()
        for thing, (a, b), speed in things:
            h, w = thing.shape[:2]
            left = int((width - w) * (1 + np.sin(a + speed * n)) / 2)
            top = int((height - h) * (1 + np.sin(b + 0.7 * speed * n)) / 2)
            picture[top : top + h, left : left + w] = thing
        picture = np.clip(picture.astype(np.int16) + grain[n % 8], 0, 255).astype(np.uint8)
        bits = np.array([255 * (n >> i & 1) for i in range(BITS)], np.uint8)
        picture[:SIDE, : BITS * SIDE] = bits.repeat(SIDE)[None, :, None]
        yield picture


def draw_smooth(rng, height, width):
    """Color that varies coarsely and finely, as in pictures of the world."""
    total = np.zeros((height, width, 3))
    for cell, weight in ((4, 0.2), (16, 0.3), (64, 0.5)):
        small = rng.integers(0, 256, (height // cell + 2, width // cell + 2, 3), np.uint8)
        total += weight * np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return total.astype(np.uint8)


def read_number(frame):
    """The number painted in a frame of the film's own size."""
    middle = frame[SIDE // 2, SIDE // 2 : BITS * SIDE : SIDE].mean(axis=1) > 127
    return int((middle << np.arange(BITS)).sum())


def write_film(path, seconds, width=640, height=360, gop=250):
    """The film as mp4 at 30 frames a second: H.264 with B-frames, x264's medium preset; reused if it is there."""
    if not path.exists():
        write_mp4(path, generate_frames(30 * seconds, width, height), 30, gop=gop, preset="medium", quality="data")
    return path
