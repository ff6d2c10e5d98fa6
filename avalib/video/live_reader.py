"""Read a camera, a stream or a file in a thread of its own: only the newest frames are kept, and delay is bounded.

A stream that stalls, ends or is cut is connected again, with growing waits. What is late is dropped, and counted.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from avalib.video.cut_finder import is_cut, make_thumbnail
from avalib.video.live_buffer import LiveBuffer, LiveFrame
from avalib.video.live_source import OPEN_TIMEOUT_S, StreamError, StreamRefusedError, open_live, parse_live_source
from avalib.video.pyav import av
from avalib.video.rgb_picture import read_display_matrix, turn_upright
from avalib.video.stream_clock import StreamClock

logger = logging.getLogger(__name__)

STALL_S = 5.0
MAX_DELAY_S = 1.0
FIRST_WAIT_S = 0.5  # before a new connection; each further wait is twice as long
MAX_WAIT_S = 30.0
LASTING_S = 10.0  # a connection that gave pictures for so long was a good one: waits begin again with the first
ARRIVAL_TIMED = ("mpjpeg", "mjpeg", "h264", "hevc")  # formats without times of their own


@dataclass
class LiveCounts:
    """What has happened to a stream so far."""

    received: int = 0  # frames, those included that were dropped before or after decoding
    reconnects: int = 0
    size_changes: int = 0
    damaged: int = 0  # packets that could not be decoded


class LiveReader:
    """Reads a live source, from `start` until it is closed, or until a file ends.

    The source is opened here, so that a wrong address is an error of this call; later errors lead to new connections.

    Parameters
    ----------
    source : int, str or Path
        See `parse_live_source`.
    stall_s : float
        A stream without a picture for so long is connected again.
    max_delay_s : float
        Frames that arrive later than this after the fastest one are dropped.
    open_timeout_s : float
        The longest wait for an answer.

    Raises
    ------
    StreamError
        The camera or stream cannot be opened.
    VideoError
        The file is no video.
    """

    def __init__(
        self,
        source: int | str | Path,
        stall_s: float = STALL_S,
        max_delay_s: float = MAX_DELAY_S,
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ):
        self.source = parse_live_source(source)
        self.stall_s = stall_s
        self.max_delay_s = max_delay_s
        self.open_timeout_s = open_timeout_s
        self.buffer = None  # a LiveBuffer, from `start` on
        self.counts = LiveCounts()
        self._clock = StreamClock()
        self._to_rgb = av.video.reformatter.VideoReformatter()
        self._stop = threading.Event()
        self._wait_s = FIRST_WAIT_S
        self._shot = 0
        self._size = None  # (width, height) of the newest frame
        self._coded_size = None  # the same as coded, of the frame whose display matrix was read
        self._display_matrix = None
        self._thumbnail = None
        self._thread = None
        self._container, self._stream = open_live(self.source, open_timeout_s, stall_s)

    def start(self, short_side: int, span_s: float) -> None:
        """Start reading into `buffer`: a LiveBuffer of frames with this short side in pixels, of the last seconds."""
        self.buffer = LiveBuffer(short_side, span_s)
        self._thread = threading.Thread(target=self._run, name="avalib live reader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading. A read that is waiting for data ends by its own timeout."""
        self._stop.set()
        if self._thread is None:
            self._container.close()
        else:
            self._thread.join(timeout=1)

    def _run(self):
        """The thread: one connection after the other."""
        error = None
        try:
            while not self._stop.is_set():
                reason = self._read_connection()
                self._container.close()
                if self.source.kind == "file" or self._stop.is_set():
                    break
                self._reconnect(reason)
        except Exception as raised:  # it belongs to whoever waits for frames
            error = raised
        finally:
            self._container.close()
            self.buffer.close(error)

    def _read_connection(self):
        """Read until the connection is no good any more. Returns why, for a message."""
        self._begin_connection()
        try:
            for packet in self._container.demux(self._stream):
                if self._stop.is_set():
                    return "stopped"
                if self._has_to_skip(packet):
                    self.counts.received += 1
                    continue
                self._decode(packet)
                # data without pictures, such as sound alone, is a stall too
                if time.monotonic() - self._picture_at_s > self.stall_s and self.source.kind != "file":
                    return f"no picture for {self.stall_s:g} s"
            return "the stream ended"
        except (av.error.ExitError, TimeoutError):
            return f"no data for {self.stall_s:g} s"
        except (av.error.FFmpegError, OSError) as error:
            # the text of FFmpeg's errors has the address in it
            return f"the connection was cut ({getattr(error, 'strerror', None) or type(error).__name__})"

    def _begin_connection(self):
        """Nothing that comes now follows what came before."""
        self._clock.reset()
        self._picture_at_s = time.monotonic()
        self._connected_at_s = self._picture_at_s
        self._is_catching_up = False
        self._coded_size = None
        self._begin_shot()

    def _begin_shot(self):
        """Clips and tracks end here: a new connection, a jump of the clock, another size."""
        self._shot += 1
        self._thumbnail = None
        self.buffer.clear()

    def _has_to_skip(self, packet):
        """Whether a packet is so late that the decoder cannot catch up: it goes on at the next key frame in time."""
        if packet.pts is None:
            return False
        pts_s = self._to_seconds(packet.pts)
        lag_s = self._clock.measure_lag(pts_s)
        if lag_s > 2 * self.max_delay_s and not packet.is_keyframe:
            self._is_catching_up = True
        elif self._is_catching_up and packet.is_keyframe and lag_s <= self.max_delay_s:
            self._is_catching_up = False
            self._stream.codec_context.flush_buffers()
        if self._is_catching_up:
            self._clock.pass_over(pts_s)
        return self._is_catching_up

    def _decode(self, packet):
        """Put a packet's frames into the buffer, but those that are late."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            # a damaged packet, as UDP has them; without any picture it becomes a stall
            self.counts.damaged += 1
            return
        for frame in frames:
            self._take(frame)

    def _take(self, frame):
        """Put one av frame into the buffer, unless it is late."""
        now_s = time.monotonic()
        self._picture_at_s = now_s
        has_times = frame.pts is not None and self._container.format.name not in ARRIVAL_TIMED
        pts_s = self._to_seconds(frame.pts) if has_times or self.source.kind == "file" else now_s
        if self._clock.is_jump(pts_s):
            self._clock.reset()
            self._begin_shot()
        # a file comes as slowly as a camera
        if self.source.kind == "file":
            self._stop.wait(self._clock.measure_lead(pts_s))
        is_late = self._clock.measure_lag(pts_s) > self.max_delay_s
        time_s, captured_s = self._clock.advance(pts_s)
        number = self.counts.received
        self.counts.received += 1
        if not is_late:
            picture = self._convert(frame)
            self._count_shots(picture)
            self.buffer.add(LiveFrame(number, time_s, captured_s, self._shot, picture))

    def _to_seconds(self, pts):
        return float(pts * self._stream.time_base)

    def _convert(self, frame):
        """An av frame as an upright RGB array (H,W,3) uint8."""
        # once for a connection and size: a frame whose side data was read stays in memory until the garbage collector
        # comes, as the two refer to each other
        if self._coded_size != (frame.width, frame.height):
            self._coded_size = frame.width, frame.height
            self._display_matrix = read_display_matrix(frame)
        rgb = self._to_rgb.reformat(frame, format="rgb24", src_colorspace="ITU601", threads=1)
        return turn_upright(rgb.to_ndarray(), self._display_matrix)

    def _count_shots(self, picture):
        """Begin a shot where the size changes or a cut lies before this picture."""
        size = picture.shape[1], picture.shape[0]
        if self._size not in (None, size):
            self.counts.size_changes += 1
            logger.info("%s: the picture is now %dx%d", self.source.name, *size)
            self._begin_shot()
        self._size = size
        thumbnail = make_thumbnail(picture)
        if self._thumbnail is not None and is_cut(self._thumbnail, thumbnail):
            self._shot += 1
        self._thumbnail = thumbnail

    def _reconnect(self, reason):
        """Open the source again, as often as it takes. Raises StreamRefusedError if that is useless."""
        if time.monotonic() - self._connected_at_s > LASTING_S:
            self._wait_s = FIRST_WAIT_S
        while True:
            logger.warning("%s: %s; connecting again in %g s", self.source.name, reason, self._wait_s)
            if self._stop.wait(self._wait_s):
                return
            self._wait_s = min(2 * self._wait_s, MAX_WAIT_S)
            try:
                self._container, self._stream = open_live(self.source, self.open_timeout_s, self.stall_s)
            except StreamRefusedError:
                raise
            except StreamError as error:
                reason = str(error).removeprefix(f"{self.source.name}: ")
            else:
                self.counts.reconnects += 1
                return
