"""The list of videos for one run: from files, folders, globs, list files and URLs; each once, in a fixed order."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from avalib.utils.credentials import hide_credentials
from avalib.utils.download import is_url
from avalib.video.video_error import VideoError

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .divx .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split()
)
OVERLAY_MARK = ".overlay"  # ends the names of videos with boxes
DOWNLOADS = "downloads"  # a folder in that of the results
LIST_SUFFIXES = (".txt", ".lst")
_SHARD = re.compile(r"(\d+)/(\d+)")


def list_videos(sources: str | Path | Iterable[str | Path], out_dir: str | Path | None = None) -> list[str]:
    """List the videos that some sources stand for.

    Parameters
    ----------
    sources : str, Path, or several of them
        Each a video file, a folder (with all folders in it), a glob (with "**" for folders in folders), a text file
        (.txt, .lst) with one path or URL a line, or a URL. Paths in a list file are relative to its folder; empty lines
        and lines that begin with "#" are left out.
    out_dir : str or Path, optional
        The folder of results: what a run has written there is left out of folders and globs, see `is_output`.

    Returns
    -------
    list of str
        Absolute paths and URLs, each once, sorted: the order of the sources does not matter.

    Raises
    ------
    VideoError
        A source has no video, or does not exist; the message names it.
    """
    sources = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    out_dir = None if out_dir is None else Path(os.path.abspath(out_dir))
    videos = {video for source in sources for video in _expand_source(source, Path.cwd(), out_dir)}
    if not videos:
        raise VideoError("no videos: give files, folders, globs, a list file (.txt) or URLs")
    return sorted(videos)


def _expand_source(source, folder, out_dir):
    """The videos (absolute paths, URLs) of one source; a relative path begins at `folder`."""
    # What exists goes before a pattern: a file's name may have brackets.
    if is_url(source):
        return [str(source)]
    path = folder / source
    if path.is_dir():
        return _list_folder(path, out_dir)
    if path.suffix.lower() in LIST_SUFFIXES and path.is_file():
        return _read_list_file(path, out_dir)
    if path.is_file():
        return [os.path.abspath(path)]
    if glob.has_magic(str(source)):
        matches = [Path(name) for name in glob.glob(str(path), recursive=True)]
        videos = [os.path.abspath(match) for match in matches if match.is_file() and not is_output(match, out_dir)]
        if videos:
            return videos
        raise VideoError(f"{source}: no file fits this pattern")
    raise VideoError(f"{hide_credentials(str(source))}: no such video, folder or list file")


def _list_folder(folder, out_dir):
    """The videos in a folder and in the folders in it, by their suffixes."""
    files = (Path(parent) / name for parent, _, names in os.walk(folder, followlinks=True) for name in names)
    videos = [
        os.path.abspath(file)
        for file in files
        if file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".") and not is_output(file, out_dir)
    ]
    if not videos:
        raise VideoError(f"{folder}: no videos in this folder ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return videos


def _read_list_file(path, out_dir):
    """The videos of a list file; a line that stands for none is an error that names it."""
    videos = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        source = line.strip()
        if not source or source.startswith("#"):
            continue
        try:
            videos += _expand_source(source, path.parent, out_dir)
        except VideoError as error:
            raise VideoError(f"{path}, line {number}: {error}") from None
    if not videos:
        raise VideoError(f"{path}: no videos in this list; expected one path or URL a line")
    return videos


def is_output(path: Path, out_dir: Path | None) -> bool:
    """Whether a run has written a video in the folder of its results: it was drawn, or is downloaded."""
    path = Path(os.path.abspath(path))
    if out_dir is None or not path.is_relative_to(out_dir):
        return False
    return path.stem.endswith(OVERLAY_MARK) or path.relative_to(out_dir).parts[0] == DOWNLOADS


def parse_shard(shard: str | tuple[int, int]) -> tuple[int, int]:
    """Parse a share of the list, as "3/16" or (3, 16). Returns (number from 1, count)."""
    match = _SHARD.fullmatch(shard) if isinstance(shard, str) else None
    number, count = (int(match[1]), int(match[2])) if match else shard if isinstance(shard, tuple) else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"shard={shard!r}: expected NUMBER/COUNT, from 1/16 to 16/16")
    return number, count


def select_shard(videos: list[str], number: int, count: int) -> list[str]:
    """Every count-th video of a sorted list, from the number-th on: shares differ by one video at most.

    All shares have to be taken from the same list: a video that is added between two calls moves others.
    """
    return videos[number - 1 :: count]
