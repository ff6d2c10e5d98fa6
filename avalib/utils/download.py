"""Download files: resumed, retried, checked against a hash, cached, mirrored. A file is complete or does not exist.

A file is cached under ~/.cache/avalib (or AVALIB_CACHE), by its server's name and path. An incomplete file is called
`<name>.part`; the next call resumes it (see partial_download). On a machine without a network, AVALIB_MIRROR (or
`mirror=`) names a folder, or another server, that holds the same files under the same paths or just by their names.

What is downloaded for a data set: avalib.data.ava_download, avalib.data.ava_kinetics_download.
"""

import contextlib
import hashlib
import http.client
import logging
import os
import threading
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from avalib.utils.download_errors import DownloadError
from avalib.utils.files import compute_sha256
from avalib.utils.http_request import RetryableError, open_url, parse_length
from avalib.utils.http_transfer import TransferOptions, transfer_file

logger = logging.getLogger(__name__)


def get_cache_dir() -> Path:
    """The folder of downloaded files: AVALIB_CACHE, else ~/.cache/avalib."""
    return Path(os.environ.get("AVALIB_CACHE") or Path.home() / ".cache" / "avalib")


def check_sha256(path: str | Path, expected: str) -> None:
    """Compare a file with the (beginning of the) hash it must have. Raises DownloadError, naming both hashes."""
    digest = compute_sha256(path)
    if not digest.startswith(expected.lower()):
        raise DownloadError(
            f"{path}: its sha256 begins with {digest[: len(expected)]}, expected {expected} "
            f"({Path(path).stat().st_size:,} bytes). The file is damaged or is another one; get it again."
        )


def is_url(source: str | Path) -> bool:
    """Whether a source is a server's address, not a path."""
    return str(source).startswith(("http://", "https://"))


def get_download_size(url: str, timeout_s: float = 10.0) -> int | None:
    """The size in bytes of the file at `url`, None where the server doesn't say; for estimates, so it never raises."""
    try:
        with open_url(url, timeout_s, method="HEAD") as answer:
            return parse_length(answer.headers)
    except (OSError, ValueError, http.client.HTTPException, RetryableError):
        return None


def download_file(
    url: str,
    sha256: str | None = None,
    path: str | Path | None = None,
    mirror: str | Path | None = None,
    progress: bool = True,
    timeout_s: float = 30.0,
    retries: int = 5,
    backoff_s: float = 1.0,
    stop: threading.Event | None = None,
) -> Path:
    """The local path of the file at `url`, downloaded unless it exists already. Interrupted downloads resume.

    Parameters
    ----------
    url : str
        An http or https address.
    sha256 : str, optional
        The hash or its beginning, checked after a download and at every later use.
    path : str or Path, optional
        Where to put the file; default: the cache.
    mirror : str or Path, optional
        A folder or a base URL to take the file from instead; default: AVALIB_MIRROR.
    progress : bool
        Whether to show a progress bar.
    timeout_s : float
        The longest silence, and the window over which a trickle under 1 kB/s counts as a stall.
    retries : int
        Attempts in a row that may fail.
    backoff_s : float
        Seconds before the second attempt; they double with each.
    stop : threading.Event, optional
        When set, the download ends. The next call resumes it.

    Raises
    ------
    DownloadError
        The address is unknown or refused, a web page came instead of a file, the hash is wrong, the disk is full, or
        all attempts failed.
    """
    # an address, or a mirror's folder
    parts = _parse_url(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not Path(parts.path).name:
        raise DownloadError(f"{url}: not the http(s) address of a file")
    mirror = mirror or os.environ.get("AVALIB_MIRROR")
    if mirror and not is_url(mirror):
        return _find_in_folder(Path(mirror), url, sha256)
    # a file that is there already
    if path is None:
        host = parts.netloc.rpartition("@")[2]  # without a user name and password
        path = get_cache_dir() / _shorten(host.replace(":", "_")) / _get_relative_path(url)
    path = Path(path)
    if path.is_file() and not _describe_damage(path, sha256):
        return path  # without a lock, which a read-only cache doesn't allow
    with _lock(path):
        if path.is_file():  # damaged, or downloaded by another process in the meantime
            damage = _describe_damage(path, sha256)
            if damage is None:
                return path
            logger.warning(f"{damage} It is downloaded again.")
        # the address, or two places of a mirror
        urls = [url]
        if mirror:
            base = str(mirror).rstrip("/")
            urls = list(dict.fromkeys([f"{base}{parts.path}", f"{base}/{path.name}"]))
        options = TransferOptions(progress, timeout_s, retries, backoff_s, stop)
        _transfer_from_first(urls, path, sha256, options)
    return path


def get_local_path(source: str | Path, **options) -> Path:
    """The path of a file that is given as a path, or as a URL, which is downloaded; options: download_file's."""
    return download_file(source, **options) if is_url(source) else Path(source)


def _parse_url(url):
    try:
        return urlsplit(url)
    except ValueError as error:
        raise DownloadError(f"{url}: not the http(s) address of a file ({error})") from error


def _get_relative_path(url):
    """A URL's path as a relative path that stays inside the folder it is put in; a query makes another file of it."""
    parts = urlsplit(url)
    names = [name for name in unquote(parts.path).replace("\\", "/").split("/") if name not in ("", ".", "..")]
    if parts.query:
        names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{names[-1]}"
    return Path(*map(_shorten, names))


def _shorten(name, max_bytes=150):
    """A name of at most `max_bytes` bytes with the same end; file systems allow 255, temporary names take some."""
    if len(name.encode()) <= max_bytes:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{digest}-{name.encode()[9 - max_bytes :].decode(errors='ignore')}"


def _find_in_folder(folder, url, sha256):
    relative = _get_relative_path(url)
    candidates = [folder / relative, folder / relative.name]
    for path in candidates:
        if path.is_file():
            if sha256:
                check_sha256(path, sha256)
            return path
    raise DownloadError(
        f"the mirror has neither {candidates[0]} nor {candidates[1]}. Put {url} there, or unset AVALIB_MIRROR."
    )


def _describe_damage(path, sha256):
    """What is wrong with a file that was downloaded before, None where nothing is."""
    try:
        if sha256:
            check_sha256(path, sha256)
        elif path.stat().st_size == 0:
            return f"{path}: the file is empty."
    except DownloadError as error:
        return str(error)
    return None


def _transfer_from_first(urls, path, sha256, options):
    """Download from the first URL that has the file; only "404 not found" moves on to the next."""
    for url in urls:
        try:
            transfer_file(url, path, sha256, options)
            return
        except DownloadError as error:
            if error.status != 404 or url == urls[-1]:
                raise


@contextlib.contextmanager
def _lock(path):
    """One process at a time: the others (torchrun starts eight) wait, and then use the file.

    This only saves downloads: two processes at once write into two files. Windows, a read-only cache and file
    systems without locks go without.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
            (get_cache_dir() / "locks").mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(get_cache_dir() / "locks" / name, "ab"))
            fcntl.flock(file, fcntl.LOCK_EX)  # the system releases it when the process ends, however it ends
        yield


def build_relative_url(path: str | Path, page_path: str | Path) -> str:
    """Build the URL by which a page in `page_path` refers to the file `path`: "./../video%201.mp4".

    On Windows' other drives, which have no relative path, it is the file's own URL.
    """
    path = Path(path).resolve()
    try:
        relative = Path(os.path.relpath(path, Path(page_path).resolve().parent))
    except ValueError:
        return path.as_uri()
    # "./" keeps a colon in a name from being read as a protocol
    return "./" + quote(relative.as_posix())
