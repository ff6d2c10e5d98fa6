"""GIF and mp4 of 60 overlaid frames, 480 pixels wide: seconds and megabytes, beside Pillow's and OpenCV's own ways.

    python benchmarks/bench_writing.py [--repeats 5]

Pillow alone makes a palette for every frame. OpenCV (left out, and said, where it isn't installed) writes MPEG-4
part 2, which browsers don't play; ours is H.264. How near a file is to its frames is told as PSNR.
"""

import importlib
import tempfile
from pathlib import Path

import film
import numpy as np
from common import build_parser, compare, record, time_alternately
from PIL import Image

from avalib import draw
from avalib.draw.annotate import annotate_frame
from avalib.draw.people import Person
from avalib.video.reader import Video

COUNT, WIDTH, FPS = 60, 480, 15


def main():
    options = build_parser("writing", __doc__).parse_args()
    frames = [draw_overlay(frame, n) for n, frame in enumerate(film.generate_frames(COUNT, WIDTH, 270))]
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "our gif": lambda: draw.save_gif(Path(folder, "ours.gif"), frames, FPS),
            "gif": lambda: write_pillow_gif(Path(folder, "pillow.gif"), frames),
            "our mp4": lambda: draw.save_mp4(Path(folder, "ours.mp4"), frames, FPS),
        }
        try:
            cv2 = importlib.import_module("cv2")
            ways["mp4"] = lambda: write_opencv_mp4(cv2, Path(folder, "opencv.mp4"), frames)
        except ImportError as error:
            print(f"OpenCV is not measured: {error}")
        seconds = time_alternately(ways, options.repeats)
        facts = {path.name: describe_file(path, frames) for path in sorted(Path(folder).iterdir())}
    peer = f"; OpenCV {facts['opencv.mp4']}" if "mp4" in ways else ""
    rows = [
        compare(
            f"GIF of {COUNT} frames, Pillow alone",
            seconds["our gif"],
            seconds["gif"],
            "s",
            note=f"{facts['ours.gif']}; Pillow {facts['pillow.gif']}",
        ),
        compare(
            f"mp4 of {COUNT} frames, OpenCV",
            seconds["our mp4"],
            seconds.get("mp4"),
            "s",
            note=f"{facts['ours.mp4']}{peer}",
        ),
    ]
    record("writing", rows, options, files=facts)


def draw_overlay(frame, n):
    """A frame with two boxes and their labels on it."""
    walker = Person(np.array([0.1 + n / 400, 0.3, 0.3 + n / 400, 0.9]), ((14, 0.91), (80, 0.32)))
    sitter = Person(np.array([0.6, 0.2, 0.8, 0.8]), ((11, 0.87), (74, 0.55), (59, 0.43)))
    return annotate_frame(frame, [walker, sitter])


def write_pillow_gif(path, frames):
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=1000 // FPS, loop=0)


def write_opencv_mp4(cv2, path, frames):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def describe_file(path, frames):
    """Size and nearness, in words."""
    if path.suffix == ".gif":
        with Image.open(path) as opened:
            first = np.asarray(opened.convert("RGB"))
    else:
        with Video(path) as opened:
            first = opened.read_frames([0])[0]
    error = np.mean((first.astype(float) - frames[0]) ** 2)
    return f"{path.stat().st_size / 1e6:.2f} MB, {10 * np.log10(255**2 / max(error, 1e-9)):.1f} dB"


if __name__ == "__main__":
    main()
