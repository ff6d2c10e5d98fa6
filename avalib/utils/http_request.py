"""One request over HTTP: the head of the answer has a deadline, and its headers are parsed strictly.

Source: RFC 9110 (ranges, conditional requests, lengths), RFC 9112 (where a body ends).
"""

import base64
import http.client
import io
import math
import re
import string
import time
import urllib.error
import urllib.parse
import urllib.request

HEADERS = {"User-Agent": "avalib", "Accept-Encoding": "identity"}
_LENGTH = re.compile(r"\d{1,18}", re.A)
_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.A | re.I)
_UNRANGED = re.compile(r"bytes\s+\*/(\d{1,18})", re.A | re.I)
_BEFORE_TAG = rb"(?:\s|<!--.*?-->|<\?xml[^>]*>)*"
_TAGS = rb"html|head|body|script|style|title|meta|link|noscript|iframe|div|span|center|table|form|font|h[1-6]|p|a|b"
_HTML = re.compile(rb"^" + _BEFORE_TAG + rb"<(?:!doctype\s+html|(?:" + _TAGS + rb")(?=[\s>/]))", re.I | re.S)
_OPEN_COMMENT = re.compile(rb"^" + _BEFORE_TAG + rb"<!--(?!.*-->)", re.S)


class RetryableError(Exception):
    """This attempt failed; another one may succeed.

    Parameters
    ----------
    message : str
    wait_s : float, optional
        How long the server asks to wait (Retry-After).
    retries : int, optional
        The most retries that make sense; None for the usual number.
    """

    def __init__(self, message, wait_s=None, retries=None):
        super().__init__(message)
        self.wait_s = wait_s
        self.retries = retries


class _TimedReader(io.RawIOBase):
    """Reads a socket. While there is a deadline, every byte has to come before it.

    The socket's own timeout does not stop a server that sends one byte a second.
    """

    def __init__(self, raw, sock):
        self._raw = raw
        self._sock = sock
        self._timeout_s = sock.gettimeout()
        self._deadline_s = time.monotonic() + 2 * self._timeout_s

    def readable(self):
        return True

    def readinto(self, buffer):
        self._sock.settimeout(min(self._timeout_s, self._measure_remaining_s()))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            self._measure_remaining_s()  # raises at the deadline; before it, the silence was too long
            raise

    def _measure_remaining_s(self):
        """Seconds until the deadline. Raises TimeoutError after it."""
        remaining_s = self._deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError(f"no complete answer after {2 * self._timeout_s:g} s")
        return remaining_s

    def close(self):
        self._raw.close()
        super().close()

    def lift_deadline(self):
        """From now on only the socket's timeout counts."""
        self._deadline_s = math.inf


class _Answer(http.client.HTTPResponse):
    """An answer whose head has a deadline, and that skips interim answers (103 early hints) before it."""

    def __init__(self, sock, *args, **options):
        super().__init__(sock, *args, **options)
        self._reader = _TimedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self):
        super().begin()
        self._reader.lift_deadline()

    def _read_status(self):
        while True:
            version, status, reason = super()._read_status()
            if not 101 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)  # an interim answer has headers of its own


class _Connection(http.client.HTTPConnection):
    response_class = _Answer


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Answer


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """urllib's handler of http and https, with answers that have a deadline."""

    def http_open(self, request):
        return self.do_open(_Connection, request)

    def https_open(self, request):
        return self.do_open(_SecureConnection, request)


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """urllib's handler of redirects, which follows http and https only."""

    def redirect_request(self, request, file, code, message, headers, new_url):
        if not new_url.startswith(("http://", "https://")):
            message = f"{message}: it leads to {new_url.partition(':')[0]}:, which is not followed"
            raise urllib.error.HTTPError(request.full_url, code, message, headers, file)
        return super().redirect_request(request, file, code, message, headers, new_url)


def open_url(url: str, timeout_s: float, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """Send a request. Proxies are those of the environment; redirects lead to http and https only.

    Parameters
    ----------
    url : str
    timeout_s : float
        The longest silence. The head of each answer (a redirect is one, too) has to be complete within twice this time.
    method : str
    **headers
        Of the request.

    Returns
    -------
    http.client.HTTPResponse
        Its body is not read yet.

    Raises
    ------
    TimeoutError
        The head is late.
    OSError, http.client.HTTPException, ValueError
        As urllib raises them.
    """
    # quote spaces and letters such as é
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.quote(parts.path, safe=string.punctuation)
    query = urllib.parse.quote(parts.query, safe=string.punctuation)
    # the user name and password become a header, which is not sent to where a redirect leads
    user, _, host = parts.netloc.rpartition("@")
    url = urllib.parse.urlunsplit(parts._replace(netloc=host, path=path, query=query))
    request = urllib.request.Request(url, method=method, headers=HEADERS | headers)
    if user:
        credentials = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    # only these handlers: urllib's default ones also open files and ftp
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Handler(),
        _RedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener.open(request, timeout=timeout_s)


def parse_length(headers: http.client.HTTPMessage) -> int | None:
    """Parse the length of an answer's body in bytes; None if the headers have no valid one.

    Raises RetryableError for two different lengths.
    """
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return None  # a chunked body ends with an empty chunk, whatever the length says
    lengths = {value.strip() for text in headers.get_all("Content-Length", []) for value in text.split(",")}
    if len(lengths) > 1:
        raise RetryableError(f"the server names two lengths: {', '.join(sorted(lengths))[:80]}")
    return next((int(length) for length in lengths if _LENGTH.fullmatch(length)), None)


def parse_range(headers: http.client.HTTPMessage) -> tuple[int, int, int | None]:
    """Parse (first byte, last byte, total or None) of a partial answer (206). Raises RetryableError if impossible."""
    text = headers.get("Content-Range", "")
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        kind = headers.get_content_type()
        raise RetryableError(f"the server sent another range than asked for ({text[:80]!r}, {kind})")
    first = int(match[1])
    last = int(match[2])
    total = None if match[3] == "*" else int(match[3])
    length = parse_length(headers)
    if last < first or (total is not None and last >= total) or length not in (None, last - first + 1):
        raise RetryableError(f"the server contradicts itself: range {text[:80]!r}, length {length}")
    return first, last, total


def parse_unsatisfied_total(headers: http.client.HTTPMessage) -> int | None:
    """Parse the file's size in an answer "416 range not satisfiable"; None if it has none."""
    match = _UNRANGED.fullmatch(headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None


def get_version(headers: http.client.HTTPMessage) -> str | None:
    """What If-Range can name: a strong ETag (weak ones are not allowed there), else the date of the file."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def parse_retry_after(headers: http.client.HTTPMessage) -> float | None:
    """Parse the seconds of Retry-After, at most 60; None for a date or an invalid value."""
    text = headers.get("Retry-After", "").strip()
    return min(60.0, float(text)) if re.fullmatch(r"\d{1,9}", text, re.A) else None


def is_html(head: bytes) -> bool:
    """Whether a file's first bytes are those of a web page, such as a login page under a file's name."""
    # UTF-16, of an even number of bytes, becomes UTF-8
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            head = head[2 : 2 + (len(head) - 2) // 2 * 2].decode(encoding, errors="replace").encode()
    head = head.removeprefix(b"\xef\xbb\xbf")
    return bool(_HTML.match(head) or _OPEN_COMMENT.match(head))


def find_title(page: bytes) -> str:
    """Find a web page's title: " ('Title')" for messages, or ""."""
    match = re.search(rb"<title[^>]*>(.*?)</title>", page, re.I | re.S)
    return f" ({match.group(1).decode(errors='replace').strip()[:80]!r})" if match else ""
