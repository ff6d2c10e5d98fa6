"""Files that are whole or not there: atomic writes, hashes, disk space, and what a killed process left behind.

Every file that this package writes under its final name goes through `atomic_path` or one of the short forms below it.
A reader, another process or the next run then finds the old content or the new content, never a part of it.
"""

import contextlib
import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import time
from pathlib import Path

from avalib.utils.errors import AvalibError
from avalib.utils.process import get_host_name, is_running

_NUMBERS = itertools.count()
_PART = re.compile(r"^\..*\.(?P<host>[\w-]+)-(?P<pid>\d+)-\d+\.(?P<kind>part|download)(\.[^.]*)?$", re.S)
_OLDER_PART = re.compile(r"^\..*\.(?P<pid>\d+)\.part(\.[^.]*)?$", re.S)  # as version 0.1 named them, on one machine
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FULL_TEXTS = (
    "no space left",
    "disk quota",
    "file too large",
    "file write failed",
    "os error 28",
    "os error 122",
    "enforce fail at inline_container",  # torch.save when a write was cut short: "unexpected pos 704 vs 598"
)
_DAY_S = 24 * 3600
_LONGEST_STEM = 80  # letters of the final name that a temporary name repeats; most file systems allow 255 bytes


class DiskFullError(AvalibError, OSError):
    """A file could not be written for want of space; the message names the file, what it takes and what is free."""

    errno = errno.ENOSPC


def make_part_path(path, kind="part"):
    """The temporary name of a file that is being written: hidden, beside it, unique on every machine with this disk.

    It keeps the suffix, which np.savez, PIL and others go by. kind: "download" for what another process may resume.
    """
    path = Path(path)
    stem = path.stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    return path.with_name(f".{stem}.{get_host_name()}-{os.getpid()}-{next(_NUMBERS)}.{kind}{path.suffix[:20]}")


@contextlib.contextmanager
def atomic_path(path, needed_bytes=None):
    """A temporary path beside `path`, for functions that write a file by name; it becomes `path` when all went well.

    Parameters
    ----------
    path : str or Path
        The final name. Missing folders are made.
    needed_bytes : int, optional
        The expected size. Where the disk has less, nothing is written.

    Raises
    ------
    DiskFullError
        The disk is full or a quota is reached; the temporary file is removed.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path  # a device or a pipe (/dev/stdout): it has no content to keep, and must not become a file
        return
    target = Path(os.path.realpath(path))  # a link stays a link, as when a file is opened for writing
    target.parent.mkdir(parents=True, exist_ok=True)
    if needed_bytes is not None:
        check_free_space(path, needed_bytes)
    part = make_part_path(target)
    try:
        yield part
        flush_to_disk(part)
        os.replace(part, target)
        flush_to_disk(target.parent)
    except Exception as error:
        written = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)  # first, so that the message says what is free for the next attempt
        if is_disk_full(error):
            raise _disk_full(path, max(needed_bytes or 0, written)) from error
        if isinstance(error, OSError) and str(error.filename) == str(part):
            error.filename = str(path)  # the name that the caller gave
        raise
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path, mode="wb", needed_bytes=None):
    """An open file that becomes `path` when all went well: binary, text in UTF-8 (mode "w"), gzip by the suffix .gz."""
    if mode not in ("wb", "w"):
        raise ValueError(f"mode={mode!r}: expected 'wb' or 'w'")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    with atomic_path(path, needed_bytes) as part:
        if Path(path).suffix == ".gz":
            with open(part, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
                if mode == "wb":
                    yield file
                else:
                    with io.TextIOWrapper(file, **text) as letters:
                        yield letters
        else:
            with open(part, mode, **text) as file:
                yield file


@contextlib.contextmanager
def describe_disk_full(path, needed_bytes=0):
    """A full disk inside raises DiskFullError for `path`: where a file is appended to or written by other means."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise _disk_full(Path(path), needed_bytes) from error
        raise


def write_text(path, text):
    """Write text as UTF-8, line ends as they are. Returns the path."""
    with atomic_write(path, "w") as file:
        file.write(text)
    return Path(path)


def write_bytes(path, content):
    """Write bytes as they are, whatever the suffix. Returns the path."""
    with atomic_path(path, needed_bytes=len(content)) as part:
        part.write_bytes(content)
    return Path(path)


def write_json(path, content, default=None):
    """Write what json can take, indented, with a line end. Returns the path. default: as json.dumps takes it."""
    return write_text(path, json.dumps(content, indent=1, default=default) + "\n")


def write_table(table, path, **options):
    """Write a pandas table without its index, as csv or parquet by the suffix. Returns the path.

    options: to_csv's, such as float_format.
    """
    with atomic_path(path) as part:
        if Path(path).suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False, encoding="utf-8", **options)
    return Path(path)


def copy_file(source, path):
    """Copy a file's content (not its times or rights). Returns the path."""
    with atomic_path(path, needed_bytes=Path(source).stat().st_size) as part:
        shutil.copyfile(source, part)
    return Path(path)


def link_or_copy(source, path):
    """Let `path` show a big file without its bytes being copied: a symbolic link, else a hard link, else a copy.

    Windows allows symbolic links to administrators only, and hard links on one disk.
    """
    source, path = Path(source).resolve(), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for link in (getattr(os, "symlink", None), getattr(os, "link", None)):
        part = make_part_path(path)
        try:
            if link is not None:
                link(source, part)
                os.replace(part, path)
                return path
        except (OSError, NotImplementedError):
            part.unlink(missing_ok=True)
    path.unlink(missing_ok=True)  # or the copy would be written into what an older link shows
    return copy_file(source, path)


def flush_to_disk(path):
    """Wait until a file's (or folder's) content is on the disk, so that a power cut after a rename loses nothing."""
    if os.name == "nt" and os.path.isdir(path):
        return  # Windows has no such call for folders
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        return  # a folder that may be written but not listed, a file made read-only
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # file systems that can't
            raise
    finally:
        os.close(descriptor)


def check_free_space(path, needed_bytes, purpose=""):
    """Raise DiskFullError where the disk of `path` (which need not exist yet) has too little space."""
    if needed_bytes > get_free_bytes(path):
        raise _disk_full(Path(path), needed_bytes, purpose)


def is_writable(folder):
    """Whether files can be made in a folder, which need not exist: tried, as rights don't tell (NFS, root)."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        probe = make_part_path(Path(folder) / "probe")
        with open(probe, "xb"):
            pass
        probe.unlink()
    except OSError:
        return False
    return True


def join_inside(folder, name):
    """folder / name, for a name from someone's data. Raises ValueError where that would leave the folder."""
    path = Path(os.path.normpath(Path(folder) / name))
    if "\0" in str(name) or Path(os.path.normpath(folder)) not in path.parents:
        raise ValueError(f"{name!r}: its file would not be inside of {folder}. Give it a plain name.")
    return path


def get_free_bytes(path):
    """Free bytes on the disk of a path, which need not exist yet."""
    return shutil.disk_usage(find_existing_folder(path)).free


def find_existing_folder(path):
    """The nearest existing folder at or above a path."""
    path = Path(path).absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def is_disk_full(error):
    """Whether an exception comes from a full disk, whichever library raised it.

    torch.save raises RuntimeError and safetensors an error of its own, with the system's message inside at best.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return any(text in str(error).lower() for text in _FULL_TEXTS)


def _disk_full(path, needed_bytes, purpose=""):
    purpose = f" ({purpose})" if purpose else ""
    needed, free = format_megabytes(needed_bytes), format_megabytes(get_free_bytes(path))
    return DiskFullError(
        f"{path}: {needed} are needed{purpose}, {free} are free on its disk. "
        "Make room (or raise the quota) and run it again."
    )


def format_megabytes(size):
    """A number of bytes in words: "1,234.5 MB", "0.016 MB"."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e6:.3f} MB"


def compute_sha256(path):
    """The SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wait_for_writers(folder, seconds=300, pause=0.1):
    """Wait while another process of this machine writes a file of a folder, at most so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(_is_being_written(path) for path in Path(folder).glob(".*.part*")):
        time.sleep(pause)


def _is_being_written(path):
    owner = _PART.match(path.name)
    if owner is None or owner["host"] != get_host_name() or int(owner["pid"]) == os.getpid():
        return False
    return is_running(int(owner["pid"]))


def _owner_of(name):
    """{"host", "pid", "kind"} of a temporary file's name, or None. Version 0.1 wrote no host: this machine's then."""
    if match := _PART.match(name):
        return match.groupdict()
    if match := _OLDER_PART.match(name):
        return {"host": get_host_name(), "pid": match["pid"], "kind": "part"}
    return None


def find_abandoned_parts(folder, kind="part"):
    """The temporary files of one kind (see make_part_path) that processes which no longer run left in a folder.

    A file of another machine, whose processes can't be asked after, counts once it is a day old.
    """
    found = []
    for path in sorted(Path(folder).glob(f".*.{kind}*")):
        owner = _owner_of(path.name)
        if owner is None or owner["kind"] != kind:
            continue
        with contextlib.suppress(OSError):  # another process has removed it
            if owner["host"] == get_host_name():
                abandoned = not is_running(int(owner["pid"]))
            else:
                abandoned = time.time() - path.stat().st_mtime > _DAY_S
            if abandoned:
                found.append(path)
    return found


def remove_abandoned_parts(folder):
    """Remove the temporary files that processes which no longer run left in a folder. Returns their paths.

    Downloads stay: the next call resumes them.
    """
    removed = []
    for path in find_abandoned_parts(folder):
        with contextlib.suppress(OSError):  # another process removes it too, or the disk is read-only
            path.unlink()
            removed.append(path)
    return removed


def clear_abandoned_parts(*folders):
    """`remove_abandoned_parts` of folders, for those about to write there: says in one line what was removed."""
    removed = [path for folder in folders for path in remove_abandoned_parts(folder)]
    if removed:
        print(f"removed {len(removed)} unfinished files of processes that were stopped, in {removed[0].parent}")
