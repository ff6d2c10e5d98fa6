"""What all formats share: the raw rows that a reader returns, and the annotations that an import makes of them."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from avalib.data.importers.source_videos import SourceVideo

MAX_CLASS_NAME_LENGTH = 200  # characters


class RawRow(NamedTuple):
    """One box with one action, as an annotation file spells it; a column of the raw table per field.

    The time is `time_s`, or else the native frame: `picture_number` if the video is a folder of pictures and the number
    is known, or else `frame`. NaN stands for a number that the file does not have.
    """

    video: str  # the name by which the annotations refer to the video
    location: str  # the row's place in the file, for messages
    action: str  # the class's name
    x1: float
    y1: float
    x2: float
    y2: float
    frame: float = np.nan  # native frame, from 0
    picture_number: float = np.nan  # the number in the picture's file name
    time_s: float = np.nan  # seconds from the video's first frame
    width: float = np.nan  # of the frame that a box in pixels refers to; NaN: the video's
    height: float = np.nan
    in_pixels: bool = True  # False: the box is in fractions of the frame
    person: Any = None  # any value that identifies the person within the video, or None
    split: str = ""  # "train", "val" or ""
    score: float = np.nan  # 0..1 of a prediction; NaN: an annotation


class RawAnnotations(NamedTuple):
    """What a reader returns: the raw table, the classes if the format has its own, and notes for the user."""

    table: pd.DataFrame  # one row per RawRow
    label_map: dict | None  # {action_id: name}
    notes: list[str]


@dataclass(frozen=True)
class ImportedAnnotations:
    """Annotations of any format in AVA's terms.

    Attributes
    ----------
    source : str
        The file or folder they come from.
    table : DataFrame
        One row per box and action: video_id, timestamp (seconds from the video's first frame), x1, y1, x2, y2 (0..1),
        action_id, person_id, split ("train", "val", or "" where the format has no split), location (in the file);
        and score (0..1), if the file has scores: then its rows are predictions.
    label_map : dict
        {action_id: name}.
    videos : dict
        {video_id: SourceVideo}.
    notes : list of str
        What the import decided or left out.
    """

    source: str
    table: pd.DataFrame
    label_map: dict[int, str]
    videos: dict[str, SourceVideo]
    notes: list[str] = field(default_factory=list)


def build_raw_table(rows):
    """A DataFrame of RawRows, one column per field."""
    return pd.DataFrame(rows, columns=RawRow._fields)


def format_locations(locations, mask=None, limit=5):
    """The places of some rows for a message: "line 3; line 7 …"; `mask` selects the rows."""
    selected = pd.Series(locations)
    if mask is not None:
        selected = selected[mask]
    return "; ".join(selected.iloc[:limit]) + (" …" if len(selected) > limit else "")


def check_class_name(name, location):
    """Raise ValueError for a class name that is empty, too long, or has characters that cannot be displayed."""
    # Control characters would break csv lines and pictures' labels.
    is_printable = isinstance(name, str) and name.isprintable()
    if not is_printable or not name.strip() or len(name) > MAX_CLASS_NAME_LENGTH:
        raise ValueError(
            f"{location}: class {str(name)[:50]!r}; expected 1 to {MAX_CLASS_NAME_LENGTH} printable characters"
        )
