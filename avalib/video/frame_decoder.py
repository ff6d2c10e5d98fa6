"""Frames of a video stream by their number, as the decoder gives them, from anywhere in the file.

Every packet is marked with its place in the file before it is decoded, and the frame that comes out carries the mark:
neither times nor the order in which frames come say which frame it is.
"""

import contextlib
import itertools
from functools import partial
from pathlib import Path

import av
import numpy as np

from avalib.video.container import check_is_file, explain_undecodable, open_stream
from avalib.video.packet_index import NO_TIME, get_packet_key, read_index
from avalib.video.video_error import VideoError

LEAD_INS = (0, 1, 3)  # keyframes before the nearest one to start from, when a frame doesn't come from that


class _Damaged(Exception):
    """The decoder refused a packet."""


class FrameDecoder:
    """The video stream of a file, by frame number. Attributes: path, index, n_frames. Raises VideoError.

    threads: the decoder's, 0 means one per core. index: the PacketIndex of an earlier opening, or None.
    """

    def __init__(self, path, threads=1, index=None):
        check_is_file(path)  # before Path changes an address
        self.path, self._threads = Path(path), threads
        self._strict, self._container = True, None
        self._lead_in = 0  # of LEAD_INS, to begin with
        self._open(threads)
        try:
            if index is None or not index.is_consistent():
                index = read_index(self._container, self._stream, self.path, threads)
            self._use(index)
            self._first = self._first_frame()
            if self._first is None:  # some files are odd from their first picture on, and whole all the same
                self._strict = False
                self._open(threads)
                self._first = self._first_frame()
            if self._first is None:
                why = explain_undecodable(self._stream)
                raise VideoError(f"{path}: its first frame could not be decoded; {why}")
        except BaseException:
            self.close()
            raise

    def _open(self, threads):
        """Open the file, again where it was open; `threads` of the decoder."""
        self.close()
        self._container, self._stream = open_stream(self.path, threads, self._strict)
        self._open_threads = threads

    def _first_frame(self):
        """The first keyframe's picture as an av frame, None where it can't be decoded."""
        shown_keys = self._number_of[self._keys]
        n = next(iter(shown_keys[shown_keys >= 0]), 0)  # what is shown before it may be cut off from its keyframe
        wanted = np.array([n])
        with contextlib.suppress(_Damaged):
            return next((frame for _, frame in self._decode(wanted, self._keys_of(wanted)[0], 0)), None)
        return None

    def _use(self, index):
        """Arrays that follow from the index: an uncut film has 200,000 packets."""
        self.index, self.n_frames, self._ticks = index, len(index.order), index.ticks
        # (P,) the native frame of each packet, -1 for one that isn't shown
        self._number_of = np.full(len(index.pts), -1, np.int64)
        self._number_of[index.order] = np.arange(self.n_frames)
        self._keys = np.flatnonzero(index.key) if index.key.any() else np.zeros(1, np.int64)
        self._by_pts = np.argsort(index.pts, kind="stable")
        # (P,) grows with when packets are shown: their times, or where these can't be trusted the frames' numbers
        times = index.pts[index.order]
        self._times_are_sound = bool((np.diff(times) > 0).all()) and np.array_equal(times, index.ticks)
        self._shown_at = index.pts if self._times_are_sound else self._order_values()

    def _order_values(self):
        """(P,) grows with when packets are shown: the frames' numbers; one without a frame as the one before."""
        before = np.maximum.accumulate(np.where(self._number_of >= 0, np.arange(len(self._number_of)), 0))
        return self._number_of[before]

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
        (pts, pos), index = get_packet_key(packet), self.index
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

    def close(self):
        if self._container is not None:
            self._container.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
