"""The frame cache: all frames of a video as JPEGs in one file with an index, read by AVA number.

Random access to a training clip takes a half to a thirteenth of the time that it takes from H.264 (docs/benchmarks.md);
the file has six times the bytes.

A zip (`zipfile`, stored) would have the same size and survive the same damage, but opening one takes longer: for a
15-minute video 78 ms and 15 MB, against 0.4 ms and 0.3 MB for this index. Training in random order opens a file for
most clips, so it would read 7 clips a second instead of 243 (8 frames of 426x320 each; 235 and 259 where all files
stay open).

The file: MAGIC, the JPEGs, then the index: one start (uint64) and one length (uint32) for every AVA number, a header in
json, and TAIL.
"""

import json
import os
import struct
import threading
from pathlib import Path

import numpy as np

from avalib.utils.files import atomic_write
from avalib.video.jpeg_reader import JpegReader
from avalib.video.resize import compute_resized_shape
from avalib.video.video_error import VideoError

MAGIC = b"AVAJPEG1"
TAIL = struct.Struct("<Q8s")  # where the index begins, and MAGIC again


def write_frame_cache(video, path: str | Path, short_side: int, quality: int = 90) -> Path:
    """Write all AVA-numbered frames of a video, scaled to a short side.

    Frames are scaled as in the published recipe (bilinear on uint8, no antialias). At 256 pixels for testing and
    256..320 for training they are the recipe's frames, but for the JPEG compression. A repeated frame is stored once.

    Parameters
    ----------
    video : Video or JpegFolder
    path : str or Path
    short_side : int
        Pixels.
    quality : int
        Of the JPEGs, 1..100.

    Returns
    -------
    Path
    """
    height, width = compute_resized_shape(video.height, video.width, short_side)
    starts = []  # of each AVA number's JPEG, bytes
    lengths = []
    previous = None
    with atomic_write(path) as file:
        file.write(MAGIC)
        for frame in video.iter_ava_frames():
            if frame is not previous:  # a repeated frame is the same array
                start = file.tell()
                jpeg = _encode(frame, (height, width), quality)
                file.write(jpeg)
            starts.append(start)
            lengths.append(len(jpeg))
            previous = frame
        header = {
            "video": Path(video.path).name,
            "original_size": [video.width, video.height],
            "size": [width, height],
            "short_side": short_side,
            "quality": quality,
            "n_ava_frames": len(starts),
        }
        # the index comes last, when all places are known
        index_start = file.tell()
        file.write(np.array(starts, "<u8").tobytes() + np.array(lengths, "<u4").tobytes())
        file.write(json.dumps(header).encode())
        file.write(TAIL.pack(index_start, MAGIC))
    return Path(path)


def estimate_cache_size(video, short_side: int, count: int = 30, quality: int = 90) -> tuple[int, int]:
    """Measure (bytes, frames) of the first `count` AVA-numbered frames as `write_frame_cache` would write them."""
    count = min(count, video.n_ava_frames)
    size = compute_resized_shape(video.height, video.width, short_side)
    return sum(len(_encode(frame, size, quality)) for frame in video.iter_ava_frames(1, count + 1)), count


def _encode(frame, size, quality):
    """One frame (H,W,3) uint8 at `size` (height, width) as JPEG bytes."""
    import torch
    from torchvision.io import encode_jpeg
    from torchvision.transforms.v2 import functional as tv

    # (3,H,W), as torchvision has pictures
    chw = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
    if tuple(chw.shape[1:]) != size:
        chw = tv.resize(chw[None], list(size), antialias=False)[0]
    return encode_jpeg(chw.contiguous(), quality).numpy().tobytes()


class FrameCache(JpegReader):
    """A file of `write_frame_cache`. Any number of processes and threads can read one object's file at once.

    Attributes
    ----------
    path : Path
    n_ava_frames : int
    width, height : int
        Pixels, in the cache.
    original_size : (int, int)
        Width and height of the video.
    short_side, quality : int
        As given to `write_frame_cache`.

    Raises
    ------
    VideoError
        The file is missing, incomplete, or something else.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # Windows reads text otherwise
        except OSError as error:
            raise VideoError(f"{path}: no frame cache here ({error.strerror}); build the cache first") from error
        try:
            header = self._read_index()
        except (struct.error, ValueError, KeyError) as error:
            self.close()
            raise VideoError(f"{path}: not a complete frame cache; delete it and build it again") from error
        self.width, self.height = header["size"]
        self.original_size = tuple(header["original_size"])
        self.short_side = header["short_side"]
        self.quality = header["quality"]

    def _read_index(self):
        """Set the place of every frame's JPEG. Returns the header."""
        # the tail says where the index begins; a file that was cut off has none
        tail_start = os.fstat(self._file).st_size - TAIL.size
        index_start, magic = TAIL.unpack(self._read_at(max(tail_start, 0), TAIL.size))
        if magic != MAGIC:
            raise ValueError(magic)
        # starts (8 bytes each) and lengths (4 bytes each) of the JPEGs, then the header
        index = self._read_at(index_start, tail_start - index_start)
        header = json.loads(index[index.index(b'{"video"') :])
        n_frames = header["n_ava_frames"]
        self.n_ava_frames = n_frames
        self._starts = np.frombuffer(index, "<u8", n_frames)
        self._lengths = np.frombuffer(index, "<u4", n_frames, offset=8 * n_frames)
        return header

    def _read_jpeg(self, number):
        return self._read_at(int(self._starts[number - 1]), int(self._lengths[number - 1]))

    def _read_at(self, start, length):
        """`length` bytes of the file from `start` on."""
        if hasattr(os, "pread"):
            return os.pread(self._file, length, start)
        with self._lock:  # Windows: the position is the file's, not the caller's
            os.lseek(self._file, start, os.SEEK_SET)
            return os.read(self._file, length)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class FrameCachePreview(JpegReader):
    """The frames that a frame cache of a video would hold, without the file: to time reading before it is built.

    A frame is encoded when it is first read, and then kept in memory.

    Parameters
    ----------
    video : Video or JpegFolder
        It is closed with the preview.
    short_side, quality : int
        See `write_frame_cache`.
    """

    def __init__(self, video, short_side, quality=90):
        self.video = video
        self.path = video.path
        self.n_ava_frames = video.n_ava_frames
        self.height, self.width = compute_resized_shape(video.height, video.width, short_side)
        self.quality = quality
        self._jpegs = {}  # {AVA number: bytes}

    def _read_jpeg(self, number):
        if number not in self._jpegs:
            frame = self.video.read_ava_frames([number])[0]
            self._jpegs[number] = _encode(frame, (self.height, self.width), self.quality)
        return self._jpegs[number]

    def close(self) -> None:
        self.video.close()
