"""Readers of a data set's videos by id: the frame cache, a folder of jpgs, a cut or an uncut video file.

All give the same AVA-numbered frames.
"""

import contextlib
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.utils.files import atomic_path, join_inside
from avalib.video.frame_cache import FrameCache
from avalib.video.jpeg_folder import JpegFolder
from avalib.video.packet_index import PacketIndex
from avalib.video.reader import Video
from avalib.video.video_error import VideoError

MISSING_COLUMNS = ["video_id", "timestamp", "reason"]  # of the table of keyframes without frames
MIN_PACKETS_TO_KEEP_INDEX = 5000  # reading through minutes of video takes a while


def open_video(layout, video_id: str) -> Video | JpegFolder:
    """Open one video of a data set for reading frames by AVA number.

    A long video's packet index is kept in the data set's cache folder, where that can be written.

    Parameters
    ----------
    layout : DatasetLayout
    video_id : str

    Returns
    -------
    Video, or JpegFolder for a folder of jpgs

    Raises
    ------
    FileNotFoundError, VideoError
        The message names the file.
    """
    path = layout.find_video(video_id)
    if path.is_dir():
        return JpegFolder(path)
    index_path = join_inside(layout.root / "cache" / "index", f"{video_id}.npz")
    if is_newer(index_path, path) and (index := _load_index(index_path)):
        return Video(path, packet_index=index, cut=layout.get_cut_range(path))
    # reads the file through
    opened = Video(path, cut=layout.get_cut_range(path))
    if len(opened.packet_index.pts) > MIN_PACKETS_TO_KEEP_INDEX:
        # on a read-only or full disk the next opening is slower, and no more
        with contextlib.suppress(OSError), atomic_path(index_path) as part:
            np.savez(part, **opened.packet_index._asdict())
    return opened


def is_newer(path: Path, video_path: Path) -> bool:
    """Whether a file that was made from a video exists and is newer than the video, so that it can be used."""
    return path.exists() and path.stat().st_mtime_ns >= video_path.stat().st_mtime_ns


def _load_index(path):
    """A PacketIndex from the cache folder; None where the file is damaged or another version's."""
    try:
        with np.load(path) as arrays:
            return PacketIndex(**arrays)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def get_cache_path(layout, video_id: str, short_side: int) -> Path:
    """The path of a video's frame cache at a short side. Raises ValueError for an id that leads to another folder."""
    return join_inside(layout.root / "cache" / f"short_{short_side}", f"{video_id}.frames")


class FrameSource:
    """Frames of a data set's videos by AVA number: from the frame cache where there is one, else from the files.

    Readers are opened at first use and stay open. Worker processes open their own.

    Parameters
    ----------
    layout : DatasetLayout
    cache_short_side : int, optional
        The short side of the frame cache; None reads the files.
    max_open_files : int
        The most readers that a process has open at a time.
    missing_keyframes : pandas.DataFrame, optional
        Columns video_id, timestamp, reason: keyframes without frames, see `find_missing_keyframes`.
    uncached : iterable of str
        Ids of videos that are read from their files although the others are cached: the cache can't be written.
    """

    def __init__(self, layout, cache_short_side=None, max_open_files=16, missing_keyframes=None, uncached=()):
        self.layout = layout
        self.cache_short_side = cache_short_side
        self.max_open_files = max_open_files
        self.uncached = frozenset(uncached)
        if missing_keyframes is None:
            missing_keyframes = pd.DataFrame(columns=MISSING_COLUMNS)
        self.missing_keyframes = missing_keyframes
        self._missing = set(zip(missing_keyframes.video_id, missing_keyframes.timestamp, strict=True))
        self._readers = OrderedDict()

    def get_reader(self, video_id: str) -> FrameCache | Video | JpegFolder:
        """The open reader of one video."""
        if video_id in self._readers:
            # the last one used is at the end
            self._readers.move_to_end(video_id)
            return self._readers[video_id]
        reader = self._readers[video_id] = self.open_reader(video_id)
        # limits open files and their memory
        if len(self._readers) > self.max_open_files:
            _, least_recently_used = self._readers.popitem(last=False)
            least_recently_used.close()
        return reader

    def open_reader(self, video_id: str) -> FrameCache | Video | JpegFolder:
        """A new reader of one video."""
        if self._is_cached(video_id):
            return FrameCache(self.get_path(video_id))
        return open_video(self.layout, video_id)

    def get_path(self, video_id: str) -> Path:
        """The file or folder that a video's frames are read from."""
        if self._is_cached(video_id):
            return get_cache_path(self.layout, video_id, self.cache_short_side)
        return self.layout.find_video(video_id)

    def _is_cached(self, video_id):
        return self.cache_short_side and video_id not in self.uncached

    def check_available(self, video_id: str, timestamp: float) -> None:
        """Raise VideoError for a keyframe that is in `missing_keyframes`."""
        if (video_id, timestamp) in self._missing:
            raise VideoError(f"{video_id},{timestamp:04.0f}: its frames are missing (listed in the log before)")

    def __getstate__(self):
        return {**self.__dict__, "_readers": OrderedDict()}  # open files do not travel to workers
