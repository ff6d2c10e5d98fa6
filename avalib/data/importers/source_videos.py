"""The videos of annotations: found by the names they give, measured, and given ids."""

import difflib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from avalib.data.layout import VIDEO_SUFFIXES
from avalib.video.reader import Video
from avalib.video.video_error import VideoError

IMAGES = (".jpg", ".jpeg", ".png")
SUFFIXES = {*VIDEO_SUFFIXES, ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp"}  # that names may have
MANIFEST = "dataset.json"  # in the folder of every data set that was imported
MAX_NUMBERS_A_PICTURE = 300  # holes between the numbers of pictures are filled with repeats


@dataclass(frozen=True)
class SourceVideo:
    """One video of a data set: its file (or folder of pictures), and what was read off it."""

    path: Path
    times_s: np.ndarray  # (n_frames,) of every native frame, from the first
    duration_s: float
    width: int
    height: int
    numbers: np.ndarray | None = None  # (n_frames,) the numbers in the pictures' names, growing; None: a video file

    def seconds(self, frames, numbers):
        """(N,) seconds of native frames (N,), from 0, or, of pictures, of their numbers where these aren't NaN.

        NaN for what the video doesn't have.
        """
        if self.numbers is None:
            known, wanted = np.arange(len(self.times_s)), frames
        else:
            known, wanted = self.numbers, np.where(np.isnan(numbers), self.numbers[0] + frames, numbers)
        place = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        return np.where(known[place] == wanted, self.times_s[place], np.nan)

    def range_in_words(self):
        """Which frames there are, for messages."""
        if self.numbers is None:
            return f"the frames 0..{len(self.times_s) - 1}"
        return f"{len(self.numbers)} pictures with the numbers {self.numbers[0]}..{self.numbers[-1]}"


class SourceVideos:
    """The video files, and folders of pictures, under a folder, by the names that annotations may give them."""

    def __init__(self, folder):
        self.folder, self.paths = Path(folder), {}
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of videos")
        for path in _videos_under(self.folder):
            self.paths.setdefault(path.resolve(), path)  # a link to a video that is there too is the same one
        self._by_stem = {}
        for path in self.paths.values():
            self._by_stem.setdefault(_stem(path, path.is_file()), []).append(path)

    def find(self, name):
        """The file of a video, None where there is none.

        A name, with or without folders and suffix, means the file whose path ends in it or which it ends in. Raises
        ValueError where several could be meant.
        """
        full = PurePosixPath(str(name).replace("\\", "/"))
        possible = {p: p.relative_to(self.folder).parts for p in self._by_stem.get(_stem(full), [])}
        found = [p for p, parts in possible.items() if _ends_alike(parts[:-1], full.parts[:-1])]
        exact = [p for p in found if p.name == full.name and full.suffix.lower() in SUFFIXES]
        found = exact or found
        nearest = [p for p in found if possible[p][:-1] == full.parts[:-1]]  # the very same folder goes first
        found = nearest or found
        if len(found) > 1:
            raise ValueError(f"video {name!r}: {len(found)} files could be meant: {', '.join(map(str, found))}")
        return found[0] if found else None

    def suggestion(self, name):
        """' Did you mean …?', or nothing."""
        near = difflib.get_close_matches(_stem(PurePosixPath(str(name))), self._by_stem, n=1)
        return f" Did you mean {near[0]!r}?" if near else ""


def _videos_under(folder):
    """Video files and folders of pictures; not those of data sets that were imported, nor hidden ones."""
    for place, folders, files in os.walk(folder):
        if MANIFEST in files and Path(place) != folder:
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        names = sorted(f for f in files if not f.startswith("."))
        yield from (Path(place, f) for f in names if Path(f).suffix.lower() in VIDEO_SUFFIXES)
        if any(Path(f).suffix.lower() in IMAGES for f in names):
            yield Path(place)


def _stem(path, is_file=True):
    """A name without the suffix of a video; other dots belong to the name."""
    return path.name[: -len(path.suffix)] if is_file and path.suffix.lower() in SUFFIXES else path.name


def _ends_alike(a, b):
    """Whether one of two tuples of folders ends in the other; an absolute one's root doesn't count."""
    a, b = ([part for part in parts if part not in ("/", ".", "..")] for parts in (a, b))
    shorter = min(len(a), len(b))
    return shorter == 0 or a[-shorter:] == b[-shorter:]


def list_pictures(folder):
    """{number: path} of the frames in a folder of pictures: the last number in each name, growing.

    Without any numbers they count from 0 in the order of their names. Raises ValueError for two of one number, for some
    without, and for numbers that are too far apart.
    """
    paths = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith("."))
    found, without = {}, []
    for path in paths:
        digits = re.findall(r"\d+", path.stem)
        if not digits or len(digits[-1]) > 15:
            without.append(path)
            continue
        number = int(digits[-1])
        if number in found:
            raise ValueError(
                f"{folder}: {found[number].name} and {path.name} are both number {number}; expected the frames of one "
                "video, one picture a number"
            )
        found[number] = path
    if without and found:
        raise ValueError(f"{without[0]}: a picture without a frame number in its name, among pictures with numbers")
    if not found:
        return dict(enumerate(paths))
    if (span := max(found) - min(found) + 1) > MAX_NUMBERS_A_PICTURE * len(found):
        raise ValueError(
            f"{folder}: {len(found)} pictures with the numbers {min(found)}..{max(found)}; expected frame numbers, at "
            f"least one picture in {MAX_NUMBERS_A_PICTURE} of {span:,}"
        )
    return dict(sorted(found.items()))


def read_picture(path):
    """(H,W,3) uint8. Raises VideoError for what isn't a picture."""
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path}: not readable as a picture ({error})") from error


def iter_frames(folder):
    """The frames of a folder of pictures, one for every number; a missing number repeats the picture before it.

    Raises VideoError for a picture of another size.
    """
    frame, number = None, None
    for following, path in list_pictures(folder).items():
        if frame is not None:
            yield from (frame for _ in range(following - number - 1))
        picture = read_picture(path)
        if frame is not None and picture.shape != frame.shape:
            sizes = " and ".join(f"{p.shape[1]}x{p.shape[0]}" for p in (frame, picture))
            raise VideoError(f"{path}: the pictures of one folder are {sizes}; expected one size")
        frame, number = picture, following
        yield frame


def measure_video(path, fps):
    """The Clip of a video file, or of a folder of pictures whose numbers count `fps` a second."""
    if not path.is_dir():
        with Video(path) as opened:
            return SourceVideo(path, opened.times_s, opened.duration_s, opened.width, opened.height)
    if not fps > 0 or not np.isfinite(fps):
        raise ValueError(f"fps={fps}: expected pictures a second, above 0")
    files = list_pictures(path)
    numbers = np.array(list(files), np.int64)
    height, width = read_picture(next(iter(files.values()))).shape[:2]
    times_s = (numbers - numbers[0]) / fps
    return SourceVideo(path, times_s, times_s[-1] + 1 / fps, width, height, numbers)


def assign_video_ids(paths, folder):
    """{path: video_id}: the file's name, or its path where two have the same name; fit for csv's and file names."""
    stems = {path: _stem(path, path.is_file()) for path in paths}
    count, taken, ids = Counter(stems.values()), set(), {}
    for path, stem in stems.items():
        name = stem if count[stem] == 1 else "_".join([*path.relative_to(folder).parts[:-1], stem])
        name = re.sub(r"[^\w .()\[\]+=@#&!~-]", "_", name).strip(" .") or "video"
        while name.casefold() in taken:  # two names that differ in characters that aren't fit for files
            name += "_"
        taken.add(name.casefold())
        ids[path] = name
    return ids
