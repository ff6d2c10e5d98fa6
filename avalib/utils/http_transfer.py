"""One file from one address: attempts until it is complete, each resumed where the last one ended, and checks."""

import errno
import http.client
import itertools
import logging
import os
import random
import re
import socket
import ssl
import threading
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from avalib.utils.completeness import check_complete
from avalib.utils.disk_space import DiskFullError, format_megabytes, get_free_bytes, is_disk_full
from avalib.utils.errors import AvalibError
from avalib.utils.files import compute_sha256
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
from avalib.utils.partial_download import PartialDownload

logger = logging.getLogger(__name__)

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


class DownloadError(AvalibError, OSError):
    """A file could not be downloaded; the message names the address, what happened and what to do."""

    status = None  # of the server's answer, where it was a refusal

    def __init__(self, message, *others):
        super().__init__(_CREDENTIALS.sub("//...@", message) if isinstance(message, str) else message, *others)


class DownloadDiskFullError(DownloadError, DiskFullError):
    """The disk is too small for a download."""


@dataclass(frozen=True)
class TransferOptions:
    """How a file is transferred."""

    progress: bool = True  # show a progress bar
    timeout_s: float = 30.0  # the longest silence, and the window over which a trickle under 1 kB/s counts as a stall
    retries: int = 5  # attempts in a row that may fail
    backoff_s: float = 1.0  # the first wait between attempts; it doubles
    stop: threading.Event | None = None  # ends the transfer when set


def transfer_file(url: str, path: Path, sha256: str | None, options: TransferOptions) -> None:
    """Download the file at `url` to `path`, resumed where an earlier call ended.

    sha256: the hash or its beginning, None where unknown. Raises DownloadError.
    """
    part = PartialDownload(path, url)
    try:
        part.final_path.parent.mkdir(parents=True, exist_ok=True)
        part.claim()
        with tqdm(
            desc=part.final_path.name, unit="B", unit_scale=True, unit_divisor=1024, disable=not options.progress
        ) as bar:
            _attempt_until_complete(part, sha256, bar, options)
        part.finish()
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{part.final_path.parent}: can't be written ({error.strerror or error}). "
            "Point AVALIB_CACHE at another folder."
        ) from error
    finally:
        part.release()


def _attempt_until_complete(part, sha256, bar, options):
    """Attempts until the part is complete and has the expected hash, as far as it is known."""
    failures = 0  # in a row
    n_pieces = 2 if part.size else 1  # answers that the part is made of
    may_start_again = True
    while True:
        size_before = part.size
        try:
            _attempt(part, sha256, bar, options)
            if sha256 is None:
                _check_content(part)
        except RetryableError as error:
            failures = 1 if part.size - size_before >= PROGRESS else failures + 1
            n_pieces += 1
            if failures > (options.retries if error.retries is None else min(options.retries, error.retries)):
                raise DownloadError(_describe_failures(part, failures, error)) from error
            wait_s = error.wait_s
            if wait_s is None:
                wait_s = min(30.0, options.backoff_s * 2 ** (failures - 1)) * random.uniform(0.75, 1.25)
            bar.set_postfix_str(f"{error}; again in {wait_s:.0f} s")
            if options.stop is None:
                time.sleep(wait_s)
            elif options.stop.wait(wait_s):
                raise DownloadError(_describe_stop(part, part.size)) from error
            continue
        if not sha256 or compute_sha256(part.path).startswith(sha256.lower()):
            return
        part.discard()
        if n_pieces == 1 or not may_start_again:
            raise DownloadError(
                f"{part.url}: the file arrived, but its sha256 does not begin with {sha256}. "
                "It is not the published file (or was changed on the way) and was removed; try a mirror."
            )
        may_start_again = False  # pieces of different files, perhaps: once more from the start


def _describe_failures(part, failures, error):
    resumable = f" {part.size:,} bytes are kept; the next call resumes there." if part.size else ""
    return f"{part.url}: given up after {failures} attempts in a row. The last: {error}.{resumable} {_NO_NETWORK}"


def _check_content(part):
    """Check a file without a hash by its own content; warns where nothing shows whether it is complete."""
    has_total = part.note.get("total") is not None
    try:
        is_checked = check_complete(part.path, part.final_path.name)
    except ValueError as error:
        part.discard()
        if not has_total:
            raise RetryableError(f"the answer ended early: {error}") from error
        raise DownloadError(
            f"{part.url}: as long as the server says, but {error}. The server's own file is damaged; try a mirror."
        ) from error
    if not (has_total or is_checked):
        logger.warning(
            f"{part.final_path.name}: {part.size:,} bytes; neither length nor hash is known: it may have been cut short"
        )


def _attempt(part, sha256, bar, options):
    """One request, from where the part ends. Returns when the file is as long as the server says."""
    try:
        with _open(part, sha256, options.timeout_s) as answer:
            start, note = _check_answer(answer, part)
            bar.total, bar.n = note["total"], start
            bar.refresh()
            _receive(answer, part, start, note, bar, options)
        if note["total"] is not None and part.size != note["total"]:
            raise RetryableError(f"the connection ended at {part.size:,} of {note['total']:,} bytes")
    except urllib.error.HTTPError as error:
        with error:
            _raise_for_status(part, error)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None)  # what urllib has wrapped
        raise _describe_connection_error(part, reason if isinstance(reason, Exception) else error) from error
    except OSError as error:
        if isinstance(error, DownloadError) or not is_disk_full(error):
            raise
        size = part.size
        needed_bytes = max(part.note.get("total") or 0, size)
        part.discard()  # a full disk stops others too
        raise _make_disk_full_error(part, needed_bytes, f" after {size:,} bytes, which were removed") from error
    except ValueError as error:  # urllib's and idna's, of an address that is none
        raise DownloadError(f"{part.url}: not an address that can be opened ({error})") from error


def _describe_connection_error(part, error):
    """What a failed connection means: RetryableError, or DownloadError where another attempt would fail too."""
    host = urlsplit(part.url).hostname
    if isinstance(error, ssl.SSLCertVerificationError):
        return DownloadError(f"{part.url}: the server's certificate is not trusted here ({error}). {_PORTAL}")
    if isinstance(error, http.client.InvalidURL):
        return DownloadError(f"{part.url}: not an address that can be opened ({error})")
    if isinstance(error, socket.gaierror):
        return RetryableError(f"the name {host} can't be resolved ({error.strerror})", wait_s=0.2, retries=1)
    if getattr(error, "errno", None) == errno.ENETUNREACH:
        return RetryableError(f"no network ({error.strerror})", wait_s=0.2, retries=1)
    return RetryableError(f"{type(error).__name__}: {error}")


def _open(part, sha256, timeout_s):
    """Ask for the file, or for the rest of it when the part is known to be of the same version."""
    version = part.note.get("version") if part.note.get("url") == part.url else None
    headers = {}
    if part.size and (version or sha256):  # without either, nothing would notice two halves of two files
        headers["Range"] = f"bytes={part.size}-"
        if version:
            headers["If-Range"] = version
    return open_url(part.url, timeout_s, **headers)


def _check_answer(answer, part):
    """(where the body starts in the file, the note of it).

    Raises RetryableError, and DownloadError for an answer that isn't the file.
    """
    headers, name = answer.headers, urlsplit(part.url).path
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    packed_itself = name.endswith((".gz", ".tgz")) and encoding in ("gzip", "x-gzip")  # many servers say so of these
    if encoding not in ("", "identity") and not packed_itself:
        raise DownloadError(
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
        for key, description in (("etag", "ETag"), ("modified", "date"), ("total", "size")):
            before = part.note.get(key)
            if before is not None and note[key] is not None and before != note[key]:
                raise RetryableError(f"the file has changed on the server (its {description})")
    except RetryableError:
        part.discard()  # the next attempt is from the start
        raise
    return start, part.note | {key: value for key, value in note.items() if value is not None}


def _raise_for_status(part, error):
    """Turn an HTTP status into "again" (RetryableError) or an error with advice (DownloadError)."""
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
    refusal = DownloadError(f"{part.url}: HTTP {error.code} {reason}. {advice.get(error.code, '')}".rstrip())
    refusal.status = error.code
    raise refusal from error


def _receive(answer, part, start, note, bar, options):
    """Append the answer's bytes to the part as they come."""
    blocks = _iter_blocks(answer, options.timeout_s)
    head = b""
    if start == 0:
        while len(head) < HEAD and (block := next(blocks, b"")):
            head += block
        _check_head(head, part)
    if note["total"] is not None and note["total"] - start > get_free_bytes(part.path.parent):
        raise _make_disk_full_error(part, note["total"] - start)
    with open(part.path, "r+b" if part.path.exists() else "wb") as file:
        part.begin(file, start, note)
        for block in itertools.chain([head], blocks):
            file.write(block)
            bar.update(len(block))
            if options.stop is not None and options.stop.is_set():
                raise DownloadError(_describe_stop(part, file.tell()))
        file.flush()
        os.fsync(file.fileno())


def _iter_blocks(answer, timeout_s):
    """The body as it comes. Raises RetryableError for a trickle under 1 kB/s; silence is the socket's own timeout."""
    window_start = time.monotonic()
    arrived = 0  # bytes in this window
    while block := answer.read1(CHUNK):
        yield block
        arrived += len(block)
        if (elapsed := time.monotonic() - window_start) > timeout_s:
            if arrived < 1000 * elapsed:
                raise RetryableError(f"stalled: {arrived:,} bytes in {elapsed:.0f} s")
            window_start = time.monotonic()
            arrived = 0


def _check_head(head, part):
    """Raise for nothing at all, and for a web page under a file's name."""
    if not head:
        raise RetryableError("the server sent an empty file")
    if is_html(head) and Path(urlsplit(part.url).path).suffix not in (".html", ".htm"):
        title = find_title(head)
        raise DownloadError(f"{part.url}: the server sent a web page{title} instead of the file. {_PORTAL}")


def _make_disk_full_error(part, needed_bytes, circumstance=""):
    needed = format_megabytes(needed_bytes)
    free = format_megabytes(get_free_bytes(part.path.parent))
    return DownloadDiskFullError(
        f"{part.final_path}: the disk is full{circumstance}. {needed} are needed, {free} are free. {_MAKE_ROOM}"
    )


def _describe_stop(part, size):
    return f"{part.url}: stopped; {size:,} bytes are kept; the next call resumes there"
