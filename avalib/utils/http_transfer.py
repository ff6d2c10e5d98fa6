"""Download one file from one address: requests until the file is complete, each resumed where the last one ended."""

import http.client
import itertools
import logging
import os
import random
import ssl
import threading
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from avalib.utils.completeness import check_complete
from avalib.utils.disk_space import get_free_bytes, is_disk_full
from avalib.utils.download_errors import DownloadError, describe_failures, describe_stop, make_download_disk_error
from avalib.utils.files import compute_sha256
from avalib.utils.http_answer import check_answer, check_head, make_connection_error, raise_for_status
from avalib.utils.http_request import RetryableError, open_url
from avalib.utils.partial_download import PartialDownload
from avalib.utils.progress import show_progress

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
HEAD = 1024  # bytes that are checked before anything is written
PROGRESS = 1 << 20  # bytes of an attempt that reset the count of failures


@dataclass(frozen=True)
class TransferOptions:
    """How a file is downloaded."""

    progress: bool = True  # show a progress bar
    timeout_s: float = 30.0  # the longest silence, and the window in which less than 1 kB/s counts as a stall
    retries: int = 5  # attempts in a row that may fail
    backoff_s: float = 1.0  # the first wait between attempts; it doubles
    stop: threading.Event | None = None  # ends the transfer when set


def transfer_file(url: str, path: Path, sha256: str | None, options: TransferOptions) -> None:
    """Download the file at `url` to `path`. Interrupted downloads resume.

    Parameters
    ----------
    url : str
    path : Path
        The final name; appears when the file is complete.
    sha256 : str or None
        The expected hash or its beginning; None if unknown.
    options : TransferOptions

    Raises
    ------
    DownloadError
        The file can't be downloaded or written, or has another hash. What has arrived stays for the next call.
    """
    part = PartialDownload(path, url)
    try:
        part.final_path.parent.mkdir(parents=True, exist_ok=True)
        part.claim()
        with show_progress(
            desc=part.final_path.name, unit="B", unit_scale=True, unit_divisor=1024, disable=not options.progress
        ) as bar:
            _download_until_complete(part, sha256, bar, options)
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


def _download_until_complete(part, sha256, bar, options):
    """Send requests until the part is complete and has the expected hash (if known)."""
    failures = 0  # in a row
    n_pieces = 2 if part.size else 1  # answers that the part consists of
    may_restart = True
    while True:
        size_before = part.size
        try:
            _send_request(part, sha256, bar, options)
            if sha256 is None:
                _check_content(part)
        # a failure: wait and try again, up to the limit
        except RetryableError as error:
            # an attempt that brought much starts the count again
            failures = 1 if part.size - size_before >= PROGRESS else failures + 1
            n_pieces += 1
            if failures > (options.retries if error.retries is None else min(options.retries, error.retries)):
                raise DownloadError(describe_failures(part, failures, error)) from error
            _wait_before_retry(part, error, failures, bar, options)
            continue
        # the file is complete: check its hash
        if not sha256 or compute_sha256(part.path).startswith(sha256.lower()):
            return
        # another hash: pieces of different versions of the file may have been joined, so download it once more
        part.discard()
        if n_pieces == 1 or not may_restart:
            raise DownloadError(
                f"{part.url}: the file arrived, but its sha256 does not begin with {sha256}. "
                "It is not the published file (or was changed on the way) and was removed; try a mirror."
            )
        may_restart = False


def _wait_before_retry(part, error, failures, bar, options):
    """Wait as long as the server asked, else twice as long after each failure. Raises DownloadError on a stop."""
    wait_s = error.wait_s
    if wait_s is None:
        # the random factor keeps clients that failed together from returning together
        wait_s = min(30.0, options.backoff_s * 2 ** (failures - 1)) * random.uniform(0.75, 1.25)
    bar.set_postfix_str(f"{error}; again in {wait_s:.0f} s")
    if options.stop is None:
        time.sleep(wait_s)
    elif options.stop.wait(wait_s):
        raise DownloadError(describe_stop(part, part.size)) from error


def _check_content(part):
    """Check a file without a hash by its content. Warns if nothing shows whether it is complete."""
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


def _send_request(part, sha256, bar, options):
    """Request the file from the end of the part on, until it is as long as the server says.

    Raises RetryableError if another attempt may succeed, else DownloadError.
    """
    try:
        with _open(part, sha256, options.timeout_s) as answer:
            start, note = check_answer(answer, part)
            bar.total = note["total"]
            bar.n = start
            bar.refresh()
            _receive(answer, part, start, note, bar, options)
        if note["total"] is not None and part.size != note["total"]:
            raise RetryableError(f"the connection ended at {part.size:,} of {note['total']:,} bytes")
    except urllib.error.HTTPError as error:
        with error:
            raise_for_status(part, error)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        # urllib wraps the connection's own error
        reason = getattr(error, "reason", None)
        raise make_connection_error(part, reason if isinstance(reason, Exception) else error) from error
    except OSError as error:
        if isinstance(error, DownloadError) or not is_disk_full(error):
            raise
        # remove the part, as a full disk stops other programs too
        size = part.size
        needed_bytes = max(part.note.get("total") or 0, size)
        part.discard()
        raise make_download_disk_error(part, needed_bytes, f" after {size:,} bytes, which were removed") from error
    except ValueError as error:  # of urllib and idna
        raise DownloadError(f"{part.url}: not an address that can be opened ({error})") from error


def _open(part, sha256, timeout_s):
    """Request the file, or the rest of it if a version or a hash guards against joining two versions."""
    # the rest alone, if the part is known to be of the version that the server has now
    version = part.note.get("version") if part.note.get("url") == part.url else None
    headers = {}
    if part.size and (version or sha256):
        headers["Range"] = f"bytes={part.size}-"
        if version:
            headers["If-Range"] = version
    return open_url(part.url, timeout_s, **headers)


def _receive(answer, part, start, note, bar, options):
    """Append the answer's bytes to the part as they arrive."""
    blocks = _iter_blocks(answer, options.timeout_s)
    # check the first bytes and the free space before anything is written
    head = b""
    if start == 0:
        while len(head) < HEAD and (block := next(blocks, b"")):
            head += block
        check_head(head, part)
    if note["total"] is not None and note["total"] - start > get_free_bytes(part.path.parent):
        raise make_download_disk_error(part, note["total"] - start)
    with open(part.path, "r+b" if part.path.exists() else "wb") as file:
        part.begin(file, start, note)
        for block in itertools.chain([head], blocks):
            file.write(block)
            bar.update(len(block))
            if options.stop is not None and options.stop.is_set():
                raise DownloadError(describe_stop(part, file.tell()))
        # a full disk may show here only
        file.flush()
        os.fsync(file.fileno())


def _iter_blocks(answer, timeout_s):
    """Yield the body as it arrives. Raises RetryableError below 1 kB/s; silence ends by the socket's timeout."""
    window_start = time.monotonic()
    window_bytes = 0
    while block := answer.read1(CHUNK):
        yield block
        # at the end of each window: was it fast enough?
        window_bytes += len(block)
        if (elapsed := time.monotonic() - window_start) > timeout_s:
            if window_bytes < 1000 * elapsed:
                raise RetryableError(f"stalled: {window_bytes:,} bytes in {elapsed:.0f} s")
            window_start = time.monotonic()
            window_bytes = 0
