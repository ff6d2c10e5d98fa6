"""Downloads that arrive whole or not at all: resumed, retried, checked against a hash, cached, mirrored.

A file is cached under ~/.cache/avalib (or AVALIB_CACHE), by its server's name and path. While it is on its way it is
called `<name>.part`; an interrupted download goes on from there at the next call. On a machine without a network,
AVALIB_MIRROR (or `mirror=`) names a folder, or another server, that holds the same files under the same paths or just
by their names.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tqdm.auto import tqdm

CHUNK = 1 << 18
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # the server's own "not now"; any other status is its answer
_PORTAL = (
    "A login page or a proxy may stand in between: open the address in a browser, or set a mirror (AVALIB_MIRROR)."
)
_NO_NETWORK = "On a machine without a network, AVALIB_MIRROR names a folder with the files."
_MAKE_ROOM = "Make room, or point AVALIB_CACHE at a bigger disk."
_HTML = re.compile(rb"^\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)", re.I | re.S)


class FetchError(OSError):
    """A file could not be had; the message names the address, what happened and what to do."""


class _Interrupted(Exception):
    """This attempt failed, another may not. `wait_s` is what the server asked for (Retry-After), else None."""

    def __init__(self, why, wait_s=None):
        super().__init__(why)
        self.wait_s = wait_s


def cache_dir():
    """Where downloads are kept: AVALIB_CACHE, else ~/.cache/avalib."""
    return Path(os.environ.get("AVALIB_CACHE") or Path.home() / ".cache" / "avalib")


def sha256(path):
    """The SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_html(head):
    """Whether a file's first bytes are a web page's: what a portal or an error page leaves under a file's name."""
    return bool(_HTML.match(head.removeprefix(b"\xef\xbb\xbf")))


def check_sha256(path, expected):
    """Compare a file with the (beginning of the) hash it must have.

    Raises FetchError, naming both hashes, where they differ.
    """
    found = sha256(path)
    if not found.startswith(expected.lower()):
        raise FetchError(
            f"{path}: its sha256 begins with {found[: len(expected)]}, expected {expected} "
            f"({Path(path).stat().st_size:,} bytes). The file is damaged or is another one; get it again."
        )


def is_url(place):
    """Whether a mirror is a server's address (else it is a folder)."""
    return str(place).startswith(("http://", "https://"))


def size(url, timeout_s=10.0):
    """Bytes of the file at `url` as its server tells them, None where it doesn't; for plans, so it never raises."""
    try:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "avalib"})
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            length = answer.headers.get("Content-Length")
            return int(length) if length else None
    except (OSError, http.client.HTTPException):
        return None


def fetch(url, sha256=None, path=None, mirror=None, progress=True, timeout_s=30.0, retries=5, backoff_s=1.0, stop=None):
    """The local path of the file at `url`, downloaded unless it is there already.

    sha256: the hash or its beginning, checked after a download and at every later use; path: where to put the file
    (default: the cache); mirror: a folder or a base URL to take it from instead (default: AVALIB_MIRROR);
    timeout_s: longest silence, and the window over which a trickle under 1 kB/s counts as a stall;
    retries: attempts in a row that may fail, `backoff_s` apart and doubling; stop: a threading.Event that, when set,
    ends the download (what came is kept).

    Raises FetchError: refused or unknown address, a web page instead of a file, wrong hash, disk full, out of retries.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not Path(parts.path).name:
        raise FetchError(f"{url}: not the http(s) address of a file")
    mirror = mirror or os.environ.get("AVALIB_MIRROR")
    if mirror and not is_url(mirror):
        return _from_folder(Path(mirror), url, sha256)
    path = Path(path) if path else cache_dir() / parts.netloc.replace(":", "_") / _relative(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        if path.exists() and not _damaged(path, sha256):
            return path
        settings = dict(progress=progress, timeout_s=timeout_s, retries=retries, backoff_s=backoff_s, stop=stop)
        addresses = [url]
        if mirror:
            base = str(mirror).rstrip("/")
            addresses = list(dict.fromkeys([f"{base}{parts.path}", f"{base}/{path.name}"]))
        _first_found(addresses, path, sha256, settings)
    return path


def local(source, **options):
    """The path of what is a path already, or a URL, fetched; options: fetch's."""
    return fetch(source, **options) if str(source).startswith(("http://", "https://")) else Path(source)


def _relative(url):
    """A URL's path as a relative path that stays inside the folder it is put in; a query makes another file of it."""
    parts = urlsplit(url)
    names = [name for name in unquote(parts.path).replace("\\", "/").split("/") if name not in ("", ".", "..")]
    if parts.query:
        names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{names[-1]}"
    return Path(*names)


def _from_folder(folder, url, expected):
    places = [folder / _relative(url), folder / _relative(url).name]
    for place in places:
        if place.is_file():
            if expected:
                check_sha256(place, expected)
            return place
    raise FetchError(f"the mirror has neither {places[0]} nor {places[1]}. Put {url} there, or unset AVALIB_MIRROR.")


def _damaged(path, expected):
    if not expected:
        return False
    try:
        check_sha256(path, expected)
    except FetchError as error:
        print(f"{error} It is downloaded again.")
        return True
    return False


def _first_found(addresses, path, expected, settings):
    """Download from the first address that knows the file; only "404 not found" moves on to the next."""
    for address in addresses:
        try:
            return _download(address, path, expected, **settings)
        except FetchError as error:
            if getattr(error, "status", None) != 404 or address == addresses[-1]:
                raise


@contextlib.contextmanager
def _lock(path):
    """One process at a time: the others (torchrun starts eight) wait, and then find the file. Windows goes without."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    (cache_dir() / "locks").mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / "locks" / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go by the system when the process ends, however it ends
        yield


def _download(url, path, expected, progress, timeout_s, retries, backoff_s, stop):
    """Attempts until the file is whole, then the hash, then its name. One that brought 1 MB starts the count anew."""
    part = path.with_name(path.name + ".part")
    failures, pieces, second_chance = 0, 1 + part.exists(), True
    with tqdm(desc=path.name, unit="B", unit_scale=True, unit_divisor=1024, disable=not progress) as bar:
        while True:
            before = _size(part)
            try:
                _attempt(url, part, expected, bar, timeout_s, stop)
            except _Interrupted as error:
                failures = 1 if _size(part) - before >= 1 << 20 else failures + 1
                pieces += 1
                if failures > retries:
                    raise FetchError(_given_up(url, failures, error, part)) from error
                wait_s = error.wait_s or min(30.0, backoff_s * 2 ** (failures - 1)) * random.uniform(0.75, 1.25)
                bar.set_postfix_str(f"{error}; again in {wait_s:.0f} s")
                time.sleep(wait_s)
                continue
            if not expected or sha256(part).startswith(expected.lower()):
                break
            _discard(part)
            if pieces == 1 or not second_chance:
                raise FetchError(
                    f"{url}: the file arrived, but its sha256 does not begin with {expected}. "
                    "It is not the published file (or was changed on the way) and was removed; try a mirror."
                )
            second_chance = False  # pieces of different files, perhaps: once more from the start
    os.replace(part, path)
    _tag(part).unlink(missing_ok=True)


def _given_up(url, failures, error, part):
    kept = f" {_size(part):,} bytes are kept, the next call goes on from there." if _size(part) else ""
    return f"{url}: given up after {failures} attempts in a row. The last: {error}.{kept} {_NO_NETWORK}"


def _size(part):
    return part.stat().st_size if part.exists() else 0


def _tag(part):
    """Beside the part: what the server calls this version of the file, so that two versions are never spliced."""
    return part.with_name(part.name + ".json")


def _discard(part):
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def _attempt(url, part, expected, bar, timeout_s, stop):
    """One request, from where the part ends. Returns when the file is whole; raises _Interrupted or FetchError."""
    try:
        with _open(url, part, expected, timeout_s) as answer:
            start = _size(part) if answer.status == 206 else 0  # 200: from the start, whatever was asked for
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length else None
            bar.total, bar.n = total, start
            bar.refresh()
            _check_space(part, total, start)
            _receive(answer, url, part, start, bar, timeout_s, stop)
            if total is not None and _size(part) != total:
                raise _Interrupted(f"the connection ended at {_size(part):,} of {total:,} bytes")
    except urllib.error.HTTPError as error:
        _refused(url, part, error)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        why = getattr(error, "reason", None)
        why = why if isinstance(why, Exception) else error
        if isinstance(why, ssl.SSLCertVerificationError):
            raise FetchError(f"{url}: the server's certificate is not trusted here ({why}). {_PORTAL}") from error
        raise _Interrupted(f"{type(why).__name__}: {why}") from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise FetchError(f"{part}: the disk is full after {_size(part):,} bytes. {_MAKE_ROOM}") from error


def _open(url, part, expected, timeout_s):
    """Ask for the file, or for the rest of it when the part is known to be of the same version."""
    request = urllib.request.Request(url, headers={"User-Agent": "avalib", "Accept-Encoding": "identity"})
    tag = json.loads(_tag(part).read_text() or "{}") if _tag(part).exists() else {}
    version = tag.get("version") if tag.get("url") == url else None
    if _size(part) and (version or expected):  # without either, nothing would notice two halves of two files
        request.add_header("Range", f"bytes={_size(part)}-")
        if version:
            request.add_header("If-Range", version)
    answer = urllib.request.urlopen(request, timeout=timeout_s)
    content_range = answer.headers.get("Content-Range", "")
    if answer.status == 206 and not content_range.startswith(f"bytes {_size(part)}-"):
        _discard(part)
        answer.close()
        raise _Interrupted(f"the server sent another range than asked for ({content_range!r})")
    return answer


def _refused(url, part, error):
    """Turn an HTTP status into "again" (_Interrupted) or into words (FetchError)."""
    if error.code == 416:  # the part is as long as the file, or longer
        size = error.headers.get("Content-Range", "").rpartition("/")[2]
        if size.isdigit() and int(size) == _size(part):
            return
        _discard(part)
        raise _Interrupted("the server has a shorter file than the part; from the start") from error
    if error.code in _TRY_AGAIN:
        after = error.headers.get("Retry-After", "")
        raise _Interrupted(f"HTTP {error.code} {error.reason}", min(60.0, float(after)) if after.isdigit() else None)
    advice = {404: "Check the address; the file may have moved.", 401: "It needs a login.", 403: "Access is refused."}
    refusal = FetchError(f"{url}: HTTP {error.code} {error.reason}. {advice.get(error.code, '')}".rstrip())
    refusal.status = error.code
    raise refusal from error


def _receive(answer, url, part, start, bar, timeout_s, stop=None):
    """Append the answer's bytes to the part as they come, watching for silence, trickles and web pages."""
    block = answer.read1(CHUNK)
    if start == 0 and is_html(block) and Path(urlsplit(url).path).suffix not in (".html", ".htm"):
        raise FetchError(f"{url}: the server sent a web page{_title(block)} instead of the file. {_PORTAL}")
    window, arrived = time.monotonic(), 0
    with open(part, "r+b" if part.exists() else "wb") as file:
        file.seek(start)
        file.truncate()
        _tag(part).write_text(json.dumps({"version": _version(answer.headers), "url": url}))
        while block:
            file.write(block)
            bar.update(len(block))
            if stop is not None and stop.is_set():
                raise FetchError(f"{url}: stopped; {file.tell():,} bytes are kept, the next call goes on from there")
            arrived += len(block)
            if (elapsed := time.monotonic() - window) > timeout_s:
                if arrived < 1000 * elapsed:
                    raise _Interrupted(f"stalled: {arrived:,} bytes in {elapsed:.0f} s")
                window, arrived = time.monotonic(), 0
            block = answer.read1(CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _version(headers):
    """What If-Range may be asked with: a strong ETag (weak ones are not allowed there), else the date of the file."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _title(page):
    found = re.search(rb"<title[^>]*>(.*?)</title>", page, re.I | re.S)
    return f" ({found.group(1).decode(errors='replace').strip()[:80]!r})" if found else ""


def _check_space(part, total, start):
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise FetchError(f"{part}: {free / 1e6:,.0f} MB free, {(total - start) / 1e6:,.0f} MB needed. {_MAKE_ROOM}")
