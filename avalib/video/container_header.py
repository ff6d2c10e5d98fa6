"""What the header of a video file declares, read without FFmpeg: frames, boxes of an mp4, the end of the file."""

import os
import struct
from pathlib import Path

from avalib.video.video_error import VideoError

MAX_FRAMES = 1 << 24  # of a file: a day at 120 frames a second has 10 million
# the boxes of an mp4 that have other boxes in them
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
# {kind of box: bytes from its content to the number of frames, or to the kind of a track}
_NUMBER_OFFSETS = {b"stsz": 8, b"stz2": 8, b"trun": 4, b"hdlr": 8}
_SOUND = int.from_bytes(b"soun", "big")
# the kinds of box that an mp4 may begin with
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx")


def is_torn(path: str | Path, format_name: str) -> bool:
    """Whether the header declares more bytes than the file has (mkv, webm, avi; False for others).

    format_name: FFmpeg's name of the container.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        # avi: "RIFF", then the length of what follows
        if format_name == "avi":
            return int.from_bytes(file.read(8)[4:], "little") + 8 > size
        if "matroska" not in format_name:
            return False
        # skip the EBML header behind its length, up to the one segment
        file.seek(4)
        header = _read_ebml_length(file)
        file.seek(header or 0, os.SEEK_CUR)
        if file.read(4) != b"\x18\x53\x80\x67":
            return False
        segment = _read_ebml_length(file)
        return segment is not None and file.tell() + segment > size


def _read_ebml_length(file):
    """Read the length at the file's position; None if it is unknown, as in live recordings."""
    # the zeros before the first one give the number of bytes; the bits after that one are the length
    first = file.read(1)
    n_bytes = 9 - first[0].bit_length() if first else 9
    if n_bytes > 8:
        return None
    rest = file.read(n_bytes - 1)
    value = int.from_bytes(first + rest, "big") & ((1 << 7 * n_bytes) - 1)
    # all ones: unknown
    return None if value == (1 << 7 * n_bytes) - 1 else value


def check_declared_frames(path: str | Path) -> None:
    """Raise VideoError for an mp4 whose header declares more frames than the file has bytes.

    FFmpeg allocates an entry of 24 bytes for each frame before it reads any: a header of 1 kB can ask for 100 GB.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(8)[4:] not in _FIRST_BOXES:
            return
        for kind, count in _iter_numbers(file, 0, size):
            if kind != b"hdlr" and count > min(size, MAX_FRAMES):
                raise VideoError(
                    f"{path}: the header ({kind.decode()}) declares {count:,} frames in a file of {size:,} bytes; "
                    f"up to one a byte and {MAX_FRAMES:,} are read (MAX_FRAMES). Is the file damaged?"
                )


def has_box(path: str | Path, kind: bytes) -> bool:
    """Whether one of an mp4's outermost boxes is of this kind."""
    with open(path, "rb") as file:
        return any(name == kind for name, _, _ in _iter_boxes(file, 0, os.path.getsize(path)))


def _iter_numbers(file, start, end):
    """Yield (kind, number) of each box between two positions that has a number of frames, or the kind of a track."""
    for kind, first, stop in _iter_boxes(file, start, end):
        if kind in _PARENTS:
            numbers = list(_iter_numbers(file, first, stop))
            # skip sound: it may have millions of samples of two bytes, and FFmpeg has no entry for each
            if (b"hdlr", _SOUND) not in numbers:
                yield from numbers
        elif kind in _NUMBER_OFFSETS:
            file.seek(first + _NUMBER_OFFSETS[kind])
            yield kind, int.from_bytes(file.read(4), "big")


def _iter_boxes(file, start, end):
    """Yield (kind, first byte of the content, byte after it) of the boxes between two positions."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        kind = head[4:8]
        first = start + 8
        # a length of 1: eight bytes of length follow
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
            first = start + 16
        # a length of 0: up to the end
        stop = end if length == 0 else min(start + length, end)
        if len(head) < 8 or stop < first:
            return
        yield kind, first, stop
        start = stop
