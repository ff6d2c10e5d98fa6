"""Rows of an AVA csv, the careful way: line by line, every fault named by its place.

Also the checks that come before any way of reading: quotes that close on their line, lines of a bounded length.
"""

import csv
import io

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION, parse_number
from avalib.utils.limits import MAX_LINE_BYTES
from avalib.utils.text import decode

KEYFRAME_COLUMNS = ["video_id", "timestamp"]
LAST_COLUMN = {"ground_truth": "person_id", "detections": "score"}
NO_PERSON = -1  # person_id of a ground truth file with 7 columns
_CHUNK = 1 << 23
_LARGEST = 1 << 53  # whole numbers up to here are exact as float64
_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'


def check_quotes(file, name):
    """Raise a ValueError for a quote that doesn't close on its line; it would swallow the rows behind it.

    file: binary, at its beginning, where it is put back. Costs no more than reading where there are no quotes.
    """
    quotes, size, chunk = 0, 0, bytearray(_CHUNK)
    while n := file.readinto(chunk):
        if quotes % 2 or chunk.find(b'"', 0, n) >= 0:
            letters = np.frombuffer(chunk, np.uint8, n)
            at = np.flatnonzero((letters == _QUOTE) | (letters == _LINE_FEED) | (letters == _RETURN))
            is_quote = letters[at] == _QUOTE
            is_open = (quotes + np.cumsum(is_quote)) % 2 == 1
            if len(bad := at[~is_quote & is_open]):
                raise _open_quote(file, name, size + int(bad[0]))
            quotes += int(is_quote.sum())
        size += n
    if quotes % 2:
        raise _open_quote(file, name, size)
    file.seek(0)


def _open_quote(file, name, position):
    """The ValueError for a quote that is open at a line's end, `position` bytes from the beginning."""
    file.seek(0)
    before, line = file.read(position), 1
    line += before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
    return ValueError(
        f"{name}, line {line}: a quote (\") that doesn't close on its line, so that the rows behind it would be lost; "
        'close or remove it (a quote inside a quoted field is spelt "")'
    )


def iter_lines(file, name):
    """(line number, fields) of every row of a binary csv file."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(_bounded(text, name))
    try:
        for fields in reader:
            yield reader.line_num, fields
    except UnicodeDecodeError:
        raise describe_encoding_fault(text.buffer, name) from None
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: not a row of a csv ({error})") from None
    finally:
        text.detach()


def _bounded(text, name):
    """The lines of a text file, none of them longer than the limit."""
    number = 0
    while line := text.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and line[-1] not in "\r\n":
            raise ValueError(f"{name}, line {number}: longer than {MAX_LINE_BYTES:,} letters, the limit MAX_LINE_BYTES")
        yield line


def describe_encoding_fault(file, name):
    """The ValueError that names the first line which isn't UTF-8."""
    file.seek(0)
    before = 0
    while line := file.readline(MAX_LINE_BYTES):
        try:
            line.decode()
        except UnicodeDecodeError:
            try:
                decode(b"\n" * before + line, name)
            except ValueError as error:
                return error
        before += 1
    return ValueError(f"{name}: not text in UTF-8")


def parse_fields(fields, kind):
    """One csv row -> (list of 8 values, None), or (None, what is wrong: column, value, what was expected)."""
    names = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", LAST_COLUMN[kind]]
    if len(fields) in (7, 8) and not any(fields[2:]):
        fields = fields[:2]  # AVA-Kinetics spells a frame without boxes with empty fields
    if len(fields) not in (2, 7, 8):
        return None, (
            f"{len(fields)} columns, {','.join(fields[:20])[:80]!r}: expected 8 (or 7, or 2 for a frame without "
            f"boxes): {','.join(names)}{_separator_hint(fields)}"
        )
    values = [fields[0]]
    for column, text in zip(names[1:], fields[1:], strict=False):
        try:
            value = parse_number(text, whole=column == "action_id")
            if column in ("action_id", "person_id") and (abs(value) > _LARGEST or value != int(value)):
                raise ValueError(text)
        except ValueError:
            expected = "a whole number" if column in ("action_id", "person_id") else "a finite number"
            return None, f"column {column}, value {text[:80]!r}: expected {expected}"
        values.append(value)
    if len(fields) == 2:
        values += [np.nan] * 4 + [NO_ACTION]
    if len(fields) < 8:
        values.append(NO_PERSON if kind == "ground_truth" else 1.0)
    return values, None


def _separator_hint(fields):
    for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(fields) < 7 and ",".join(fields).count(mark) >= 6:
            return f". The columns are separated by {word}; write the file with commas (and numbers with points)"
    return ""


def suggest_header(line, fields):
    """What to do about a first line that names columns."""
    return "; a header? AVA's csv files have none, remove the line" if line == 1 and "timestamp" in fields else ""


def build_table(rows, kind):
    """A table from rows of 8 values."""
    columns = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", LAST_COLUMN[kind]]
    table = pd.DataFrame(rows, columns=columns)
    types = dict.fromkeys(columns[1:], np.float64) | {"action_id": np.int64, "person_id": np.int64}
    table = table.astype({column: types[column] for column in columns[1:]})
    table["video_id"] = pd.Categorical(table["video_id"].astype(object))
    return table
