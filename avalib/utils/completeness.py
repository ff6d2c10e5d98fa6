"""Whether a file is whole, as far as its own content tells: zip (checkpoints too), safetensors, mp4, gzip."""

import gzip
import json
import struct
import zipfile
import zlib
from pathlib import Path


def check_complete(path, name=None):
    """Whether the content shows that nothing is missing at the end: True, or False for kinds that don't show it.

    name: the file's final name, whose suffix counts. Raises ValueError that says what is missing.
    """
    path = Path(path)
    suffix, size = Path(name or path).suffix.lower(), path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        if head.startswith(b"PK\x03\x04"):
            return _check_zip(path)
        if head.startswith(b"\x1f\x8b"):
            return _check_gzip(path)
        if suffix == ".safetensors":
            return _check_safetensors(file, head, size)
        if head[4:8] == b"ftyp" and suffix in (".mp4", ".mov", ".m4v"):
            return _check_boxes(file, size)
    return False


def _check_zip(path):
    try:
        with zipfile.ZipFile(path) as opened:
            last = max(opened.infolist(), key=lambda member: member.header_offset, default=None)
            if last is not None:
                opened.open(last).close()
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"the zip file (or checkpoint) is cut short or damaged ({error})") from error
    return True


def _check_gzip(path):
    try:
        with gzip.open(path) as opened:
            while opened.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"the gzip file is cut short or damaged ({error})") from error
    return True


def _check_safetensors(file, head, size):
    """Eight bytes of length, a header in json that says where each tensor ends, the tensors."""
    length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
    if not 0 < length <= size - 8:
        raise ValueError(f"the safetensors file of {size:,} bytes is cut short or damaged: its header is not whole")
    try:
        file.seek(8)
        tensors = json.loads(file.read(length))
        end = max((tensors[key]["data_offsets"][1] for key in tensors if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"the safetensors file's header can't be read ({error})") from error
    if 8 + length + end != size:
        raise ValueError(f"the safetensors file has {size:,} bytes, its header promises {8 + length + end:,}")
    return True


def _check_boxes(file, size):
    """The boxes of an mp4, one behind the other: each begins with its length, and the last has to end with the file.

    An index (moov) and frames (mdat, or moof with them) have to be among them.
    """
    start, kinds = 0, set()
    while start < size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big") if len(head) >= 8 else -1
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        kinds.add(head[4:8])
        if length == 0:
            length = size - start  # to the end of the file, wherever that is
        if length < 8 or start + length > size:
            raise ValueError(f"the mp4 file of {size:,} bytes is cut short or damaged at byte {start:,}")
        start += length
    if b"moov" not in kinds or not kinds & {b"mdat", b"moof"}:
        raise ValueError(f"the mp4 file of {size:,} bytes is cut short: its index or its frames are missing")
    return True
