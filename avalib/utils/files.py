"""Atomic writes, copies and links of files; hashes.

Every file that this package writes goes through `atomic_path` or one of the functions that use it. A reader, another
process or the next run finds the old content or the new content, never a part of it.
"""

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from avalib.utils.disk_space import check_free_space, is_disk_full, make_disk_full_error
from avalib.utils.temporary_files import make_part_path


@contextlib.contextmanager
def atomic_path(path: str | Path, needed_bytes: int | None = None) -> Iterator[Path]:
    """A temporary path beside `path`, which becomes `path` at the end of the context unless an error occurred.

    Parameters
    ----------
    path : str or Path
        The final name. Missing folders are created.
    needed_bytes : int, optional
        The expected size. If the disk has less free space, nothing is written.

    Yields
    ------
    Path
        Write the file there.

    Raises
    ------
    DiskFullError
        The disk is full or a quota is reached; the temporary file is removed.
    """
    path = Path(path)
    # a device or a pipe (/dev/stdout) has no content to keep, and must not become a file
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    # a link stays a link, as when a file is opened for writing
    target = Path(os.path.realpath(path))
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
        # remove the part first, so that the message names the space that is free for the next attempt
        part_bytes = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)
        if is_disk_full(error):
            raise make_disk_full_error(path, max(needed_bytes or 0, part_bytes)) from error
        # the caller knows the final name only
        if isinstance(error, OSError) and str(error.filename) == str(part):
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb", needed_bytes: int | None = None) -> Iterator[IO]:
    """An open file that becomes `path` at the end of the context unless an error occurred.

    Parameters
    ----------
    path : str or Path
        The final name; with the suffix .gz the file is compressed.
    mode : "wb" or "w"
        Bytes, or text in UTF-8.
    needed_bytes : int, optional
        As for `atomic_path`.

    Yields
    ------
    file
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"mode={mode!r}: expected 'wb' or 'w'")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    with atomic_path(path, needed_bytes) as part:
        if Path(path).suffix == ".gz":
            # without a name and a time, equal content gives equal bytes
            with open(part, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
                if mode == "wb":
                    yield file
                else:
                    with io.TextIOWrapper(file, **text) as text_file:
                        yield text_file
        else:
            with open(part, mode, **text) as file:
                yield file


def write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8, line ends as they are. Returns the path."""
    with atomic_write(path, "w") as file:
        file.write(text)
    return Path(path)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write bytes as they are, whatever the suffix. Returns the path."""
    with atomic_path(path, needed_bytes=len(content)) as part:
        part.write_bytes(content)
    return Path(path)


def write_json(path: str | Path, content: object, default: Callable | None = None) -> Path:
    """Write a value as indented json. Returns the path. default: that of json.dumps."""
    return write_text(path, json.dumps(content, indent=1, default=default) + "\n")


def write_table(table, path: str | Path, **options) -> Path:
    """Write a pandas table without its index, as csv or parquet by the suffix. Returns the path.

    options: those of to_csv, such as float_format.
    """
    with atomic_path(path) as part:
        if Path(path).suffix == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False, encoding="utf-8", **options)
    return Path(path)


def copy_file(source: str | Path, path: str | Path) -> Path:
    """Copy a file's content (not its times or rights). Returns the path."""
    with atomic_path(path, needed_bytes=Path(source).stat().st_size) as part:
        shutil.copyfile(source, part)
    return Path(path)


def link_or_copy(source: str | Path, path: str | Path) -> Path:
    """Give a big file a second path: by a symbolic link, else a hard link, else a copy. Returns the path.

    Windows allows symbolic links to administrators only, and hard links on one disk.
    """
    source = Path(source).resolve()
    path = Path(path)
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
    # else the copy would go into the file that an older link leads to
    path.unlink(missing_ok=True)
    return copy_file(source, path)


def link_folder(source: str | Path, path: str | Path) -> Path:
    """Give a folder a second path by a symbolic link. Returns the path. Raises OSError where there are no links."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = make_part_path(path)
    os.symlink(Path(source).resolve(), part, target_is_directory=True)
    os.replace(part, path)
    return path


def flush_to_disk(path: str | Path) -> None:
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


def is_writable(folder: str | Path) -> bool:
    """Whether files can be created in a folder, which need not exist."""
    # try it: the rights don't tell on NFS or for root
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        probe = make_part_path(Path(folder) / "probe")
        with open(probe, "xb"):
            pass
        probe.unlink()
    except OSError:
        return False
    return True


def check_not_input(path: str | Path, *inputs: str | Path | None) -> None:
    """Raise ValueError if `path` is one of the files that a call reads: writing it would replace that file.

    inputs: paths; None, URLs and names that are no files do not count.
    """
    for read_path in inputs:
        both = (path, read_path)
        if read_path is not None and all(map(os.path.isfile, both)) and os.path.samefile(*both):
            raise ValueError(f"{path}: this call reads that file, and writing would replace it; choose another name")


def join_inside(folder: str | Path, name: str) -> Path:
    """Join a folder and a name from other people's data. Raises ValueError if the path is not inside the folder."""
    path = Path(os.path.normpath(Path(folder) / name))
    if "\0" in str(name) or Path(os.path.normpath(folder)) not in path.parents:
        raise ValueError(f"{name!r}: its file would not be inside of {folder}. Give it a plain name.")
    return path


def compute_sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file: 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
