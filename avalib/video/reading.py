"""Exact frames from video files.

A frame is a (H,W,3) uint8 RGB array. Two ways to count: native frames 0, 1, 2 … in the order a player shows them, and
AVA numbers 1, 2, 3 … at 30 a second, as in the file names of `ffmpeg -i VIDEO -r 30 -q:v 1 img_%05d.jpg`.
"""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avalib.numbering import ava_numbering, within
from avalib.packed import VideoError, checked


def open_container(path):
    """An open av container that has a video stream. Raises VideoError."""
    if not Path(path).is_file():
        raise VideoError(f"{path}: no such video file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path}: not readable as a video ({error.strerror or error}); is the file complete?"
        ) from error
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        container.close()
        raise VideoError(f"{path}: has no video in it, only {kinds}")
    return container


class PacketIndex(NamedTuple):
    """What is in a video stream, packet by packet in file order; plain arrays, made to be pickled and kept."""

    pts: np.ndarray  # (P,) int64 presentation times, in units of time_base
    dts: np.ndarray  # (P,) int64 decoding times (the presentation time where the container has none)
    pos: np.ndarray  # (P,) int64 byte positions
    duration: np.ndarray  # (P,) int64, 0 where the container doesn't say
    key: np.ndarray  # (P,) bool: decoding can start here
    shown: np.ndarray  # (P,) bool: false for what an edit list cuts away, and for half a packet at a torn end


def where(packet):
    """What tells a packet from all others of its stream: (presentation time, byte position)."""
    return (packet.dts if packet.pts is None else packet.pts), packet.pos or 0


def read_index(container, stream, path):
    """The PacketIndex of a freshly opened container: one pass over the file, nothing decoded (but for AVI)."""
    if container.format.name == "avi":  # has no presentation times, and its packets can hold two frames or none
        times = np.array([frame.pts for frame in container.decode(stream)], float)  # nan where there is none
        times = (times if (np.diff(times) > 0).all() else np.arange(len(times))).astype(np.int64)
        return PacketIndex(times, times, times, np.ones_like(times), times == times[0], times == times)
    rows = []
    try:
        for p in container.demux(stream):
            if p.size:
                pts, pos = where(p)
                dts = pts if p.dts is None else p.dts
                rows.append((pts, dts, pos, p.duration or 0, p.is_keyframe, not p.is_discard and not p.is_corrupt))
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: reading stopped after {len(rows)} packets ({error.strerror})") from error
    if not any(row[5] for row in rows):
        raise VideoError(f"{path}: the video stream has no frames; is the file complete?")
    if any(row[0] is None for row in rows):
        raise VideoError(f"{path}: the container gives no times for its frames; re-mux it to mp4 or mkv")
    columns = [np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), "qqqq??", strict=True)]
    return PacketIndex(*columns)


class Video:
    """One video file with exact random access by frame number.

    The file is read through once at opening to index its packets (nothing decoded but the first frame); `index`, the
    `.index` of an earlier opening, saves that. The i-th shown frame is the i-th smallest presentation time that no
    edit list cuts away. Colours are converted by BT.601 whatever the file says, as readers of the recipe's jpgs do.

    Attributes: path, index, width, height (pixels, as shown), rotation (degrees, already applied), fps (average),
    n_frames (native), n_ava_frames, ava_index (native frame of each AVA number), duration_s, times_s (n_frames,)
    float64 from the first frame, missing_frames (what the header promises and a truncated file doesn't have).
    Raises VideoError. Not thread-safe; open one per worker. `threads`: the decoder's, 0 means one per core.

    cut: (start, length) in seconds, AVA's is (900, 901): the AVA numbers are then those of the frames that
    `ffmpeg -ss START -t LENGTH -i FILE -r 30 CUT.mp4` leaves; native frames are the file's all the same.
    """

    def __init__(self, path, threads=1, index=None, since_ffmpeg_6_1=False, cut=None):
        self.path, self.since_ffmpeg_6_1, self.cut = Path(path), since_ffmpeg_6_1, cut
        self._open(threads, strict=True)
        try:
            self._describe(index or read_index(self._container, self._stream, path))
            first = next(self._decode(0, {0}), None)
            if first is None:  # some files are odd from their first picture on, and whole all the same
                self.close()
                self._open(threads, strict=False)
                first = next(self._decode(0, {0}), None)
            if first is None:
                raise VideoError(f"{path}: its first frame could not be decoded; is the file complete?")
            self._size = {"width": first[1].width, "height": first[1].height}
            self.rotation = int(first[1].rotation)
            self.height, self.width = self._array(first[1]).shape[:2]
        except BaseException:
            self.close()
            raise

    def _open(self, threads, strict):
        """strict: the decoder refuses damaged pictures instead of painting over the damage (AVI's decoders can't)."""
        self._container = open_container(self.path)
        self._stream = self._container.streams.video[0]
        self._to_rgb = VideoReformatter()  # one for all frames: to set one up takes longer than to use it
        context, self._seekable = self._stream.codec_context, self._container.format.name != "avi"
        context.thread_count, context.thread_type = threads, "AUTO"
        if strict and self._seekable:
            context.options = {"err_detect": "explode"}

    def _describe(self, index):
        """Everything that follows from the index."""
        self.index = index
        shown = np.flatnonzero(index.shown)
        self._packet_of = shown[np.argsort(index.pts[shown], kind="stable")]  # (n_frames,) place in the file
        self._ticks = index.pts[self._packet_of]
        self._keys = np.flatnonzero(index.key)
        self._by_pts = np.argsort(index.pts, kind="stable")  # arrays: an uncut film has 200,000 packets
        self.n_frames = len(shown)
        tick_s, rate = self._stream.time_base, self._stream.average_rate or self._stream.guessed_rate or 25
        self.times_s = (self._ticks - self._ticks[0]) * float(tick_s)
        self.duration_s = float(self.times_s[-1] + (int(index.duration[self._packet_of[-1]]) * tick_s or 1 / rate))
        self.fps = self.n_frames / self.duration_s
        self.missing_frames = self._promised() - len(index.pts) if self._seekable else 0
        self._ava_index = self._size = None

    def _promised(self):
        """How many frames the header promises: mp4 counts them, mkv states a duration; else as many as found."""
        found, seconds = len(self.index.pts), (self._container.duration or 0) / av.time_base
        if "mp4" in self._container.format.name:
            return max(len(self._stream.index_entries), found)
        if "matroska" in self._container.format.name and seconds > self.duration_s + 1:
            return round(seconds * self.fps)
        return found

    @property
    def ava_index(self):
        """(n_ava_frames,) int64: the native frame that AVA number i+1 shows; see numbering.py."""
        if self._ava_index is None:
            stream, kind, durations = self._stream, self._container.format.name, self.index.duration[self._packet_of]
            if "mp4" in kind and not self.since_ffmpeg_6_1 and (self.index.pts != self.index.dts).any():
                durations = np.zeros_like(durations)  # older FFmpeg knew none where mp4 has B-frames
            start_s, part = self._start_s(kind), slice(None)
            if self.cut:
                start_s += Fraction(self.cut[0])
                part = within(self._ticks, stream.time_base, start_s, self.cut[1])
                if part.start == part.stop:
                    raise VideoError(
                        f"{self.path}: is {self.duration_s:.1f} s long and has nothing from second {self.cut[0]} on; "
                        "expected an uncut video (a cut belongs into the folder of the cuts)"
                    )
            fps, alone = float(stream.guessed_rate or self.fps), len(self._container.streams) == 1
            self._ava_index = (part.start or 0) + ava_numbering(
                self._ticks[part], durations[part], stream.time_base, fps, start_s, alone, self.since_ffmpeg_6_1
            )
        return self._ava_index

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
        indices = checked(indices, 0, self.n_frames - 1, self.path, "frame", self.missing_frames)
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
        numbers = np.unique(checked(numbers, 1, self.n_ava_frames, self.path, "AVA frame number", self.missing_frames))
        native, place = np.unique(self.ava_index[numbers - 1], return_inverse=True)
        with Video(self.path, 1, self.index) as reader:  # its own decoder: `frames` may be called meanwhile
            at, frames = -1, reader._each(native)
            for number, wanted in zip(numbers.tolist(), place.tolist(), strict=True):
                if at < wanted:
                    at, frame = wanted, next(frames)
                yield number, frame

    def _each(self, wanted):
        """The `wanted` native frames (n,), growing, one at a time; for one that the file doesn't give, a VideoError."""
        starts = self._starts_of(wanted)
        for start in np.unique(starts).tolist():
            left = iter(wanted[starts == start].tolist())
            for n, frame in self._decode(start, set(wanted[starts == start].tolist())):
                yield from (self._lost(m) for m in itertools.takewhile(n.__ne__, left))
                yield self._array(frame)
            yield from map(self._lost, left)

    def _lost(self, n):
        return VideoError(f"{self.path}: frame {n} of {self.n_frames} could not be decoded")

    def ava_frames(self, numbers):
        """Frames by AVA number: numbers (T,) ints 1..n_ava_frames, any order, repeats allowed -> (T,H,W,3) uint8."""
        numbers = checked(numbers, 1, self.n_ava_frames, self.path, "AVA frame number", self.missing_frames)
        return self.frames(self.ava_index[numbers - 1])

    def iter_frames(self, start=0, stop=None, lost=False):
        """Native frames start..stop-1 in order, one (H,W,3) uint8 at a time; decodes each once, on all cores.

        A frame that the file doesn't give is a VideoError, or, with `lost`, a None in its place.
        """
        stop = self.n_frames if stop is None else min(stop, self.n_frames)
        if start >= stop:
            return
        expected = start
        with Video(self.path, 0, self.index) as reader:  # its own decoder: `frames` may be called meanwhile
            found = reader._decode(int(reader._starts_of([start])[0]), range(start, stop))
            for n, frame in itertools.chain(found, [(stop, None)]):
                if n > expected and not lost:
                    raise self._lost(expected)
                yield from itertools.repeat(None, n - expected)
                if n < stop:
                    yield reader._array(frame)
                expected = n + 1

    def iter_ava_frames(self, start=1, stop=None, lost=False):
        """Frames of AVA numbers start..stop-1 in order, one (H,W,3) uint8 at a time; a repeat is the same array.

        lost: as in `iter_frames`.
        """
        shows = self.ava_index[start - 1 : None if stop is None else stop - 1]
        if not len(shows):
            return
        native = zip(itertools.count(shows[0]), self.iter_frames(shows[0], shows[-1] + 1, lost))
        n, frame = next(native)
        for wanted in shows:
            while n < wanted:
                n, frame = next(native)
            yield frame

    def _starts_of(self, frames):
        """(n,): the packet from which each can be decoded, the last keyframe before it in the file and in time."""
        key = np.searchsorted(self._keys, self._packet_of[frames], side="right") - 1
        while (early := (key >= 0) & (self.index.pts[self._keys[key]] > self._ticks[frames])).any():
            key -= early  # shown before its keyframe (open GOP): the GOP before
        return np.where(key >= 0, self._keys[key], 0)

    def _decode(self, start, wanted):
        """(n, av frame) of the `wanted` native frames, in order, reading from packet `start` to the last one needed.

        Frames that nothing refers to and nobody wants are not decoded. What the decoder can't give is left out, and so
        is all that comes after it in this pass, as it may have been made from the damage.
        """
        if not self._seekable:
            self._container.seek(0)
            frames = itertools.islice(enumerate(self._container.decode(self._stream)), max(wanted) + 1)
            yield from ((n, frame) for n, frame in frames if n in wanted)
            return
        context = self._stream.codec_context
        needed = set(self._packet_of[list(wanted)].tolist())
        last = max(needed)
        packets = itertools.takewhile(lambda item: item[0] <= last, self._packets_from(start))
        pts, skipping = self.index.pts, None
        for place, packet in itertools.chain(packets, [(start, None)]):
            if place < start or (packet and place > start and pts[place] < pts[start]):
                continue  # the second: leading pictures of an open GOP, which belong to the pass before
            skip = "DEFAULT" if packet is None or place in needed else "NONREF"
            if skip != skipping:  # to set it is not free
                context.skip_frame = skipping = skip
            try:
                decoded = context.decode(packet)
            except av.error.FFmpegError:
                context.flush_buffers()
                return  # the frames stay missing, and their absence is what gets reported
            for frame in decoded:
                n = -1 if frame.pts is None else int(np.searchsorted(self._ticks, frame.pts))
                if n in wanted and self._ticks[n] == frame.pts:
                    yield n, frame

    def _packets_from(self, start):
        """(place in the file, packet) in file order, from the packet `start` or somewhat before."""
        keys, pts, dts = self._keys[self._keys <= start][::-1], self.index.pts, self.index.dts
        # by the time it is shown, as most containers are searched; by that it is decoded at, which some need
        for ticks in (int(t) for key in keys for t in (pts[key], min(pts[key], dts[key]))):
            self._container.seek(ticks, stream=self._stream, backward=True)
            packets = (p for p in self._container.demux(self._stream) if p.size)
            first = next(packets, None)
            place = None if first is None else self._place(first)
            if place is not None and place <= start:
                break
        else:
            raise VideoError(f"{self.path}: packet {start} can't be reached by seeking; re-mux the file to mp4")
        yield place, first
        for packet in packets:
            known = self._place(packet, place + 1)
            place = place + 1 if known is None else known
            yield place, packet

    def _place(self, packet, likely=-1):
        """The packet's place in the file, None if the index doesn't have it; `likely` is looked at first."""
        (pts, pos), index = where(packet), self.index
        if 0 <= likely < len(index.pts) and index.pts[likely] == pts and index.pos[likely] == pos:
            return likely
        first = len(index.pts) if pts is None else np.searchsorted(index.pts, pts, sorter=self._by_pts)
        for i in range(first, len(index.pts)):
            place = int(self._by_pts[i])
            if index.pts[place] != pts:
                return None
            if index.pos[place] == pos:
                return place
        return None

    def _array(self, frame):
        size = self._size or {}
        array = self._to_rgb.reformat(frame, format="rgb24", src_colorspace="ITU601", threads=1, **size).to_ndarray()
        return np.ascontiguousarray(np.rot90(array, self.rotation // 90)) if self.rotation else array

    def close(self):
        self._container.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def duration_s(path):
    """How long the container says it is, in seconds, without reading it through. Raises VideoError."""
    with open_container(path) as container:
        return (container.duration or 0) / av.time_base
