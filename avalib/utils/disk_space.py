"""Free disk space, and the error for a full disk, whichever library raises it."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from avalib.utils.errors import AvalibError

_FULL_ERRNOS = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FULL_TEXTS = (
    "no space left",
    "disk quota",
    "file too large",
    "file write failed",
    "os error 28",
    "os error 122",
    "enforce fail at inline_container",  # torch.save when a write was cut short: "unexpected pos 704 vs 598"
)


class DiskFullError(AvalibError, OSError):
    """A file could not be written because the disk is full; the message names the file, its size and the free space."""

    errno = errno.ENOSPC


def make_disk_full_error(path: str | Path, needed_bytes: int, purpose: str = "") -> DiskFullError:
    """The error for a file that takes `needed_bytes`, with what is free on its disk."""
    purpose = f" ({purpose})" if purpose else ""
    needed = format_megabytes(needed_bytes)
    free = format_megabytes(get_free_bytes(path))
    return DiskFullError(
        f"{path}: {needed} are needed{purpose}, {free} are free on its disk. "
        "Free some space (or raise the quota) and run it again."
    )


@contextlib.contextmanager
def describe_disk_full(path: str | Path, needed_bytes: int = 0) -> Iterator[None]:
    """A full disk inside raises DiskFullError for `path`: where a file is appended to or written by other means."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise make_disk_full_error(path, needed_bytes) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception comes from a full disk, whichever library raised it.

    torch.save raises RuntimeError and safetensors an error of its own, with the system's message inside at best.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL_ERRNOS
    return any(text in str(error).lower() for text in _FULL_TEXTS)


def check_free_space(path: str | Path, needed_bytes: int, purpose: str = "") -> None:
    """Raise DiskFullError where the disk of `path` (which need not exist yet) has too little space."""
    if needed_bytes > get_free_bytes(path):
        raise make_disk_full_error(path, needed_bytes, purpose)


def get_free_bytes(path: str | Path) -> int:
    """Free bytes on the disk of a path, which need not exist yet."""
    return shutil.disk_usage(find_existing_folder(path)).free


def find_existing_folder(path: str | Path) -> Path:
    """The nearest existing folder at or above a path."""
    path = Path(path).absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def format_megabytes(size: int) -> str:
    """A number of bytes as text: "1,234.5 MB", "0.016 MB"."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e6:.3f} MB"
