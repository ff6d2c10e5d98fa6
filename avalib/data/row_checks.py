"""The one check of rows where they enter: video ids, times, boxes, action ids, person ids, scores.

Every reader (AVA's csv, parquet, tables in memory, person boxes, the importers of other formats) ends with
`check_rows`, so that a value which one of them refuses is refused by all of them.
"""

import re
import unicodedata

import numpy as np
import pandas as pd

from avalib.utils.limits import MAX_ACTION_ID, MAX_VIDEO_ID_BYTES

BOX_COLUMNS = ["x1", "y1", "x2", "y2"]
NO_ACTION = 0  # action_id of a row of two columns: an annotated frame without boxes (NaN)
_WHOLE = ("action_id", "person_id")
_LARGEST_ID = 1 << 53  # whole numbers up to here are exact as float64
_DRIVE = re.compile(r"[A-Za-z]:")


def check_rows(table, source, label_map=None, place=None):
    """A table whose values can be used, with its types set, or a ValueError that names place, column and value.

    Call it on what a reader has read, before anything is computed from it:

        table = check_rows(table, path, label_map, place=lambda row: f"{path}, line {row + 2}")

    Parameters
    ----------
    table : DataFrame
        With any of the columns video_id (text), timestamp (seconds), x1, y1, x2, y2 (finite; all four NaN only in a row
        with action_id 0, a frame without boxes), action_id (1..limits.MAX_ACTION_ID), person_id (whole), score
        (finite). Numbers may come as text. Other columns stay as they are.
    source : str or Path
        The file, for messages.
    label_map : dict, optional
        {action_id: name}. Where given, an action_id that it lacks is an error.
    place : callable, optional
        Row number from 0 -> the place in words. The default is "SOURCE, row N".

    Returns
    -------
    DataFrame
        The table; timestamp, boxes and score float64, action_id and person_id int64.

    Raises
    ------
    ValueError
        For the first column, and in it the first row, with a value that can't be used.
    """
    place = place or (lambda row: f"{source}, row {row}")
    if "video_id" in table:
        _check_video_column(table["video_id"], place)
    columns = {
        name: _numbers(table, name, place) for name in ("timestamp", *BOX_COLUMNS, *_WHOLE, "score") if name in table
    }
    if "action_id" in columns:
        _check_actions(columns, label_map, place)
    changed = {name: values for name, values in columns.items() if values.dtype != table[name].dtype}
    return table.assign(**changed) if changed else table


def check_video_ids(names, source, place=None):
    """Raise a ValueError for a video id that can't be the name of a file or folder on every system.

    An id becomes a part of paths (videos, frame cache, figures), so that a folder in it would lead elsewhere.

    names: any number of ids; source: the file they come from; place: index of a name -> the place in words.
    """
    for index, name in enumerate(names):
        if fault := describe_name_fault(name):
            where = place(index) if place else source
            raise ValueError(f"{where}, video_id {_short(name)}: {fault}")


def describe_name_fault(name):
    """What keeps a video id from being a file's name, or None."""
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


def _check_video_column(videos, place):
    """`check_video_ids` of a column, each name once."""
    if isinstance(videos.dtype, pd.CategoricalDtype):
        codes, names = videos.cat.codes.to_numpy(), videos.cat.categories
    else:
        codes, names = pd.factorize(videos)
    if (codes < 0).any():
        raise ValueError(f"{place(int((codes < 0).argmax()))}: no video_id; expected a video's name")
    names = list(names)
    faulty = [index for index, name in enumerate(names) if describe_name_fault(name)]
    rows = np.flatnonzero(np.isin(codes, faulty)) if faulty else []  # a category may have no row
    if len(rows):
        check_video_ids([names[codes[rows[0]]]], "", lambda _: place(int(rows[0])))


def _numbers(table, name, place):
    """One column as float64 or int64 (N,); a ValueError for the first value that isn't a (whole) number."""
    column, whole = table[name], name in _WHOLE
    expected = "a whole number" if whole else "a finite number"
    plain = isinstance(column.dtype, np.dtype)  # the nullable types of pandas and pyarrow go the slow way
    if plain and column.dtype.kind == "f":
        values = column.to_numpy(np.float64)
    elif plain and column.dtype.kind in "iu":
        values = column.to_numpy() if whole else column.to_numpy(np.float64)
    else:
        values = np.array([_number(value, whole) for value in column.tolist()], np.float64)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | ((values != np.floor(values)) if whole else False)
        if (
            name in BOX_COLUMNS and bad.any() and "action_id" in table
        ):  # a frame without boxes has none of the four numbers
            without = pd.to_numeric(table["action_id"], errors="coerce").to_numpy() == NO_ACTION
            bad &= ~(without & table[BOX_COLUMNS].isna().all(axis=1).to_numpy())
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{place(row)}, column {name}, value {_short(column.iloc[row])}: expected {expected}")
    if whole:
        limit = MAX_ACTION_ID if name == "action_id" else _LARGEST_ID
        low = values < (0 if name == "action_id" else -_LARGEST_ID)
        if (bad := low | (values > limit)).any():
            row = int(bad.argmax())
            named = "1 to MAX_ACTION_ID =" if name == "action_id" else "up to"
            value = _short(column.iloc[row])
            raise ValueError(f"{place(row)}, column {name}, value {value}: expected {expected}, {named} {limit:,}")
        return values.astype(np.int64, copy=False)
    return values


def _number(value, whole):
    """The number that one value of a column of mixed types stands for; NaN where it stands for none."""
    if isinstance(value, str):
        return parse_number(value, whole, default=np.nan)
    if isinstance(value, (bool, np.bool_)) or value is None or value is pd.NA:
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def is_whole(text):
    """Whether a text spells a whole number with digits alone, a sign and spaces around it allowed."""
    text = text.strip()
    return text[text[:1] in ("+", "-") :].isdecimal()


def parse_number(text, whole=False, default=None):
    """The number a field spells; ValueError (or `default`) if it isn't a finite one.

    float() alone would take 1_0 and nan.
    """
    try:
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


def _check_actions(columns, label_map, place):
    """Action ids are from 1, in the label map where one is given; 0 only where there is no box."""
    ids = columns["action_id"]
    empty = np.isnan(columns["x1"]) if "x1" in columns else np.zeros(len(ids), bool)
    if (zero := (ids == NO_ACTION) & ~empty).any():
        raise ValueError(f"{place(int(zero.argmax()))}: action_id 0; are ids counted from 0? AVA's begin at 1")
    if label_map is not None and (unknown := ~np.isin(ids, list(label_map)) & ~empty).any():
        row = int(unknown.argmax())
        known = ", ".join(map(str, list(label_map)[:10])) + (" …" if len(label_map) > 10 else "")
        raise ValueError(
            f"{place(row)}: action_id {ids[row]} isn't in the label map of {len(label_map)} actions ({known})"
        )


def _short(value):
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}…"


BOX_COLUMNS = ["x1", "y1", "x2", "y2"]
