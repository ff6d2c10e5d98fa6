"""What all formats share: rows as a reader finds them, made into AVA's table by looking at the videos themselves.

A reader gives raw rows, a DataFrame with
    video    the name that the annotation gives it
    frame    the native frame, from 0 (or NaN), or time_s, seconds from the video's beginning
    x1 … y2  the box, in pixels of width x height (columns, NaN: of the video's), or fractions where `pixels` is False
    action   the action's name
    person   anything that stays the same as long as it is the same person, or None
    split    "train", "val" or ""
    where    the row's place in the file, for messages
"""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from avalib import actions, video
from avalib.annotations import VIDEO_SUFFIXES
from avalib.tables import BOX, NO_PERSON

RAW = ["video", "frame", "time_s", *BOX, "width", "height", "pixels", "action", "person", "split", "where"]
DEFAULTS = {"frame": np.nan, "time_s": np.nan, "width": np.nan, "height": np.nan, "pixels": True, "person": None}
IMAGES = (".jpg", ".jpeg", ".png")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "val",
          "testing": "val", "": ""}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """One video of a data set: its file (or folder of pictures), and what was read off it."""

    path: Path
    times_s: np.ndarray  # (n_frames,) of every native frame, from the first
    duration_s: float
    width: int
    height: int


@dataclass(frozen=True)
class Annotated:
    """What every reader gives: AVA's table with a split and the place of each row, the classes, the videos.

    table: video_id, timestamp (seconds from the video's beginning), x1 … y2 (0..1), action_id, person_id, split
    ("train", "val", or "" where the format doesn't say), where; label_map {action_id: name}; videos {video_id: Clip};
    notes: what was decided or left out, in words.
    """

    source: str
    table: pd.DataFrame
    label_map: dict
    videos: dict
    notes: list = field(default_factory=list)


def raw_rows(rows, columns):
    """Raw rows from tuples; columns that a format doesn't have are filled in."""
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(**{c: DEFAULTS.get(c, "") for c in RAW if c not in table})[RAW]


class Videos:
    """The video files, and folders of pictures, under a folder, by the names that annotations may give them."""

    def __init__(self, folder):
        self.folder, self.by_name = Path(folder), {}
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of videos")
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                self._add(path)
            elif path.suffix.lower() in IMAGES and path.parent != self.folder:
                self._add(path.parent)

    def _add(self, path):
        inside = path.relative_to(self.folder).as_posix()
        for name in {inside, inside.removesuffix(path.suffix), path.name, path.name.removesuffix(path.suffix)}:
            self.by_name.setdefault(name, set()).add(path)

    def find(self, name):
        """The file of a video, None where there is none. Raises ValueError where several could be meant."""
        full = PurePosixPath(str(name).replace("\\", "/"))
        for key in (str(full), str(full.with_suffix("")), full.name, full.stem):
            found = self.by_name.get(key, set())
            if len(found) > 1:
                raise ValueError(f"video {name!r}: {len(found)} files could be meant: {', '.join(map(str, found))}")
            if found:
                return next(iter(found))
        return None


def pictures(folder):
    """The frames of a folder of pictures, in order of their names."""
    return sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGES)


def look_at(path, fps):
    """The Clip of a video file, or of a folder of pictures taken at `fps`."""
    if path.is_dir():
        files = pictures(path)
        with Image.open(files[0]) as first:
            return Clip(path, np.arange(len(files)) / fps, len(files) / fps, *first.size)
    with video.Video(path) as opened:
        return Clip(path, opened.times_s, opened.duration_s, opened.width, opened.height)


def as_label_map(source):
    """{action_id: name} from a dict, a list of names, a pbtxt, or a text file with a name a line (ids from 1)."""
    if isinstance(source, dict):
        label_map = {int(i): str(name) for i, name in source.items()}
    elif isinstance(source, (list, tuple)):
        label_map = dict(enumerate(map(str, source), 1))
    elif Path(source).suffix == ".pbtxt":
        label_map = actions.read_label_map(source)
    else:
        names = [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines()]
        label_map = dict(enumerate(filter(None, names), 1))
    twice = sorted({n for n in label_map.values() if list(label_map.values()).count(n) > 1})
    if not label_map or min(label_map) < 1 or twice:
        raise ValueError(f"label map {source}: expected classes with ids from 1, each name once; got {label_map}")
    return label_map


def finish(raw, source, videos, label_map=None, fps=25.0, notes=(), skip_faulty=False):
    """Raw rows as Annotated: videos found, frames turned into seconds and pixels into fractions, classes numbered.

    videos: the folder; fps: of folders of pictures. Raises FileNotFoundError listing videos that aren't there,
    ValueError for classes outside of the label map.
    """
    if not len(raw):
        raise ValueError(f"{source}: no annotated boxes in it")
    raw, notes = raw.reset_index(drop=True), list(notes)
    found = {name: Videos.find(files, name) for files in [Videos(videos)] for name in raw.video.unique()}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        gone = raw.video.isin(missing)
        what = f"{len(missing)} of {len(found)} videos with {gone.sum()} of {len(raw)} rows"
        names = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
        if not skip_faulty or len(missing) == len(found):
            raise FileNotFoundError(f"{videos}: {what} of {source} are not there: {names}")
        notes.append(f"{what} left out, their files are missing: {names}")
        raw = raw[~gone].reset_index(drop=True)
    label_map = as_label_map(label_map) if label_map else dict(enumerate(sorted(raw.action.unique()), 1))
    ids = {name: i for i, name in label_map.items()}
    if unknown := sorted(set(raw.action) - set(ids)):
        place = raw["where"][raw.action == unknown[0]].iloc[0]
        raise ValueError(f"{source}, {place}: class {unknown[0]!r} isn't in the label map, which has {list(ids)}")
    names = _video_ids([found[name] for name in raw.video.unique()], Path(videos))
    clips = {names[path]: look_at(path, fps) for path in names}
    video_id = raw.video.map(lambda name: names[found[name]])
    seconds = _seconds(raw, video_id, clips)
    if len(beyond := np.flatnonzero(np.isnan(seconds))):
        name, place = video_id[beyond[0]], raw["where"][beyond[0]]
        what = (
            f"frame {raw.frame[beyond[0]]:g} of video {name} ({place}), which has the frames 0.."
            f"{len(clips[name].times_s) - 1}; {len(beyond)} of {len(raw)} rows are beyond their video's end"
        )
        if not skip_faulty or len(beyond) == len(raw):
            raise ValueError(f"{source}: {what}. Counted from 1 (first_frame=1), or at another rate than the video's?")
        notes.append(f"left out: {what}")
        raw, seconds = raw.drop(index=beyond).reset_index(drop=True), np.delete(seconds, beyond)
        video_id = raw.video.map(lambda name: names[found[name]])
    table = pd.DataFrame({"video_id": video_id, "timestamp": seconds})
    table[BOX] = _fractions(raw, video_id, clips).round(3)  # as AVA's csv writes them
    known = raw.person.notna()
    people = pd.factorize(raw.person.where(known).astype(object).astype(str))[0]
    numbers = pd.to_numeric(raw.person, errors="coerce")
    whole = numbers[known].notna().all() and (numbers[known] % 1 == 0).all()
    person = np.where(known, numbers if whole else people, NO_PERSON).astype(np.int64)
    table = table.assign(action_id=raw.action.map(ids).astype(np.int64), person_id=person)
    return Annotated(source, table.assign(split=_splits(raw, source), where=raw["where"]), label_map, clips, notes)


def _video_ids(paths, folder):
    """{path: video_id}: the file's name, or its path where two have the same name; fit for csv's and file names."""
    stems = [path.stem if path.is_file() else path.name for path in paths]
    names = {}
    for path, stem in zip(paths, stems, strict=True):
        inside = path.relative_to(folder).with_name(stem).as_posix()
        name = stem if len({p for p, s in zip(paths, stems, strict=True) if s == stem}) == 1 else inside
        names[path] = name.replace("/", "_").replace(",", "_").replace('"', "_")
    return names


def _seconds(raw, video_id, clips):
    """(N,) seconds from the video's beginning, rounded to a microsecond, as the metric tells frames apart; NaN for a
    frame that the video doesn't have."""
    seconds, frames = raw.time_s.to_numpy(np.float64).copy(), raw.frame.to_numpy(np.float64)
    for name, rows in raw.groupby(video_id.to_numpy(), sort=False).groups.items():
        times = clips[name].times_s
        rows = rows.to_numpy()[np.isnan(seconds[rows]) & (frames[rows] >= 0) & (frames[rows] < len(times))]
        seconds[rows] = times[frames[rows].astype(int)]
    return seconds.round(6)


def _fractions(raw, video_id, clips):
    """Boxes (N,4) in fractions of the frame."""
    width = raw.width.fillna(video_id.map({v: c.width for v, c in clips.items()})).to_numpy(np.float64)
    height = raw.height.fillna(video_id.map({v: c.height for v, c in clips.items()})).to_numpy(np.float64)
    scale = np.stack([width, height, width, height], axis=1)
    return raw[BOX].to_numpy(np.float64) / np.where(raw.pixels.to_numpy(bool)[:, None], scale, 1.0)


def _splits(raw, source):
    spelt = raw.split.fillna("").astype(str).str.strip().str.lower()
    if len(odd := np.flatnonzero(~spelt.isin(list(SPLITS)))):
        value = raw.split[odd[0]]
        raise ValueError(f"{source}, {raw['where'][odd[0]]}: split {value!r}, expected train, val or test")
    return spelt.map(SPLITS)
