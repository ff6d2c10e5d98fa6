"""Read and write AVA's csv files: ground truth and detections.

Columns: `video_id, timestamp, x1, y1, x2, y2, action_id` and `person_id` (ground truth) or `score` (detections):
timestamps in seconds, boxes in fractions of the frame (0..1), action ids AVA's 1..80. arrow_csv parses fast, csv_rows
row by row with exact messages.
"""

import os
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from avalib.data.arrow_csv import parse_typed_csv
from avalib.data.csv_rows import check_quotes, fill_last_column, get_csv_columns, parse_csv_rows
from avalib.data.parquet_table import read_parquet
from avalib.data.row_checks import LAST_COLUMN, check_rows
from avalib.utils.files import atomic_write
from avalib.utils.limits import MAX_LINE_BYTES
from avalib.utils.text import open_binary

DETECTION_LINE = "{{}},{{}},{{:.{n}f}},{{:.{n}f}},{{:.{n}f}},{{:.{n}f}},{{}},{{:.{n}f}}\n"  # n decimals
GROUND_TRUTH_LINE = "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{}\n"


def read_ava_csv(source: str | Path | IO | pd.DataFrame, kind: str) -> pd.DataFrame:
    """Read an AVA csv; rows stay in file order.

    Numbers are exact to the last bit. Video names stay text whatever they look like ("nan", "1e5", "007"). A row of two
    columns is a frame without boxes: action_id 0, NaN box.

    Parameters
    ----------
    source : str, Path, file or DataFrame
        A csv (plain or gzip), a parquet file with the column names below, an open file, or a table, which is checked.
    kind : {"ground_truth", "detections"}
        The last column: person_id (int64; -1 in files with 7 columns) or score (float64; 1.0 in files with 7 columns,
        as the evaluators read them).

    Returns
    -------
    DataFrame
        video_id, timestamp (seconds), x1, y1, x2, y2 (0..1), action_id, and person_id or score.

    Raises
    ------
    ValueError
        Naming file, line, column and value for the first invalid row, see `row_checks.check_rows`.
    """
    table = load_ava_table(source, kind)
    return table.assign(video_id=table["video_id"].astype(str))


def load_ava_table(source, kind):
    """`read_ava_csv` with video_id as a categorical, which keeps millions of rows small.

    table.attrs: "source" and "first_row", for `format_location`; "decimal", None or (row, text) of the first timestamp
    that isn't spelled as a whole number; "has_last", whether the source has the 8th column.
    """
    if kind not in LAST_COLUMN:
        raise ValueError(f'kind {kind!r}: expected "ground_truth" or "detections"')
    if isinstance(source, pd.DataFrame):
        return convert_frame(source, kind)
    if isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() == ".parquet":
        return convert_frame(read_parquet(source), kind, str(source))
    name, file = open_binary(source)
    with file:
        table = parse_ava_csv(file, name, kind)
    table.attrs.update(source=name, first_row=1)
    check_rows(table, name, locate=lambda row: format_location(table, row))
    return table


def parse_ava_csv(file, name, kind):
    """The table of a binary csv file, its values not checked yet."""
    check_quotes(file, name)
    first_line = file.readline(MAX_LINE_BYTES)
    file.seek(0)
    # a quoted comma gives a wrong count: the fast parser then declines the file
    n_columns = first_line.count(b",") + 1
    table = parse_typed_csv(file, n_columns, kind) if n_columns in (7, 8) else None
    if table is None:  # rows of two columns, or an error to be named
        file.seek(0)
        table = parse_csv_rows(file, name, kind)
    return table


def format_location(table, row):
    """A row's place for messages: file and line, or, for a table in memory, its row."""
    first_row = table.attrs["first_row"]
    return f"{table.attrs['source']}, {'line' if first_row else 'row'} {row + first_row}"


def convert_frame(frame, kind, source=None):
    """A user's DataFrame as a table of `load_ava_table`: columns checked and in order, types set.

    source: its name for messages.
    """
    source = source or f"{kind} table"
    last = LAST_COLUMN[kind]
    columns = get_csv_columns(kind)
    required = columns[:-1]
    if missing := [column for column in required if column not in frame]:
        raise ValueError(f"{source}: no column {missing}; expected {required} and {last}, got {list(frame)}")
    if last not in frame:
        columns = required
    # pandas allows two columns of one name
    if frame.columns.isin(columns).sum() > len(columns):
        raise ValueError(f"{source}: a column occurs twice; expected {required} and {last}, got {list(frame)}")
    table = frame[columns].reset_index(drop=True)
    table = check_rows(table.assign(video_id=_to_categorical(table["video_id"])), source)
    if last not in frame:
        table[last] = fill_last_column(kind, len(frame))
    table.attrs = {
        "source": source,
        "first_row": 0,
        "decimal": _find_first_decimal(table["timestamp"].to_numpy()),
        "has_last": last in frame,
    }
    return table


def _to_categorical(videos):
    """A column of video ids as a Categorical of texts; whole numbers become the names that they spell."""
    if isinstance(videos.dtype, pd.CategoricalDtype):
        return videos.array
    # a csv with names such as 0023 may have been read as numbers
    names = videos.astype(str) if videos.dtype.kind in "iu" else videos
    return pd.Categorical(names.astype(object))


def _find_first_decimal(seconds):
    """(row, text) of the first timestamp (N,) that isn't whole, or None."""
    is_decimal = seconds != np.floor(seconds)
    if not is_decimal.any():
        return None
    row = int(is_decimal.argmax())
    return row, str(seconds[row])


def write_ava_csv(table: pd.DataFrame, path: str | Path, decimals: int = 3) -> None:
    """Write a table as csv, rows in their order.

    Parameters
    ----------
    table : DataFrame
        Detections (with `score`) are written exactly as MMAction2 does: the second as a plain number, five floats
        with `decimals`. Ground truth (with `person_id`) is written as AVA does: the second with four digits.
    path : str or Path
        The file; gzip if it ends in .gz.
    decimals : int
        Of the boxes and scores of detections: 3 in MMAction2 v0.10.0, 4 in 1.x.

    Raises
    ------
    ValueError
        For an invalid table, before the file is touched.
    """
    kind = "detections" if "score" in table else "ground_truth"
    table = convert_frame(table, kind)
    columns = {name: table[name].tolist() for name in get_csv_columns(kind)}
    # every column as text, or as the number that its format expects
    columns["video_id"] = [to_csv_text(name) for name in columns["video_id"]]
    n_digits = 1 if kind == "detections" else 4
    columns["timestamp"] = [format_timestamp(seconds, n_digits) for seconds in columns["timestamp"]]
    line = DETECTION_LINE.format(n=decimals) if kind == "detections" else GROUND_TRUTH_LINE
    with atomic_write(path) as file:
        file.write("".join(map(line.format, *columns.values())).encode())


def format_timestamp(seconds, n_digits=4):
    """'0902' for 902.0; 902.5 stays '902.5'."""
    return f"{int(seconds):0{n_digits}d}" if seconds == int(seconds) else repr(float(seconds))


def to_csv_text(name):
    """A video's name as a field of a csv: in quotes if it has a comma or a quote."""
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name
