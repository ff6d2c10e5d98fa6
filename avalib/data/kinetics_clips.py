"""Kinetics' clips: the names that Kinetics and MMAction2 give them, and which clips lie in a folder or a list."""

import csv
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
LIST_COLUMNS = ("youtube_id", "time_start", "time_end")  # of Kinetics' own lists; others are read by the paths in them
_CLIP_NAME = re.compile(r"([\w-]{11})_(\d{6})_(\d{6})", re.ASCII)


@dataclass(frozen=True)
class KineticsClip:
    """Some seconds of a YouTube video, as the name of a clip tells them."""

    youtube_id: str
    start_s: int  # of the clip's first frame, in seconds of the YouTube video
    end_s: int

    @property
    def name(self) -> str:
        """<id>_<start>_<end>, times in six digits: the clip's video_id."""
        return f"{self.youtube_id}_{self.start_s:06d}_{self.end_s:06d}"

    @property
    def length_s(self) -> int:
        """The nominal length."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class ClipFile:
    """Where a clip is: a video's file, or a folder of frames."""

    clip: KineticsClip
    path: str  # of the file or folder; relative to its mirror's location


@dataclass(frozen=True)
class ClipIndex:
    """The clips of a folder or a list."""

    files: list[ClipFile]
    unknown_names: list[str]  # of videos that aren't named as clips


def parse_clip_name(name: str) -> KineticsClip | None:
    """The clip that a name without suffix stands for, such as o3lCwWyyc_s_000012_000022; None for other names."""
    match = _CLIP_NAME.fullmatch(name)
    if not match or int(match[2]) >= int(match[3]):
        return None
    return KineticsClip(match[1], int(match[2]), int(match[3]))


def find_clips(folder: str | Path) -> ClipIndex:
    """Find the clips in a folder and its sub-folders: video files, and folders of frames named as clips.

    Parameters
    ----------
    folder : str or Path
        Kinetics' clips in any layout: all in one folder, one folder a class, MMAction2's folders of frames.

    Returns
    -------
    ClipIndex
        Paths are relative to the folder.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected the folder of Kinetics' clips")
    files = []
    unknown = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        place = Path(parent).relative_to(folder)
        # a folder that is named as a clip holds its frames, and no other clips
        frames = [name for name in folders if parse_clip_name(name)]
        folders[:] = sorted(set(folders) - set(frames))
        videos = [name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES]
        for name in sorted([*frames, *videos]):
            clip = parse_clip_name(name if name in frames else Path(name).stem)
            if clip is None:
                unknown.append((place / name).as_posix())
            else:
                files.append(ClipFile(clip, (place / name).as_posix()))
    return ClipIndex(files, unknown)


def read_clip_list(path: str | Path) -> ClipIndex:
    """Read a list of clips.

    Parameters
    ----------
    path : str or Path
        MMAction2's list, a line `class/<id>_<start>_<end>.mp4 label` for each clip, or Kinetics' own csv with the
        columns label, youtube_id, time_start, time_end, whose clips are taken to be called <id>_<start>_<end>.mp4.

    Returns
    -------
    ClipIndex
        Paths as the list has them.

    Raises
    ------
    ValueError
        Naming file, line and value.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = file.read().splitlines()
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    if set(LIST_COLUMNS) <= set(header):
        return ClipIndex(list(_iter_kinetics_rows(path, header, lines[1:])), [])
    files = []
    unknown = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        # the label behind the last blank; a class in the path may have blanks in its name
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdigit():
            raise ValueError(
                f"{path}, line {number}, value {line[:80]!r}: expected a clip's path and its label, "
                "class/<id>_<start>_<end>.mp4 12, or Kinetics' csv with a header"
            )
        clip = parse_clip_name(PurePosixPath(name).stem)
        if clip is None:
            unknown.append(name)
        else:
            files.append(ClipFile(clip, name))
    return ClipIndex(files, unknown)


def _iter_kinetics_rows(path, header, lines: Iterable[str]):
    """The ClipFile of each row of Kinetics' own csv."""
    for number, row in enumerate(csv.reader(lines), 2):
        values = dict(zip(header, row, strict=False))
        try:
            start_s, end_s = (int(float(values[name])) for name in LIST_COLUMNS[1:])
            clip = parse_clip_name(f"{values['youtube_id']}_{start_s:06d}_{end_s:06d}")
        except (KeyError, ValueError, OverflowError):
            clip = None
        if clip is None:
            raise ValueError(f"{path}, line {number}, value {','.join(row)[:80]!r}: expected {','.join(header)}")
        yield ClipFile(clip, f"{clip.name}.mp4")
