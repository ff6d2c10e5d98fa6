"""Whether a file is complete, judged by its own content: zip (checkpoints too), safetensors, mp4, gzip."""

import gzip
import json
import struct
import zipfile
import zlib
from pathlib import Path


def check_complete(path: str | Path, name: str | None = None) -> bool:
    """Check that nothing is missing at the end of a file.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        The final name of the file, whose suffix counts. Default: that of the path.

    Returns
    -------
    bool
        True if the file is complete; False if its kind does not show that.

    Raises
    ------
    ValueError
        The file is cut short or damaged; the message says where.
    """
    path = Path(path)
    suffix = Path(name or path).suffix.lower()
    size = path.stat().st_size
    # the first bytes tell a zip, gzip or mp4; safetensors has no mark of its own
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
    """The directory at the end has to be readable, and the last entry has to begin where it says."""
    try:
        with zipfile.ZipFile(path) as opened:
            last = max(opened.infolist(), key=lambda member: member.header_offset, default=None)
            if last is not None:
                opened.open(last).close()
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"the zip file (or checkpoint) is cut short or damaged ({error})") from error
    return True


def _check_gzip(path):
    """The whole file has to unpack: the checksum is at its end."""
    try:
        with gzip.open(path) as opened:
            while opened.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"the gzip file is cut short or damaged ({error})") from error
    return True


def _check_safetensors(file, head, size):
    """The tensors have to end with the file. Eight bytes give the length of a json header with each tensor's end."""
    length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
    if not 0 < length <= size - 8:
        raise ValueError(f"the safetensors file of {size:,} bytes is cut short or damaged: its header is not whole")
    try:
        file.seek(8)
        tensors = json.loads(file.read(length))
        end = max((tensors[key]["data_offsets"][1] for key in tensors if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"the safetensors file's header can't be read ({error})") from error
    # eight bytes, the header, the tensors
    if 8 + length + end != size:
        raise ValueError(f"the safetensors file has {size:,} bytes, its header promises {8 + length + end:,}")
    return True


def _check_boxes(file, size):
    """The last box of an mp4 has to end with the file; an index (moov) and frames (mdat or moof) have to be present.

    The boxes follow one another. Each begins with its length and its kind.
    """
    start = 0
    kinds = set()
    while start < size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big") if len(head) >= 8 else -1
        # a length of 1: the length has eight bytes and comes after the kind
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        kinds.add(head[4:8])
        if length == 0:
            length = size - start  # up to the end of the file
        if length < 8 or start + length > size:
            raise ValueError(f"the mp4 file of {size:,} bytes is cut short or damaged at byte {start:,}")
        start += length
    # each box is whole; the necessary ones have to be among them
    if b"moov" not in kinds or not kinds & {b"mdat", b"moof"}:
        raise ValueError(f"the mp4 file of {size:,} bytes is cut short: its index or its frames are missing")
    return True
