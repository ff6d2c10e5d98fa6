"""Text and tables from other people's files: bounded, uncompressed, in the encoding that the file says, or an error.

Every reader of text (csv, label maps, json, xml) begins with `read_text` or `open_binary`, so that a byte-order mark, a
Chinese or Western code page, a gzip bomb, a folder and a missing file are treated alike everywhere.
"""

import codecs
import gzip
import io
import os
import zlib
from pathlib import Path

from avalib.utils import limits
from avalib.utils.limits import MAX_FILE_BYTES, MAX_TEXT_BYTES, MAX_UNPACKED_RATIO, MAX_UNPACKED_RATIO_FROM
from avalib.utils.process import get_available_memory_bytes

_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODE_PAGES = {  # codec: what people call it
    "gb18030": "GBK",
    "shift_jis": "Shift-JIS",
    "euc_kr": "EUC-KR",
    "big5": "Big5",
    "cp1252": "Windows-1252",
}
_HALF_WIDTH = range(0xFF61, 0xFFA0)  # bytes of other encodings read as Shift-JIS; nobody writes class names with them
_CHUNK = 1 << 20


def read_text(path, max_bytes=MAX_TEXT_BYTES):
    """The text of a file: UTF-8, or UTF-16 or UTF-32 with a byte-order mark (which is removed); gzip undone.

    Line ends stay as they are. Raises FileNotFoundError or IsADirectoryError, and ValueError, naming file and line, for
    another encoding, with those that it may be, and for a file of more than `max_bytes`.
    """
    name, file = open_binary(path, max_bytes)
    with file:
        return decode_text(file.read(), name)


def decode_text(content, name):
    """The text of some bytes, as `read_text`; name: the file's, for messages."""
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}, line {line}: {_describe(content, error, encoding)}") from None
    if "\0" in text[:1000] and text[:1000].count("\0") * 3 > len(text[:1000]):
        raise ValueError(f"{name}: not text in UTF-8; it may be in UTF-16 without a byte-order mark. Save it as UTF-8")
    return text


def _describe(content, error, encoding):
    """What is wrong with the bytes around an error, and which encoding they may be in."""
    start = content.rfind(b"\n", 0, error.start) + 1
    end = content.find(b"\n", error.start)
    line = content[max(start, error.start - 200) : len(content) if end < 0 else min(end, error.start + 200)]
    value = content[error.start : error.start + 4]
    message = f"bytes {value!r} are not text in {encoding.upper()}"
    guesses = _guess(line) if encoding == "utf-8" else []
    if guesses:
        shown = " or ".join(f"{_CODE_PAGES[guess]} ({text[:40]!r})" for guess, text in guesses)
        message += f"; it may be in {shown}"
    return f"{message}. Save the file as UTF-8"


def _guess(line):
    """[(encoding, the line read in it)] of up to two encodings that a line of bytes may be in, the likeliest first."""
    line = line.strip()
    # In East Asian encodings a letter is two bytes, mostly both above 127; in Western ones such bytes stand alone.
    high = [byte > 127 for byte in line]
    alone = sum(
        here and not before and not after
        for before, here, after in zip([0, *high[:-1]], high, [*high[1:], 0], strict=True)
    )
    candidates, guesses = list(_CODE_PAGES), []
    if alone * 2 > sum(high):
        candidates = ["cp1252", *candidates[:-1]]
    for encoding in candidates:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all((letter.isprintable() or letter == "\t") and ord(letter) not in _HALF_WIDTH for letter in text):
            guesses.append((encoding, text))
    return guesses[:2]


def open_binary(source, max_bytes=MAX_FILE_BYTES):
    """(name for messages, seekable binary file) of a path or an open file; gzip undone, UTF-16 turned into UTF-8.

    Raises FileNotFoundError, IsADirectoryError, and ValueError for damaged gzip data and for more than `max_bytes`.
    """
    if isinstance(source, (str, os.PathLike)):
        name, file = str(source), _open(source)
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "csv"))
        try:
            content = source.read()
            file = io.BytesIO(content.encode() if isinstance(content, str) else content)
        except UnicodeError as error:
            raise ValueError(f"{name}: {error}; give the file's path, or open it in binary mode") from None
    else:
        raise ValueError(f"{type(source).__name__} {str(source)[:80]!r}: expected a path or an open file")
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > max_bytes:
        file.close()
        raise ValueError(f"{name}: {size:,} bytes, more than the limit {_limit_name(max_bytes)} of {max_bytes:,}")
    start = file.read(4)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        with file:
            content = unpack_gzip(file, name, max_bytes)
        file, start = io.BytesIO(content), content[:4]
    if b"\0" in start and not any(start.startswith(mark) for mark, _ in _MARKS):
        file.close()
        raise ValueError(f"{name}, line 1: NUL bytes; is it UTF-16 without a mark? Save it as UTF-8")
    if any(start.startswith(mark) for mark, encoding in _MARKS if encoding != "utf-8"):
        with file:
            content = file.read()
        file = io.BytesIO(decode_text(content, name).encode())
    return name, file


def _open(path):
    if not str(path) or "\0" in str(path):
        raise ValueError(f"path {str(path)!r}: expected a file's name")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path}: a folder; expected a file")
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise type(error)(error.errno, f"{error.strerror}; expected a file that can be read", str(path)) from None


def unpack_gzip(file, name, max_bytes=MAX_FILE_BYTES):
    """The content of an open gzip file; ValueError where it is damaged or unpacks to more than a machine should hold.

    The bound is `max_bytes`, or half of the memory that is free where that is less, and what check_unpacked allows.
    """
    free = get_available_memory_bytes()
    bound = max_bytes if free is None else min(max_bytes, free // 2)
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            while part := unpacked.read(_CHUNK):
                if content.tell() + len(part) > bound:
                    raise ValueError(
                        f"{name}: the gzip file unpacks to more than {bound:,} bytes, the limit "
                        f"({_limit_name(max_bytes)}, or half of the free memory). Unpack and divide it"
                    )
                content.write(part)
                check_unpacked(name, packed, content.tell())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name}: a damaged gzip file ({error}); copy or download it again") from None
    return content.getvalue()


def check_unpacked(name, packed_bytes, unpacked_bytes):
    """Raise ValueError for a compressed file that grows as no honest one does."""
    most = max(MAX_UNPACKED_RATIO_FROM, MAX_UNPACKED_RATIO * packed_bytes)
    if unpacked_bytes > most:
        raise ValueError(
            f"{name}: {packed_bytes:,} bytes that unpack to {unpacked_bytes:,} or more; the limit is "
            f"{MAX_UNPACKED_RATIO} times as many (MAX_UNPACKED_RATIO). If the file is right, unpack it yourself"
        )


def _limit_name(max_bytes):
    """What a limit is called in utils.limits."""
    return next((name for name, value in vars(limits).items() if value == max_bytes), "max_bytes")
