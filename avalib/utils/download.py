"""Downloads that arrive whole or not at all: resumed, retried, checked against a hash, cached, mirrored.

A file is cached under ~/.cache/avalib (or AVALIB_CACHE), by its server's name and path. While it is on its way it is
called `<name>.part`; an interrupted download goes on from there at the next call (see utils/download.py). On a
machine without a network, AVALIB_MIRROR (or `mirror=`) names a folder, or another server, that holds the same files
under the same paths or just by their names.
"""

import contextlib
import hashlib
import http.client
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from avalib.utils.files import compute_sha256
from avalib.utils.http_request import RetryableError, open_url, parse_length
from avalib.utils.http_transfer import FetchError, transfer_file


def get_cache_dir():
    """Where downloads are kept: AVALIB_CACHE, else ~/.cache/avalib."""
    return Path(os.environ.get("AVALIB_CACHE") or Path.home() / ".cache" / "avalib")


def check_sha256(path, expected):
    """Compare a file with the (beginning of the) hash it must have.

    Raises FetchError, naming both hashes, where they differ.
    """
    found = compute_sha256(path)
    if not found.startswith(expected.lower()):
        raise FetchError(
            f"{path}: its sha256 begins with {found[: len(expected)]}, expected {expected} "
            f"({Path(path).stat().st_size:,} bytes). The file is damaged or is another one; get it again."
        )


def is_url(place):
    """Whether a mirror is a server's address (else it is a folder)."""
    return str(place).startswith(("http://", "https://"))


def get_download_size(url, timeout_s=10.0):
    """Bytes of the file at `url` as its server tells them, None where it doesn't; for plans, so it never raises."""
    try:
        with open_url(url, timeout_s, method="HEAD") as answer:
            return parse_length(answer.headers)
    except (OSError, ValueError, http.client.HTTPException, RetryableError):
        return None


def download_file(
    url, sha256=None, path=None, mirror=None, progress=True, timeout_s=30.0, retries=5, backoff_s=1.0, stop=None
):
    """The local path of the file at `url`, downloaded unless it is there already.

    sha256: the hash or its beginning, checked after a download and at every later use; path: where to put the file
    (default: the cache); mirror: a folder or a base URL to take it from instead (default: AVALIB_MIRROR);
    timeout_s: longest silence, and the window over which a trickle under 1 kB/s counts as a stall;
    retries: attempts in a row that may fail, `backoff_s` apart and doubling; stop: a threading.Event that, when set,
    ends the download (what came is kept).

    Raises FetchError: refused or unknown address, a web page instead of a file, wrong hash, disk full, out of retries.
    """
    parts = _parsed(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not Path(parts.path).name:
        raise FetchError(f"{url}: not the http(s) address of a file")
    mirror = mirror or os.environ.get("AVALIB_MIRROR")
    if mirror and not is_url(mirror):
        return _from_folder(Path(mirror), url, sha256)
    path = Path(path) if path else get_cache_dir() / _shortened(parts.netloc.replace(":", "_")) / _relative(url)
    if path.is_file() and not _damage(path, sha256):
        return path  # without a lock, which a read-only cache doesn't allow
    with _lock(path):
        if path.is_file():  # damaged, or brought by another process in the meantime
            if (damage := _damage(path, sha256)) is None:
                return path
            print(f"{damage} It is downloaded again.")
        settings = dict(progress=progress, timeout_s=timeout_s, retries=retries, backoff_s=backoff_s, stop=stop)
        addresses = [url]
        if mirror:
            base = str(mirror).rstrip("/")
            addresses = list(dict.fromkeys([f"{base}{parts.path}", f"{base}/{path.name}"]))
        _first_found(addresses, path, sha256, settings)
    return path


def get_local_path(source, **options):
    """The path of what is a path already, or a URL, fetched; options: fetch's."""
    return download_file(source, **options) if str(source).startswith(("http://", "https://")) else Path(source)


def _parsed(url):
    try:
        return urlsplit(url)
    except ValueError as error:
        raise FetchError(f"{url}: not the http(s) address of a file ({error})") from error


def _relative(url):
    """A URL's path as a relative path that stays inside the folder it is put in; a query makes another file of it."""
    parts = urlsplit(url)
    names = [name for name in unquote(parts.path).replace("\\", "/").split("/") if name not in ("", ".", "..")]
    if parts.query:
        names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{names[-1]}"
    return Path(*map(_shortened, names))


def _shortened(name, most=150):
    """A name of at most `most` bytes, its end kept; file systems allow 255, temporary names take some of them."""
    if len(name.encode()) <= most:
        return name
    return f"{hashlib.sha256(name.encode()).hexdigest()[:8]}-{name.encode()[9 - most :].decode(errors='ignore')}"


def _from_folder(folder, url, expected):
    places = [folder / _relative(url), folder / _relative(url).name]
    for place in places:
        if place.is_file():
            if expected:
                check_sha256(place, expected)
            return place
    raise FetchError(f"the mirror has neither {places[0]} nor {places[1]}. Put {url} there, or unset AVALIB_MIRROR.")


def _damage(path, expected):
    """What is wrong with a file that was downloaded before, None where nothing is."""
    try:
        if expected:
            check_sha256(path, expected)
        elif path.stat().st_size == 0:
            return f"{path}: the file is empty."
    except FetchError as error:
        return str(error)
    return None


def _first_found(addresses, path, expected, settings):
    """Download from the first address that knows the file; only "404 not found" moves on to the next."""
    for address in addresses:
        try:
            return transfer_file(address, path, expected, **settings)
        except FetchError as error:
            if error.status != 404 or address == addresses[-1]:
                raise


@contextlib.contextmanager
def _lock(path):
    """One process at a time: the others (torchrun starts eight) wait, and then find the file.

    Only a saving: what two processes bring at once is written into two files. Windows, a read-only cache and file
    systems without locks go without.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
            (get_cache_dir() / "locks").mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(get_cache_dir() / "locks" / name, "ab"))
            fcntl.flock(file, fcntl.LOCK_EX)  # let go by the system when the process ends, however it ends
        yield
