"""What is in a video stream, packet by packet, and in which order its frames are shown.

Most files say it: a packet is a frame, its presentation time is the frame's. Where the times can't be trusted (none in
avi, twice the same, jumps back where streams were joined), the file is decoded once and the decoder's order counts.
"""

import itertools
from typing import NamedTuple

import av
import numpy as np

from avalib.video.container import MAX_FRAMES, explain_undecodable, open_stream
from avalib.video.video_error import VideoError

NO_TIME = np.iinfo(np.int64).min
JUMP_S = 0.1  # of times in a transport stream: from such a jump back on, or one of 10 s ahead, ffmpeg goes on from the
AHEAD_S = 10.0  # time before


class PacketIndex(NamedTuple):
    """What is in a video stream, packet by packet in file order; plain arrays, made to be pickled and kept.

    Whoever changes what a field means renames it: an index that was kept before then lacks it, and is made anew.
    """

    pts: np.ndarray  # (P,) int64 presentation times, in units of time_base; the decoding time where there is none
    dts: np.ndarray  # (P,) int64 decoding times (the presentation time where the container has none)
    pos: np.ndarray  # (P,) int64 byte positions
    duration: np.ndarray  # (P,) int64, 0 where the container doesn't say
    key: np.ndarray  # (P,) bool: decoding can start here
    order: np.ndarray  # (N,) int64: the packet of each frame, in the order they are shown
    ticks: np.ndarray  # (N,) int64: the time that each is shown at, in units of time_base

    def is_consistent(self):
        """Whether the arrays fit together: a kept file may be damaged."""
        if not all(isinstance(array, np.ndarray) for array in self):
            return False
        packets = len(self.pts)
        lengths = {len(a) if a.ndim == 1 else -1 for a in (self.dts, self.pos, self.duration, self.key)}
        kinds = {a.dtype for a in (self.pts, self.dts, self.pos, self.duration, self.order, self.ticks)}
        return (
            lengths == {packets}
            and kinds == {np.dtype(np.int64)}
            and self.key.dtype == bool
            and 0 < len(self.order) == len(self.ticks)
            and 0 <= self.order.min() <= self.order.max() < packets
        )


def get_packet_key(packet):
    """What tells a packet from all others of its stream: (presentation time, byte position)."""
    pts = packet.dts if packet.pts is None else packet.pts
    return NO_TIME if pts is None else pts, -1 if packet.pos is None else packet.pos


def read_index(container, stream, path, threads=1):
    """The PacketIndex of a freshly opened container: one pass over the file, nothing decoded where times are sound."""
    rows = []
    try:
        for p in container.demux(stream):
            if p.size:
                pts, pos = get_packet_key(p)
                dts = pts if p.dts is None else p.dts
                rows.append((pts, dts, pos, p.duration or 0, p.is_keyframe, not p.is_discard))
                is_cut_off = p.is_corrupt
                if len(rows) > MAX_FRAMES:
                    raise VideoError(f"{path}: over {MAX_FRAMES:,} frames (MAX_FRAMES); cut it into shorter files")
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise VideoError(f"{path}: reading stopped after {len(rows)} packets ({error}); is it damaged?") from error
    if rows and is_cut_off:  # half a packet at a torn end; elsewhere it may well be whole
        rows[-1] = (*rows[-1][:5], False)
    if not any(row[5] for row in rows):
        raise VideoError(f"{path}: the video stream has no frames; is the file complete?")
    columns = [np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), "qqqq??", strict=True)]
    pts, dts, pos, duration, key, shown = columns
    offsets = find_jumps(dts, stream.time_base) if container.format.name == "mpegts" else np.zeros_like(dts)
    if _times_are_sound(container, pts, dts, key, shown):
        order = np.flatnonzero(shown)
        order = order[np.argsort(pts[order], kind="stable")]
        ticks = pts[order] + offsets[order]
    else:
        times, order, key = decode_all(path, len(pts), threads)
        times, order = times[shown[order]], order[shown[order]]
        if container.format.name != "avi" and (pts != NO_TIME).all():
            ticks = pts[order] + offsets[order]
        else:
            ticks = _times_by_decoder(stream, times)
    if not len(order):
        raise VideoError(f"{path}: none of its {len(pts)} frames could be decoded; {explain_undecodable(stream)}")
    return PacketIndex(pts, dts, pos, duration, key, order, ticks)


def _times_are_sound(container, pts, dts, key, shown):
    """Whether presentation times tell which frames are shown, and in which order."""
    if container.format.name == "avi" or (pts == NO_TIME).any() or not key[shown].any():
        return False
    if pts[shown].min() < pts[key].min():  # cut in the midst of a group: what is before its keyframe may not come
        return False
    if (pts[shown] < dts[shown]).any():  # shown before it is decoded: one of the two is made up
        return False
    times = np.sort(pts[shown])
    return bool((np.diff(times) > 0).all() and (np.diff(dts) >= 0).all())


def decode_all(path, n_packets, threads):
    """Every frame in the order that the decoder gives them: (times (N,), packets (N,), key (P,)).

    times: the decoding time of the packet that brought the decoder to give it, NO_TIME at the end of the file; packets:
    which each frame is from; key: whether decoding can start at a packet.
    """
    container, stream = open_stream(path, threads)
    times, order, key, unseen = [], [], np.zeros(n_packets, bool), set(range(n_packets))
    with container:
        packets = (p for p in container.demux(stream) if p.size)
        for place, packet in itertools.chain(enumerate(packets), [(None, None)]):
            try:
                if packet is not None:
                    packet.opaque = place
                frames = stream.codec_context.decode(packet)
            except (av.error.FFmpegError, ValueError):
                continue  # a damaged packet gives no frame, as in every player
            for frame in frames:
                if frame.opaque in unseen:  # of a packet that gives two, as only damaged ones do, the first
                    unseen.remove(frame.opaque)
                    times.append(NO_TIME if frame.dts is None else frame.dts)
                    order.append(frame.opaque)
                    key[frame.opaque] |= frame.key_frame
    return np.array(times, np.int64), np.array(order, np.int64), key


def _times_by_decoder(stream, times):
    """(N,) when each frame is shown, from the `times` (N,) of `decode_all`."""
    # avi counts frames as they are decoded: to ffmpeg a frame is shown when the decoder gives it
    rate = stream.average_rate or stream.guessed_rate or 25
    step = 1 / float(rate * stream.time_base)
    timed = times != NO_TIME
    if not timed.any() or not (np.diff(times[timed]) > 0).all():
        return np.round(np.arange(len(times)) * step).astype(np.int64)
    last = int(np.flatnonzero(timed)[-1])  # those after it come out at the end of the file, a step apart
    after = times[last] + np.round(np.arange(1, len(times) - last) * step).astype(np.int64)
    inside = np.interp(np.arange(last + 1), np.flatnonzero(timed), times[timed])
    return np.concatenate([np.round(inside).astype(np.int64), after])


def find_jumps(dts, tick_s):
    """(P,) what to add to the times of each packet so that they go on where streams were joined.

    As ffmpeg does for transport streams: a time that is over 0.1 s before the last one or 10 s after it goes on from
    there.
    """
    step = np.diff(dts, prepend=dts[:1])
    usual = int(np.median(step[step > 0])) if (step > 0).any() else 0
    far = (step * float(tick_s) < -JUMP_S) | (step * float(tick_s) > AHEAD_S)
    return np.cumsum(np.where(far, usual - step, 0))
