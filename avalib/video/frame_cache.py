"""Frames kept as JPEGs: a whole video packed into one file with an index, or a folder of them; read by AVA number.

Readers of frames all look the same: path, width, height, n_ava_frames, ava_frames(numbers) -> (T,H,W,3) uint8, close().
What they share (the error, the check of numbers) is here too, on the lowest floor.

Source: speeds and sizes that chose this format in the design's measurements: random access to a training clip costs a
tenth of what it costs from H.264, for six times the bytes.
"""

import json
import os
import re
import struct
import threading
from pathlib import Path

import numpy as np

from avalib.utils.files import atomic_write
from avalib.video.video_error import VideoError

MAGIC = b"AVAJPEG1"
TAIL = struct.Struct("<Q8s")  # where the index begins, and MAGIC again


def validate_frame_numbers(numbers, low, high, path, what, missing=0):
    """`numbers` as an int64 array (T,), all in low..high, or an IndexError (VideoError where the file is torn)."""
    numbers = np.atleast_1d(np.asarray(numbers, np.int64))
    wrong = numbers[(numbers < low) | (numbers > high)]
    if len(wrong) and missing and wrong[0] > high:
        torn = f"truncated: the header promises {missing} frames more"
        raise VideoError(f"{path}: {torn}; {what} {wrong[0]} asked for, the file has {low}..{high}")
    if len(wrong):
        raise IndexError(f"{path}: {what} {wrong[0]} asked for; the video has {low}..{high}")
    return numbers


def write_frame_cache(video, path, short_side, quality=90):
    """Write all AVA-numbered frames of `video` (a Video, a JpegFolder) scaled to `short_side`; returns the path.

    Scaled as the published recipe does (bilinear on uint8, no antialias), so that 256 for testing and 256..320 for
    training are what they would have been but for the JPEGs. A frame that is repeated is stored once.
    """
    size, starts, lengths, last = _scaled_size(video, short_side), [], [], None
    with atomic_write(path) as file:
        file.write(MAGIC)
        for frame in video.iter_ava_frames():
            if frame is not last:
                jpeg, start = _encode(frame, size, quality), file.tell()
                file.write(jpeg)
            starts.append(start)
            lengths.append(len(jpeg))
            last = frame
        header = {
            "video": Path(video.path).name,
            "original_size": [video.width, video.height],
            "size": size[::-1],
            "short_side": short_side,
            "quality": quality,
            "n_ava_frames": len(starts),
        }
        index = file.tell()
        file.write(np.array(starts, "<u8").tobytes() + np.array(lengths, "<u4").tobytes())
        file.write(json.dumps(header).encode())
        file.write(TAIL.pack(index, MAGIC))
    return Path(path)


def estimate_cache_size(video, short_side, count=30, quality=90):
    """(bytes, frames) of the first `count` AVA-numbered frames of `video`, encoded as `pack` would and thrown away."""
    count, size = min(count, video.n_ava_frames), _scaled_size(video, short_side)
    return sum(len(_encode(frame, size, quality)) for frame in video.iter_ava_frames(1, count + 1)), count


def _scaled_size(video, short_side):
    scale = short_side / min(video.height, video.width)
    return [int(video.height * scale + 0.5), int(video.width * scale + 0.5)]


def _encode(frame, size, quality):
    """One frame (H,W,3) uint8 at `size` (height, width) as JPEG bytes."""
    import torch
    from torchvision.io import encode_jpeg
    from torchvision.transforms.v2 import functional as tv

    chw = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
    if list(chw.shape[1:]) != size:
        chw = tv.resize(chw[None], size, antialias=False)[0]
    return encode_jpeg(chw.contiguous(), quality).numpy().tobytes()


class _Jpegs:
    """What both readers below do: bytes of JPEGs to (T,H,W,3) uint8."""

    def ava_frames(self, numbers):
        """Frames by AVA number: numbers (T,) ints 1..n_ava_frames, any order, repeats allowed -> (T,H,W,3) uint8."""
        import torch
        from torchvision.io import ImageReadMode, decode_image

        numbers = validate_frame_numbers(numbers, 1, self.n_ava_frames, self.path, "AVA frame number")
        out = np.empty((len(numbers), self.height, self.width, 3), np.uint8)
        for i, number in enumerate(numbers.tolist()):
            try:
                data = torch.frombuffer(bytearray(self._jpeg(number)), dtype=torch.uint8)
                out[i] = decode_image(data, ImageReadMode.RGB).permute(1, 2, 0).numpy()
            except (RuntimeError, ValueError, OSError) as error:
                raise VideoError(
                    f"{self.path}: frame {number} can't be decoded ({str(error).splitlines()[0]})"
                ) from error
        return out

    def iter_ava_frames(self, start=1, stop=None):
        """Frames of AVA numbers start..stop-1 in order, one (H,W,3) uint8 at a time."""
        for number in range(start, self.n_ava_frames + 1 if stop is None else stop):
            yield self.ava_frames([number])[0]

    def iter_chosen(self, numbers):
        """(number, frame (H,W,3) uint8) of some AVA numbers, each once, growing; a VideoError for one that fails."""
        for number in np.unique(
            validate_frame_numbers(numbers, 1, self.n_ava_frames, self.path, "AVA frame number")
        ).tolist():
            try:
                frame = self.ava_frames([number])[0]
            except VideoError as error:
                frame = error
            yield number, frame

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FrameCache(_Jpegs):
    """A file written by `pack`. Any number of processes and threads can read one object's file at once.

    Attributes: path, n_ava_frames, width, height (pixels), original_size (width, height of the video), short_side,
    quality. Raises VideoError when the file is missing, not whole, or something else.
    """

    def __init__(self, path):
        self.path, self._lock = Path(path), threading.Lock()
        try:
            self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # Windows reads text otherwise
        except OSError as error:
            raise VideoError(f"{path}: no packed frames here ({error.strerror}); build the cache first") from error
        try:
            end = os.fstat(self._file).st_size - TAIL.size
            index, magic = TAIL.unpack(self._read_at(max(end, 0), TAIL.size))
            if magic != MAGIC:
                raise ValueError(magic)
            block = self._read_at(index, end - index)
            header = json.loads(block[block.index(b'{"video"') :])
            n = self.n_ava_frames = header["n_ava_frames"]
            self._starts = np.frombuffer(block, "<u8", n)
            self._lengths = np.frombuffer(block, "<u4", n, offset=8 * n)
        except (struct.error, ValueError, KeyError) as error:
            self.close()
            raise VideoError(f"{path}: not a whole file of packed frames; delete it and build it again") from error
        self.width, self.height = header["size"]
        self.original_size = tuple(header["original_size"])
        self.short_side, self.quality = header["short_side"], header["quality"]

    def _jpeg(self, number):
        return self._read_at(int(self._starts[number - 1]), int(self._lengths[number - 1]))

    def _read_at(self, start, length):
        if hasattr(os, "pread"):
            return os.pread(self._file, length, start)
        with self._lock:  # Windows: the position is the file's, not the caller's
            os.lseek(self._file, start, os.SEEK_SET)
            return os.read(self._file, length)

    def close(self):
        if self._file is not None:
            os.close(self._file)
            self._file = None


class JpegFolder(_Jpegs):
    """A folder of a video's frames, `img_00001.jpg`, `VIDEO_000001.jpg`, `frame0.jpg`: the number in the name counts.

    They are numbered from 1 or from 0 without gaps; the first is AVA number 1. Of several series in a folder it is
    `img_`, else the one with the folder's name. Attributes: path, n_ava_frames, width, height (pixels), original_size.
    Raises VideoError for gaps, for two pictures of one number, and where no series is meant before others.
    """

    def __init__(self, path):
        self.path = Path(path)
        numbers = self._series()
        first, last = min(numbers), max(numbers)
        missing = sorted(set(range(min(first, 1), last + 1)) - numbers.keys()) if last < 10 * len(numbers) + 10 else []
        if missing or last - min(first, 1) + 1 != len(numbers):
            known = ", ".join(map(str, sorted(numbers)[:4]))
            gone = ", ".join(map(str, missing[:4] or [first + 1]))
            raise VideoError(
                f"{path}: {len(numbers)} pictures with the numbers {known} … {last}; expected every frame, numbered "
                f"from 0 or 1 without gaps; {gone} … missing. Extract all frames at 30 a second, or give the video"
            )
        self._names = [numbers[n] for n in sorted(numbers)]
        self.n_ava_frames = len(self._names)
        from PIL import Image

        try:
            with Image.open(self.path / self._names[0]) as picture:
                self.original_size = self.width, self.height = picture.size
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise VideoError(f"{self.path / self._names[0]}: not readable as a picture ({error})") from error

    def _series(self):
        """{number: file name} of the pictures that the folder is read for."""
        series = {}  # by what is before and after the number
        for name in sorted(os.listdir(self.path)) if self.path.is_dir() else []:
            match = re.fullmatch(r"(.*?)(\d{1,9})(\D*)\.(jpe?g|png)", name, re.IGNORECASE)
            if match and not name.startswith((".", "flow_")):  # optical flow may lie in the same folder
                numbers = series.setdefault((match[1], match[3]), {})
                if (other := numbers.setdefault(int(match[2]), name)) != name:
                    raise VideoError(f"{self.path}: {other} and {name} have the same number; remove one of them")
        if not series:
            raise VideoError(
                f"{self.path}: no folder with frames named img_00001.jpg or {self.path.name}_000001.jpg; the number in "
                "the name is needed"
            )
        for key in (("img_", ""), (f"{self.path.name}_", "")):
            if key in series:
                return series[key]
        if len(series) > 1:
            names = ", ".join(numbers[min(numbers)] for numbers in list(series.values())[:4])
            raise VideoError(f"{self.path}: pictures of {len(series)} series ({names}); expected one video's frames")
        return next(iter(series.values()))

    def _jpeg(self, number):
        return (self.path / self._names[number - 1]).read_bytes()
