"""Csv files of your own, with a header."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avalib.data.importers.base import RawAnnotations, RawRow, build_raw_table, format_locations
from avalib.data.proposal_pickles import LARGEST_FRACTION
from avalib.data.row_checks import BOX_COLUMNS, parse_number
from avalib.utils.text import read_text

COLUMN_SPELLINGS = {
    "video": ("video", "video_id", "video_name", "file", "filename"),
    "time_s": ("time_s", "time", "timestamp", "second", "seconds"),
    "frame": ("frame", "frame_id", "frame_index"),
    "x1": ("x1", "xmin", "left", "xtl"),
    "y1": ("y1", "ymin", "top", "ytl"),
    "x2": ("x2", "xmax", "right", "xbr"),
    "y2": ("y2", "ymax", "bottom", "ybr"),
    "x": ("x",),
    "y": ("y",),
    "w": ("w", "width"),  # width and height are the frame's where the box has corners, or w and h
    "h": ("h", "height"),
    "frame_width": ("frame_width", "image_width", "img_width", "video_width"),
    "frame_height": ("frame_height", "image_height", "img_height", "video_height"),
    "action": ("action", "label", "class", "class_name"),
    "person": ("person", "person_id", "track", "track_id"),
    "split": ("split", "subset"),
}
EXPECTED_HEADER = (
    "video, time_s (seconds) or frame (from 0), x1,y1,x2,y2 (or x,y,w,h), action; person, split, width and height (of "
    "the frame) where they are available"
)


def read_own_csv(path, first_frame=None):
    """Read a csv with a header, one row per box and action.

    Boxes are in pixels if any number of any box is beyond 2, else in fractions of the frame.

    Parameters
    ----------
    path : str or Path
    first_frame : int, optional
        The number of the first frame. The default is 0, and for videos that are folders of pictures frame numbers are
        those in the pictures' names.

    Returns
    -------
    RawAnnotations

    Raises
    ------
    ValueError
        Names the file, line, column and value.
    """
    path = Path(path)
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows = []
    try:
        header = _parse_header([name.strip().lower() for name in next(lines, [])], path)
        for fields in lines:
            if fields:
                rows.append(_CsvLine(path, lines.line_num, fields, header).parse(first_frame))
    except csv.Error as error:
        raise ValueError(f"{path}, line {lines.line_num}: {error}; is a quote open?") from error
    table = build_raw_table(rows)
    # One unit for the whole file: a small box in pixels may look like fractions.
    in_pixels = _are_in_pixels(table, path)
    unit_note = f"boxes are taken as {'pixels' if in_pixels else 'fractions of the frame'}"
    return RawAnnotations(table.assign(in_pixels=in_pixels), None, [unit_note, *header.notes])


@dataclass(frozen=True)
class _Header:
    """Which column of a csv holds what."""

    names: list[str]  # of the columns
    positions: dict[str, int]  # {key of COLUMN_SPELLINGS: position in a row}
    notes: list[str]  # on columns that are not used


def _parse_header(names, path):
    """The _Header of a first line; raises ValueError for columns that are missing or occur twice."""
    if repeated := sorted({name for name in names if name and names.count(name) > 1}):
        raise ValueError(f"{path}, line 1: column {', '.join(repeated)} occurs twice; expected each once")
    # The columns that may hold each thing, by preference.
    columns = {key: [name for name in spellings if name in names] for key, spellings in COLUMN_SPELLINGS.items()}

    # Beside corners, or beside w and h, "width" and "height" are the frame's, not the box's.
    has_corners = any(name in names for name in COLUMN_SPELLINGS["x1"])
    if has_corners or {"w", "h"} <= set(names):
        for key, side in (("w", "width"), ("h", "height")):
            if side in columns[key]:
                columns[key].remove(side)
                columns[f"frame_{side}"].append(side)

    # Of several columns for one thing the first is used; seconds take precedence over frames, corners over sizes.
    unused = {name: spellings[0] for spellings in columns.values() for name in spellings[1:]}
    if columns["time_s"] and columns["frame"]:
        unused[columns.pop("frame")[0]] = columns["time_s"][0]
    if has_corners:
        for key in "xywh":
            spellings = columns.pop(key)
            if spellings:
                unused[spellings[0]] = "x1, y1, x2, y2"
    # Where each remaining column stands in a row.
    positions = {key: names.index(spellings[0]) for key, spellings in columns.items() if spellings}

    box_keys = BOX_COLUMNS if has_corners else ["x", "y", "w", "h"]
    missing = [key for key in ("video", "action", *box_keys) if key not in positions]
    if "time_s" not in positions and "frame" not in positions:
        missing.append("time_s or frame")
    if missing:
        hint = "; are the columns separated by something else than commas?" if len(names) == 1 else ""
        raise ValueError(
            f"{path}, line 1: no column {', '.join(missing)} in {names}; expected a header with {EXPECTED_HEADER}{hint}"
        )
    notes = [f"column {name!r} isn't used: {used_name!r} is" for name, used_name in unused.items()]
    return _Header(names, positions, notes)


@dataclass(frozen=True)
class _CsvLine:
    """The fields of one line, and where they stand."""

    path: Path
    number: int
    fields: list[str]
    header: _Header

    def parse(self, first_frame):
        """The RawRow of this line; raises ValueError that names line, column and value."""
        self._check_fields()
        # Of time and frame, one is NaN.
        time_s = self._parse_number("time_s")
        frame = self._parse_number("frame")
        if "frame" in self.header.positions and frame % 1 != 0:
            raise ValueError(
                f"{self._describe()}, column {self._get_column('frame')}, value {frame:g}: expected a whole number"
            )
        x1, y1, x2, y2 = self._parse_box()
        return RawRow(
            time_s=time_s,
            frame=frame - (first_frame or 0),
            picture_number=frame if first_frame is None else np.nan,
            x1=x1,
            y1=y1,
            x2=x2,
            y2=y2,
            width=self._parse_number("frame_width"),
            height=self._parse_number("frame_height"),
            person=self._get("person").strip() or None,
            split=self._get("split"),
            video=self._get_required("video", "a video's name"),
            action=self._get_required("action", "an action's name"),
            location=f"line {self.number}",
        )

    def _describe(self):
        return f"{self.path}, line {self.number}"

    def _check_fields(self):
        n_columns = len(self.header.names)
        if len(self.fields) != n_columns:
            raise ValueError(f"{self._describe()}: {len(self.fields)} columns, the header has {n_columns}")
        if any("\n" in field or "\r" in field for field in self.fields):
            raise ValueError(f"{self._describe()}: a line ends within a field; is a quote open?")

    def _get_column(self, key):
        """The name of a column in this file."""
        return self.header.names[self.header.positions[key]]

    def _get(self, key):
        """A field as it is spelled, "" where the file has no such column."""
        position = self.header.positions.get(key)
        return "" if position is None else self.fields[position]

    def _get_required(self, key, expected):
        text = self._get(key).strip()
        if not text:
            raise ValueError(f"{self._describe()}, column {self._get_column(key)}: empty; expected {expected}")
        return text

    def _parse_number(self, key):
        """The number in a field, NaN where the file has no such column."""
        if key not in self.header.positions:
            return np.nan
        text = self._get(key)
        try:
            return parse_number(text.strip())
        except ValueError:
            raise ValueError(
                f"{self._describe()}, column {self._get_column(key)}, value {text[:80]!r}: expected a finite number"
            ) from None

    def _parse_box(self):
        """(x1, y1, x2, y2), from corners or from a corner and a size."""
        if "x1" in self.header.positions:
            return [self._parse_number(key) for key in BOX_COLUMNS]
        x, y, width, height = (self._parse_number(key) for key in "xywh")
        return x, y, x + width, y + height


def _are_in_pixels(table, path):
    """Whether the boxes are in pixels. Raises ValueError where some are and others look like fractions."""
    boxes = table[BOX_COLUMNS].to_numpy(np.float64)
    # (N,) boxes that can only be pixels, and boxes that can only be fractions.
    is_pixels = (np.abs(boxes) > LARGEST_FRACTION).any(axis=1)
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    is_fraction = ~is_pixels & has_area
    if is_pixels.any() and is_fraction.any():
        raise ValueError(
            f"{path}: {is_pixels.sum()} boxes in pixels ({format_locations(table.location, is_pixels)}) and "
            f"{is_fraction.sum()} in fractions of the frame ({format_locations(table.location, is_fraction)}); "
            "expected the same in all rows"
        )
    return bool(is_pixels.any())
