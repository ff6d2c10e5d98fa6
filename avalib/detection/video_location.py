"""What a video is given as: a file, or a URL that is downloaded; anything else is refused by name."""

import os
import re

from avalib.utils.download import get_local_path
from avalib.video.video_error import VideoError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://|(https?):/", re.I)  # Path makes one slash of two


def locate_video(video, **options):
    """The path of a video file, downloaded first where it is a URL. options: fetch.fetch's.

    Raises ValueError for what is neither a path nor a URL, VideoError for a path where no file is, and FetchError.
    """
    if isinstance(video, bool) or not isinstance(video, (str, os.PathLike)) or not str(video).strip():
        raise ValueError(f"video={str(video)[:80]!r}: expected a file or a URL (https://…); cameras aren't read")
    shown = str(video) if len(str(video)) <= 200 else f"{str(video)[:100]}…"
    scheme = _SCHEME.match(str(video))
    if scheme and scheme[2]:
        raise VideoError(f"{shown}: a URL made into a path; give it as text")
    if scheme and scheme[1].lower() not in ("http", "https"):
        raise VideoError(
            f"{shown}: {scheme[1]} isn't read, only files and http(s); record it first, as with "
            f"ffmpeg -i {shown} -t 60 -c copy clip.mkv"
        )
    path = get_local_path(str(video), **options)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, ValueError) as error:
        raise VideoError(f"{shown}: not a file's name ({getattr(error, 'strerror', None) or error})") from error
    if is_folder:
        raise VideoError(f"{shown}: is a folder; give one video file")
    if not is_file:
        raise VideoError(f"{shown}: no such video file")
    if path.suffix.lower() in PICTURES:
        raise VideoError(f"{shown}: is a picture; expected a video")
    return path
