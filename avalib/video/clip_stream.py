"""A video from its beginning to its end as clips: each frame decoded and scaled once, shared by the clips it is in.

Memory is bounded by one clip's span of scaled frames, however long the video is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from avalib.video.cut_finder import CutFinder, make_thumbnail
from avalib.video.frame_numbers import AVA_START_S, compute_clip_frames
from avalib.video.resize import resize_frame

ROUNDING_S = 6e-4  # by which a time in a table may lie before its frame's: tables have milliseconds


def iter_windows(frames: Iterator[tuple[int, np.ndarray]], numbers: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Windows of frames out of a stream, each frame taken from the stream once.

    Frames stay in memory from the lowest number that a later window needs to the highest one that was read.

    Parameters
    ----------
    frames : iterator of (number, frame)
        Ascending, with every number in `numbers`.
    numbers : (M,T) int
        The frame numbers of each window, in any order.

    Yields
    ------
    list of T frames, M times
    """
    # (M,) the lowest number that a window or a later one needs
    oldest_needed = np.minimum.accumulate(numbers.min(axis=1)[::-1])[::-1].tolist()
    buffer = {}
    current = numbers.min() - 1
    for window, oldest in zip(numbers.tolist(), oldest_needed, strict=True):
        # forget what no window needs any more
        buffer = {n: frame for n, frame in buffer.items() if n >= oldest}
        while current < max(window):
            current, frame = next(frames)
            buffer[current] = frame
        yield [buffer[n] for n in window]


def iter_scaled(frames: Iterable[tuple[int, np.ndarray]], short_side: int) -> Iterator[tuple[int, np.ndarray]]:
    """(number, frame (H,W,3) uint8 or an error) with the frames scaled; a frame that is repeated is scaled once."""
    previous = None
    scaled = None
    for number, frame in frames:
        if frame is not previous:
            previous = frame
            scaled = resize_frame(frame, short_side) if isinstance(frame, np.ndarray) else frame
        yield number, scaled


def find_shown_frames(frame_times_s: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """The native frame (M,) that is shown at each of times_s (M,): the last one that has begun.

    frame_times_s: (N,) seconds, ascending. A time that was rounded to a millisecond is still its frame's.
    """
    shown = np.searchsorted(frame_times_s, np.asarray(times_s, np.float64) + ROUNDING_S, side="right") - 1
    return np.clip(shown, 0, len(frame_times_s) - 1)


@dataclass(frozen=True)
class ClipSample:
    """One time of a video. `clip` and `picture` are None where the file doesn't give their frames."""

    time_s: float  # from the video's first frame
    frame: int  # the native frame (0, 1, …) that is shown then
    shot: int  # the number of cuts before
    picture: np.ndarray | None  # (H,W,3) uint8, that frame
    clip: np.ndarray | None  # (T,h,w,3) uint8, scaled to the short side
    clip_frames: np.ndarray  # (T,) the native frames in the clip


class ClipStream:
    """The clips of a video at some times; iterated once, in order, it yields a ClipSample for each time.

    A sample's frame and picture are the native frame that is shown at its time, whatever the rate. The clip has the
    frames that `compute_clip_frames` chooses, 30 a second, numbered from the video's own start.

    Parameters
    ----------
    reader : Video
    times_s : (M,) float
        Seconds from the video's first frame, ascending.
    clip_len : int
        Frames of a clip.
    interval : int
        Frames (of 30 a second) from one frame of a clip to the next.
    short_side : int
        Pixels, of the clips.
    on_frame : function, optional
        Called without arguments after each of the `n_frames` frames that are read.
    offset : int
        Frames by which the model's clips lie later, see `compute_clip_frames`.
    next_time_s : float, optional
        For a video that is read stretch by stretch, whose clips overlap: the first time of the next stretch. Frames
        are read up to the one that is shown then, and cuts behind it are the next stretch's.
    is_first : bool
        False: cuts up to the frame that is shown at the first time are the stretch before's.

    Attributes
    ----------
    n_frames : int
        How many frames are read in all.
    n_read : int
        How many have been read so far.
    cut_frames : list of int
        The native frames that the cuts so far lie before; all of them at the end.
    cuts_s : list of float
        The times of these frames.
    """

    def __init__(
        self,
        reader,
        times_s: np.ndarray,
        clip_len: int,
        interval: int,
        short_side: int,
        on_frame: Callable[[], None] | None = None,
        offset: int = 0,
        next_time_s: float | None = None,
        is_first: bool = True,
    ):
        self.reader = reader
        self.times_s = times_s
        self.short_side = short_side
        self.on_frame = on_frame
        # (M,T) and (M,): the native frames of each clip, and the one that is shown at its time
        numbers = [
            compute_clip_frames(AVA_START_S + time_s, clip_len, interval, reader.n_ava_frames, first=1, offset=offset)
            for time_s in times_s
        ]
        self._clip_frames = reader.ava_index[np.array(numbers, np.int64).reshape(-1, clip_len) - 1]
        self._shown_frames = find_shown_frames(reader.times_s, times_s)
        next_frames = find_shown_frames(reader.times_s, [] if next_time_s is None else [next_time_s])
        # cuts of this stretch lie before the frames first_cut .. last_cut
        self._first_cut = 0 if is_first else self._shown_frames[0] + 1
        self._last_cut = reader.n_frames if next_time_s is None else next_frames[0]
        self._frames_to_read = self._choose_frames_to_read(next_frames)
        self.n_frames = len(self._frames_to_read)
        self.n_read = 0
        self.cut_frames = []
        self._last_decided = -1  # the last frame of which it is known whether a cut lies before it

    @property
    def cuts_s(self) -> list[float]:
        """See the class."""
        return self.reader.times_s[self.cut_frames].tolist() if self.cut_frames else []

    def _choose_frames_to_read(self, next_frames):
        """(n,) native frames: all of 30 a second (for cuts) between the first and the last one needed, and those."""
        needed = np.concatenate([self._clip_frames.ravel(), self._shown_frames, next_frames])
        if not len(needed):
            return needed
        # cuts count between the frames at 30 a second, whatever the video's rate
        numbered = np.unique(self.reader.ava_index)
        needed = np.concatenate([needed, *self._list_frames_around(numbered, next_frames)])
        return np.union1d(numbered[(numbered >= needed.min()) & (numbered <= needed.max())], needed)

    def _list_frames_around(self, numbered, next_frames):
        """The frames around this stretch that decide about its cuts, as in the whole video: [(n,) native frames]."""
        first = np.searchsorted(numbered, self._shown_frames[:1], side="right")
        last = np.searchsorted(numbered, next_frames, side="right")
        n_ahead = CutFinder().n_ahead
        before = [numbered[max(i - n_ahead - 2, 0) : i] for i in first if self._first_cut]
        after = [numbered[i : i + n_ahead] for i in last]
        return [*before, *after]

    def __iter__(self) -> Iterator[ClipSample]:
        in_clips = set(self._clip_frames.ravel().tolist())
        shown = set(self._shown_frames.tolist())
        # (M,): the last frame that a sample needs, and the first that it or a later one needs
        last_needed = np.maximum(self._clip_frames.max(axis=1, initial=0), self._shown_frames).tolist()
        first_needed = np.minimum(self._clip_frames.min(axis=1, initial=self.reader.n_frames), self._shown_frames)
        oldest_needed = np.minimum.accumulate(first_needed[::-1])[::-1].tolist()
        scaled = {}  # native frame -> scaled picture
        pictures = {}  # native frame -> picture
        k = 0  # the next sample
        for n, frame in self._iter_frames():
            if n in in_clips:
                scaled[n] = None if frame is None else resize_frame(frame, self.short_side)
            if n in shown:
                pictures[n] = frame
            while k < len(last_needed) and last_needed[k] <= n and self._shown_frames[k] <= self._last_decided:
                yield self._make_sample(k, scaled, pictures[self._shown_frames[k]])
                k += 1
                # drop what no later sample needs
                oldest = oldest_needed[k] if k < len(oldest_needed) else n + 1
                scaled = {m: frame for m, frame in scaled.items() if m >= oldest}
                pictures = {m: picture for m, picture in pictures.items() if m >= oldest}

    def _iter_frames(self):
        """(native frame, its picture or None), each once; notes cuts between frames that can be decoded.

        At the end (the video's number of frames, None): all cuts are known then.
        """
        finder = CutFinder()
        frames = self.reader.iter_native_frames(self._frames_to_read, allow_missing=True)
        for n, frame in zip(self._frames_to_read.tolist(), frames, strict=True):
            if frame is not None:
                self._note_cuts(finder.add(n, make_thumbnail(frame)))
                self._last_decided = finder.last_decided
            self.n_read += 1
            if self.on_frame is not None:
                self.on_frame()
            yield n, frame
        self._note_cuts(finder.finish())
        self._last_decided = self.reader.n_frames
        yield self.reader.n_frames, None

    def _note_cuts(self, cuts):
        """Add the cuts that are this stretch's."""
        self.cut_frames += [n for n in cuts if self._first_cut <= n <= self._last_cut]

    def _make_sample(self, k, scaled, picture):
        frames = [scaled[n] for n in self._clip_frames[k].tolist()]
        return ClipSample(
            time_s=float(self.times_s[k]),
            frame=int(self._shown_frames[k]),
            shot=int(np.searchsorted(self.cut_frames, self._shown_frames[k], side="right")),
            picture=picture,
            clip=None if any(frame is None for frame in frames) else np.stack(frames),
            clip_frames=self._clip_frames[k],
        )
