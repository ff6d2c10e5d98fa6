"""Reading an AVA csv for the linter: what can't be read becomes a finding, nothing is raised."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.ava_csv import convert_frame, parse_ava_csv
from avalib.data.check_report import WRONG, Finding, build_row_finding
from avalib.data.csv_rows import get_csv_columns, iter_lines, parse_rows
from avalib.data.row_checks import BOX_COLUMNS, LAST_COLUMN, NO_ACTION
from avalib.utils.text import open_binary


@dataclass(frozen=True)
class LenientTable:
    """The rows of a csv that can be read, and findings about the others."""

    name: str  # of the file or table, for messages
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
            # the fast way, for files in which every row can be read
            table = parse_ava_csv(file, name, kind)
            return LenientTable(name, table, np.arange(1, len(table) + 1), [])
        except ValueError:
            file.seek(0)
        return _parse_leniently(iter_lines(file, name), name, kind)


def _read_frame_leniently(frame, kind):
    """`read_leniently` for a DataFrame, whose lines are its row numbers. Raises ValueError for missing columns."""
    name = f"{kind} table"
    try:
        table = convert_frame(frame, kind)
        return LenientTable(name, table, np.arange(len(table)), [])
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
    return _parse_leniently(rows, name, kind)


def _to_field(value):
    """A table's value as a csv spells it. Whole numbers, which pandas may hold as float64, have no decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parse_leniently(rows, name, kind):
    """The LenientTable of rows (line, fields). Ends where the rest of the file can't be read."""
    faults = {}  # what can't be read -> [(line, message)]

    def collect_fault(line, _, fault):
        # rows with a fault in one column make one finding
        subject = fault.split(", value")[0] if ", value" in fault else "columns"
        faults.setdefault(subject, []).append((line, fault))

    def iter_readable():
        try:
            yield from rows
        except ValueError as error:
            place = re.search(r", line (\d+)", str(error).removeprefix(name))
            faults["the rest of the file"] = [(int(place[1]) if place else 0, str(error))]

    table, lines = parse_rows(iter_readable(), kind, collect_fault)
    findings = [
        build_row_finding(
            f"can't be read: {subject}",
            lines=[line for line, _ in occurrences],
            example=occurrences[0][1],
            looks_like="a header, or damaged rows",
            status=WRONG,
        )
        for subject, occurrences in faults.items()
    ]
    return LenientTable(name, table, lines, findings)
