"""Reading an AVA csv for the linter: what can't be read becomes a finding, nothing is raised."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.ava_csv import convert_frame, parse_ava_csv
from avalib.data.csv_rows import build_table, get_csv_columns, iter_lines, parse_fields
from avalib.data.row_checks import BOX_COLUMNS, LAST_COLUMN, NO_ACTION, is_whole
from avalib.utils.text import open_binary


@dataclass(frozen=True)
class Finding:
    """One kind of problem in a csv."""

    problem: str
    lines: list[int]  # where; row numbers for a DataFrame
    example: str  # the first of these rows
    looks_like: str  # what it may mean, what evaluators do with it


@dataclass(frozen=True)
class LenientTable:
    """The rows of a csv that can be read, and findings about the others."""

    table: pd.DataFrame
    lines: np.ndarray  # (N,) the line of each row of the table; of a DataFrame, its row number
    findings: list[Finding]


def read_leniently(source, kind):
    """Read a csv or a DataFrame; rows that can't be read become findings. Returns LenientTable."""
    if isinstance(source, pd.DataFrame):
        return _read_frame_leniently(source, kind)
    name, file = open_binary(source)
    with file:
        try:
            table = parse_ava_csv(file, name, kind)
            return LenientTable(table, np.arange(1, len(table) + 1), [])
        except ValueError:
            file.seek(0)
        return _parse_leniently(iter_lines(file, name), name, kind)


def _read_frame_leniently(frame, kind):
    """`read_leniently` for a DataFrame, whose lines are its row numbers. Raises ValueError for missing columns."""
    try:
        table = convert_frame(frame, kind)
        return LenientTable(table, np.arange(len(table)), [])
    except ValueError:
        columns = get_csv_columns(kind)
        if LAST_COLUMN[kind] not in frame:
            columns = columns[:-1]
        if not set(columns) <= set(frame) or frame.columns.duplicated().any():
            raise
    # spell each row as fields of a csv; only two for a frame without boxes
    has_no_action = pd.to_numeric(frame["action_id"], errors="coerce").eq(NO_ACTION)
    without_boxes = (has_no_action & frame[BOX_COLUMNS].isna().all(axis=1)).tolist()
    rows = []
    for row, values in enumerate(zip(*(frame[column].tolist() for column in columns), strict=True)):
        fields = [_to_field(value) for value in values]
        rows.append((row, fields[:2] if without_boxes[row] else fields))
    return _parse_leniently(rows, f"{kind} table", kind)


def _to_field(value):
    """A table's value as a csv spells it. Whole numbers, which pandas may hold as float64, have no decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parse_leniently(rows, name, kind):
    """Parse (line, fields) one by one. Ends where the rest of the file can't be read."""
    parsed = []
    lines = []
    faults = {}  # what can't be read -> [(line, message)]
    first_decimal = None  # (row, text) of the first timestamp that isn't spelled as a whole number
    try:
        for line, fields in rows:
            values, fault = parse_fields(fields, kind)
            if fault is not None:
                subject = fault.split(", value")[0] if ", value" in fault else "columns"
                faults.setdefault(subject, []).append((line, fault))
                continue
            if first_decimal is None and not is_whole(fields[1]):
                first_decimal = (len(parsed), fields[1])
            parsed.append(values)
            lines.append(line)
    except ValueError as error:
        place = re.search(r", line (\d+)", str(error).removeprefix(name))
        faults["the rest of the file"] = [(int(place[1]) if place else 0, str(error))]
    findings = [
        Finding(
            problem=f"can't be read: {subject}",
            lines=[line for line, _ in occurrences],
            example=occurrences[0][1],
            looks_like="a header, or damaged rows",
        )
        for subject, occurrences in faults.items()
    ]
    table = build_table(parsed, kind)
    table.attrs["decimal"] = first_decimal
    return LenientTable(table, np.array(lines, int), findings)
