"""A video from its beginning to its end as clips: each frame decoded and scaled once, shared by the clips it is in.

Memory is bounded by one clip's span of scaled frames, however long the video is.
"""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from PIL import Image

from avalib import transforms

CUT = 32  # grey levels: two frames that differ by more, on average and coarsely, are of two shots


def windows(frames, numbers):
    """Windows out of a stream of frames. numbers (M,T) ints: those of each window, in any order.

    frames: iterator of (number, frame), growing, with every number that is wanted. -> yields M lists of T frames. What
    is held are frames between the first number that is still wanted and the last one that was.
    """
    oldest = np.minimum.accumulate(numbers.min(axis=1)[::-1])[::-1].tolist()
    held, at = {}, numbers.min() - 1
    for row, first in zip(numbers.tolist(), oldest, strict=True):
        held = {n: frame for n, frame in held.items() if n >= first}
        while at < max(row):
            at, frame = next(frames)
            held[at] = frame
        yield [held[n] for n in row]


def scaled(frames, short_side):
    """(number, frame (H,W,3) uint8 or an error) with the frames scaled; one that is repeated, once."""
    before = small = None
    for number, frame in frames:
        if frame is not before:
            before = small = frame
            if isinstance(frame, np.ndarray):
                small = transforms.resize(frame[None], np.zeros((0, 4)), short_side)[0][0]
        yield number, small


@dataclass(frozen=True)
class Moment:
    """One time of a video. clip and picture are None where the file doesn't give their frames."""

    time_s: float  # from the video's first frame
    frame: int  # the native frame (0, 1, …) shown then
    shot: int  # counts cuts
    picture: np.ndarray | None  # (H,W,3) uint8, that frame
    clip: np.ndarray | None  # (T,h,w,3) uint8, scaled to the short side
    clip_frames: np.ndarray  # (T,) the native frames in it


def coarse(frame):
    """A frame (H,W,3) uint8 as (16,24) grey levels, float."""
    rows = Image.fromarray(np.ascontiguousarray(frame[:: max(1, frame.shape[0] // 128)]))
    grey = rows.resize((192, rows.height), Image.Resampling.NEAREST).convert("L")
    return np.asarray(grey.resize((24, 16), Image.Resampling.BOX), float)


def is_cut(before, after):
    """Whether two `coarse` frames that follow each other are of two shots."""
    return np.abs(after - before).mean() > CUT


def cuts(frames, times_s):
    """The times (K,) of the frames (N,H,W,3) at times_s (N,) that a cut lies before."""
    small = [coarse(frame) for frame in frames]
    return np.array([t for t, a, b in zip(times_s[1:], small, small[1:], strict=False) if is_cut(a, b)])


class Clips:
    """The Moments of a video at `times_s` (M,), seconds from its first frame and growing; iterated once, in order.

    reader: video.Video. The clip at a time has the frames that transforms.frame_numbers gives it, numbered from the
    video's own start. tick: called once for each of the `n_frames` that are read (30 a second). While it is iterated,
    n_read counts them, and cuts_s fills with the times of cuts.
    """

    def __init__(self, reader, times_s, clip_len, interval, short_side, tick=None):
        self.reader, self.times_s, self.short_side, self.tick = reader, times_s, short_side, tick or (lambda: None)
        last = reader.n_ava_frames
        at = [transforms.frame_numbers(transforms.START + t, clip_len, interval, last, first=1) for t in times_s]
        self.numbers = np.array(at, np.int64).reshape(-1, clip_len)  # (M,T)
        self.centres = np.clip(np.round(transforms.FPS * np.asarray(times_s)).astype(np.int64) + 1, 1, last)  # (M,)
        self.first = int(self.numbers.min(initial=last + 1))
        self.n_frames = int(self.numbers.max(initial=0)) - self.first + 1 if len(at) else 0
        self.n_read, self.cuts_s = 0, []

    def __iter__(self):
        wanted, centres = set(self.numbers.ravel().tolist()), set(self.centres.tolist())
        scaled, pictures, k = {}, {}, 0  # by AVA number; k: the next moment
        for number, frame, small in self._frames():
            if number in wanted:
                scaled[number] = small()
            if number in centres:
                pictures[number] = frame, len(self.cuts_s)
            while k < len(self.numbers) and self.numbers[k, -1] <= number:
                yield self._moment(k, scaled, *pictures[self.centres[k]])
                k += 1
                oldest = self.numbers[k, 0] if k < len(self.numbers) else number + 1
                scaled = {n: f for n, f in scaled.items() if n >= oldest}
                pictures = {n: f for n, f in pictures.items() if n >= oldest}

    def _frames(self):
        """(AVA number, frame or None, what scales it: once, however often it is repeated)."""
        stream = self.reader.iter_ava_frames(self.first, self.first + self.n_frames, lost=True)
        frame, before, small = None, None, lambda: None
        for number, following in enumerate(stream, self.first):
            if following is not frame:
                frame, small = following, cache(partial(self._scaled, following))
                now = None if frame is None else coarse(frame)
                if before is not None and now is not None and is_cut(before, now):
                    self.cuts_s.append((number - 1) / transforms.FPS)
                before = before if now is None else now
            self.n_read += 1
            self.tick()
            yield number, frame, small

    def _scaled(self, frame):
        return None if frame is None else transforms.resize(frame[None], np.zeros((0, 4)), self.short_side)[0][0]

    def _moment(self, k, scaled, picture, shot):
        frames = [scaled[n] for n in self.numbers[k].tolist()]
        clip = None if any(f is None for f in frames) else np.stack(frames)
        native = self.reader.ava_index
        at = int(native[self.centres[k] - 1])
        return Moment(float(self.times_s[k]), at, shot, picture, clip, native[self.numbers[k] - 1])
