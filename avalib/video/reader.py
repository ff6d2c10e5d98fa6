"""Exact frames from video files.

A frame is a (H,W,3) uint8 RGB array. Two ways to count: native frames 0, 1, 2 … in the order a player shows them, and
AVA numbers 1, 2, 3 … at 30 a second, as in the file names of `ffmpeg -i VIDEO -r 30 -q:v 1 img_%05d.jpg`.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from avalib.video.container import open_container
from avalib.video.container_header import is_torn
from avalib.video.frame_decoder import FrameDecoder
from avalib.video.frame_numbers import compute_ava_numbering, select_cut_frames, validate_frame_numbers
from avalib.video.packet_index import PacketIndex
from avalib.video.pyav import av
from avalib.video.rgb_picture import compute_rotation_degrees, read_display_matrix, turn_upright
from avalib.video.video_error import VideoError


class Video(FrameDecoder):
    """One video file with exact random access by frame number.

    The file is read through once at opening to index its packets. Where the file's times are sound, nothing but the
    first frame is decoded for that; see packet_index. Of several video streams it reads the one that ffmpeg takes.
    Colors are converted by BT.601 whatever the file says, as readers of the recipe's jpgs do. Not thread-safe; open
    one in each worker.

    Parameters
    ----------
    path : str or Path
    threads : int
        The decoder's; 0 means one per core.
    packet_index : PacketIndex, optional
        That of an earlier opening, which saves reading the file through.
    since_ffmpeg_6_1 : bool
        Whether to number frames as FFmpeg 6.1 and later do; see frame_numbers.
    cut : (float, float), optional
        Start and length in seconds; AVA's is (900, 901). The AVA numbers are then those of the frames that
        `ffmpeg -ss START -t LENGTH -i FILE -r 30 CUT.mp4` leaves. Native frames are the file's all the same.

    Attributes
    ----------
    path : Path
    packet_index : PacketIndex
    width, height : int
        Pixels, as shown.
    rotation : int
        Counterclockwise degrees, already applied.
    fps : float
        The average.
    n_frames, n_ava_frames : int
        Native frames, AVA-numbered frames.
    ava_index : (n_ava_frames,) int64
        ava_index[i] is the native frame that AVA number i + 1 shows; see frame_numbers.
    duration_s : float
    times_s : (n_frames,) float64
        Seconds from the first frame.
    missing_frames : int
        How many frames a truncated file lacks, by what its header promises.

    Raises
    ------
    VideoError
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 1,
        packet_index: PacketIndex | None = None,
        since_ffmpeg_6_1: bool = False,
        cut: tuple[float, float] | None = None,
    ):
        self.since_ffmpeg_6_1 = since_ffmpeg_6_1
        self.cut = cut
        super().__init__(path, threads, packet_index)
        try:
            self._set_properties()
        except BaseException:
            self.close()
            raise

    def _set_properties(self):
        """Set everything that follows from the index and the first picture."""
        index = self.packet_index
        first_picture = self._first_picture
        self._first_picture = None
        self._ava_index = None
        # how pictures become arrays; one for all frames, as to set one up takes longer than to use it
        self._to_rgb = av.video.reformatter.VideoReformatter()
        self._display_matrix = read_display_matrix(first_picture)
        self._coded_size = {"width": first_picture.width, "height": first_picture.height}
        self.rotation = -compute_rotation_degrees(self._display_matrix) % 360
        self.height, self.width = self._to_array(first_picture).shape[:2]
        # times
        tick_s = self._stream.time_base
        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        last_frame_s = int(index.duration[index.order[-1]]) * tick_s or 1 / rate
        self.times_s = np.maximum.accumulate(self._ticks - self._ticks[0]) * float(tick_s)
        self.duration_s = float(self.times_s[-1] + last_frame_s)
        self.fps = self.n_frames / self.duration_s
        self.missing_frames = self._count_promised_packets() - len(index.pts)

    def _count_promised_packets(self):
        """How many packets the header promises; as many as there are where nothing is cut off at the file's end."""
        present = len(self.packet_index.pts)
        kind = self._container.format.name
        if "mp4" in kind:
            return max(len(self._stream.index_entries), present)
        if not is_torn(self.path, kind):
            return present
        container_s = (self._container.duration or 0) / av.time_base
        promised = self._stream.frames or round(container_s * self.fps)
        return max(promised, present + 1)

    @property
    def ava_index(self) -> np.ndarray:
        """See the class."""
        if self._ava_index is None:
            self._ava_index = self._compute_ava_index()
        return self._ava_index

    def _compute_ava_index(self):
        tick_s = self._stream.time_base
        start_s = self._get_start_s()
        part = slice(None)
        if self.cut:
            cut_start_s, cut_length_s = self.cut
            start_s += Fraction(cut_start_s)
            part = select_cut_frames(self._ticks, tick_s, start_s, cut_length_s)
            if part.start == part.stop:
                raise VideoError(
                    f"{self.path}: is {self.duration_s:.1f} s long and has nothing from second {cut_start_s} on; "
                    "expected an uncut video (a cut belongs into the folder of the cuts)"
                )
        try:
            numbering = compute_ava_numbering(
                self._ticks[part],
                self._get_durations()[part],
                tick_s,
                fps=float(self._stream.guessed_rate or self.fps),
                start_s=start_s,
                is_only_stream=len(self._container.streams) == 1,
                since_ffmpeg_6_1=self.since_ffmpeg_6_1,
            )
        except ValueError as error:
            raise VideoError(f"{self.path}: {error}; is it damaged?") from error
        return (part.start or 0) + numbering

    def _get_durations(self):
        """(n_frames,) durations in units of time_base, as FFmpeg takes them for numbering; 0 where unknown."""
        index = self.packet_index
        durations = index.duration[index.order]
        is_mp4_with_b_frames = "mp4" in self._container.format.name and (index.pts != index.dts).any()
        if is_mp4_with_b_frames and not self.since_ffmpeg_6_1:  # older FFmpeg took no others here
            return np.full_like(durations, self._get_coded_duration())
        return durations

    def _get_coded_duration(self):
        """A frame's duration, in units of time_base, by the rate that is written in the coded video; 0 for none."""
        rate = self._stream.codec_context.framerate or 0
        # FFmpeg, libavformat compute_frame_duration: a rate of 1000 and more only says how times are counted
        return round(1 / (rate * self._stream.time_base)) if 0 < rate < 1000 else 0

    def _get_start_s(self):
        """Where FFmpeg puts second 0: the earliest start of a stream (Fraction, seconds)."""
        kind = self._container.format.name
        if kind == "mpegts":  # the start of the stream that is read, not of the file
            return (self._stream.start_time or 0) * self._stream.time_base
        starts = [Fraction(self._container.start_time or 0, av.time_base)]
        if "matroska" in kind and self._container.streams.audio and not self.since_ffmpeg_6_1:
            # later versions leave out what the sound's decoder skips
            with open_container(self.path) as fresh:
                first = next((p for p in fresh.demux(fresh.streams.audio[:1]) if p.pts is not None), None)
            if first is not None:
                starts.append(first.pts * first.time_base)
        return min(starts)

    @property
    def n_ava_frames(self) -> int:
        return len(self.ava_index)

    def read_frames(self, native_frames: Iterable[int]) -> np.ndarray:
        """Read native frames.

        Parameters
        ----------
        native_frames : (T,) int
            0..n_frames-1, in any order, repeats allowed.

        Returns
        -------
        frames : (T,H,W,3) uint8 RGB

        Raises
        ------
        IndexError
            Outside the range.
        VideoError
            The file doesn't give a frame.
        """
        native_frames = validate_frame_numbers(
            native_frames, 0, self.n_frames - 1, self.path, "frame", self.missing_frames
        )
        # decode each frame once, in the file's order
        unique, inverse = np.unique(native_frames, return_inverse=True)
        frames = np.empty((len(unique), self.height, self.width, 3), np.uint8)
        for i, frame in enumerate(self._iter_random_access(unique)):
            if isinstance(frame, VideoError):
                raise frame
            frames[i] = frame
        is_ascending = np.array_equal(unique, native_frames)  # the usual case, which needs no copy
        return frames if is_ascending else frames[inverse]

    def read_ava_frames(self, numbers: Iterable[int]) -> np.ndarray:
        """Read frames by AVA number: numbers (T,) 1..n_ava_frames, any order, repeats allowed -> (T,H,W,3) uint8 RGB.

        Raises IndexError outside the range, VideoError where the file doesn't give a frame.
        """
        return self.read_frames(self.ava_index[self._validate_ava_numbers(numbers) - 1])

    def _validate_ava_numbers(self, numbers):
        return validate_frame_numbers(numbers, 1, self.n_ava_frames, self.path, "AVA frame number", self.missing_frames)

    def iter_numbered_frames(self, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray | VideoError]]:
        """(AVA number, frame (H,W,3) uint8) of some AVA numbers, each once, ascending; a repeat is the same array.

        Frames in between are decoded only where necessary, and none twice. In place of a frame that the file doesn't
        give comes a VideoError.
        """
        numbers = np.unique(self._validate_ava_numbers(numbers))
        # several AVA numbers may show one native frame
        native, places = np.unique(self.ava_index[numbers - 1], return_inverse=True)
        with Video(self.path, 1, self.packet_index) as reader:  # its own decoder: `read_frames` may be called meanwhile
            frames = reader._iter_random_access(native)
            current_place = -1
            for number, place in zip(numbers.tolist(), places.tolist(), strict=True):
                if place > current_place:
                    current_place = place
                    frame = next(frames)
                yield number, frame

    def iter_frames(
        self, start: int = 0, stop: int | None = None, allow_missing: bool = False
    ) -> Iterator[np.ndarray | None]:
        """Native frames start..stop-1 in order, one (H,W,3) uint8 at a time; decodes each once, on all cores.

        A frame that the file doesn't give raises VideoError, or is None with `allow_missing`.
        """
        stop = self.n_frames if stop is None else min(stop, self.n_frames)
        yield from self.iter_native_frames(np.arange(start, stop), allow_missing)

    def iter_native_frames(self, native_frames: np.ndarray, allow_missing: bool = False) -> Iterator[np.ndarray | None]:
        """Some native frames (n,), ascending, in one pass as `iter_frames`; others are decoded only where necessary."""
        if not len(native_frames):
            return
        with Video(self.path, 0, self.packet_index) as reader:  # its own decoder: `read_frames` may be called meanwhile
            for n, picture in reader.iter_pictures(native_frames):
                if picture is not None:
                    yield reader._to_array(picture)
                elif allow_missing:
                    yield None
                else:
                    raise self._build_undecodable_error(n)

    def iter_ava_frames(
        self, start: int = 1, stop: int | None = None, allow_missing: bool = False
    ) -> Iterator[np.ndarray | None]:
        """Frames of AVA numbers start..stop-1 in order, one (H,W,3) uint8 at a time; a repeat is the same array.

        allow_missing: as in `iter_frames`.
        """
        numbering = self.ava_index[start - 1 : None if stop is None else stop - 1]
        native = np.unique(numbering)
        frames = zip(native.tolist(), self.iter_native_frames(native, allow_missing), strict=True)
        current = -1  # the native frame in `frame`
        for n in numbering:
            while current < n:
                current, frame = next(frames)
            yield frame

    def _iter_random_access(self, native_frames):
        """Some native frames (n,), ascending; a VideoError in place of one that the file doesn't give."""
        keys = self.find_key_packets(native_frames)
        for key in np.unique(keys):  # what lies between two groups is skipped, not decoded
            for n, picture in self.iter_pictures(native_frames[keys == key]):
                yield self._build_undecodable_error(n) if picture is None else self._to_array(picture)

    def _build_undecodable_error(self, n):
        return VideoError(f"{self.path}: frame {n} of {self.n_frames} could not be decoded")

    def _to_array(self, picture):
        """An av frame as an upright RGB array (H,W,3) uint8."""
        rgb = self._to_rgb.reformat(picture, format="rgb24", src_colorspace="ITU601", threads=1, **self._coded_size)
        return turn_upright(rgb.to_ndarray(), self._display_matrix)
