"""The packets of a video stream, and the order in which its frames are shown.

In most files a packet is a frame, and its presentation time is that of the frame. If the times can't be trusted (avi
has none, some files have equal ones or jumps back where streams were joined), the file is decoded once, and the
decoder's order counts.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avalib.video.container import explain_undecodable, open_stream
from avalib.video.container_header import MAX_FRAMES
from avalib.video.pyav import av
from avalib.video.video_error import VideoError

NO_TIME = np.iinfo(np.int64).min
# in a transport stream, ffmpeg continues from the time before a jump of over JUMP_S back or AHEAD_S ahead
JUMP_S = 0.1
AHEAD_S = 10.0


class PacketIndex(NamedTuple):
    """The packets of a video stream in file order, as plain arrays that can be pickled and stored.

    A field whose meaning changes gets a new name: a stored index then lacks it, and the file is read again.
    """

    pts: np.ndarray  # (P,) int64 presentation times in units of time_base (the decoding time if there is none)
    dts: np.ndarray  # (P,) int64 decoding times (the presentation time if there is none)
    pos: np.ndarray  # (P,) int64 byte positions
    duration: np.ndarray  # (P,) int64, 0 if unknown
    key: np.ndarray  # (P,) bool: decoding can start here
    order: np.ndarray  # (N,) int64: the packet of each frame, in the order in which they are shown
    ticks: np.ndarray  # (N,) int64: the time at which each is shown, in units of time_base

    def is_consistent(self) -> bool:
        """Whether the arrays fit together: a stored index may be damaged."""
        if not all(isinstance(array, np.ndarray) for array in self):
            return False
        n_packets = len(self.pts)
        lengths = {len(a) if a.ndim == 1 else -1 for a in (self.dts, self.pos, self.duration, self.key)}
        kinds = {a.dtype for a in (self.pts, self.dts, self.pos, self.duration, self.order, self.ticks)}
        return (
            lengths == {n_packets}
            and kinds == {np.dtype(np.int64)}
            and self.key.dtype == bool
            and 0 < len(self.order) == len(self.ticks)
            and 0 <= self.order.min() <= self.order.max() < n_packets
        )


def get_packet_key(packet: av.Packet) -> tuple[int, int]:
    """Get the (presentation time, byte position) of a packet, which no other packet of its stream has."""
    pts = packet.dts if packet.pts is None else packet.pts
    return NO_TIME if pts is None else pts, -1 if packet.pos is None else packet.pos


class _Packets(NamedTuple):
    """The packets of a stream in file order: the first five fields of a PacketIndex, and which ones are shown."""

    pts: np.ndarray
    dts: np.ndarray
    pos: np.ndarray
    duration: np.ndarray
    key: np.ndarray
    shown: np.ndarray  # (P,) bool


def read_index(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, path: str | Path, threads: int = 1
) -> PacketIndex:
    """Read the PacketIndex of a freshly opened container.

    One pass over the file. Only if the times can't be trusted, all frames are decoded.

    Parameters
    ----------
    container, stream
        As `open_stream` returns them.
    path : str or Path
        The file, for messages and for decoding it again.
    threads : int
        Threads of the decoder.

    Raises
    ------
    VideoError
        The file has no frames, too many, or none that can be decoded.
    """
    packets = _read_packets(container, stream, path)
    pts = packets.pts
    key = packets.key
    is_joinable = container.format.name == "mpegts"
    offsets = find_jumps(packets.dts, stream.time_base) if is_joinable else np.zeros_like(packets.dts)
    if _has_sound_times(container, packets):
        # the frames (N,) by presentation time
        order = np.flatnonzero(packets.shown)
        order = order[np.argsort(pts[order], kind="stable")]
        ticks = pts[order] + offsets[order]
    else:
        # the frames (N,) as the decoder returns them, without those that are not shown
        times, order, key = decode_all(path, len(pts), threads)
        is_shown = packets.shown[order]
        times = times[is_shown]
        order = order[is_shown]
        if container.format.name != "avi" and (pts != NO_TIME).all():
            ticks = pts[order] + offsets[order]
        else:
            ticks = _compute_decoder_ticks(stream, times)
    if not len(order):
        raise VideoError(f"{path}: none of its {len(pts)} frames could be decoded; {explain_undecodable(stream)}")
    return PacketIndex(pts, packets.dts, packets.pos, packets.duration, key, order, ticks)


def _read_packets(container, stream, path):
    """The packets of a stream. Raises VideoError."""
    # (pts, dts, pos, duration, key, shown) of each packet
    rows = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                pts, pos = get_packet_key(packet)
                dts = pts if packet.dts is None else packet.dts
                rows.append((pts, dts, pos, packet.duration or 0, packet.is_keyframe, not packet.is_discard))
                is_cut_off = packet.is_corrupt
                if len(rows) > MAX_FRAMES:
                    raise VideoError(f"{path}: over {MAX_FRAMES:,} frames (MAX_FRAMES); cut it into shorter files")
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise VideoError(f"{path}: reading stopped after {len(rows)} packets ({error}); is it damaged?") from error
    # the last packet of a file that was cut off is half a packet; elsewhere a corrupt packet may well be complete
    if rows and is_cut_off:
        rows[-1] = (*rows[-1][:5], False)
    if not any(row[5] for row in rows):
        raise VideoError(f"{path}: the video stream has no frames; is the file complete?")
    # four columns of int64, two of bool, each (P,)
    columns = zip(*rows, strict=True)
    return _Packets(*(np.array(column, kind) for column, kind in zip(columns, "qqqq??", strict=True)))


def _has_sound_times(container, packets):
    """Whether presentation times tell which frames are shown, and in which order."""
    pts, dts, _, _, key, shown = packets
    if container.format.name == "avi" or (pts == NO_TIME).any() or not key[shown].any():
        return False
    # cut in the middle of a group: the frames before its keyframe may not be decodable
    if pts[shown].min() < pts[key].min():
        return False
    # shown before it is decoded: one of the two times is wrong
    if (pts[shown] < dts[shown]).any():
        return False
    # all times differ, and the packets are in order
    times = np.sort(pts[shown])
    return bool((np.diff(times) > 0).all() and (np.diff(dts) >= 0).all())


def decode_all(path: str | Path, n_packets: int, threads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode every frame.

    Returns
    -------
    times : (N,) int64
        The decoding time of the packet after which the decoder returned each frame, NO_TIME at the end of the file.
    order : (N,) int64
        The packet of each frame, in the decoder's order.
    key : (P,) bool
        Whether decoding can start at each packet.
    """
    container, stream = open_stream(path, threads)
    times = []
    order = []
    key = np.zeros(n_packets, bool)
    remaining = set(range(n_packets))  # the packets whose frame has not come yet
    with container:
        packets = (packet for packet in container.demux(stream) if packet.size)
        # None at the end: the decoder returns the frames that it holds back
        for number, packet in itertools.chain(enumerate(packets), [(None, None)]):
            try:
                if packet is not None:
                    packet.opaque = number
                frames = stream.codec_context.decode(packet)
            except (av.error.FFmpegError, ValueError):
                continue  # a damaged packet has no frame, as in every player
            for frame in frames:
                # a damaged packet may have two frames; the first counts
                if frame.opaque in remaining:
                    remaining.remove(frame.opaque)
                    times.append(NO_TIME if frame.dts is None else frame.dts)
                    order.append(frame.opaque)
                    key[frame.opaque] |= frame.key_frame
    return np.array(times, np.int64), np.array(order, np.int64), key


def _compute_decoder_ticks(stream, times):
    """The time at which each frame is shown (N,), from the `times` (N,) of `decode_all`."""
    # avi counts frames as they are decoded: to ffmpeg a frame is shown when the decoder returns it
    rate = stream.average_rate or stream.guessed_rate or 25
    step = 1 / float(rate * stream.time_base)
    has_time = times != NO_TIME
    # without sound times: one frame a step
    if not has_time.any() or not (np.diff(times[has_time]) > 0).all():
        return np.round(np.arange(len(times)) * step).astype(np.int64)
    # the frames after the last time, which come at the end of the file, are a step apart
    last = int(np.flatnonzero(has_time)[-1])
    after = times[last] + np.round(np.arange(1, len(times) - last) * step).astype(np.int64)
    # those before it lie between their neighbors
    before = np.interp(np.arange(last + 1), np.flatnonzero(has_time), times[has_time])
    return np.concatenate([np.round(before).astype(np.int64), after])


def find_jumps(dts: np.ndarray, tick_s: float) -> np.ndarray:
    """Find the offset (P,) of each packet's times that makes them continuous where streams were joined.

    As ffmpeg does for transport streams: after a jump of over JUMP_S back or AHEAD_S ahead, the times continue from the
    time before it.

    Parameters
    ----------
    dts : (P,) int64
        Decoding times in ticks.
    tick_s : float or Fraction
        Seconds of a tick.
    """
    # the distance (P,) to the packet before, and the usual distance
    step = np.diff(dts, prepend=dts[:1])
    usual_step = int(np.median(step[step > 0])) if (step > 0).any() else 0
    is_jump = (step * float(tick_s) < -JUMP_S) | (step * float(tick_s) > AHEAD_S)
    # each jump becomes a usual step, for all packets from there on
    return np.cumsum(np.where(is_jump, usual_step - step, 0))
