"""Exact frames from video files.

A frame is a (H,W,3) uint8 RGB array. Two ways to count: native frames 0, 1, 2 … in the order a player shows them, and
AVA numbers 1, 2, 3 … at 30 a second, as in the file names of `ffmpeg -i VIDEO -r 30 -q:v 1 img_%05d.jpg`.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avalib.video.container import is_torn, open_container
from avalib.video.frame_cache import validate_frame_numbers
from avalib.video.frame_decoder import FrameDecoder
from avalib.video.frame_numbers import compute_ava_numbering, select_cut_frames
from avalib.video.rgb_picture import read_display_matrix, read_rotation_degrees, turn_upright
from avalib.video.video_error import VideoError


class Video(FrameDecoder):
    """One video file with exact random access by frame number.

    The file is read through once at opening to index its packets (nothing decoded but the first frame, where the file's
    times are sound; see index.py); `index`, the `.index` of an earlier opening, saves that. Of several video streams it
    is the one that ffmpeg takes. Colours are converted by BT.601 whatever the file says, as readers of the recipe's
    jpgs do.

    Attributes: path, index, width, height (pixels, as shown), rotation (counterclockwise degrees, already applied),
    fps (average), n_frames (native), n_ava_frames, ava_index (native frame of each AVA number), duration_s, times_s
    (n_frames,) float64 from the first frame, missing_frames (what the header promises and a truncated file doesn't
    have). Raises VideoError. Not thread-safe; open one per worker. `threads`: the decoder's, 0 means one per core.

    cut: (start, length) in seconds, AVA's is (900, 901): the AVA numbers are then those of the frames that
    `ffmpeg -ss START -t LENGTH -i FILE -r 30 CUT.mp4` leaves; native frames are the file's all the same.
    """

    def __init__(self, path, threads=1, index=None, since_ffmpeg_6_1=False, cut=None):
        self.since_ffmpeg_6_1, self.cut = since_ffmpeg_6_1, cut
        super().__init__(path, threads, index)
        try:
            self._describe()
        except BaseException:
            self.close()
            raise

    def _describe(self):
        """Everything that follows from the index and the first picture."""
        index, first, self._first = self.index, self._first, None
        self._to_rgb = VideoReformatter()  # one for all frames: to set one up takes longer than to use it
        self._ava_index = None
        self._matrix = read_display_matrix(first)
        self.rotation = -read_rotation_degrees(self._matrix) % 360
        self._size = {"width": first.width, "height": first.height}
        self.height, self.width = self._array(first).shape[:2]
        tick_s, rate = self._stream.time_base, self._stream.average_rate or self._stream.guessed_rate or 25
        self.times_s = np.maximum.accumulate(self._ticks - self._ticks[0]) * float(tick_s)
        self.duration_s = float(self.times_s[-1] + (int(index.duration[index.order[-1]]) * tick_s or 1 / rate))
        self.fps = self.n_frames / self.duration_s
        self.missing_frames = self._promised() - len(index.pts)

    def _promised(self):
        """How many packets the header promises; as many as there are where nothing is cut off at the file's end."""
        present, kind, seconds = len(self.index.pts), self._container.format.name, self._container.duration or 0
        if "mp4" in kind:
            return max(len(self._stream.index_entries), present)
        if not is_torn(self.path, kind):
            return present
        promised = self._stream.frames or round(seconds / av.time_base * self.fps)
        return max(promised, present + 1)

    @property
    def ava_index(self):
        """(n_ava_frames,) int64: the native frame that AVA number i+1 shows; see numbering.py."""
        if self._ava_index is None:
            stream, kind, durations = self._stream, self._container.format.name, self.index.duration[self.index.order]
            if "mp4" in kind and not self.since_ffmpeg_6_1 and (self.index.pts != self.index.dts).any():
                durations = np.full_like(durations, self._coded_duration())  # older FFmpeg took no others here
            start_s, part = self._start_s(kind), slice(None)
            if self.cut:
                start_s += Fraction(self.cut[0])
                part = select_cut_frames(self._ticks, stream.time_base, start_s, self.cut[1])
                if part.start == part.stop:
                    raise VideoError(
                        f"{self.path}: is {self.duration_s:.1f} s long and has nothing from second {self.cut[0]} on; "
                        "expected an uncut video (a cut belongs into the folder of the cuts)"
                    )
            try:
                self._ava_index = (part.start or 0) + compute_ava_numbering(
                    self._ticks[part],
                    durations[part],
                    tick_s=stream.time_base,
                    fps=float(stream.guessed_rate or self.fps),
                    start_s=start_s,
                    is_only_stream=len(self._container.streams) == 1,
                    since_ffmpeg_6_1=self.since_ffmpeg_6_1,
                )
            except ValueError as error:
                raise VideoError(f"{self.path}: {error}; is it damaged?") from error
        return self._ava_index

    def _coded_duration(self):
        """A frame's duration, in units of time_base, by the rate that is written in the coded video; 0: none is."""
        rate = self._stream.codec_context.framerate or 0
        # FFmpeg, libavformat compute_frame_duration: a rate of 1000 and more only says how times are counted
        return round(1 / (rate * self._stream.time_base)) if 0 < rate < 1000 else 0

    def _start_s(self, kind):
        """Where FFmpeg puts second 0: the earliest start of a stream (Fraction, seconds)."""
        if kind == "mpegts":  # the start of what is used, not of the file
            return (self._stream.start_time or 0) * self._stream.time_base
        starts = [Fraction(self._container.start_time or 0, av.time_base)]
        if "matroska" in kind and self._container.streams.audio and not self.since_ffmpeg_6_1:
            # later versions leave out what the sound's decoder skips
            with open_container(self.path) as fresh:
                first = next((p for p in fresh.demux(fresh.streams.audio[:1]) if p.pts is not None), None)
            starts += [first.pts * first.time_base] if first else []
        return min(starts)

    @property
    def n_ava_frames(self):
        return len(self.ava_index)

    def frames(self, indices):
        """Native frames: indices (T,) ints 0..n_frames-1, any order, repeats allowed -> (T,H,W,3) uint8.

        Raises IndexError outside the range, VideoError where the file doesn't give the frame.
        """
        indices = validate_frame_numbers(indices, 0, self.n_frames - 1, self.path, "frame", self.missing_frames)
        wanted, inverse = np.unique(indices, return_inverse=True)
        out = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for i, frame in enumerate(self._each(wanted)):
            if isinstance(frame, VideoError):
                raise frame
            out[i] = frame
        return out if np.array_equal(wanted, indices) else out[inverse]  # the rule: growing, none twice

    def iter_chosen(self, numbers):
        """(AVA number, frame (H,W,3) uint8) of some AVA numbers, each once, growing; a repeat is the same array.

        What is in between is decoded only where it has to be, and nothing twice. In place of a frame that the file
        doesn't give comes a VideoError.
        """
        numbers = np.unique(
            validate_frame_numbers(numbers, 1, self.n_ava_frames, self.path, "AVA frame number", self.missing_frames)
        )
        native, place = np.unique(self.ava_index[numbers - 1], return_inverse=True)
        with Video(self.path, 1, self.index) as reader:  # its own decoder: `frames` may be called meanwhile
            at, frames = -1, reader._each(native)
            for number, wanted in zip(numbers.tolist(), place.tolist(), strict=True):
                if at < wanted:
                    at, frame = wanted, next(frames)
                yield number, frame

    def _each(self, wanted):
        """The `wanted` native frames (n,), growing, one at a time; for one that the file doesn't give, a VideoError."""
        keys = self._keys_of(wanted)
        for key in np.unique(keys):  # what lies between two groups is skipped, not decoded
            for n, frame in self._given(wanted[keys == key]):
                yield self._lost(n) if frame is None else self._array(frame)

    def _lost(self, n):
        return VideoError(f"{self.path}: frame {n} of {self.n_frames} could not be decoded")

    def ava_frames(self, numbers):
        """Frames by AVA number: numbers (T,) ints 1..n_ava_frames, any order, repeats allowed -> (T,H,W,3) uint8."""
        numbers = validate_frame_numbers(
            numbers, 1, self.n_ava_frames, self.path, "AVA frame number", self.missing_frames
        )
        return self.frames(self.ava_index[numbers - 1])

    def iter_frames(self, start=0, stop=None, lost=False):
        """Native frames start..stop-1 in order, one (H,W,3) uint8 at a time; decodes each once, on all cores.

        A frame that the file doesn't give is a VideoError, or, with `lost`, a None in its place.
        """
        stop = self.n_frames if stop is None else min(stop, self.n_frames)
        yield from self.iter_numbers(np.arange(start, stop), lost)

    def iter_numbers(self, wanted, lost=False):
        """The native frames `wanted` (n,), growing, in one pass as `iter_frames`; others are decoded where needed."""
        if not len(wanted):
            return
        with Video(self.path, 0, self.index) as reader:  # its own decoder: `frames` may be called meanwhile
            for n, frame in reader._given(wanted):
                if frame is None and not lost:
                    raise self._lost(n)
                yield None if frame is None else reader._array(frame)

    def iter_ava_frames(self, start=1, stop=None, lost=False):
        """Frames of AVA numbers start..stop-1 in order, one (H,W,3) uint8 at a time; a repeat is the same array.

        lost: as in `iter_frames`.
        """
        shows = self.ava_index[start - 1 : None if stop is None else stop - 1]
        native = np.unique(shows)
        n, frames = -1, zip(native.tolist(), self.iter_numbers(native, lost), strict=True)
        for wanted in shows:
            while n < wanted:
                n, frame = next(frames)
            yield frame

    def _array(self, frame):
        rgb = self._to_rgb.reformat(frame, format="rgb24", src_colorspace="ITU601", threads=1, **self._size)
        return turn_upright(rgb.to_ndarray(), self._matrix)
