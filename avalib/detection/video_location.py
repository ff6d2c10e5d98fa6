"""Locate a video: a file, or a URL that is downloaded; anything else raises a descriptive error."""

import os
import re
from pathlib import Path

from avalib.utils.credentials import hide_credentials
from avalib.utils.download import get_local_path
from avalib.video.video_error import VideoError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MAX_SHOWN = 200  # letters of a name in messages
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://", re.I)
_URL_AS_PATH = re.compile(r"https?:/(?!/)", re.I)  # Path makes one slash of two


def locate_video(video: str | Path, mirror: str | Path | None = None, progress: bool = True) -> Path:
    """Locate a video file; a URL is downloaded first.

    Parameters
    ----------
    video : str or Path
        A file or a URL (http, https).
    mirror, progress
        See `download.download_file`.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        `video` is neither a path nor a URL.
    VideoError
        There is no video file at the path, or the URL's scheme is not supported.
    DownloadError
        The download failed.
    """
    if isinstance(video, bool) or not isinstance(video, (str, os.PathLike)) or not str(video).strip():
        raise ValueError(f"video={str(video)[:80]!r}: expected a file or a URL (https://…); cameras: avalib.watch_live")
    # Messages show long names in part.
    text = str(video)
    shown = hide_credentials(text)
    shown = shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN // 2]}…"
    if _URL_AS_PATH.match(text):
        raise VideoError(f"{shown}: a URL that was made into a Path, which loses a slash; give it as a string")
    scheme = _SCHEME.match(text)
    if scheme and scheme[1].lower() not in ("http", "https"):
        raise VideoError(
            f"{shown}: {scheme[1]} is not supported, only files and http(s); for streams use avalib.watch_live or "
            "avalib detect --live"
        )
    path = get_local_path(text, mirror=mirror, progress=progress)
    _check_video_path(path, shown)
    return path


def _check_video_path(path, shown):
    """Raise VideoError unless a path is a file that may be a video. shown: its name in messages."""
    try:
        is_file = path.is_file()
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise VideoError(f"{shown}: not a file's name ({getattr(error, 'strerror', None) or error})") from error
    if is_folder:
        raise VideoError(f"{shown}: is a folder; give one video file")
    if not is_file:
        raise VideoError(f"{shown}: no such video file")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise VideoError(f"{shown}: is a picture; expected a video")
