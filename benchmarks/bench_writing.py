"""GIF and mp4 of 60 overlaid frames, 480 pixels wide: seconds and megabytes, beside Pillow's and OpenCV's own ways.

    python benchmarks/bench_writing.py [--repeats 5]

Pillow alone makes a palette for every frame. OpenCV (left out with a message where it isn't installed) writes MPEG-4
part 2, which browsers don't play; ours is H.264 in the qualities "good" and "fast", and OpenCV's codec in "mpeg4". How
near a file is to its frames is given as PSNR over all frames: of the three colors, and of brightness, which the colors'
lower resolution doesn't touch.
"""

import importlib
import tempfile
from functools import partial
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
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # BT.601's weights of red, green, blue
AIMS = {"good": 0.6, "fast": 1.0, "mpeg4": 1.0}  # times OpenCV's speed, of each quality


def main():
    options = build_parser("writing", __doc__).parse_args()
    plain = list(film.generate_frames(COUNT, WIDTH, 270))
    frames = [draw_overlay(frame, n) for n, frame in enumerate(plain)]
    cv2 = None
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        print(f"OpenCV is not measured: {error}")
    with tempfile.TemporaryDirectory() as folder:
        ways = list_ways(Path(folder), plain, frames, cv2)
        seconds = time_alternately(ways, options.repeats)
        facts = {path.name: describe_file(path, frames) for path in sorted(Path(folder).iterdir())}
    peer = f"; OpenCV {facts['opencv.mp4']}" if cv2 else ""
    rows = [
        compare(
            f"GIF of {COUNT} frames, Pillow alone",
            seconds["our gif"],
            seconds["gif"],
            "s",
            note=f"{facts['ours.gif']}; Pillow {facts['pillow.gif']}",
        )
    ]
    for quality, aim in AIMS.items():
        note = f"{facts[f'{quality}.mp4']}{peer}"
        for what, suffix in (("mp4", ""), ("drawn and written as mp4", " drawn")):
            rows.append(
                compare(
                    f"{what}, {COUNT} frames, {quality}, OpenCV",
                    seconds[f"{quality} mp4{suffix}"],
                    seconds.get(f"mp4{suffix}"),
                    "s",
                    aim=aim if cv2 else None,
                    note=note,
                )
            )
    record("writing", rows, options, files=facts)


def list_ways(folder, plain, frames, cv2):
    """{name: function} of all that is measured; `frames` are the plain ones with boxes and labels."""
    ways = {
        "our gif": lambda: draw.save_gif(folder / "ours.gif", frames, FPS),
        "gif": lambda: write_pillow_gif(folder / "pillow.gif", frames),
    }
    for quality in AIMS:
        path = folder / f"{quality}.mp4"
        ways[f"{quality} mp4"] = partial(draw.save_mp4, path, frames, FPS, quality=quality)
        ways[f"{quality} mp4 drawn"] = lambda path=path, quality=quality: draw.save_mp4(
            path, iter_overlays(plain), FPS, quality=quality
        )
    if cv2:
        ways["mp4"] = lambda: write_opencv_mp4(cv2, folder / "opencv.mp4", frames)
        ways["mp4 drawn"] = lambda: write_opencv_mp4(cv2, folder / "opencv.mp4", iter_overlays(plain))
    return ways


def iter_overlays(plain):
    """The frames with boxes and labels, drawn one by one as they are written."""
    return (draw_overlay(frame, n) for n, frame in enumerate(plain))


def draw_overlay(frame, n):
    """A frame with two boxes and their labels on it."""
    walker = Person(np.array([0.1 + n / 400, 0.3, 0.3 + n / 400, 0.9]), ((14, 0.91), (80, 0.32)))
    sitter = Person(np.array([0.6, 0.2, 0.8, 0.8]), ((11, 0.87), (74, 0.55), (59, 0.43)))
    return annotate_frame(frame, [walker, sitter])


def write_pillow_gif(path, frames):
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=1000 // FPS, loop=0)


def write_opencv_mp4(cv2, path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (WIDTH, 270))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def describe_file(path, frames):
    """Size and nearness, in words."""
    if path.suffix == ".gif":
        with Image.open(path) as opened:
            written = np.asarray(opened.convert("RGB"))[None]
    else:
        with Video(path) as opened:
            written = opened.read_frames(range(len(frames)))
    errors = [frame.astype(float) - original for frame, original in zip(written, frames, strict=False)]
    colors_db = compute_psnr(np.mean([np.mean(error**2) for error in errors]))
    brightness_db = compute_psnr(np.mean([np.mean((error @ BRIGHTNESS) ** 2) for error in errors]))
    return f"{path.stat().st_size / 1e6:.2f} MB, {colors_db:.1f} dB, brightness {brightness_db:.1f} dB"


def compute_psnr(mean_square):
    return 10 * np.log10(255**2 / max(mean_square, 1e-9))


if __name__ == "__main__":
    main()
