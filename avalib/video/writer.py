"""Writing frames, (H,W,3) uint8 RGB arrays, as mp4, mkv or GIF."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from avalib.utils.files import atomic_path


def write_mp4(path, frames, fps, crf=23, gop=None, bframes=None, preset="veryfast", times_s=None, threads=0):
    """Write frames, an iterable of (H,W,3) uint8 of one size, as H.264 (yuv420p); returns the path.

    The suffix chooses mp4 (index in front, so that browsers start at once) or mkv. fps: float or Fraction, 29.97 means
    30000/1001. crf: 18 good, 23 usual, 28 small. gop: frames from keyframe to keyframe. times_s: (T,) presentation
    times in seconds, for a variable rate. An odd side gets its last row or column doubled. The file appears when done.
    Raises ValueError without frames or when their size changes; OSError when the disk is full.
    """
    rate = Fraction(fps).limit_denominator(1001)
    base = 1 / rate if times_s is None else Fraction(1, 90000)
    options = {"crf": crf, "preset": preset, "g": gop, "bf": bframes}
    options = {key: str(value) for key, value in options.items() if value is not None}
    stream = None
    with (
        atomic_path(path) as part,
        av.open(str(part), "w", options={"movflags": "+faststart"} if part.suffix == ".mp4" else {}) as container,
    ):
        for n, array in enumerate(frames):
            array = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.height, stream.width = array.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = threads
                stream.codec_context.time_base = base
            elif array.shape[:2] != (stream.height, stream.width):
                raise ValueError(f"{path}: frame {n} is {array.shape[:2]}, the first {(stream.height, stream.width)}")
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.time_base, frame.pts = base, n if times_s is None else round(times_s[n] / base)
            container.mux(stream.encode(frame))
        if stream is None:
            raise ValueError(f"{path}: no frames to write")
        container.mux(stream.encode(None))
    return Path(path)


def write_gif(path, frames, fps, width=None, keep_colours=(), colours=256):
    """Write frames, (H,W,3) uint8 arrays of one size, as a GIF that loops for ever; returns the path.

    One palette for all frames and no dithering: a tenth of the time and less flicker than a palette a frame. fps: up to
    50, as GIF counts hundredths of a second and viewers slow down anything under two. width: scale to this many pixels.
    keep_colours: (r,g,b) that must stay exact, such as those of thin box lines. colours: of the palette, these among
    them, up to 256; a quarter of that makes a file half as large.
    """
    if not len(keep_colours) + 2 <= colours <= 256:
        raise ValueError(f"{path}: expected {len(keep_colours) + 2} to 256 colours, got {colours}")
    if not 0 < fps <= 50:
        raise ValueError(f"{path}: a GIF plays at up to 50 frames a second, got {fps}")
    pictures = [Image.fromarray(frame) for frame in frames]
    if not pictures:
        raise ValueError(f"{path}: no frames to write")
    if width is not None and width != pictures[0].width:
        size = (width, round(pictures[0].height * width / pictures[0].width))
        pictures = [picture.resize(size, Image.Resampling.BILINEAR) for picture in pictures]
    few = np.stack([np.asarray(picture) for picture in pictures[:: max(1, len(pictures) // 8)]])
    thin = max(1, round((few.size / 3 / 60_000) ** 0.5))  # a palette needs no more pixels, and they cost its time
    sample = Image.fromarray(few[:, ::thin, ::thin].reshape(1, -1, 3))
    found = sample.quantize(colours - len(keep_colours), dither=Image.Dither.NONE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette(found[: 3 * (colours - len(keep_colours))] + [int(c) for rgb in keep_colours for c in rgb])
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    ends = [round(100 * (i + 1) / fps) * 10 for i in range(len(pictures))]  # ms; hundredths, right on average
    durations = np.diff([0, *ends]).tolist()
    with atomic_path(path) as part:
        pictures[0].save(part, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False)
    return Path(path)
