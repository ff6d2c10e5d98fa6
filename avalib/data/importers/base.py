"""What all formats share: rows as a reader finds them, made into AVA's table by looking at the videos themselves.

A reader gives raw rows, a DataFrame with
    video    the name that the annotation gives it
    frame    the native frame, from 0 (or NaN), or time_s, seconds from the video's beginning
    number   the number in a picture's name, where the annotation tells it; it counts if the video is a folder of them
    x1 … y2  the box, in pixels of width x height (columns, NaN: of the video's), or fractions where `pixels` is False
    action   the action's name
    person   anything that stays the same as long as it is the same person, or None
    split    "train", "val" or ""
    where    the row's place in the file, for messages
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.csv_rows import NO_PERSON
from avalib.data.importers.source_videos import SourceVideos, assign_video_ids, measure_video
from avalib.data.label_map import load_label_map
from avalib.data.row_checks import BOX_COLUMNS, check_rows
from avalib.utils.limits import MAX_ACTION_ID

RAW = [
    "video", "frame", "number", "time_s", *BOX_COLUMNS, "width", "height", "pixels", "action", "person", "split", "where",
]  # fmt: skip
DEFAULTS = dict.fromkeys(("frame", "number", "time_s", "width", "height"), np.nan) | {"pixels": True, "person": None}
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "val",
          "testing": "val", "": ""}  # fmt: skip
MAX_NAME = 200  # letters of a class
MAX_SIDE = 100_000  # pixels of a frame


@dataclass(frozen=True)
class ImportedAnnotations:
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


def build_raw_table(rows, columns):
    """Raw rows from tuples; columns that a format doesn't have are filled in."""
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(**{c: DEFAULTS.get(c, "") for c in RAW if c not in table})[RAW]


def list_locations(where, mask=None, most=5):
    """The places of some rows for a message: 'line 3; line 7 …'."""
    some = pd.Series(where)
    some = list((some if mask is None else some[mask]).iloc[: most + 1])
    return "; ".join(some[:most]) + " …" * (len(some) > most)


def check_class_name(name, where):
    """Raise ValueError where a class's name is empty, too long, or has characters that can't be shown or written."""
    printable = isinstance(name, str) and all(c.isprintable() for c in name)
    if not printable or not name.strip() or len(name) > MAX_NAME:
        raise ValueError(f"{where}: class {str(name)[:50]!r}; expected 1 to {MAX_NAME} printable characters")


def resolve_annotations(raw, source, videos, label_map=None, fps=25.0, notes=(), skip_faulty=False):
    """Raw rows as Annotated: videos found, frames turned into seconds and pixels into fractions, classes numbered.

    videos: the folder; fps: of folders of pictures. Raises FileNotFoundError listing videos that aren't there,
    ValueError for classes outside of the label map.
    """
    if not len(raw):
        raise ValueError(f"{source}: no annotated boxes in it")
    raw, notes = raw.reset_index(drop=True), list(notes)
    raw, found = _find_videos(raw, source, SourceVideos(videos), notes, skip_faulty)
    label_map = load_label_map(label_map, unique_names=True) if label_map is not None else _classes_found(raw, source)
    ids = {name: i for i, name in label_map.items()}
    if unknown := sorted(set(raw.action) - set(ids)):
        place = raw["where"][raw.action == unknown[0]].iloc[0]
        raise ValueError(f"{source}, {place}: class {unknown[0]!r} isn't in the label map, which has {list(ids)}")
    names = assign_video_ids([found[name] for name in raw.video.unique()], Path(videos))
    clips = {video_id: measure_video(path, fps) for path, video_id in names.items()}
    of_name = {name: names[path] for name, path in found.items() if path in names}
    raw = raw.assign(video_id=raw.video.map(of_name))
    raw, seconds = _without_missing_frames(raw, _seconds(raw, clips), source, clips, notes, skip_faulty)
    table = pd.DataFrame({"video_id": raw.video_id, "timestamp": seconds})
    table[BOX_COLUMNS] = _fractions(raw, source, clips, notes).round(3)  # as AVA's csv writes them
    table = table.assign(action_id=raw.action.map(ids).astype(np.int64), person_id=_person_ids(raw))
    table = check_rows(table, source, label_map, locate=lambda row: f"{source}, {raw['where'][row]}")
    return ImportedAnnotations(
        source, table.assign(split=_splits(raw, source), where=raw["where"]), label_map, clips, notes
    )


def _find_videos(raw, source, videos, notes, skip_faulty):
    """(the rows whose videos are there, {name: path} of these)."""
    found = {name: videos.find(name) for name in raw.video.unique()}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        gone = raw.video.isin(missing)
        what = f"{len(missing)} of {len(found)} videos with {gone.sum()} of {len(raw)} rows"
        names = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
        if not skip_faulty or len(missing) == len(found):
            hint = videos.suggestion(missing[0]) if len(missing) == 1 else ""
            raise FileNotFoundError(f"{videos.folder}: {what} of {source} are not there: {names}.{hint}")
        notes.append(f"{what} left out, their files are missing: {names}")
        raw = raw[~gone].reset_index(drop=True)
    return raw, {name: path for name, path in found.items() if path is not None}


def _classes_found(raw, source):
    """{action_id: name} of the names in the rows, by alphabet."""
    first = raw.drop_duplicates("action")
    for name, place in zip(first.action, first["where"], strict=True):
        check_class_name(name, f"{source}, {place}")
    if len(first) > MAX_ACTION_ID:
        raise ValueError(f"{source}: {len(first)} classes; at most {MAX_ACTION_ID}. Are these names?")
    return dict(enumerate(sorted(first.action), 1))


def _seconds(raw, clips):
    """(N,) seconds from the video's beginning, rounded to a microsecond, as the metric tells frames apart; NaN for a
    frame that the video doesn't have."""
    seconds = raw.time_s.to_numpy(np.float64).copy()
    frames, numbers = raw.frame.to_numpy(np.float64), raw.number.to_numpy(np.float64)
    for video_id, rows in raw.groupby("video_id", sort=False).groups.items():
        rows = rows.to_numpy()
        rows = rows[np.isnan(seconds[rows])]
        seconds[rows] = clips[video_id].seconds(frames[rows], numbers[rows])
    return seconds.round(6)


def _without_missing_frames(raw, seconds, source, clips, notes, skip_faulty):
    """(rows, seconds) of the frames that the videos have."""
    beyond = np.flatnonzero(np.isnan(seconds))
    if not len(beyond):
        return raw, seconds
    row = raw.iloc[beyond[0]]
    clip = clips[row.video_id]
    number = row.number if clip.numbers is not None and not np.isnan(row.number) else row.frame
    where = "beyond their video's end" if clip.numbers is None else "of pictures that aren't there"
    what = (
        f"frame {number:g} of video {row.video_id} ({row['where']}), which has {clip.range_in_words()}; "
        f"{len(beyond)} of {len(raw)} rows are {where}"
    )
    if not skip_faulty or len(beyond) == len(raw):
        hint = (
            "" if clip.numbers is not None else " Counted from 1 (first_frame=1), or at another rate than the video's?"
        )
        raise ValueError(f"{source}: {what}.{hint}")
    notes.append(f"left out: {what}")
    return raw.drop(index=beyond).reset_index(drop=True), np.delete(seconds, beyond)


def _fractions(raw, source, clips, notes):
    """Boxes (N,4) in fractions of the frame."""
    own_width = raw.video_id.map({v: c.width for v, c in clips.items()}).to_numpy(np.float64)
    own_height = raw.video_id.map({v: c.height for v, c in clips.items()}).to_numpy(np.float64)
    width = np.where(raw.width.isna(), own_width, raw.width.to_numpy(np.float64))
    height = np.where(raw.height.isna(), own_height, raw.height.to_numpy(np.float64))
    if (wrong := ~((width >= 1) & (height >= 1) & (width <= MAX_SIDE) & (height <= MAX_SIDE))).any():
        row = int(wrong.argmax())
        place = raw["where"][row]
        raise ValueError(
            f"{source}, {place}: a frame of {width[row]:g}x{height[row]:g}; expected pixels, 1 to {MAX_SIDE}"
        )
    pixels = raw.pixels.to_numpy(bool)
    turned = pixels & (np.abs(np.log((width / height) / (own_width / own_height))) > 0.1)
    if turned.any():
        row = int(turned.argmax())
        notes.append(
            f"{turned.sum()} boxes are of frames of another shape than their video's (the first, "
            f"{raw['where'][row]}: {width[row]:g}x{height[row]:g}, the video {own_width[row]:g}x{own_height[row]:g}); "
            "look at the pictures"
        )
    scale = np.stack([width, height, width, height], axis=1)
    return raw[BOX_COLUMNS].to_numpy(np.float64) / np.where(pixels[:, None], scale, 1.0)


def _person_ids(raw):
    """(N,) whole numbers: the format's own where all of them are, else counted; NO_PERSON where it knows none."""
    known = raw.person.notna()
    numbers = pd.to_numeric(raw.person.where(known), errors="coerce").astype(float)
    own = numbers[known]
    if (own.notna() & (own % 1 == 0) & (own.abs() < 2**53)).all():
        return np.where(known, numbers, NO_PERSON).astype(np.int64)
    people = pd.factorize(raw.person.where(known).astype(object).astype(str))[0]
    return np.where(known, people, NO_PERSON).astype(np.int64)


def _splits(raw, source):
    """(N,) "train", "val" or, for all rows, ""."""
    spelt = raw.split.fillna("").astype(str).str.strip().str.lower()
    if len(odd := np.flatnonzero(~spelt.isin(list(SPLITS)))):
        value = raw.split[odd[0]]
        raise ValueError(f"{source}, {raw['where'][odd[0]]}: split {value!r}, expected train, val or test")
    split = spelt.map(SPLITS)
    empty = split == ""
    if empty.any() and not empty.all():
        raise ValueError(
            f"{source}: {empty.sum()} of {len(raw)} rows have no split ({list_locations(raw['where'], empty)}); expected "
            "train or val in every row, or in none"
        )
    return split
