"""Exact frames from video files.

A frame is a (H,W,3) uint8 RGB array. Two ways to count: native frames 0, 1, 2 … in the order a player shows them, and
AVA numbers 1, 2, 3 … at 30 a second, as in the file names of `ffmpeg -i VIDEO -r 30 -q:v 1 img_%05d.jpg`.
"""

import contextlib
import itertools
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avalib.numbering import ava_numbering, within
from avalib.packed import VideoError, checked
from avalib.video import container, picture
from avalib.video.index import NO_TIME, packet_key, read_index

LEAD_INS = (0, 1, 3)  # keyframes before the nearest one to start from, when a frame doesn't come from that


class _Damaged(Exception):
    """The decoder refused a packet."""


class Video:
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
        container.check_is_file(path)  # before Path changes an address
        self.path, self.since_ffmpeg_6_1, self.cut = Path(path), since_ffmpeg_6_1, cut
        self._strict, self._threads, self._container = True, threads, None
        self._lead_in = 0  # place in LEAD_INS to begin with
        self._open(threads)
        try:
            if index is None or not index.is_consistent():
                index = read_index(self._container, self._stream, self.path, threads)
            self._describe(index)
            first = self._first_frame()
            if first is None:  # some files are odd from their first picture on, and whole all the same
                self._strict = False
                self._open(threads)
                first = self._first_frame()
            if first is None:
                why = container.why_undecodable(self._stream)
                raise VideoError(f"{path}: its first frame could not be decoded; {why}")
            self._size = {"width": first.width, "height": first.height}
            self._matrix = picture.display_matrix(first)
            self.rotation = -picture.rotation_degrees(self._matrix) % 360
            self.height, self.width = self._array(first).shape[:2]
        except BaseException:
            self.close()
            raise

    def _open(self, threads):
        """Open the file, again where it was open; `threads` of the decoder."""
        self.close()
        self._container, self._stream = container.open_stream(self.path, threads, self._strict)
        self._open_threads = threads
        self._to_rgb = VideoReformatter()  # one for all frames: to set one up takes longer than to use it

    def _first_frame(self):
        """The first keyframe's picture as an av frame, None where it can't be decoded."""
        shown_keys = self._number_of[self._keys]
        n = next(iter(shown_keys[shown_keys >= 0]), 0)  # what is shown before it may be cut off from its keyframe
        wanted = np.array([n])
        with contextlib.suppress(_Damaged):
            return next((frame for _, frame in self._decode(wanted, self._keys_of(wanted)[0], 0)), None)
        return None

    def _describe(self, index):
        """Everything that follows from the index."""
        self.index, n_packets = index, len(index.pts)
        self.n_frames, self._ticks = len(index.order), index.ticks
        # (P,) the native frame of each packet, -1 for one that isn't shown
        self._number_of = np.full(n_packets, -1, np.int64)
        self._number_of[index.order] = np.arange(self.n_frames)
        self._keys = np.flatnonzero(index.key) if index.key.any() else np.zeros(1, np.int64)
        self._by_pts = np.argsort(index.pts, kind="stable")  # arrays: an uncut film has 200,000 packets
        times = index.pts[index.order]
        self._times_are_sound = bool((np.diff(times) > 0).all()) and np.array_equal(times, index.ticks)
        self._shown_at = index.pts if self._times_are_sound else self._order_values()
        tick_s, rate = self._stream.time_base, self._stream.average_rate or self._stream.guessed_rate or 25
        self.times_s = np.maximum.accumulate(self._ticks - self._ticks[0]) * float(tick_s)
        self.duration_s = float(self.times_s[-1] + (int(index.duration[index.order[-1]]) * tick_s or 1 / rate))
        self.fps = self.n_frames / self.duration_s
        self.missing_frames = self._promised() - n_packets
        self._ava_index = self._size = None

    def _order_values(self):
        """(P,) grows with when packets are shown: the frames' numbers; one without a frame as the one before."""
        before = np.maximum.accumulate(np.where(self._number_of >= 0, np.arange(len(self._number_of)), 0))
        return self._number_of[before]

    def _promised(self):
        """How many packets the header promises; as many as there are where nothing is cut off at the file's end."""
        present, kind, seconds = len(self.index.pts), self._container.format.name, self._container.duration or 0
        if "mp4" in kind:
            return max(len(self._stream.index_entries), present)
        if not container.is_torn(self.path, kind):
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
            with container.open_container(self.path) as fresh:
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
        keys = self._keys_of(wanted)
        for key in np.unique(keys):  # what lies between two groups is skipped, not decoded
            for n, frame in self._given(wanted[keys == key]):
                yield self._lost(n) if frame is None else self._array(frame)

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

    def _keys_of(self, frames):
        """(n,): the keyframe, by its place in `_keys`, from which each can be decoded: the last one before it in the
        file and in time; -1 where there is none."""
        packets = self.index.order[frames]
        key = np.searchsorted(self._keys, packets, side="right") - 1
        while (early := (key >= 0) & (self._shown_at[self._keys[key]] > self._shown_at[packets])).any():
            key -= early  # shown before its keyframe (open GOP): the GOP before
        return key

    def _given(self, wanted):
        """(n, av frame or None) of the `wanted` native frames (n,), growing; None for what the file doesn't give."""
        keys, at = self._keys_of(wanted), 0
        while at < len(wanted):
            for pair in self._until_gap(wanted[at:], keys[at], self._lead_in):
                at += 1
                yield pair
            if at < len(wanted):
                same = slice(at, int(np.searchsorted(keys, keys[at], side="right")))
                at = same.stop
                yield from self._from_further_back(wanted[same], keys[same.start])

    def _from_further_back(self, wanted, key):
        """What `_given` gives for frames of one keyframe, of which the first didn't come.

        A keyframe that isn't a fresh start of the decoder (a recovery point, as x264's open-gop and intra-refresh make)
        gives exact pictures only when what is before it was decoded too. What doesn't come that way is damaged, and
        with it all up to the next keyframe, as it may have been made from the damage.
        """
        at = 0
        for lead_in in LEAD_INS:
            for pair in self._until_gap(wanted[at:], key, lead_in):
                at += 1
                self._lead_in = lead_in  # this helps: the next pass begins so
                yield pair
        if at < len(wanted):
            with contextlib.suppress(_Damaged):
                for n, frame in self._decode(wanted[at:], key, 0):
                    place = int(np.searchsorted(wanted, n))
                    if place >= at:  # else it came too late
                        yield from ((missing, None) for missing in wanted[at:place])
                        at = place + 1
                        yield n, frame
        yield from ((n, None) for n in wanted[at:])

    def _until_gap(self, wanted, key, lead_in):
        """(n, av frame) of the first of the `wanted` native frames, as far as all of them come."""
        if not len(wanted):
            return
        # an error must belong to its packet, where some are passed over: no threads then
        threads = 1 if lead_in and key > 0 else self._threads
        if threads != self._open_threads:
            self._open(threads)
        with contextlib.suppress(_Damaged):
            frames = self._decode(wanted, key, lead_in)
            for expected, (n, frame) in zip(wanted, frames, strict=False):
                if n != expected:
                    return
                yield n, frame

    def _decode(self, wanted, key, lead_in):
        """(n, av frame) of the `wanted` native frames, growing, read from keyframe `key` to the last one needed.

        lead_in: so many keyframes before it are where reading begins; what is in between only prepares the decoder, and
        errors there are passed over. Frames that nothing refers to and nobody wants are not decoded. What the decoder
        can't give is left out. Raises _Damaged where it refuses a packet.
        """
        start = int(self._keys[max(key - lead_in, 0)]) if key >= 0 else 0
        origin = int(self._keys[key]) if key >= 0 else 0
        needed = set(self.index.order[wanted].tolist())
        last, shown_at, skipping = max(needed), self._shown_at, None
        packets = itertools.takewhile(lambda item: item[0] <= last, self._packets_from(start))
        for place, packet in itertools.chain(packets, [(last, None)]):
            if packet is not None and place != start and (place < start or shown_at[place] < shown_at[start]):
                continue  # the second: leading pictures of an open GOP, which belong to the pass before
            # packets of old avi hold two frames or none: nothing is skipped there
            is_needed = packet is None or place in needed or not self._times_are_sound
            skip = "DEFAULT" if is_needed else "NONREF"
            context = self._stream.codec_context
            if skip != skipping:  # to set it is not free
                context.skip_frame = skipping = skip
            try:
                if packet is not None:
                    packet.opaque = place
                decoded = context.decode(packet)
            except (av.error.FFmpegError, MemoryError) as error:
                if place < origin:
                    continue
                context.flush_buffers()
                raise _Damaged from error
            for frame in decoded:
                if frame.opaque in needed:
                    needed.remove(frame.opaque)
                    yield int(self._number_of[frame.opaque]), frame

    def _packets_from(self, start):
        """(place in the file, packet) in file order, from the packet `start` or somewhat before."""
        for seek in self._ways_to(start):
            try:
                seek()
                packets = (p for p in self._container.demux(self._stream) if p.size)
                first = next(packets, None)
            except av.error.FFmpegError:
                continue
            place = None if first is None else self._place(first)
            if place is not None and place <= start:
                break
        else:
            other = "mkv" if "mp4" in self._container.format.name else "mp4"
            raise VideoError(
                f"{self.path}: packet {start} can't be reached by seeking; re-mux it: "
                f"ffmpeg -i {self.path.name} -c copy {self.path.stem}.remuxed.{other}"
            )
        yield place, first
        try:
            for packet in packets:
                known = self._place(packet, place + 1)
                place = place + 1 if known is None else known
                yield place, packet
        except av.error.FFmpegError as error:
            raise VideoError(f"{self.path}: reading stopped after packet {place} ({error})") from error

    def _ways_to(self, start):
        """What moves the container to the packet `start` or before it, the most exact first."""
        keys, pts, dts = self._keys[self._keys <= start][::-1], self.index.pts, self.index.dts
        seek = partial(self._container.seek, stream=self._stream, backward=True)
        # by the time it is shown, as most containers are searched; by that it is decoded at, which some need
        for key in keys[:8]:
            yield from (partial(seek, int(t)) for t in (pts[key], min(pts[key], dts[key])) if t != NO_TIME)
        yield partial(self._container.seek, 0)
        yield lambda: self._open(self._open_threads)

    def _place(self, packet, likely=-1):
        """The packet's place in the file, None if the index doesn't have it; `likely` is looked at first."""
        (pts, pos), index = packet_key(packet), self.index
        if 0 <= likely < len(index.pts) and index.pts[likely] == pts and index.pos[likely] == pos:
            return likely
        first = np.searchsorted(index.pts, pts, sorter=self._by_pts)
        for i in range(first, len(index.pts)):
            place = int(self._by_pts[i])
            if index.pts[place] != pts:
                return None
            if index.pos[place] == pos:
                return place
        return None

    def _array(self, frame):
        size = self._size or {}
        rgb = self._to_rgb.reformat(frame, format="rgb24", src_colorspace="ITU601", threads=1, **size)
        return picture.upright(rgb.to_ndarray(), self._matrix)

    def close(self):
        if self._container is not None:
            self._container.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
