"""Check a server's answer to the request for a file: its status, its headers and its first bytes."""

import errno
import http.client
import socket
import ssl
import urllib.error
from pathlib import Path
from urllib.parse import urlsplit

from avalib.utils.download_errors import DownloadError
from avalib.utils.http_request import (
    RetryableError,
    find_title,
    get_version,
    is_html,
    parse_length,
    parse_range,
    parse_retry_after,
    parse_unsatisfied_total,
)
from avalib.utils.partial_download import PartialDownload

# temporary errors by HTTP's own definition; any other status is final
_RETRYABLE_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_PORTAL = (
    "A login page or a proxy may stand in between: open the address in a browser, or set a mirror (AVALIB_MIRROR)."
)


def check_answer(answer: http.client.HTTPResponse, part: PartialDownload) -> tuple[int, dict]:
    """Check the head of an answer. Returns the position of its body in the file, and the note for the part.

    Raises RetryableError, and DownloadError for an answer that isn't the file.
    """
    headers = answer.headers
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    # many servers name gzip as the encoding of a file that is itself a gzip file
    is_gzip_file = urlsplit(part.url).path.endswith((".gz", ".tgz")) and encoding in ("gzip", "x-gzip")
    if encoding not in ("", "identity") and not is_gzip_file:
        raise DownloadError(
            f"{part.url}: the server (or a proxy) sends it packed as {encoding[:40]}, although it was asked not to. "
            "Download it with a browser and give its path, or set a mirror (AVALIB_MIRROR)."
        )
    # what identifies this version of the file
    note = {
        "version": get_version(headers),
        "etag": headers.get("ETag"),
        "modified": headers.get("Last-Modified"),
    }
    # 200: the whole file, even where a range was requested
    if answer.status == 200:
        return 0, note | {"total": parse_length(headers)}
    if answer.status != 206:
        raise RetryableError(f"HTTP {answer.status} {answer.reason}, without the file")
    # 206: the requested range, of the same version of the file
    try:
        start, _, total = parse_range(headers)
        if start != part.size:
            raise RetryableError(f"the server sent the range from {start:,} on, requested was {part.size:,}")
        note["total"] = total
        for key, description in (("etag", "ETag"), ("modified", "date"), ("total", "size")):
            before = part.note.get(key)
            if before is not None and note[key] is not None and before != note[key]:
                raise RetryableError(f"the file has changed on the server (its {description})")
    except RetryableError:
        part.discard()  # the next attempt is from the start
        raise
    return start, part.note | {key: value for key, value in note.items() if value is not None}


def check_head(head: bytes, part: PartialDownload) -> None:
    """Raise for an empty file, and for a web page under a file's name."""
    if not head:
        raise RetryableError("the server sent an empty file")
    if is_html(head) and Path(urlsplit(part.url).path).suffix not in (".html", ".htm"):
        title = find_title(head)
        raise DownloadError(f"{part.url}: the server sent a web page{title} instead of the file. {_PORTAL}")


def raise_for_status(part: PartialDownload, error: urllib.error.HTTPError) -> None:
    """Raise RetryableError for a temporary HTTP status, else DownloadError with advice.

    Returns if the status means that the part is complete.
    """
    # 416: the part is as long as the file, or longer
    if error.code == 416:
        if parse_unsatisfied_total(error.headers) == part.size > 0:
            part.note["total"] = part.size
            return
        part.discard()
        raise RetryableError("the server has a shorter file than the part; from the start") from error
    if error.code in _RETRYABLE_STATUSES or error.code < 200:
        raise RetryableError(f"HTTP {error.code} {error.reason}", parse_retry_after(error.headers)) from error
    advice = {404: "Check the address; the file may have moved.", 401: "It needs a login.", 403: "Access is refused."}
    reason = " ".join(str(error.reason).split())[:200]
    refusal = DownloadError(f"{part.url}: HTTP {error.code} {reason}. {advice.get(error.code, '')}".rstrip())
    refusal.status = error.code
    raise refusal from error


def make_connection_error(part: PartialDownload, error: Exception) -> RetryableError | DownloadError:
    """Make the error of a failed connection: DownloadError if another attempt would fail too, else RetryableError."""
    host = urlsplit(part.url).hostname
    if isinstance(error, ssl.SSLCertVerificationError):
        return DownloadError(f"{part.url}: the server's certificate is not trusted here ({error}). {_PORTAL}")
    if isinstance(error, http.client.InvalidURL):
        return DownloadError(f"{part.url}: not an address that can be opened ({error})")
    # without a network many attempts would only delay the message
    if isinstance(error, socket.gaierror):
        return RetryableError(f"the name {host} can't be resolved ({error.strerror})", wait_s=0.2, retries=1)
    if getattr(error, "errno", None) == errno.ENETUNREACH:
        return RetryableError(f"no network ({error.strerror})", wait_s=0.2, retries=1)
    return RetryableError(f"{type(error).__name__}: {error}")
