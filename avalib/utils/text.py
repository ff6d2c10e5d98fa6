"""Text and tables from other people's files: bounded in size, unpacked, decoded, or a descriptive error.

Every reader of text (csv, label maps, json, xml) begins with `read_text` or `open_binary`. So a byte-order mark, a
Chinese or Western code page, a gzip bomb, a folder and a missing file are handled alike everywhere.
"""

import codecs
import gzip
import io
import os
import zlib
from pathlib import Path
from typing import IO

from avalib.utils import limits
from avalib.utils.limits import MAX_FILE_BYTES, MAX_TEXT_BYTES, MAX_UNPACKED_RATIO, MAX_UNPACKED_RATIO_FROM
from avalib.utils.process import get_available_memory_bytes

# byte-order marks; UTF-32's little-endian mark begins with UTF-16's, so it comes first
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# {codec: the usual name of the encoding}
_CODE_PAGES = {
    "gb18030": "GBK",
    "shift_jis": "Shift-JIS",
    "euc_kr": "EUC-KR",
    "big5": "Big5",
    "cp1252": "Windows-1252",
}
# half-width katakana: other encodings' bytes, read as Shift-JIS, give them, and class names never have them
_HALF_WIDTH = range(0xFF61, 0xFFA0)
_CHUNK = 1 << 20


def read_text(path: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read the text of a file: UTF-8, or UTF-16 or UTF-32 with a byte-order mark. Line ends stay as they are.

    Parameters
    ----------
    path : str or Path
        A gzip file is unpacked.
    max_bytes : int

    Returns
    -------
    str
        Without the byte-order mark.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        The file has another encoding (names file, line, and the encodings that it may have) or more than `max_bytes`.
    """
    name, file = open_binary(path, max_bytes)
    with file:
        return decode_text(file.read(), name)


def decode_text(content: bytes, name: str) -> str:
    """Decode some bytes as `read_text` does. name: the file's, for messages."""
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}, line {line}: {_describe(content, error, encoding)}") from None
    # a third of zeros: English text in UTF-16 has every second byte 0
    if "\0" in text[:1000] and text[:1000].count("\0") * 3 > len(text[:1000]):
        raise ValueError(f"{name}: not text in UTF-8; it may be in UTF-16 without a byte-order mark. Save it as UTF-8")
    return text


def _describe(content, error, encoding):
    """Describe the bytes at a decoding error, and the encodings that their line may have."""
    # the line with the error, at most 200 bytes to each side
    start = content.rfind(b"\n", 0, error.start) + 1
    end = content.find(b"\n", error.start)
    line = content[max(start, error.start - 200) : len(content) if end < 0 else min(end, error.start + 200)]
    value = content[error.start : error.start + 4]
    message = f"bytes {value!r} are not text in {encoding.upper()}"
    guesses = _guess_encodings(line) if encoding == "utf-8" else []
    if guesses:
        encodings = " or ".join(f"{_CODE_PAGES[guess]} ({text[:40]!r})" for guess, text in guesses)
        message += f"; it may be in {encodings}"
    return f"{message}. Save the file as UTF-8"


def _guess_encodings(line):
    """[(encoding, the line read in it)] of up to two encodings that a line of bytes may have, the likeliest first."""
    line = line.strip()
    # in East Asian encodings a letter is two bytes, mostly both above 127; in Western ones such bytes stand alone
    is_high = [byte > 127 for byte in line]
    previous = [False, *is_high[:-1]]
    following = [*is_high[1:], False]
    n_alone = sum(
        here and not before and not after for before, here, after in zip(previous, is_high, following, strict=True)
    )
    candidates = list(_CODE_PAGES)
    if n_alone * 2 > sum(is_high):
        candidates = ["cp1252", *candidates[:-1]]
    # the encodings in which all letters are printable
    guesses = []
    for encoding in candidates:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all((letter.isprintable() or letter == "\t") and ord(letter) not in _HALF_WIDTH for letter in text):
            guesses.append((encoding, text))
    return guesses[:2]


def open_binary(source: str | os.PathLike | IO, max_bytes: int = MAX_FILE_BYTES) -> tuple[str, IO[bytes]]:
    """Open a file for reading: gzip unpacked, UTF-16 and UTF-32 as UTF-8.

    Parameters
    ----------
    source : str, Path or open file
    max_bytes : int

    Returns
    -------
    name : str
        The file's, for messages.
    file : binary file
        Can seek.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        The gzip data are damaged, the encoding is unknown, or the file has more than `max_bytes`.
    """
    if isinstance(source, (str, os.PathLike)):
        name = str(source)
        file = _open(source)
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "csv"))
        try:
            content = source.read()
            file = io.BytesIO(content.encode() if isinstance(content, str) else content)
        except UnicodeError as error:
            raise ValueError(f"{name}: {error}; give the file's path, or open it in binary mode") from None
    else:
        raise ValueError(f"{type(source).__name__} {str(source)[:80]!r}: expected a path or an open file")
    # the size, before anything is read
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > max_bytes:
        file.close()
        raise ValueError(f"{name}: {size:,} bytes, more than the limit {_name_limit(max_bytes)} of {max_bytes:,}")
    start = file.read(4)
    file.seek(0)
    # gzip
    if start[:2] == b"\x1f\x8b":
        with file:
            content = unpack_gzip(file, name, max_bytes)
        file = io.BytesIO(content)
        start = content[:4]
    # UTF-16 and UTF-32
    if b"\0" in start and not any(start.startswith(mark) for mark, _ in _MARKS):
        file.close()
        raise ValueError(f"{name}, line 1: NUL bytes; is it UTF-16 without a mark? Save it as UTF-8")
    if any(start.startswith(mark) for mark, encoding in _MARKS if encoding != "utf-8"):
        with file:
            content = file.read()
        file = io.BytesIO(decode_text(content, name).encode())
    return name, file


def _open(path):
    """Open a file by its path; errors say what was expected."""
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


def unpack_gzip(file: IO[bytes], name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Unpack an open gzip file, up to `max_bytes`, half of the free memory and the ratio of `check_unpacked`.

    Raises
    ------
    ValueError
        The file is damaged, or unpacks to more.
    """
    bound = min(max_bytes, get_available_memory_bytes() // 2)
    packed_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            while part := unpacked.read(_CHUNK):
                if content.tell() + len(part) > bound:
                    raise ValueError(
                        f"{name}: the gzip file unpacks to more than {bound:,} bytes, the limit "
                        f"({_name_limit(max_bytes)}, or half of the free memory). Unpack and divide it"
                    )
                content.write(part)
                check_unpacked(name, packed_bytes, content.tell())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name}: a damaged gzip file ({error}); copy or download it again") from None
    return content.getvalue()


def check_unpacked(name: str, packed_bytes: int, unpacked_bytes: int) -> None:
    """Raise ValueError for a compressed file that unpacks to far more bytes than real data do."""
    limit = max(MAX_UNPACKED_RATIO_FROM, MAX_UNPACKED_RATIO * packed_bytes)
    if unpacked_bytes > limit:
        raise ValueError(
            f"{name}: {packed_bytes:,} bytes that unpack to {unpacked_bytes:,} or more; the limit is "
            f"{MAX_UNPACKED_RATIO} times as many (MAX_UNPACKED_RATIO). If the file is right, unpack it yourself"
        )


def _name_limit(max_bytes):
    """The name of a limit in utils.limits."""
    return next((name for name, value in vars(limits).items() if value == max_bytes), "max_bytes")
