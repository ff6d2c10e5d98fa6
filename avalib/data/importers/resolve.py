"""From raw rows to AVA's terms: video files, class ids, seconds, fractions of the frame, person ids.

Each step either resolves all rows or raises an error that names the first row at fault. With `skip_faulty`, rows of
missing videos and missing frames are left out and noted instead.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.importers.base import ImportedAnnotations, check_class_name, format_locations
from avalib.data.importers.source_videos import SourceVideos, assign_video_ids, measure_video
from avalib.data.label_map import load_label_map
from avalib.data.row_checks import BOX_COLUMNS, NO_PERSON, check_rows
from avalib.utils.limits import MAX_ACTION_ID

MAX_SIDE_PX = 100_000  # of a frame
MAX_ASPECT_CHANGE = 0.1  # natural logarithm of the ratio of two aspect ratios
MAX_LISTED_VIDEOS = 10  # in a message
BOX_DECIMALS = 3  # as in AVA's csv
TIME_DECIMALS = 6  # the evaluator distinguishes frames to a microsecond
SPLIT_SPELLINGS = {
    "": "",
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "val",
    "testing": "val",
}


@dataclass(frozen=True)
class ImportContext:
    """What all steps of one import share."""

    source: str  # the annotations, for messages
    videos_folder: Path
    fps: float = 25.0  # of videos that are folders of pictures
    skip_faulty: bool = False  # leave out rows of missing videos and frames instead of stopping
    notes: list[str] = field(default_factory=list)  # for the user; the steps add to it


def resolve_annotations(raw, label_map, context):
    """Resolve raw rows against the videos themselves.

    Parameters
    ----------
    raw : DataFrame
        The raw table: see `base.RawRow`.
    label_map : dict, list, str or None
        Whatever `load_label_map` takes; None: the class names that occur, in alphabetical order.
    context : ImportContext

    Returns
    -------
    ImportedAnnotations

    Raises
    ------
    FileNotFoundError
        Lists the videos that are missing.
    ValueError
        Names the file, the row's place, the value and what was expected.
    """
    if not len(raw):
        raise ValueError(f"{context.source}: no annotated boxes in it")
    raw, paths = resolve_videos(raw.reset_index(drop=True), context)
    label_map = resolve_labels(raw, label_map, context)
    raw, videos = _measure_videos(raw, paths, context)
    raw, timestamps = convert_frames_to_seconds(raw, videos, context)
    boxes_norm = convert_boxes_to_fractions(raw, videos, context).round(BOX_DECIMALS)

    # AVA's table, one row per raw row.
    action_ids = {name: action_id for action_id, name in label_map.items()}
    table = pd.DataFrame({"video_id": raw.video_id, "timestamp": timestamps})
    table[BOX_COLUMNS] = boxes_norm
    table["action_id"] = raw.action.map(action_ids).astype(np.int64)
    table["person_id"] = assign_person_ids(raw)
    table = check_rows(table, context.source, label_map, locate=lambda row: f"{context.source}, {raw.location[row]}")
    table = table.assign(split=_normalize_splits(raw, context.source), location=raw.location)
    if raw.score.notna().any():
        table = table.assign(score=raw.score.astype(np.float64))
    return ImportedAnnotations(context.source, table, label_map, videos, context.notes)


def resolve_videos(raw, context):
    """Find the file of every video.

    Returns
    -------
    raw : DataFrame
        The rows whose videos exist.
    paths : dict
        {name in the annotations: path} of these videos.

    Raises
    ------
    FileNotFoundError
        For missing videos, unless `skip_faulty` and at least one video exists.
    """
    source_videos = SourceVideos(context.videos_folder)
    paths = {name: source_videos.find(name) for name in raw.video.unique()}
    missing = [name for name, path in paths.items() if path is None]
    if not missing:
        return raw, paths

    # Rows of missing videos are left out on request, as long as some remain.
    is_missing = raw.video.isin(missing)
    summary = f"{len(missing)} of {len(paths)} videos with {is_missing.sum()} of {len(raw)} rows"
    names = ", ".join(map(str, missing[:MAX_LISTED_VIDEOS])) + (" …" if len(missing) > MAX_LISTED_VIDEOS else "")
    if not context.skip_faulty or len(missing) == len(paths):
        hint = source_videos.suggest(missing[0]) if len(missing) == 1 else ""
        raise FileNotFoundError(
            f"{source_videos.folder}: {summary} of {context.source} are not in this folder: {names}.{hint}"
        )
    context.notes.append(f"{summary} left out, their files are missing: {names}")
    return raw[~is_missing].reset_index(drop=True), {name: path for name, path in paths.items() if path is not None}


def resolve_labels(raw, label_map, context):
    """The label map {action_id: name}; raises ValueError for a class outside of it."""
    if label_map is None:
        return _number_classes(raw, context.source)
    label_map = load_label_map(label_map, unique_names=True)
    if unknown := sorted(set(raw.action) - set(label_map.values())):
        location = raw.location[raw.action == unknown[0]].iloc[0]
        raise ValueError(
            f"{context.source}, {location}: class {unknown[0]!r} isn't in the label map, which has "
            f"{list(label_map.values())}"
        )
    return label_map


def _number_classes(raw, source):
    """{action_id: name} of the class names that occur, in alphabetical order, from 1."""
    first_rows = raw.drop_duplicates("action")
    for name, location in zip(first_rows.action, first_rows.location, strict=True):
        check_class_name(name, f"{source}, {location}")
    if len(first_rows) > MAX_ACTION_ID:
        raise ValueError(
            f"{source}: {len(first_rows)} classes; expected at most {MAX_ACTION_ID}. Does the column hold class names?"
        )
    return dict(enumerate(sorted(first_rows.action), 1))


def _measure_videos(raw, paths, context):
    """(raw with a column video_id, {video_id: SourceVideo})."""
    video_ids = assign_video_ids([paths[name] for name in raw.video.unique()], context.videos_folder)
    videos = {video_id: measure_video(path, context.fps) for path, video_id in video_ids.items()}
    id_of_name = {name: video_ids[path] for name, path in paths.items()}
    return raw.assign(video_id=raw.video.map(id_of_name)), videos


def convert_frames_to_seconds(raw, videos, context):
    """The times of all rows, by the videos' own timestamps.

    Parameters
    ----------
    raw : DataFrame
        The raw table with a column video_id.
    videos : dict
        {video_id: SourceVideo}.
    context : ImportContext

    Returns
    -------
    raw : DataFrame
        The rows whose frames exist.
    seconds : ndarray (N,)
        Of these rows, from the video's first frame, rounded to a microsecond.

    Raises
    ------
    ValueError
        For a frame that its video does not have, unless `skip_faulty` and at least one row remains.
    """
    seconds = raw.time_s.to_numpy(np.float64).copy()
    frames = raw.frame.to_numpy(np.float64)
    picture_numbers = raw.picture_number.to_numpy(np.float64)
    for video_id, rows in raw.groupby("video_id", sort=False).groups.items():
        # Only rows without a time of their own are converted; a missing frame stays NaN.
        rows = rows.to_numpy()
        rows = rows[np.isnan(seconds[rows])]
        seconds[rows] = videos[video_id].compute_seconds(frames[rows], picture_numbers[rows])
    seconds = seconds.round(TIME_DECIMALS)

    # Rows whose time is still NaN have a frame that the video lacks.
    missing = np.flatnonzero(np.isnan(seconds))
    if not len(missing):
        return raw, seconds
    message = _describe_missing_frame(raw, missing, videos)
    if not context.skip_faulty or len(missing) == len(raw):
        is_file = videos[raw.video_id[missing[0]]].picture_numbers is None
        hint = " Do frames count from 1 (first_frame=1), or at another rate than the video's?" if is_file else ""
        raise ValueError(f"{context.source}: {message}.{hint}")
    context.notes.append(f"left out: {message}")
    return raw.drop(index=missing).reset_index(drop=True), np.delete(seconds, missing)


def _describe_missing_frame(raw, missing, videos):
    """The first of the rows whose frames are missing, and how many there are, for a message."""
    row = raw.iloc[missing[0]]
    video = videos[row.video_id]
    number = row.frame
    kind = "beyond their video's end"
    if video.picture_numbers is not None:
        kind = "of pictures that do not exist"
        if not np.isnan(row.picture_number):
            number = row.picture_number
    return (
        f"frame {number:g} of video {row.video_id} ({row.location}), which has {video.describe_range()}; "
        f"{len(missing)} of {len(raw)} rows are {kind}"
    )


def convert_boxes_to_fractions(raw, videos, context):
    """Boxes (N,4) in fractions of the frame; raises ValueError for frame sizes that are impossible."""
    # The size that each box refers to: the annotation's own, or else the video's. All (N,).
    video_width = raw.video_id.map({video_id: video.width for video_id, video in videos.items()}).to_numpy(np.float64)
    video_height = raw.video_id.map({video_id: video.height for video_id, video in videos.items()}).to_numpy(np.float64)
    width = np.where(raw.width.isna(), video_width, raw.width.to_numpy(np.float64))
    height = np.where(raw.height.isna(), video_height, raw.height.to_numpy(np.float64))

    is_valid = (width >= 1) & (height >= 1) & (width <= MAX_SIDE_PX) & (height <= MAX_SIDE_PX)
    if not is_valid.all():
        row = int((~is_valid).argmax())
        raise ValueError(
            f"{context.source}, {raw.location[row]}: a frame of {width[row]:g}x{height[row]:g}; expected pixels, "
            f"1 to {MAX_SIDE_PX}"
        )

    # Another aspect ratio than the video's hints at a rotated video or at boxes of another one.
    in_pixels = raw.in_pixels.to_numpy(bool)
    aspect_change = np.abs(np.log((width / height) / (video_width / video_height)))
    has_other_aspect = in_pixels & (aspect_change > MAX_ASPECT_CHANGE)
    if has_other_aspect.any():
        row = int(has_other_aspect.argmax())
        context.notes.append(
            f"{has_other_aspect.sum()} boxes are of frames of another shape than their video's (the first, "
            f"{raw.location[row]}: {width[row]:g}x{height[row]:g}, the video {video_width[row]:g}x"
            f"{video_height[row]:g}); check some of them in pictures"
        )

    # Boxes in pixels are divided by the frame's size, fractions by 1: (N,4) / (N,4).
    sizes = np.stack([width, height, width, height], axis=1)
    return raw[BOX_COLUMNS].to_numpy(np.float64) / np.where(in_pixels[:, None], sizes, 1.0)


def assign_person_ids(raw):
    """Person ids (N,) int64: the format's own if all are whole numbers, else consecutive ones; NO_PERSON for None."""
    has_person = raw.person.notna()
    numbers = pd.to_numeric(raw.person.where(has_person), errors="coerce").astype(float)
    # Ids up to 2**53 are exact as float64; other values, such as names, are numbered.
    own_ids = numbers[has_person]
    is_whole = own_ids.notna() & (own_ids % 1 == 0) & (own_ids.abs() < 2**53)
    if is_whole.all():
        return np.where(has_person, numbers, NO_PERSON).astype(np.int64)
    codes, _ = pd.factorize(raw.person.where(has_person).astype(object).astype(str))
    return np.where(has_person, codes, NO_PERSON).astype(np.int64)


def _normalize_splits(raw, source):
    """(N,) "train" or "val", or "" in every row."""
    spellings = raw.split.fillna("").astype(str).str.strip().str.lower()
    unknown = np.flatnonzero(~spellings.isin(list(SPLIT_SPELLINGS)))
    if len(unknown):
        row = unknown[0]
        raise ValueError(f"{source}, {raw.location[row]}: split {raw.split[row]!r}, expected train, val or test")
    splits = spellings.map(SPLIT_SPELLINGS)
    # A split in some rows only would leave it open where the others belong.
    is_empty = splits == ""
    if is_empty.any() and not is_empty.all():
        raise ValueError(
            f"{source}: {is_empty.sum()} of {len(raw)} rows have no split "
            f"({format_locations(raw.location, is_empty)}); expected train or val in every row, or in none"
        )
    return splits
