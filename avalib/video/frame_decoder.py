"""Frames of a video stream by their number, as the decoder gives them, from anywhere in the file.

Every packet is marked with its place in the file before it is decoded, and the frame that comes out carries the mark:
neither times nor the order in which frames come say which frame it is.

A *picture* is a decoded frame as PyAV has it (av.VideoFrame). A *key packet* is one at which decoding can start.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from avalib.video.container import check_is_file, explain_undecodable, open_stream
from avalib.video.packet_index import NO_TIME, PacketIndex, get_packet_key, read_index
from avalib.video.pyav import av
from avalib.video.video_error import VideoError

LEAD_INS = (0, 1, 3)  # key packets before the nearest one to start from, when a frame doesn't come from that
MAX_SEEK_ATTEMPTS = 8  # key packets that are tried before the file is read from its beginning


class _DamagedPacketError(Exception):
    """The decoder refused a packet."""


class FrameDecoder:
    """The video stream of a file, by frame number.

    Parameters
    ----------
    path : str or Path
    threads : int
        The decoder's; 0 means one per core.
    packet_index : PacketIndex, optional
        That of an earlier opening.

    Attributes
    ----------
    path : Path
    packet_index : PacketIndex
    n_frames : int
    key_packets : (K,) int64
        The places in the file of the packets at which decoding can start.

    Raises
    ------
    VideoError
    """

    def __init__(self, path: str | Path, threads: int = 1, packet_index: PacketIndex | None = None):
        check_is_file(path)  # before Path changes an address
        self.path = Path(path)
        self._threads = threads
        self._strict = True  # the decoder refuses damaged pictures
        self._container = None
        self._lead_in = 0  # the one of LEAD_INS that the last pass needed
        self._open(threads)
        try:
            if packet_index is None or not packet_index.is_consistent():
                packet_index = read_index(self._container, self._stream, self.path, threads)
            self._set_index(packet_index)
            self._first_picture = self._decode_first_picture()
            if self._first_picture is None:  # some files are odd from their first picture on, and whole all the same
                self._strict = False
                self._open(threads)
                self._first_picture = self._decode_first_picture()
            if self._first_picture is None:
                reason = explain_undecodable(self._stream)
                raise VideoError(f"{path}: its first frame could not be decoded; {reason}")
        except BaseException:
            self.close()
            raise

    def _open(self, threads):
        """Open the file, again where it was open; `threads` of the decoder."""
        self.close()
        self._container, self._stream = open_stream(self.path, threads, self._strict)
        self._open_threads = threads

    def reset(self) -> None:
        """Open the file anew: what is read next does not depend on what was read before, even in a damaged file."""
        self._open(self._threads)
        self._lead_in = 0

    def _decode_first_picture(self):
        """The picture of the first key packet; None where it can't be decoded."""
        key_frames = self._frame_of_packet[self.key_packets]
        n = next(iter(key_frames[key_frames >= 0]), 0)  # frames before it may be cut off from their key packet
        frames = np.array([n])
        with contextlib.suppress(_DamagedPacketError):
            for _, picture in self._decode(frames, self.find_key_packets(frames)[0], lead_in=0):
                return picture
        return None

    def _set_index(self, index):
        """Set arrays that follow from the index. They are computed once: an uncut film has 200,000 packets."""
        self.packet_index = index
        self.n_frames = len(index.order)
        self._ticks = index.ticks
        self.key_packets = np.flatnonzero(index.key) if index.key.any() else np.zeros(1, np.int64)
        # (P,) the native frame of each packet, -1 for one that isn't shown
        self._frame_of_packet = np.full(len(index.pts), -1, np.int64)
        self._frame_of_packet[index.order] = np.arange(self.n_frames)
        # (P,) packets by presentation time, to look one up
        self._by_pts = np.argsort(index.pts, kind="stable")
        # (P,) grows with when packets are shown: their times, or where these can't be trusted the frames' numbers
        times = index.pts[index.order]
        self._times_are_sound = bool((np.diff(times) > 0).all()) and np.array_equal(times, index.ticks)
        self._shown_at = index.pts if self._times_are_sound else self._compute_order_values()

    def _compute_order_values(self):
        """(P,) the frame number of each packet; a packet without a frame has that of the one before it."""
        packets = np.arange(len(self._frame_of_packet))
        last_with_frame = np.maximum.accumulate(np.where(self._frame_of_packet >= 0, packets, 0))
        return self._frame_of_packet[last_with_frame]

    def find_key_packets(self, frames: np.ndarray) -> np.ndarray:
        """From which key packet each frame can be decoded: the last one before it in the file and in time.

        frames: (n,) native. Returns (n,) indices into `key_packets`, -1 where there is none.
        """
        packets = self.packet_index.order[frames]
        key = np.searchsorted(self.key_packets, packets, side="right") - 1
        while True:
            # shown before its key packet (open GOP): the GOP before
            is_early = (key >= 0) & (self._shown_at[self.key_packets[key]] > self._shown_at[packets])
            if not is_early.any():
                return key
            key -= is_early

    def iter_pictures(self, frames: np.ndarray) -> Iterator["tuple[int, av.VideoFrame | None]"]:
        """(n, picture) of the native `frames` (n,), ascending; None for a picture that the file doesn't give."""
        keys = self.find_key_packets(frames)
        done = 0
        while done < len(frames):
            for pair in self._decode_until_gap(frames[done:], keys[done], self._lead_in):
                done += 1
                yield pair
            if done < len(frames):
                # the frames of this key packet that are left
                stop = int(np.searchsorted(keys, keys[done], side="right"))
                yield from self._decode_with_lead_in(frames[done:stop], keys[done])
                done = stop

    def _decode_with_lead_in(self, frames, key):
        """What `iter_pictures` gives for frames of one key packet, of which the first didn't come.

        A key packet that isn't a fresh start of the decoder (a recovery point, as x264's open-gop and intra-refresh
        make) gives exact pictures only when what is before it was decoded too. What doesn't come that way is damaged,
        and with it all up to the next key packet, as it may have been made from the damage.
        """
        done = 0
        for lead_in in LEAD_INS:
            for pair in self._decode_until_gap(frames[done:], key, lead_in):
                done += 1
                self._lead_in = lead_in  # this helps: the next pass begins so
                yield pair
        if done < len(frames):
            # the rest with gaps
            with contextlib.suppress(_DamagedPacketError):
                for n, picture in self._decode(frames[done:], key, lead_in=0):
                    place = int(np.searchsorted(frames, n))
                    if place >= done:  # else it came too late
                        for missing in frames[done:place]:
                            yield missing, None
                        done = place + 1
                        yield n, picture
        for missing in frames[done:]:
            yield missing, None

    def _decode_until_gap(self, frames, key, lead_in):
        """(n, picture) of the first of the native `frames`, as far as all of them come."""
        if not len(frames):
            return
        # an error must belong to its packet, where some are passed over: no threads then
        threads = 1 if lead_in and key > 0 else self._threads
        if threads != self._open_threads:
            self._open(threads)
        with contextlib.suppress(_DamagedPacketError):
            for expected, (n, picture) in zip(frames, self._decode(frames, key, lead_in), strict=False):
                if n != expected:
                    return
                yield n, picture

    def _decode(self, frames, key, lead_in):
        """(n, picture) of the native `frames`, ascending, read from key packet `key` to the last packet needed.

        lead_in: so many key packets before it are where reading begins; what is in between only prepares the decoder,
        and errors there are passed over. Frames that nothing refers to and that are not in `frames` are not decoded.
        What the decoder can't give is left out. Raises _DamagedPacketError where it refuses a packet.
        """
        start = int(self.key_packets[max(key - lead_in, 0)]) if key >= 0 else 0
        origin = int(self.key_packets[key]) if key >= 0 else 0
        needed = set(self.packet_index.order[frames].tolist())
        last = max(needed)
        shown_at = self._shown_at
        skip_frame = None  # as it is set in the decoder
        for place, packet in self._iter_packets_and_flush(start, last):
            if packet is not None and place != start:
                if place < start or shown_at[place] < shown_at[start]:
                    continue  # the second: leading pictures of an open GOP, which belong to the pass before
            # packets of old avi hold two frames or none: nothing is skipped there
            is_needed = packet is None or place in needed or not self._times_are_sound
            skip = "DEFAULT" if is_needed else "NONREF"
            context = self._stream.codec_context  # asked anew, as iter_packets may have opened the file again
            if skip != skip_frame:  # to set it is not free
                skip_frame = skip
                context.skip_frame = skip
            try:
                if packet is not None:
                    packet.opaque = place
                pictures = context.decode(packet)
            except (av.error.FFmpegError, MemoryError) as error:
                if place < origin:
                    continue
                context.flush_buffers()
                raise _DamagedPacketError from error
            for picture in pictures:
                if picture.opaque in needed:
                    needed.remove(picture.opaque)
                    yield int(self._frame_of_packet[picture.opaque]), picture

    def _iter_packets_and_flush(self, start, last):
        """(place, packet) from `start` to `last`, then (last, None), which makes the decoder give what it holds."""
        for place, packet in self.iter_packets(start):
            if place > last:
                break
            yield place, packet
        yield last, None

    def iter_packets(self, start: int) -> Iterator["tuple[int, av.Packet]"]:
        """(place in the file, packet) in file order, from the packet `start` or somewhat before."""
        for seek in self._iter_seeks(start):
            try:
                seek()
                packets = (p for p in self._container.demux(self._stream) if p.size)
                first = next(packets, None)
            except av.error.FFmpegError:
                continue
            place = None if first is None else self._find_place(first)
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
                indexed_place = self._find_place(packet, place + 1)
                place = place + 1 if indexed_place is None else indexed_place
                yield place, packet
        except av.error.FFmpegError as error:
            raise VideoError(f"{self.path}: reading stopped after packet {place} ({error})") from error

    def _iter_seeks(self, start):
        """Functions that move the container to the packet `start` or before it, the most exact first."""
        pts = self.packet_index.pts
        dts = self.packet_index.dts
        # the nearest key packets first, the file's beginning last
        seek = partial(self._container.seek, stream=self._stream, backward=True)
        for key in self.key_packets[self.key_packets <= start][::-1][:MAX_SEEK_ATTEMPTS]:
            # by the time it is shown, as most containers are searched; by that it is decoded at, which some need
            for time in (pts[key], min(pts[key], dts[key])):
                if time != NO_TIME:
                    yield partial(seek, int(time))
        yield partial(self._container.seek, 0)
        yield lambda: self._open(self._open_threads)

    def _find_place(self, packet, likely=-1):
        """The packet's place in the file, None if the index doesn't have it; `likely` is tried first."""
        index = self.packet_index
        pts, pos = get_packet_key(packet)
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

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
