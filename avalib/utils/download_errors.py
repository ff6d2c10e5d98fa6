"""The errors of downloads and their messages."""

from avalib.utils.credentials import hide_credentials
from avalib.utils.disk_space import DiskFullError, format_megabytes, get_free_bytes
from avalib.utils.errors import AvalibError
from avalib.utils.http_request import RetryableError
from avalib.utils.partial_download import PartialDownload
from avalib.utils.plurals import format_count

_NO_NETWORK = (
    "Without a network, AVALIB_MIRROR names a folder (or another server) with the files; a local path can be given too."
)
_FREE_SPACE = "Free some space, or point AVALIB_CACHE at a bigger disk."


class DownloadError(AvalibError, OSError):
    """A file could not be downloaded; the message names the address, what happened and what to do.

    The message never has the credentials of the address.
    """

    status = None  # the HTTP status, where the server refused

    def __init__(self, message, *others):
        # pickling and OSError's (number, text) form pass other values
        super().__init__(hide_credentials(message) if isinstance(message, str) else message, *others)


class DownloadDiskFullError(DownloadError, DiskFullError):
    """The disk is too small for a download."""


def describe_failures(part: PartialDownload, failures: int, error: RetryableError) -> str:
    """The message after the last attempt."""
    resumable = f" {part.size:,} bytes are kept; the next call resumes there." if part.size else ""
    attempts = format_count(failures, "attempt")
    return f"{part.url}: given up after {attempts} in a row. The last one: {error}.{resumable} {_NO_NETWORK}"


def describe_stop(part: PartialDownload, size: int) -> str:
    """The message after options.stop was set."""
    return f"{part.url}: stopped; {size:,} bytes are kept; the next call resumes there"


def make_download_disk_error(part: PartialDownload, needed_bytes: int, circumstance: str = "") -> DownloadError:
    """The error of a download that the disk is too small for."""
    needed = format_megabytes(needed_bytes)
    free = format_megabytes(get_free_bytes(part.path.parent))
    return DownloadDiskFullError(
        f"{part.final_path}: the disk is full{circumstance}. {needed} are needed, {free} are free. {_FREE_SPACE}"
    )
