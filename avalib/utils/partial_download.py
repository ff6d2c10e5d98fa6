"""A file that is being downloaded: the part on the disk, and a note beside it with the version of the part.

A part is called `<name>.part`. A process that works on it first renames both files to names of its own, so that two
processes never write into one, with or without a lock. When it ends early it renames them back. The part of a killed
process is found and resumed.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from avalib.utils.files import flush_to_disk, write_json
from avalib.utils.temporary_files import find_abandoned_parts, make_part_path


class PartialDownload:
    """The part of a file; this process's own between `claim` and `release`.

    Parameters
    ----------
    path : str or Path
        The final name of the file.
    url : str
        Where it comes from.

    Attributes
    ----------
    final_path, path : Path
        The final name, and that of the part.
    note : dict
        {"url", "version", "etag", "modified", "total", "file"} of the answer that it came from, {} where unknown.
        "file" is the part's number in the file system: a note beside another part doesn't count.
    """

    def __init__(self, path: str | Path, url: str):
        self.final_path = Path(path)
        self.url = url
        self.note = {}
        self.path = make_part_path(self.final_path, "download")
        self._shared_path = self.final_path.with_name(f"{self.final_path.name}.part")

    @property
    def size(self) -> int:
        """Bytes downloaded so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def claim(self) -> None:
        """Take over the part that an earlier call left: the shared one, else the largest of the killed processes'."""
        abandoned = sorted(self._find_abandoned(), key=lambda path: path.stat().st_size, reverse=True)
        for part in (self._shared_path, *abandoned):
            # the note first: whoever has a part without its note starts anew
            with contextlib.suppress(OSError):
                os.replace(_get_note_path(part), _get_note_path(self.path))
            try:
                os.replace(part, self.path)
            except OSError:
                _get_note_path(self.path).unlink(missing_ok=True)
                continue
            # a note of another part doesn't count
            note = _read_note(self.path)
            self.note = note if note.get("file") == self.path.stat().st_ino else {}
            return

    def _find_abandoned(self):
        """The parts of this file that killed processes left."""
        parts = find_abandoned_parts(self.final_path.parent, "download", self.final_path.name)
        return [part for part in parts if _read_note(part).get("url") == self.url]

    def begin(self, file: BinaryIO, start: int, note: dict) -> None:
        """Cut the open file at byte `start`, and note what comes from there on."""
        file.seek(start)
        file.truncate()
        self.note = note | {"url": self.url, "file": os.fstat(file.fileno()).st_ino}
        write_json(_get_note_path(self.path), self.note)

    def discard(self) -> None:
        """Remove the part and its note."""
        self.path.unlink(missing_ok=True)
        _get_note_path(self.path).unlink(missing_ok=True)
        self.note = {}

    def finish(self) -> None:
        """Give the complete file its name."""
        flush_to_disk(self.path)
        os.replace(self.path, self.final_path)
        flush_to_disk(self.final_path.parent)
        # other parts of this file are of no use now
        for part in (self.path, self._shared_path, *self._find_abandoned()):
            _get_note_path(part).unlink(missing_ok=True)
            part.unlink(missing_ok=True)

    def release(self) -> None:
        """Leave the part to the next call, by whichever process; of two parts the larger one stays."""
        with contextlib.suppress(OSError):
            is_shared_larger = self._shared_path.exists() and self._shared_path.stat().st_size >= self.size
            if self.size and not is_shared_larger:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(_get_note_path(self.path), _get_note_path(self._shared_path))
                os.replace(self.path, self._shared_path)
            self.discard()


def _get_note_path(part):
    return part.with_name(f"{part.name}.json")


def _read_note(part):
    try:
        note = json.loads(_get_note_path(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
