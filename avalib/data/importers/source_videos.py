"""The videos of annotations: found by the names that annotations give them, measured, and given ids."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from avalib.data.importers.picture_folders import PICTURE_SUFFIXES, list_pictures, read_picture
from avalib.data.layout import VIDEO_SUFFIXES
from avalib.utils.suggest import suggest
from avalib.video.reader import Video

NAME_SUFFIXES = {*VIDEO_SUFFIXES, ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp"}  # in annotations
MANIFEST = "dataset.json"  # in the folder of every imported data set


@dataclass(frozen=True)
class SourceVideo:
    """One video of a data set, a file or a folder of pictures, and its measurements."""

    path: Path
    times_s: np.ndarray  # (n_frames,) of every native frame, from the first
    duration_s: float
    width: int
    height: int
    picture_numbers: np.ndarray | None = None  # (n_frames,) in the pictures' names, ascending; None: a video file

    def compute_seconds(self, frames, picture_numbers):
        """Times (N,) in seconds of native frames (N,), from 0; NaN for frames that the video does not have.

        In a folder of pictures, `picture_numbers` (N,) take precedence over `frames` where they are not NaN.
        """
        if self.picture_numbers is None:
            available = np.arange(len(self.times_s))
            requested = frames
        else:
            available = self.picture_numbers
            requested = np.where(np.isnan(picture_numbers), self.picture_numbers[0] + frames, picture_numbers)
        # The place of each requested number among the ascending available ones; only exact matches count.
        index = np.searchsorted(available, requested).clip(max=len(available) - 1)
        return np.where(available[index] == requested, self.times_s[index], np.nan)

    def describe_range(self):
        """Which frames the video has, for messages."""
        if self.picture_numbers is None:
            return f"the frames 0..{len(self.times_s) - 1}"
        return (
            f"{len(self.picture_numbers)} pictures with the numbers {self.picture_numbers[0]}.."
            f"{self.picture_numbers[-1]}"
        )


class SourceVideos:
    """The video files and folders of pictures under a folder, by the names that annotations may use for them."""

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of videos")
        # A link to a video of the same folder is the same video: the first path to it counts.
        paths = {}
        for path in _iter_video_paths(self.folder):
            paths.setdefault(path.resolve(), path)
        self._paths_by_stem = {}
        for path in paths.values():
            self._paths_by_stem.setdefault(_get_stem(path, path.is_file()), []).append(path)

    def find(self, name):
        """The path of a video, or None if it is missing.

        A name, with or without folders and suffix, means the file whose path ends in it or which it ends in. Raises
        ValueError if several files fit equally well.
        """
        named_path = PurePosixPath(str(name).replace("\\", "/"))
        folders = {path: path.relative_to(self.folder).parts[:-1] for path in self._get_namesakes(named_path)}
        matches = [path for path, parents in folders.items() if _ends_alike(parents, named_path.parts[:-1])]
        # Of several files, the one with the same suffix is meant, then the one in the very same folder.
        if named_path.suffix.lower() in NAME_SUFFIXES:
            matches = [path for path in matches if path.name == named_path.name] or matches
        matches = [path for path in matches if folders[path] == named_path.parts[:-1]] or matches
        if len(matches) > 1:
            raise ValueError(
                f"video {name!r}: {len(matches)} files could be meant: {', '.join(map(str, matches))}; expected a name "
                "with the folders that tell them apart"
            )
        return matches[0] if matches else None

    def _get_namesakes(self, path):
        return self._paths_by_stem.get(_get_stem(path), [])

    def suggest(self, name):
        """The hint " Did you mean …?" with the most similar name, or ""."""
        return suggest(_get_stem(PurePosixPath(str(name))), self._paths_by_stem)


def _iter_video_paths(folder):
    """Video files and folders of pictures; neither hidden ones nor those of imported data sets in the folder."""
    for parent, subfolders, files in os.walk(folder):
        if MANIFEST in files and Path(parent) != folder:
            subfolders.clear()
            continue
        # os.walk goes into the folders that are left in the list, in its order.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        names = sorted(name for name in files if not name.startswith("."))
        yield from (Path(parent, name) for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES)
        if any(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in names):
            yield Path(parent)


def _get_stem(path, is_file=True):
    """A name without the suffix of a video; other dots belong to the name."""
    has_suffix = is_file and path.suffix.lower() in NAME_SUFFIXES
    return path.name[: -len(path.suffix)] if has_suffix else path.name


def _ends_alike(folders, other_folders):
    """Whether one of two tuples of folders ends in the other; an absolute path's root does not count."""
    folders = _drop_special_parts(folders)
    other_folders = _drop_special_parts(other_folders)
    # The shorter one decides; no folders at all fit anywhere.
    n_common = min(len(folders), len(other_folders))
    return n_common == 0 or folders[-n_common:] == other_folders[-n_common:]


def _drop_special_parts(folders):
    return [part for part in folders if part not in ("/", ".", "..")]


def measure_video(path, fps):
    """The SourceVideo of a video file, or of a folder of pictures whose numbers count `fps` per second."""
    if not path.is_dir():
        with Video(path) as video:
            return SourceVideo(
                path=path,
                times_s=video.times_s,
                duration_s=video.duration_s,
                width=video.width,
                height=video.height,
            )
    if not fps > 0 or not np.isfinite(fps):
        raise ValueError(f"fps={fps}: expected pictures per second, above 0")
    pictures = list_pictures(path)
    picture_numbers = np.array(list(pictures), np.int64)
    height, width = read_picture(next(iter(pictures.values()))).shape[:2]
    times_s = (picture_numbers - picture_numbers[0]) / fps
    return SourceVideo(
        path=path,
        times_s=times_s,
        duration_s=times_s[-1] + 1 / fps,
        width=width,
        height=height,
        picture_numbers=picture_numbers,
    )


def assign_video_ids(paths, folder):
    """{path: video_id}: the file's name without suffix, or its path within `folder` where two have the same name.

    Ids are valid in csv files and as file names, and differ in more than upper and lower case.
    """
    stems = {path: _get_stem(path, path.is_file()) for path in paths}
    stem_counts = Counter(stems.values())
    used = set()
    video_ids = {}
    for path, stem in stems.items():
        # The path tells files of one name apart.
        video_id = stem
        if stem_counts[stem] > 1:
            video_id = "_".join([*path.relative_to(folder).parts[:-1], stem])
        # Characters that some system does not allow in file names become underscores.
        video_id = re.sub(r"[^\w .()\[\]+=@#&!~-]", "_", video_id).strip(" .") or "video"
        while video_id.casefold() in used:
            video_id += "_"
        used.add(video_id.casefold())
        video_ids[path] = video_id
    return video_ids
