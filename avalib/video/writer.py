"""Writing frames, (H,W,3) uint8 RGB arrays, as mp4, mkv or GIF."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from avalib.utils.files import atomic_path
from avalib.utils.process import count_cores
from avalib.utils.suggest import suggest
from avalib.video.pyav import av

MPEG4_BIT_RATE = 20_000_000  # without a limit on the bits the encoder weighs them less against the picture
MAX_GIF_FPS = 50  # viewers slow down anything under two hundredths of a second


@dataclass(frozen=True)
class VideoQuality:
    """How frames are encoded, and how colors are halved to yuv420p's resolution."""

    crf: int | None = None  # of H.264: 18 good, 23 usual, 28 small
    preset: str | None = None  # x264's, from "ultrafast" to "veryslow"
    params: str | None = None  # more of x264's settings, key=value:key=value
    quantizer: int | None = None  # of MPEG-4 part 2, the same in each frame: 2 good, 31 small
    gop: int | None = None  # frames from key frame to key frame; None: the encoder's default
    interpolation: str = "BICUBIC"  # swscale's; sharper colors of thin lines than BILINEAR

    @property
    def codec(self):
        """libavcodec's name of the encoder."""
        return "libx264" if self.quantizer is None else "mpeg4"

    @property
    def ticks_a_second(self):
        """Of frames at times of their own: 90,000 as in transport streams; MPEG-4 part 2 has at most 65,535."""
        return 90000 if self.quantizer is None else 60000


# By benchmarks/bench_writing.py: "good" is nearer to its frames than OpenCV's in 0.7 of the size, "fast" in the same;
# "mpeg4" is OpenCV's own codec.
# mbtree, which "superfast" leaves out, spends the bits on what stays in the picture: a quarter smaller.
QUALITIES = {
    "good": VideoQuality(crf=19, preset="superfast", params="mbtree=1:rc-lookahead=5:subme=0:weightp=0"),
    "fast": VideoQuality(crf=22, preset="ultrafast"),
    "mpeg4": VideoQuality(quantizer=3, gop=60, interpolation="BILINEAR"),
    "data": VideoQuality(crf=23, preset="veryfast", interpolation="BILINEAR"),
}


def get_video_quality(name: str) -> VideoQuality:
    """Get the settings of a quality by its name. Raises ValueError, listing the names, for another one."""
    if name not in QUALITIES:
        raise ValueError(f"quality={name!r}: expected one of {', '.join(QUALITIES)}.{suggest(name, QUALITIES)}")
    return QUALITIES[name]


def write_mp4(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    crf: int | None = None,
    gop: int | None = None,
    bframes: int | None = None,
    preset: str | None = None,
    times_s: Iterable[float] | None = None,
    threads: int = 0,
    quality: str = "good",
) -> Path:
    """Write frames as H.264, or MPEG-4 part 2, in yuv420p; the file appears when it is complete.

    The encoder works on some frames in threads of its own while the next ones are drawn.

    Parameters
    ----------
    path : str or Path
        The suffix chooses mp4 (index in front, so that browsers start at once) or mkv.
    frames : iterable of (H,W,3) uint8
        All of one size. An odd side gets its last row or column doubled.
    fps : float or Fraction
        29.97 means 30000/1001.
    crf : int, optional
        18 good, 23 usual, 28 small; None: that of `quality`.
    gop : int, optional
        Frames from key frame to key frame.
    bframes : int, optional
        B-frames in a row.
    preset : str, optional
        x264's, from "ultrafast" to "veryslow"; None: that of `quality`.
    times_s : iterable of T floats, optional
        Presentation times in seconds, for a variable rate. Each is taken after its frame.
    threads : int
        The encoder's; 0 means one per core.
    quality : {"good", "fast", "mpeg4", "data"}
        "good": a small file. "fast": as good a picture in less time, one and a half to two and a half times as
        large. "mpeg4": MPEG-4 part 2 as OpenCV writes it, the fastest; players show it, browsers don't; without `crf`
        and `preset`. "data": the settings of data sets, whose frames stay the same from version to version.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        There are no frames, their size changes, the quality is unknown, or it has no `crf` and `preset`.
    DiskFullError
    """
    settings = get_video_quality(quality)
    if settings.codec == "mpeg4" and (crf, preset) != (None, None):
        raise ValueError(f"quality={quality!r} is not H.264: it has no crf and no preset; leave them out")
    # 29.97 becomes 30000/1001
    rate = Fraction(fps).limit_denominator(1001)
    tick_s = 1 / rate if times_s is None else Fraction(1, settings.ticks_a_second)
    options = {
        "crf": settings.crf if crf is None else crf,
        "preset": preset or settings.preset,
        "x264-params": settings.params,
        "qmin": settings.quantizer,
        "qmax": settings.quantizer,
        "b": settings.quantizer and MPEG4_BIT_RATE,
        "g": settings.gop if gop is None else gop,
        "bf": bframes,
    }
    options = {key: str(value) for key, value in options.items() if value is not None}
    times = None if times_s is None else iter(times_s)
    stream = None
    reformatter = av.video.reformatter.VideoReformatter()
    # x264 encodes beside the conversion of colors, the other encoder after it
    reformat_threads = 1 if settings.codec == "libx264" else count_cores()
    with (
        atomic_path(path) as part,
        av.open(str(part), "w", options={"movflags": "+faststart"} if part.suffix == ".mp4" else {}) as container,
    ):
        for n, array in enumerate(frames):
            array = _pad_to_even(array)
            if stream is None:
                stream = container.add_stream(settings.codec, rate=rate, options=options)
                stream.height, stream.width = array.shape[:2]
                stream.pix_fmt = "yuv420p"
                _set_threads(stream.codec_context, threads)
                stream.codec_context.time_base = tick_s
            elif array.shape[:2] != (stream.height, stream.width):
                raise ValueError(f"{path}: frame {n} is {array.shape[:2]}, the first {(stream.height, stream.width)}")
            # the array's own memory, without a copy
            picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(array), format="rgb24")
            picture = reformatter.reformat(
                picture, format="yuv420p", interpolation=settings.interpolation, threads=reformat_threads
            )
            picture.time_base = tick_s
            # in ticks: the frame's number, or its time
            picture.pts = n if times is None else round(next(times) / tick_s)
            container.mux(stream.encode(picture))
        if stream is None:
            raise ValueError(f"{path}: no frames to write")
        # the frames that the encoder holds back
        container.mux(stream.encode(None))
    return Path(path)


def _set_threads(encoder, threads):
    """Let an encoder use a number of threads; 0: one for each core."""
    if encoder.codec.name == "libx264":
        # PyAV's default, threads by slices, makes every frame wait for the one before
        encoder.thread_type = "FRAME"
        encoder.thread_count = threads
    else:
        # by slices only, of which libavcodec's own choice are too many
        encoder.thread_count = threads or count_cores()


def _pad_to_even(array):
    """A frame (H,W,3) with even sides, which yuv420p needs: the last row or column of an odd side is doubled."""
    height, width = array.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return array
    return np.pad(array, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def write_gif(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    width: int | None = None,
    keep_colors: Sequence[tuple[int, int, int]] = (),
    n_colors: int = 256,
) -> Path:
    """Write frames as a GIF that loops for ever.

    One palette serves all frames, without dithering: a tenth of the time and less flicker than a palette per frame.

    Parameters
    ----------
    path : str or Path
    frames : iterable of (H,W,3) uint8
        All of one size.
    fps : float
        Up to 50.
    width : int, optional
        Scale to this many pixels.
    keep_colors : sequence of (r, g, b)
        Colors that must stay exact, such as those of thin box lines.
    n_colors : int
        The palette's size, `keep_colors` included, up to 256. A quarter of that makes a file half as large.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        There are no frames, or `fps` or `n_colors` is out of range.
    """
    if not len(keep_colors) + 2 <= n_colors <= 256:
        raise ValueError(f"{path}: expected {len(keep_colors) + 2} to 256 colors, got {n_colors}")
    if not 0 < fps <= MAX_GIF_FPS:
        raise ValueError(f"{path}: a GIF plays at up to {MAX_GIF_FPS} frames a second, got {fps}")
    pictures = [Image.fromarray(frame) for frame in frames]
    if not pictures:
        raise ValueError(f"{path}: no frames to write")
    if width is not None and width != pictures[0].width:
        size = (width, round(pictures[0].height * width / pictures[0].width))
        pictures = [picture.resize(size, Image.Resampling.BILINEAR) for picture in pictures]
    palette = _build_palette(pictures, keep_colors, n_colors)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    # GIF counts hundredths of a second: durations are rounded so that they are right on average
    ends_ms = [round(100 * (i + 1) / fps) * 10 for i in range(len(pictures))]
    durations_ms = np.diff([0, *ends_ms]).tolist()
    with atomic_path(path) as part:
        pictures[0].save(part, save_all=True, append_images=pictures[1:], duration=durations_ms, loop=0, optimize=False)
    return Path(path)


def _build_palette(pictures, keep_colors, n_colors):
    """A picture with the palette of `n_colors` for all pictures, `keep_colors` last."""
    # at most nine pictures, thinned to about 60,000 pixels: a palette needs no more, and they cost its time
    sample = np.stack([np.asarray(picture) for picture in pictures[:: max(1, len(pictures) // 8)]])
    step = max(1, round((sample.size / 3 / 60_000) ** 0.5))
    pixels = Image.fromarray(sample[:, ::step, ::step].reshape(1, -1, 3))
    n_free = n_colors - len(keep_colors)
    common_colors = pixels.quantize(n_free, dither=Image.Dither.NONE).getpalette()[: 3 * n_free]
    palette = Image.new("P", (1, 1))
    palette.putpalette(common_colors + [int(value) for color in keep_colors for value in color])
    return palette
