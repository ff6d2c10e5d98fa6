"""Which frame of a video the published recipe's jpg extraction would have given which number.

Proved against the ffmpeg program itself (4.2, 5.1 and 9.0): mp4, mov, mkv, webm, avi (H.264, MPEG-4, XviD with two
frames a packet), joined transport streams, at 10 to 120 fps and variable rates, with B-frames, open GOPs, edit lists,
sound that starts earlier or later.

AVA's own step before that, the cut (`-ss 900 -t 901 -i VIDEO -r 30 CUT.mp4`), gives the same numbers when the grid's
origin moves to second 900: frames from there on count (proved for mp4, mkv and webm originals, FFmpeg 5.1). A CUT
kept as mkv or webm is another matter: FFmpeg re-times those loosely, and they come out up to two frames apart.
"""

from fractions import Fraction

import numpy as np

AVA_FPS = 30
START = 900  # the second at which AVA's cuts begin: that of frame number 1
MAX_REPEATS = 30 * 3600 * 30  # of a frame: ffmpeg skips one that it would have to repeat more often
MAX_NUMBERS = 1 << 24  # of a video: six days
LAST_FRAME = 26999  # the original's clips stop at this frame number, whatever the video's length


def select_cut_frames(ticks, tick_s, start_s, length_s):
    """The frames that `-ss START -t LENGTH` keeps, as a slice: from the first one at or after the start, for `length_s`
    from that one on. ticks (N,) ints in units of tick_s, ascending; start_s Fraction, seconds.
    """
    first = int(np.searchsorted(ticks, round(Fraction(start_s) / tick_s)))
    if first == len(ticks):
        return slice(first, first)
    return slice(first, int(np.searchsorted(ticks, ticks[first] + round(Fraction(length_s) / tick_s))))


def compute_ava_numbering(ticks, durations, tick_s, fps, start_s=0, alone=True, since_ffmpeg_6_1=False):
    """Which native frame every AVA number shows: (n_ava,) int64, item i for the file img_{i+1:05d}.jpg.

    This is what the ffmpeg program does for `-r 30` into jpg files, step by step: each frame has a place on the grid of
    1/30 s; where it runs more than 1.1 slots late the previous or this frame is repeated, more than 1.1 early it is
    dropped, and in between it simply takes the next number (so 50 and 60 fps drift by up to a frame at the start). Up
    to FFmpeg 6.0, and so behind the published table, a frame's duration was rounded to whole slots; since 6.1 it isn't.

    ticks, durations: (N,) ints in units of tick_s (Fraction, seconds), in presentation order, a duration 0 where it
    isn't known; fps: the stream's rate, float; start_s: where the container starts, Fraction; alone: the file has no
    other stream (otherwise video that starts late is padded in front). Raises ValueError for times that go on for days.
    Source: FFmpeg, fftools/ffmpeg.c do_video_out (4.2), fftools/ffmpeg_filter.c video_sync_process (6.1 and later).
    """
    grid = Fraction(tick_s) * AVA_FPS
    start = round(Fraction(start_s) / tick_s)
    numbering, history, following = [], [0, 0, 0], 0
    for n, (tick, length) in enumerate(zip(np.asarray(ticks).tolist(), np.asarray(durations).tolist(), strict=True)):
        place = round((tick - start) * grid * 65536) / 65536
        if place != round(place) or not since_ffmpeg_6_1:
            place += 2**-17 if place > 0 else -(2**-17)  # as FFmpeg steps off exact midpoints
        length = float(length * grid)
        if since_ffmpeg_6_1:
            length = length or AVA_FPS / fps
        else:
            length = round(length) or min(AVA_FPS / fps, 1)
        late = place - following
        end = late + length
        if alone and n == 0 and late >= 0.5:
            following, late, end = round(place), 0, length
        elif late < 0 < end:
            late = 0
        count = 0 if end < -1.1 else 1 if end <= 1.1 else round(float(np.float32(end)))
        if count > MAX_REPEATS:
            continue
        if following + count > MAX_NUMBERS:
            raise ValueError(
                f"its times go on for over {MAX_NUMBERS / AVA_FPS / 3600:.0f} hours, from frame {n} on "
                f"({MAX_NUMBERS:,} AVA numbers are the limit, MAX_NUMBERS)"
            )
        previous = min(round(late - 0.6), count) if end > 1.1 and late > 1.1 else 0
        numbering += [max(n - 1, 0)] * previous + [n] * (count - previous)
        following += count
        history = [previous, *history[:2]]
    numbering += [len(ticks) - 1] * sorted(history)[1]
    return np.array(numbering, np.int64)


CLIP_FPS = 30  # the convention of all AVA numbers: videos are read as if extracted at 30 frames a second


def compute_clip_frames(timestamp, clip_len, interval, last, rng=None, first=0, start=START):
    """The frames of the clip around a keyframe, as 1-based file numbers at 30 fps: int64 (clip_len,).

    timestamp: the annotated second (902.0 …); last: the video's last frame number, to which numbers are clipped.
    rng: every frame is moved by a uniform integer in [-interval//2, (interval+1)//2); None takes the nominal frames.
    first: the lowest number (0 as the original has it; readers of real files pass 1). start: the second at which frame
    number 1 stands.
    """
    centre = int(round(CLIP_FPS * (timestamp - start))) + 1
    numbers = centre - clip_len // 2 * interval + np.arange(clip_len) * interval
    if rng is not None:
        numbers = numbers + rng.integers(-interval // 2, (interval + 1) // 2, size=clip_len)
    return np.clip(numbers, first, last)
