"""Parse AVA's csv files row by row, so that every error names its line, column and value.

Also the checks before any way of parsing: quotes close on their line, lines have a bounded length.
"""

import csv
import io

import numpy as np
import pandas as pd

from avalib.data.row_checks import (
    BOX_COLUMNS,
    KEYFRAME_COLUMNS,
    LARGEST_EXACT_INT,
    LAST_COLUMN,
    NO_ACTION,
    NO_PERSON,
    describe_expected_number,
    is_whole,
    parse_number,
)
from avalib.utils.limits import MAX_LINE_BYTES
from avalib.utils.text import decode_text

CHUNK_BYTES = 1 << 23
_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'


def get_csv_columns(kind):
    """The eight column names of an AVA csv. kind: "ground_truth" or "detections"."""
    return [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", LAST_COLUMN[kind]]


def fill_last_column(kind, n_rows):
    """The 8th column (N,) of files that have 7: no person, or score 1.0 as the evaluators assume."""
    return np.full(n_rows, NO_PERSON, np.int64) if kind == "ground_truth" else np.ones(n_rows)


def parse_csv_rows(file, name, kind):
    """The table of a binary csv file, rows of two columns included, its values not checked yet.

    Raises ValueError for the first row that can't be parsed.
    """

    def raise_fault(line, fields, fault):
        raise ValueError(f"{name}, line {line}, {fault}{suggest_header(line, fields)}")

    return parse_rows(iter_lines(file, name), kind, raise_fault)[0]


def parse_rows(rows, kind, handle_fault):
    """The table of rows (line, fields), its values not checked yet; and the line of each of its rows, (N,).

    handle_fault(line, fields, fault) is called for a row that can't be parsed; unless it raises, the row is left out.
    """
    parsed = []
    lines = []
    first_decimal = None  # (row, text) of the first timestamp that isn't spelled as a whole number
    has_last = True
    for line, fields in rows:
        values, fault = parse_fields(fields, kind)
        if fault:
            handle_fault(line, fields, fault)
            continue
        if first_decimal is None and not is_whole(fields[1]):
            first_decimal = (len(parsed), fields[1])
        has_last = has_last and len(fields) != 7
        parsed.append(values)
        lines.append(line)
    table = _build_table(parsed, kind)
    table.attrs.update(has_last=has_last, decimal=first_decimal)
    return table, np.array(lines, int)


def check_quotes(file, name):
    """Raise a ValueError for a quote that doesn't close on its line: it would swallow the rows after it.

    file: binary, at its beginning, where it is put back. Costs no more than reading where there are no quotes.
    """
    n_quotes = 0
    n_bytes = 0  # before the current chunk
    chunk = bytearray(CHUNK_BYTES)
    while n := file.readinto(chunk):
        if n_quotes % 2 or chunk.find(b'"', 0, n) >= 0:
            # positions of quotes and line ends in this chunk
            byte_values = np.frombuffer(chunk, np.uint8, n)
            marks = np.flatnonzero((byte_values == _QUOTE) | (byte_values == _LINE_FEED) | (byte_values == _RETURN))
            is_quote = byte_values[marks] == _QUOTE
            # a line may only end after an even number of quotes
            is_open = (n_quotes + np.cumsum(is_quote)) % 2 == 1
            open_line_ends = marks[~is_quote & is_open]
            if len(open_line_ends):
                raise _build_open_quote_error(file, name, n_bytes + int(open_line_ends[0]))
            n_quotes += int(is_quote.sum())
        n_bytes += n
    if n_quotes % 2:
        raise _build_open_quote_error(file, name, n_bytes)
    file.seek(0)


def _build_open_quote_error(file, name, position):
    """The ValueError for a quote that is open at the end of a line, `position` bytes from the beginning."""
    file.seek(0)
    # lines may end in \n, \r or \r\n
    before = file.read(position)
    line = 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
    return ValueError(
        f"{name}, line {line}: a quote (\") that doesn't close on its line, so that the rows after it would be lost; "
        'close or remove it (a quote inside a quoted field is spelled "")'
    )


def iter_lines(file, name):
    """(line number, fields) of every row of a binary csv file."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(_iter_bounded_lines(text, name))
    try:
        for fields in reader:
            yield reader.line_num, fields
    except UnicodeDecodeError:
        raise build_encoding_error(text.buffer, name) from None
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: not a row of a csv ({error})") from None
    finally:
        if not text.closed:  # the reading was given up, and its file closed, before the last row
            text.detach()


def _iter_bounded_lines(text, name):
    """The lines of a text file. Raises ValueError for a line longer than the limit."""
    number = 0
    while line := text.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and line[-1] not in "\r\n":
            raise ValueError(
                f"{name}, line {number}: longer than {MAX_LINE_BYTES:,} characters, the limit MAX_LINE_BYTES"
            )
        yield line


def build_encoding_error(file, name):
    """The ValueError that names the first line which isn't UTF-8."""
    file.seek(0)
    n_lines_before = 0
    while line := file.readline(MAX_LINE_BYTES):
        try:
            line.decode()
        except UnicodeDecodeError:
            try:
                # empty lines in front, so that the error counts the right line
                decode_text(b"\n" * n_lines_before + line, name)
            except ValueError as error:
                return error
        n_lines_before += 1
    return ValueError(f"{name}: not text in UTF-8")


def parse_fields(fields, kind):
    """One csv row as (list of 8 values, None), or as (None, fault): the column, the value, what was expected."""
    names = get_csv_columns(kind)
    if len(fields) in (7, 8) and not any(fields[2:]):
        fields = fields[:2]  # AVA-Kinetics spells a frame without boxes with empty fields
    if len(fields) not in (2, 7, 8):
        return None, (
            f"{len(fields)} columns, {','.join(fields[:20])[:80]!r}: expected 8 (or 7, or 2 for a frame without "
            f"boxes): {','.join(names)}{_suggest_separator(fields)}"
        )
    # the video's name stays as it is; all others are numbers
    values = [fields[0]]
    for column, text in zip(names[1:], fields[1:], strict=False):
        is_id = column in ("action_id", "person_id")
        try:
            value = parse_number(text, whole=column == "action_id")
            if is_id and (abs(value) > LARGEST_EXACT_INT or value != int(value)):
                raise ValueError(text)
        except ValueError:
            expected = describe_expected_number(column)
            return None, f"column {column}, value {text[:80]!r}: expected {expected}"
        values.append(value)
    # a frame without boxes
    if len(fields) == 2:
        values += [np.nan] * 4 + [NO_ACTION]
    if len(fields) < 8:
        values.append(NO_PERSON if kind == "ground_truth" else 1.0)
    return values, None


def _suggest_separator(fields):
    """What to do about a row whose columns are separated by something else than commas, or ""."""
    for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(fields) < 7 and ",".join(fields).count(mark) >= 6:
            return f". The columns are separated by {word}; write the file with commas (and numbers with points)"
    return ""


def suggest_header(line, fields):
    """What to do about a first line that names columns, or ""."""
    return "; a header? AVA's csv files have none, remove the line" if line == 1 and "timestamp" in fields else ""


def _build_table(rows, kind):
    """A table from rows of 8 values; video_id is a categorical."""
    columns = get_csv_columns(kind)
    # float64 for all numbers but the ids
    types = dict.fromkeys(columns[1:], np.float64) | {"action_id": np.int64}
    if kind == "ground_truth":
        types["person_id"] = np.int64
    table = pd.DataFrame(rows, columns=columns).astype(types)
    table["video_id"] = pd.Categorical(table["video_id"].astype(object))
    return table
