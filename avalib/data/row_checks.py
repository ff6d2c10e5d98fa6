"""The check that every row passes when it is read: video ids, times, boxes, action ids, person ids, scores.

Every reader (AVA's csv, parquet, tables in memory, person boxes, other formats) passes its table through `check_rows`,
so that all of them reject the same values.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.utils.limits import MAX_ACTION_ID, MAX_VIDEO_ID_BYTES

KEYFRAME_COLUMNS = ["video_id", "timestamp"]
BOX_COLUMNS = ["x1", "y1", "x2", "y2"]
LAST_COLUMN = {"ground_truth": "person_id", "detections": "score"}  # the 8th column of AVA's csv files
NO_ACTION = 0  # action_id of a row of two columns: an annotated frame without boxes (NaN)
NO_PERSON = -1  # person_id of a ground truth file with 7 columns
LARGEST_EXACT_INT = 1 << 53  # whole numbers up to here are exact as float64
_WHOLE_COLUMNS = ("action_id", "person_id")
_NUMBER_COLUMNS = ("timestamp", *BOX_COLUMNS, *_WHOLE_COLUMNS, "score")
_DRIVE = re.compile(r"[A-Za-z]:")


def check_rows(
    table: pd.DataFrame,
    source: str | Path,
    label_map: dict[int, str] | None = None,
    locate: Callable[[int], str] | None = None,
) -> pd.DataFrame:
    """Check the values of a table and set the types of its columns.

    Every reader calls this on what it has read, before anything is computed from it:

        table = check_rows(table, path, label_map, locate=lambda row: f"{path}, line {row + 2}")

    Parameters
    ----------
    table : DataFrame
        With any of the columns video_id (text), timestamp (seconds), x1, y1, x2, y2 (finite; all four NaN only in a row
        with action_id 0, a frame without boxes), action_id (1..limits.MAX_ACTION_ID), person_id (whole), score
        (finite). Numbers may come as text. Other columns stay as they are.
    source : str or Path
        The file, for messages.
    label_map : dict, optional
        {action_id: name}. If present, an action_id that it lacks is an error.
    locate : callable, optional
        Maps a row number from 0 to its place for messages. The default gives "SOURCE, row N".

    Returns
    -------
    DataFrame
        The table; timestamp, boxes and score float64, action_id and person_id int64.

    Raises
    ------
    ValueError
        For the first column, and in it the first row, with an invalid value. Names place, column and value.
    """
    if locate is None:

        def locate(row):
            return f"{source}, row {row}"

    if "video_id" in table:
        _check_video_column(table["video_id"], locate)
    numbers = {name: _check_numbers(table, name, locate) for name in _NUMBER_COLUMNS if name in table}
    if "action_id" in numbers:
        _check_actions(numbers, label_map, locate)
    # a column that already has its type isn't copied
    changed = {name: values for name, values in numbers.items() if values.dtype != table[name].dtype}
    return table.assign(**changed) if changed else table


def check_video_ids(names: Iterable[str], source: str | Path, locate: Callable[[int], str] | None = None) -> None:
    """Check that each video id can be the name of a file or folder on every system.

    An id becomes a part of paths (videos, frame cache, figures), so a folder in it would lead elsewhere.

    Parameters
    ----------
    names : iterable of str
        The video ids.
    source : str or Path
        The file that they come from, for messages.
    locate : callable, optional
        Maps the index of a name to its place for messages. The default gives `source`.

    Raises
    ------
    ValueError
        For the first invalid id.
    """
    for index, name in enumerate(names):
        if fault := describe_name_fault(name):
            place = source if locate is None else locate(index)
            raise ValueError(f"{place}, video_id {shorten_value(name)}: {fault}")


def describe_name_fault(name):
    """What is wrong with a video id as a file's name, as text for messages; None if nothing is."""
    if not isinstance(name, str):
        return "expected text, a video's name without folder and suffix"
    if not name.strip() or name in (".", ".."):
        return "expected a video's name, not an empty one"
    if "/" in name or "\\" in name or _DRIVE.match(name):
        return "a path; expected a video's name without folders (a video in a subfolder: join the names with _)"
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter == "\ufeff" for letter in name):
        return "a control character, line break or byte-order mark in it; expected a video's name"
    if name[-1] in " ." or name[-1].isspace():
        return "a space or a dot at its end, which not every system allows in names; rename the video"
    if len(name.encode()) > MAX_VIDEO_ID_BYTES:
        return f"{len(name.encode())} bytes, the limit (MAX_VIDEO_ID_BYTES) is {MAX_VIDEO_ID_BYTES}"
    return None


def _check_video_column(videos, locate):
    """Check each name of a column of video ids once."""
    if isinstance(videos.dtype, pd.CategoricalDtype):
        codes, names = videos.cat.codes.to_numpy(), list(videos.cat.categories)
    else:
        codes, names = pd.factorize(videos)
    # missing values have the code -1
    if (codes < 0).any():
        raise ValueError(f"{locate(int((codes < 0).argmax()))}: no video_id; expected a video's name")
    # few names stand for many rows: check each name once
    faulty = [index for index, name in enumerate(names) if describe_name_fault(name)]
    if not faulty:
        return
    rows = np.flatnonzero(np.isin(codes, faulty))  # can be empty: a category may have no row
    if len(rows):
        first = int(rows[0])
        check_video_ids([names[codes[first]]], source="", locate=lambda _: locate(first))


def describe_expected_number(column: str) -> str:
    """What a column of an AVA csv holds, for a message about another value."""
    if column == "person_id":
        return "a whole number (for a file of detections with scores: it comes second, behind the ground truth)"
    return "a whole number" if column in _WHOLE_COLUMNS else "a finite number"


def _check_numbers(table, name, locate):
    """One column as float64 or int64 (N,). Raises ValueError for the first value that isn't a (whole) number."""
    column = table[name]
    is_whole_column = name in _WHOLE_COLUMNS
    expected = describe_expected_number(name)
    values = _to_numbers(column, is_whole_column)
    if values.dtype.kind == "f":
        # (N,) which values can't be used
        invalid = ~np.isfinite(values)
        if is_whole_column:
            invalid |= values != np.floor(values)
        if name in BOX_COLUMNS and invalid.any() and "action_id" in table:
            invalid &= ~_is_without_box(table)
        if invalid.any():
            row = int(invalid.argmax())
            value = shorten_value(column.iloc[row])
            raise ValueError(f"{locate(row)}, column {name}, value {value}: expected {expected}")
    if not is_whole_column:
        return values
    is_action = name == "action_id"
    # action_id 0 is allowed here: `_check_actions` knows whether the row has a box
    lowest, highest = (0, MAX_ACTION_ID) if is_action else (-LARGEST_EXACT_INT, LARGEST_EXACT_INT)
    outside = (values < lowest) | (values > highest)
    if outside.any():
        row = int(outside.argmax())
        value = shorten_value(column.iloc[row])
        limit = f"1 to MAX_ACTION_ID = {highest:,}" if is_action else f"up to {highest:,}"
        raise ValueError(f"{locate(row)}, column {name}, value {value}: expected {expected}, {limit}")
    return values.astype(np.int64, copy=False)


def _to_numbers(column, is_whole_column):
    """The values of a column as an array (N,): float64 (NaN: no number), or integers of a whole column unchanged."""
    # pandas' and pyarrow's nullable types go the slow way
    kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else None
    if kind == "f" or (kind in ("i", "u") and not is_whole_column):
        return column.to_numpy(np.float64)
    if kind in ("i", "u"):
        return column.to_numpy()
    return np.array([_to_number(value, is_whole_column) for value in column.tolist()], np.float64)


def _is_without_box(table):
    """Which rows stand for a frame without boxes: action_id 0 and none of the four coordinates. (N,) bool."""
    # the column may still hold texts
    has_no_action = pd.to_numeric(table["action_id"], errors="coerce").to_numpy() == NO_ACTION
    return has_no_action & table[BOX_COLUMNS].isna().all(axis=1).to_numpy()


def _to_number(value, must_be_whole):
    """One value of a column of mixed types as a number; NaN if it isn't one."""
    if isinstance(value, str):
        return parse_number(value, must_be_whole, default=np.nan)
    if isinstance(value, (bool, np.bool_)) or value is None or value is pd.NA:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def is_whole(text):
    """Whether a text is a whole number of digits alone; a sign and spaces around it are allowed."""
    text = text.strip()
    return text[text[:1] in ("+", "-") :].isdecimal()


def parse_number(text, whole=False, default=None):
    """The finite number that a text spells: an int if `whole`, else a float.

    Stricter than float() and int(), which accept 1_0 and nan. Raises ValueError for other texts, unless there is a
    `default` to return.
    """
    try:
        # what int() and float() accept, and other readers of csv don't
        if "_" in text or "\n" in text or "\r" in text or (whole and not is_whole(text)):
            raise ValueError(text)
        value = int(text) if whole else float(text)
        if not np.isfinite(float(value)):
            raise ValueError(text)
    except (ValueError, OverflowError):
        if default is None:
            raise ValueError(text) from None
        return default
    return value


def _check_actions(numbers, label_map, locate):
    """Check that action ids start at 1 (0 only without a box) and are in the label map, if there is one."""
    action_ids = numbers["action_id"]
    # (N,) rows of frames without boxes, the only ones that may have action_id 0
    is_empty = np.isnan(numbers["x1"]) if "x1" in numbers else np.zeros(len(action_ids), bool)
    is_zero = (action_ids == NO_ACTION) & ~is_empty
    if is_zero.any():
        row = int(is_zero.argmax())
        raise ValueError(f"{locate(row)}: action_id 0; are ids counted from 0? AVA's begin at 1")
    if label_map is None:
        return
    is_unknown = ~np.isin(action_ids, list(label_map)) & ~is_empty
    if is_unknown.any():
        row = int(is_unknown.argmax())
        listed = ", ".join(map(str, list(label_map)[:10])) + (" …" if len(label_map) > 10 else "")
        raise ValueError(
            f"{locate(row)}: action_id {action_ids[row]} isn't in the label map of {len(label_map)} actions ({listed})"
        )


def shorten_value(value):
    """A value for messages, in at most 80 characters."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}…"
