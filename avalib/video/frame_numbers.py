"""AVA's frame numbers: 30 a second, from 1 at second 900; and which frame of a video has which number.

`compute_ava_numbering` gives each frame the number that the published recipe's jpg extraction would have given it. It
is proved against the ffmpeg program itself (4.2, 5.1 and 9.0): mp4, mov, mkv, webm, avi (H.264, MPEG-4, XviD with two
frames a packet), joined transport streams, at 10 to 120 fps and variable rates, with B-frames, open GOPs, edit lists,
sound that starts earlier or later.

AVA's own step before that, the cut (`-ss 900 -t 901 -i VIDEO -r 30 CUT.mp4`), gives the same numbers when the grid's
origin moves to second 900: frames from there on count (proved for mp4, mkv and webm originals, FFmpeg 5.1). A CUT
kept as mkv or webm is another matter: FFmpeg re-times those loosely, and they come out up to two frames apart.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from avalib.video.video_error import VideoError

AVA_FPS = 30  # frames a second of all AVA numbers, whatever the video's own rate
AVA_START_S = 900  # the second at which AVA's cuts begin: that of frame number 1
LAST_FRAME = 26999  # the original's clips stop at this frame number, whatever the video's length
MAX_REPEATS = 30 * 3600 * 30  # of a frame: ffmpeg skips one that it would have to repeat more often
MAX_NUMBERS = 1 << 24  # of a video: six days


def to_frame_number(time_s: float | np.ndarray, start_s: float = AVA_START_S) -> int | np.ndarray:
    """The AVA number of the frame at a time: round((time_s - start_s) * 30) + 1.

    Parameters
    ----------
    time_s : float or array of float
        Seconds, such as an annotated timestamp (902.0).
    start_s : float
        The second at which frame number 1 stands.

    Returns
    -------
    int or array of int64
        In the shape of `time_s`; below 1 for times before `start_s`.
    """
    numbers = np.round((np.asarray(time_s, np.float64) - start_s) * AVA_FPS).astype(np.int64) + 1
    return numbers if numbers.ndim else int(numbers)


def to_time_s(number: int | np.ndarray, start_s: float = AVA_START_S) -> float | np.ndarray:
    """The time in seconds of the frame with an AVA number; the inverse of `to_frame_number`."""
    return start_s + (number - 1) / AVA_FPS


def validate_frame_numbers(
    numbers: Iterable[int], low: int, high: int, path: str | Path, kind: str, n_missing: int = 0
) -> np.ndarray:
    """Frame numbers as an int64 array (T,), after a check that all are in low..high.

    Parameters
    ----------
    numbers : int or iterable of int
    low, high : int
        The valid range, both ends included.
    path : str or Path
        The video, for messages.
    kind : str
        What the numbers are, for messages: "frame" or "AVA frame number".
    n_missing : int
        How many frames a truncated file lacks at its end.

    Raises
    ------
    IndexError
        A number is outside the range.
    VideoError
        A number is above the range, and the file is truncated.
    """
    numbers = np.atleast_1d(np.asarray(numbers, np.int64))
    outside = numbers[(numbers < low) | (numbers > high)]
    if not len(outside):
        return numbers
    number = outside[0]
    if n_missing and number > high:
        raise VideoError(
            f"{path}: truncated: the header promises {n_missing} frames more; {kind} {number} asked for, the file has "
            f"{low}..{high}"
        )
    raise IndexError(f"{path}: {kind} {number} asked for; the video has {low}..{high}")


def compute_clip_frames(
    timestamp: float,
    clip_len: int,
    interval: int,
    last: int,
    rng: np.random.Generator | None = None,
    first: int = 0,
    start_s: float = AVA_START_S,
    offset: int = 0,
) -> np.ndarray:
    """The AVA numbers of the frames of the clip around a keyframe.

    Parameters
    ----------
    timestamp : float
        The keyframe's second (902.0, …).
    clip_len : int
        Frames of the clip.
    interval : int
        Frames (of 30 a second) from one frame of the clip to the next.
    last : int
        The video's last number. Numbers are clipped to it.
    rng : numpy Generator, optional
        Moves every frame by a uniform integer in [-interval//2, (interval+1)//2); None takes the nominal frames.
    first : int
        The lowest number: 0 as the original has it; readers of real files pass 1.
    start_s : float
        The second at which frame number 1 stands.
    offset : int
        Frames by which the clip lies later, before numbers are clipped.

    Returns
    -------
    numbers : (clip_len,) int64
    """
    # the keyframe is in the middle: clip_len/2 frames before it, itself, and the rest after it
    center = to_frame_number(timestamp, start_s) + offset
    numbers = center - clip_len // 2 * interval + np.arange(clip_len) * interval
    if rng is not None:
        numbers = numbers + rng.integers(-interval // 2, (interval + 1) // 2, size=clip_len)
    return np.clip(numbers, first, last)


def select_cut_frames(ticks: np.ndarray, tick_s: Fraction, start_s: Fraction, length_s: float) -> slice:
    """The frames that ffmpeg's `-ss START -t LENGTH` keeps: from the first one at or after the start, for `length_s`.

    Parameters
    ----------
    ticks : (N,) int64
        Presentation times in units of `tick_s` seconds, ascending.
    tick_s, start_s, length_s
        Seconds.

    Returns
    -------
    slice
        Of native frames; empty where the video ends before the start.
    """
    # the first frame at or after the start; the length counts from that frame
    first = int(np.searchsorted(ticks, round(Fraction(start_s) / tick_s)))
    if first == len(ticks):
        return slice(first, first)
    return slice(first, int(np.searchsorted(ticks, ticks[first] + round(Fraction(length_s) / tick_s))))


def compute_ava_numbering(
    ticks: Iterable[int],
    durations: Iterable[int],
    tick_s: Fraction,
    fps: float,
    start_s: Fraction = 0,
    is_only_stream: bool = True,
    since_ffmpeg_6_1: bool = False,
) -> np.ndarray:
    """Which native frame every AVA number shows, as the ffmpeg program decides it for `-r 30` into jpg files.

    Time is a grid of slots of 1/30 s, one for each AVA number. A frame that comes more than 1.1 slots late has the
    frame before it or itself repeated. One that comes more than 1.1 slots early is dropped. In between a frame takes
    the next number, so that videos of 50 and 60 fps drift by up to a frame at the start. Up to FFmpeg 6.0, and so
    behind the published table, a frame's duration was rounded to whole slots; since 6.1 it isn't.

    Parameters
    ----------
    ticks : (N,) int
        Presentation times in units of `tick_s`, in presentation order.
    durations : (N,) int
        Durations in units of `tick_s`; 0 where unknown.
    tick_s : Fraction
        Seconds.
    fps : float
        The stream's rate.
    start_s : Fraction
        Where the container starts, in seconds.
    is_only_stream : bool
        Whether the file has no other stream. Otherwise video that starts late is padded in front.
    since_ffmpeg_6_1 : bool
        Whether to number as FFmpeg 6.1 and later do.

    Returns
    -------
    numbering : (n_ava,) int64
        Item i is the native frame in img_{i+1:05d}.jpg.

    Raises
    ------
    ValueError
        The times go on for days.

    Source: FFmpeg, fftools/ffmpeg.c do_video_out (4.2), fftools/ffmpeg_filter.c video_sync_process (6.1 and later).
    """
    # exact fractions: rounding would move frames by a slot after hours
    slots_per_tick = Fraction(tick_s) * AVA_FPS
    start_tick = round(Fraction(start_s) / tick_s)
    default_length = AVA_FPS / fps if since_ffmpeg_6_1 else min(AVA_FPS / fps, 1)
    numbering = []
    next_slot = 0  # the first slot without a frame
    recent_repeats = [0, 0, 0]  # how often the frame before was repeated, at each of the last three frames
    ticks = np.asarray(ticks).tolist()
    durations = np.asarray(durations).tolist()
    for n, (tick, duration) in enumerate(zip(ticks, durations, strict=True)):
        # where the frame begins, and how many slots it lasts
        slot = _locate_on_grid((tick - start_tick) * slots_per_tick, since_ffmpeg_6_1)
        length = float(duration * slots_per_tick)
        length = (length if since_ffmpeg_6_1 else round(length)) or default_length
        # how late the frame begins and ends after the next free slot, in slots
        drift = slot - next_slot
        end_drift = drift + length
        if is_only_stream and n == 0 and drift >= 0.5:
            next_slot = round(slot)  # nothing is padded in front
            drift = 0
            end_drift = length
        elif drift < 0 < end_drift:
            drift = 0  # it began early and still is shown: FFmpeg moves its begin, not its end
        # numbers that this frame takes: 0 drops it
        count = _count_filled_slots(end_drift)
        if count > MAX_REPEATS:
            continue
        if next_slot + count > MAX_NUMBERS:
            raise ValueError(
                f"its times go on for over {MAX_NUMBERS / AVA_FPS / 3600:.0f} hours, from frame {n} on "
                f"({MAX_NUMBERS:,} AVA numbers are the limit, MAX_NUMBERS)"
            )
        # the first of the filled slots repeat the frame before, the others show this frame
        repeats = min(round(drift - 0.6), count) if end_drift > 1.1 and drift > 1.1 else 0
        numbering += [max(n - 1, 0)] * repeats + [n] * (count - repeats)
        next_slot += count
        recent_repeats = [repeats, *recent_repeats[:2]]
    # at the end of the file, the last frame is repeated as often as the median of the last repeats
    numbering += [len(ticks) - 1] * sorted(recent_repeats)[1]
    return np.array(numbering, np.int64)


def _locate_on_grid(slots, since_ffmpeg_6_1):
    """Where a frame begins on the grid, to 16 bits behind the point, beside exact midpoints as FFmpeg has it."""
    slot = round(slots * 65536) / 65536
    if slot != round(slot) or not since_ffmpeg_6_1:
        slot += 2**-17 if slot > 0 else -(2**-17)
    return slot


def _count_filled_slots(end_drift):
    """How many slots a frame fills that ends `end_drift` slots late: none, one, or as many as were missed."""
    if end_drift < -1.1:
        return 0
    if end_drift <= 1.1:
        return 1
    return round(float(np.float32(end_drift)))
