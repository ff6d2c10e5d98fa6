"""One file from one address: attempts until it is whole, resumed where the last one ended, checked as far as possible.

What has come of a file is called `<name>.part`, with a note beside it that says of which version it is. A process
that works on it first takes both under names of its own, so that two processes never write into one, with or without
a lock; it gives them back when it ends early. What a killed process had taken is found and resumed.
"""

import contextlib
import errno
import http.client
import itertools
import json
import os
import random
import re
import socket
import ssl
import time
import urllib.error
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from avalib.utils.completeness import check_complete
from avalib.utils.disk_space import DiskFullError, format_megabytes, get_free_bytes, is_disk_full
from avalib.utils.errors import AvalibError
from avalib.utils.files import compute_sha256, flush_to_disk, write_json
from avalib.utils.http_request import (
    RetryableError,
    find_title,
    get_version,
    is_html,
    open_url,
    parse_length,
    parse_range,
    parse_retry_after,
    parse_unsatisfied_total,
)
from avalib.utils.temporary_files import find_abandoned_parts, make_part_path

CHUNK = 1 << 18
HEAD = 1024  # bytes that are looked at before anything is written
PROGRESS = 1 << 20  # an attempt that brings so much starts the count of failures anew
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # the server's own "not now"; any other status is its answer
_PORTAL = (
    "A login page or a proxy may stand in between: open the address in a browser, or set a mirror (AVALIB_MIRROR)."
)
_NO_NETWORK = (
    "Without a network, AVALIB_MIRROR names a folder (or another server) with the files; a local path can be given too."
)
_MAKE_ROOM = "Make room, or point AVALIB_CACHE at a bigger disk."


_CREDENTIALS = re.compile(r"//[^/@\s]+@")  # a name and a password in an address are never shown


class FetchError(AvalibError, OSError):
    """A file could not be had; the message names the address, what happened and what to do."""

    status = None  # of the server's answer, where it was a refusal

    def __init__(self, message, *more):
        super().__init__(_CREDENTIALS.sub("//...@", message) if isinstance(message, str) else message, *more)


class DownloadDiskFullError(FetchError, DiskFullError):
    """The disk is too small for a download."""


def transfer_file(url, path, expected=None, progress=True, timeout_s=30.0, retries=5, backoff_s=1.0, stop=None):
    """Bring the file at `url` to `path`; see fetch.fetch for the options.

    expected: the hash or its beginning. Raises FetchError.
    """
    part = Part(path, url)
    try:
        part.final.parent.mkdir(parents=True, exist_ok=True)
        part.claim()
        with tqdm(desc=part.final.name, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress) as bar:
            _bring(part, expected, bar, timeout_s, retries, backoff_s, stop)
        part.finish()
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"{part.final.parent}: can't be written ({error.strerror or error}). Point AVALIB_CACHE at another folder."
        ) from error
    finally:
        part.release()


# --- the part ---------------------------------------------------------------------------------------------------------


class Part:
    """What has come of a file so far; this process's own between `claim` and `release`.

    note: {"url", "version", "etag", "modified", "total", "file"} of the answer it came from, {} where that isn't known.
    "file" is the part's number in the file system: a note beside another part doesn't count.
    """

    def __init__(self, path, url):
        self.final, self.url, self.note = Path(path), url, {}
        self.path = make_part_path(self.final, "download")
        self._shared = self.final.with_name(f"{self.final.name}.part")

    @property
    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def claim(self):
        """Take what an earlier call left: the shared part, else the largest of those of killed processes."""
        abandoned = sorted(self._abandoned(), key=lambda path: path.stat().st_size, reverse=True)
        for place in (self._shared, *abandoned):
            with contextlib.suppress(OSError):  # the note first: whoever has a part without its note starts anew
                os.replace(_beside(place), _beside(self.path))
            try:
                os.replace(place, self.path)
            except OSError:
                _beside(self.path).unlink(missing_ok=True)
                continue
            note = _read_note(self.path)
            self.note = note if note.get("file") == self.path.stat().st_ino else {}
            return

    def _abandoned(self):
        folder, stem = self.final.parent, make_part_path(self.final, "download").name.rsplit(".", 2)[0]
        stem = stem.rpartition(".")[0] if self.final.suffix else stem
        own = [path for path in find_abandoned_parts(folder, "download") if path.name.startswith(f"{stem}.")]
        return [path for path in own if _read_note(path).get("url") == self.url]

    def begin(self, file, start, note):
        """Cut the open file at `start`, and note what comes from there on."""
        file.seek(start)
        file.truncate()
        self.note = note | {"url": self.url, "file": os.fstat(file.fileno()).st_ino}
        write_json(_beside(self.path), self.note)

    def discard(self):
        """Start from nothing."""
        self.path.unlink(missing_ok=True)
        _beside(self.path).unlink(missing_ok=True)
        self.note = {}

    def finish(self):
        """Give the whole file its name."""
        flush_to_disk(self.path)
        os.replace(self.path, self.final)
        flush_to_disk(self.final.parent)
        for place in (self.path, self._shared, *self._abandoned()):
            _beside(place).unlink(missing_ok=True)
            place.unlink(missing_ok=True)

    def release(self):
        """Leave what there is to the next call, of whichever process."""
        with contextlib.suppress(OSError):
            larger = self._shared.exists() and self._shared.stat().st_size >= self.size
            if self.size and not larger:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(_beside(self.path), _beside(self._shared))
                os.replace(self.path, self._shared)
            self.discard()


def _beside(part):
    return part.with_name(f"{part.name}.json")


def _read_note(part):
    try:
        note = json.loads(_beside(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


# --- attempts ---------------------------------------------------------------------------------------------------------


def _bring(part, expected, bar, timeout_s, retries, backoff_s, stop):
    """Attempts until the part is whole and has the expected hash, as far as it is known."""
    failures, pieces, second_chance = 0, 1 + bool(part.size), True
    while True:
        before = part.size
        try:
            _attempt(part, expected, bar, timeout_s, stop)
            if expected is None:
                _check_content(part)
        except RetryableError as error:
            failures = 1 if part.size - before >= PROGRESS else failures + 1
            pieces += 1
            if failures > min(retries, retries if error.retries is None else error.retries):
                raise FetchError(_given_up(part, failures, error)) from error
            wait_s = min(30.0, backoff_s * 2 ** (failures - 1)) * random.uniform(0.75, 1.25)
            wait_s = wait_s if error.wait_s is None else error.wait_s
            bar.set_postfix_str(f"{error}; again in {wait_s:.0f} s")
            if stop is None:
                time.sleep(wait_s)
            elif stop.wait(wait_s):
                raise FetchError(_stopped(part, part.size)) from error
            continue
        if not expected or compute_sha256(part.path).startswith(expected.lower()):
            return
        part.discard()
        if pieces == 1 or not second_chance:
            raise FetchError(
                f"{part.url}: the file arrived, but its sha256 does not begin with {expected}. "
                "It is not the published file (or was changed on the way) and was removed; try a mirror."
            )
        second_chance = False  # pieces of different files, perhaps: once more from the start


def _given_up(part, failures, error):
    kept = f" {part.size:,} bytes are kept, the next call goes on from there." if part.size else ""
    return f"{part.url}: given up after {failures} attempts in a row. The last: {error}.{kept} {_NO_NETWORK}"


def _check_content(part):
    """Hold a file without a hash to what its own content tells; says where nothing tells whether it is whole."""
    told = part.note.get("total") is not None
    try:
        shown = check_complete(part.path, part.final.name)
    except ValueError as error:
        part.discard()
        if not told:
            raise RetryableError(f"the answer ended early: {error}") from error
        raise FetchError(
            f"{part.url}: as long as the server says, but {error}. The server's own file is damaged; try a mirror."
        ) from error
    if not (told or shown):
        print(f"{part.final.name}: {part.size:,} bytes; neither length nor hash is known: it may have been cut short")


def _attempt(part, expected, bar, timeout_s, stop):
    """One request, from where the part ends. Returns when the file is as long as the server says."""
    try:
        with _open(part, expected, timeout_s) as answer:
            start, note = _understood(answer, part)
            bar.total, bar.n = note["total"], start
            bar.refresh()
            _receive(answer, part, start, note, bar, timeout_s, stop)
        if note["total"] is not None and part.size != note["total"]:
            raise RetryableError(f"the connection ended at {part.size:,} of {note['total']:,} bytes")
    except urllib.error.HTTPError as error:
        with error:
            _refused(part, error)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        why = getattr(error, "reason", None)
        raise _described(part, why if isinstance(why, Exception) else error) from error
    except OSError as error:
        if isinstance(error, FetchError) or not is_disk_full(error):
            raise
        needed, came = part.note.get("total"), part.size
        part.discard()  # a full disk stops others too
        raise _disk_full(part, max(needed or 0, came), f" after {came:,} bytes, which were removed") from error
    except ValueError as error:  # urllib's and idna's, of an address that is none
        raise FetchError(f"{part.url}: not an address that can be opened ({error})") from error


def _described(part, error):
    """What a failed connection means: RetryableError, or FetchError where another attempt would fail too."""
    host = urlsplit(part.url).hostname
    if isinstance(error, ssl.SSLCertVerificationError):
        return FetchError(f"{part.url}: the server's certificate is not trusted here ({error}). {_PORTAL}")
    if isinstance(error, http.client.InvalidURL):
        return FetchError(f"{part.url}: not an address that can be opened ({error})")
    if isinstance(error, socket.gaierror):
        return RetryableError(f"the name {host} can't be resolved ({error.strerror})", wait_s=0.2, retries=1)
    if getattr(error, "errno", None) == errno.ENETUNREACH:
        return RetryableError(f"no network ({error.strerror})", wait_s=0.2, retries=1)
    return RetryableError(f"{type(error).__name__}: {error}")


def _open(part, expected, timeout_s):
    """Ask for the file, or for the rest of it when the part is known to be of the same version."""
    version = part.note.get("version") if part.note.get("url") == part.url else None
    headers = {}
    if part.size and (version or expected):  # without either, nothing would notice two halves of two files
        headers["Range"] = f"bytes={part.size}-"
        if version:
            headers["If-Range"] = version
    return open_url(part.url, timeout_s, **headers)


def _understood(answer, part):
    """(where the body starts in the file, the note of it). Raises RetryableError, FetchError for what isn't the file."""
    headers, name = answer.headers, urlsplit(part.url).path
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    packed_itself = name.endswith((".gz", ".tgz")) and encoding in ("gzip", "x-gzip")  # many servers say so of these
    if encoding not in ("", "identity") and not packed_itself:
        raise FetchError(
            f"{part.url}: the server (or a proxy) sends it packed as {encoding[:40]}, although it was asked not to. "
            "Download it with a browser and give its path, or set a mirror (AVALIB_MIRROR)."
        )
    note = {
        "version": get_version(headers),
        "etag": headers.get("ETag"),
        "modified": headers.get("Last-Modified"),
    }
    if answer.status == 200:  # from the start, whatever was asked for
        return 0, note | {"total": parse_length(headers)}
    if answer.status != 206:
        raise RetryableError(f"HTTP {answer.status} {answer.reason}, without the file")
    try:
        start, _, total = parse_range(headers)
        if start != part.size:
            raise RetryableError(f"the server sent the range from {start:,} on, asked for was {part.size:,}")
        note["total"] = total
        for key, what in (("etag", "ETag"), ("modified", "date"), ("total", "size")):
            if None not in (before := part.note.get(key), note[key]) and before != note[key]:
                raise RetryableError(f"the file has changed on the server (its {what})")
    except RetryableError:
        part.discard()  # the next attempt is from the start
        raise
    return start, part.note | {key: value for key, value in note.items() if value is not None}


def _refused(part, error):
    """Turn an HTTP status into "again" (RetryableError) or into words (FetchError)."""
    if error.code == 416:  # the part is as long as the file, or longer
        if parse_unsatisfied_total(error.headers) == part.size > 0:
            part.note["total"] = part.size
            return
        part.discard()
        raise RetryableError("the server has a shorter file than the part; from the start") from error
    if error.code in _TRY_AGAIN or error.code < 200:
        raise RetryableError(f"HTTP {error.code} {error.reason}", parse_retry_after(error.headers)) from error
    advice = {404: "Check the address; the file may have moved.", 401: "It needs a login.", 403: "Access is refused."}
    reason = " ".join(str(error.reason).split())[:200]
    refusal = FetchError(f"{part.url}: HTTP {error.code} {reason}. {advice.get(error.code, '')}".rstrip())
    refusal.status = error.code
    raise refusal from error


def _receive(answer, part, start, note, bar, timeout_s, stop):
    """Append the answer's bytes to the part as they come."""
    blocks = _blocks(answer, timeout_s)
    head = b""
    if start == 0:
        while len(head) < HEAD and (block := next(blocks, b"")):
            head += block
        _check_head(head, part)
    if note["total"] is not None and note["total"] - start > get_free_bytes(part.path.parent):
        raise _disk_full(part, note["total"] - start)
    with open(part.path, "r+b" if part.path.exists() else "wb") as file:
        part.begin(file, start, note)
        for block in itertools.chain([head], blocks):
            file.write(block)
            bar.update(len(block))
            if stop is not None and stop.is_set():
                raise FetchError(_stopped(part, file.tell()))
        file.flush()
        os.fsync(file.fileno())


def _blocks(answer, timeout_s):
    """The body as it comes. Raises RetryableError for a trickle under 1 kB/s; silence is the socket's own timeout."""
    window, arrived = time.monotonic(), 0
    while block := answer.read1(CHUNK):
        yield block
        arrived += len(block)
        if (elapsed := time.monotonic() - window) > timeout_s:
            if arrived < 1000 * elapsed:
                raise RetryableError(f"stalled: {arrived:,} bytes in {elapsed:.0f} s")
            window, arrived = time.monotonic(), 0


def _check_head(head, part):
    """Raise for nothing at all, and for a web page under a file's name."""
    if not head:
        raise RetryableError("the server sent an empty file")
    if is_html(head) and Path(urlsplit(part.url).path).suffix not in (".html", ".htm"):
        title = find_title(head)
        raise FetchError(f"{part.url}: the server sent a web page{title} instead of the file. {_PORTAL}")


def _disk_full(part, needed, what=""):
    free = format_megabytes(get_free_bytes(part.path.parent))
    return DownloadDiskFullError(
        f"{part.final}: the disk is full{what}. {format_megabytes(needed)} are needed, {free} are free. {_MAKE_ROOM}"
    )


def _stopped(part, size):
    return f"{part.url}: stopped; {size:,} bytes are kept, the next call goes on from there"
