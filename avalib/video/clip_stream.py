"""A video from its beginning to its end as clips: each frame decoded and scaled once, shared by the clips it is in.

Memory is bounded by one clip's span of scaled frames, however long the video is.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from avalib.video.frame_numbers import AVA_START_S, compute_clip_frames
from avalib.video.resize import resize_frames_and_boxes

ROUNDED_S = 6e-4  # that a given time may lie before its frame's: tables have milliseconds
CUT_THRESHOLD = 32  # grey levels: two frames that differ by more, on average and coarsely, are of two shots


def iter_windows(frames, numbers):
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


def iter_scaled(frames, short_side):
    """(number, frame (H,W,3) uint8 or an error) with the frames scaled; one that is repeated, once."""
    before = small = None
    for number, frame in frames:
        if frame is not before:
            before = small = frame
            if isinstance(frame, np.ndarray):
                small = resize_frames_and_boxes(frame[None], np.zeros((0, 4)), short_side)[0][0]
        yield number, small


@dataclass(frozen=True)
class ClipSample:
    """One time of a video. clip and picture are None where the file doesn't give their frames."""

    time_s: float  # from the video's first frame
    frame: int  # the native frame (0, 1, …) shown then
    shot: int  # counts cuts
    picture: np.ndarray | None  # (H,W,3) uint8, that frame
    clip: np.ndarray | None  # (T,h,w,3) uint8, scaled to the short side
    clip_frames: np.ndarray  # (T,) the native frames in it


def make_thumbnail(frame):
    """A frame (H,W,3) uint8 as (16,24) grey levels, float."""
    rows = Image.fromarray(np.ascontiguousarray(frame[:: max(1, frame.shape[0] // 128)]))
    grey = rows.resize((192, rows.height), Image.Resampling.NEAREST).convert("L")
    return np.asarray(grey.resize((24, 16), Image.Resampling.BOX), float)


def is_cut(before, after):
    """Whether two `coarse` frames that follow each other are of two shots."""
    return np.abs(after - before).mean() > CUT_THRESHOLD


def find_cuts(frames, times_s):
    """The times (K,) of the frames (N,H,W,3) at times_s (N,) that a cut lies before."""
    small = [make_thumbnail(frame) for frame in frames]
    return np.array([t for t, a, b in zip(times_s[1:], small, small[1:], strict=False) if is_cut(a, b)])


class ClipStream:
    """The Moments of a video at `times_s` (M,), seconds from its first frame and growing; iterated once, in order.

    reader: video.Video. A moment's frame and picture are the native frame that is shown at its time, whatever the rate.
    The clip has the frames that transforms.frame_numbers gives it, 30 a second, numbered from the video's own start.
    tick: called once for each of the `n_frames` that are read. While it is iterated, n_read counts them, and cuts_s
    fills with the times of cuts.
    """

    def __init__(self, reader, times_s, clip_len, interval, short_side, tick=None):
        self.reader, self.times_s, self.short_side, self.tick = reader, times_s, short_side, tick or (lambda: None)
        last = reader.n_ava_frames
        at = [compute_clip_frames(AVA_START_S + t, clip_len, interval, last, first=1) for t in times_s]
        numbers = np.array(at, np.int64).reshape(-1, clip_len)
        self.clip_frames = reader.ava_index[numbers - 1]  # (M,T) native
        self.centres = find_shown_frames(reader.times_s, times_s)  # (M,) native
        # what is read: every frame at 30 a second from the first to the last one needed, and the centres
        needed = np.concatenate([self.clip_frames.ravel(), self.centres])
        first, stop = (needed.min(), needed.max() + 1) if len(needed) else (0, 0)
        shown = reader.ava_index[(reader.ava_index >= first) & (reader.ava_index < stop)]
        self.read = np.union1d(shown, needed)
        self.n_frames, self.n_read, self.cuts_s = len(self.read), 0, []

    def __iter__(self):
        needed, centres = set(self.clip_frames.ravel().tolist()), set(self.centres.tolist())
        scaled, pictures, k = {}, {}, 0  # by native frame; k: the next moment
        last = np.maximum(self.clip_frames.max(axis=1, initial=0), self.centres).tolist()
        first = np.minimum(self.clip_frames.min(axis=1, initial=self.reader.n_frames), self.centres)
        oldest = np.minimum.accumulate(first[::-1])[::-1].tolist()  # that a moment or a later one needs
        for n, frame in self._frames():
            if n in needed:
                scaled[n] = self._scaled(frame)
            if n in centres:
                pictures[n] = frame, len(self.cuts_s)
            while k < len(last) and last[k] <= n:
                yield self._moment(k, scaled, *pictures[self.centres[k]])
                k += 1
                unneeded = oldest[k] if k < len(last) else n + 1
                scaled = {m: f for m, f in scaled.items() if m >= unneeded}
                pictures = {m: f for m, f in pictures.items() if m >= unneeded}

    def _frames(self):
        """(native frame, its picture or None), each once; cuts between those that can be decoded are noted."""
        before = None
        for n, frame in zip(
            self.read.tolist(), self.reader.iter_native_frames(self.read, allow_missing=True), strict=True
        ):
            now = None if frame is None else make_thumbnail(frame)
            if before is not None and now is not None and is_cut(before, now):
                self.cuts_s.append(float(self.reader.times_s[n]))
            before = before if now is None else now
            self.n_read += 1
            self.tick()
            yield n, frame

    def _scaled(self, frame):
        return None if frame is None else resize_frames_and_boxes(frame[None], np.zeros((0, 4)), self.short_side)[0][0]

    def _moment(self, k, scaled, picture, shot):
        frames = [scaled[n] for n in self.clip_frames[k].tolist()]
        clip = None if any(f is None for f in frames) else np.stack(frames)
        return ClipSample(float(self.times_s[k]), int(self.centres[k]), shot, picture, clip, self.clip_frames[k])


def find_shown_frames(frame_times_s, times_s):
    """The native frame (M,) that is shown at each of times_s (M,): the last one that has begun.

    frame_times_s: (N,) seconds, growing. A time that was rounded to a millisecond is still its frame's.
    """
    shown = np.searchsorted(frame_times_s, np.asarray(times_s, np.float64) + ROUNDED_S, side="right") - 1
    return np.clip(shown, 0, len(frame_times_s) - 1)
