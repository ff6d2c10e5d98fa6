"""Rows of an AVA csv -> one table of columns, exact to the last bit and fast, or an error that names the place.

Columns: `video_id, timestamp, x1, y1, x2, y2, action_id` and `person_id` (ground truth) or `score` (detections).
Used through `annotations.read_csv`; `load` is the same for the evaluator.
"""

import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.csv_rows import (
    KEYFRAME_COLUMNS,
    LAST_COLUMN,
    NO_PERSON,
    build_table,
    check_quotes,
    iter_lines,
    parse_fields,
    suggest_header,
)
from avalib.data.row_checks import BOX_COLUMNS, check_rows, is_whole
from avalib.data.row_checks import parse_number as number
from avalib.utils.files import atomic_write
from avalib.utils.limits import MAX_FILE_BYTES, MAX_LINE_BYTES
from avalib.utils.process import available_memory_bytes
from avalib.utils.text import open_binary


def read_ava_csv(source, kind):
    """One table of an AVA csv, rows in file order.

    source: path (plain or gzip; or parquet with a header's names), open file, or DataFrame (checked, missing last
    column filled in). kind: "ground_truth" -> last column person_id (int64; -1 where the file has 7 columns), or
    "detections" -> score (float64; 1.0 where the file has 7 columns, as the evaluators read it). Numbers are exact to
    the last bit; video names stay strings whatever they look like ("nan", "1e5", "007"). A row of two columns is a
    frame without boxes: action_id 0, NaN box.

    Raises ValueError naming file, line, column and value for anything that isn't such a row, see `checks.check_rows`.
    """
    table = load_ava_table(source, kind)
    return table.assign(video_id=table["video_id"].astype(str))


def load_ava_table(source, kind):
    """`read_csv` with video_id as a categorical, which is how millions of rows stay small; for the evaluator.

    table.attrs: "source" and "first", for `place`; "decimal", None or (row, text) of the first timestamp that isn't
    spelt as a whole number; "has_last", whether the 8th column was there.
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
    table.attrs.update(source=name, first=1)
    check_rows(table, name, place=lambda row: format_location(table, row))
    return table


def parse_ava_csv(file, name, kind):
    """A table of a binary csv file, its values not checked yet."""
    check_quotes(file, name)
    first = file.readline(MAX_LINE_BYTES)
    file.seek(0)
    columns = first.count(b",") + 1
    table = _parse_typed(file, columns, kind) if columns in (7, 8) else None
    if table is None:  # something unusual: two-column rows, or a fault to be named
        file.seek(0)
        table = _parse_rows(file, name, kind)
    return table


def format_location(table, row):
    """A row's place for messages: file and line, or, of a DataFrame, its row."""
    first = table.attrs["first"]
    return f"{table.attrs['source']}, {'line' if first else 'row'} {row + first}"


def _parse_typed(file, columns, kind):
    """The fast way: every row has `columns` columns and every number is one. None where that isn't so."""
    names = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", LAST_COLUMN[kind]][:columns]
    parse = _parse_pyarrow if find_spec("pyarrow") else _parse_pandas
    data = parse(file, names)
    if data is None:
        return None
    texts, codes = data["timestamp"].categories, data["timestamp"].codes
    try:  # few times and actions in many rows: each text is looked at once
        seconds = np.array([number(text) for text in texts], np.float64)
        actions = np.array([number(text, whole=True) for text in data["action_id"].categories], np.int64)
    except (ValueError, OverflowError):
        return None
    odd = [i for i, text in enumerate(texts) if not is_whole(text)]
    row = int(np.isin(codes, odd).argmax()) if odd else None
    data["timestamp"], data["action_id"] = seconds[codes], actions[data["action_id"].codes]
    if not all(np.isfinite(values).all() for key, values in data.items() if key != "video_id"):
        return None
    if kind == "ground_truth" and columns == 8:
        with np.errstate(invalid="ignore"):
            person = data["person_id"].astype(np.int64)
        if (person != data["person_id"]).any() or (np.abs(data["person_id"]) > 1 << 53).any():
            return None
        data["person_id"] = person
    elif columns == 7:
        data[LAST_COLUMN[kind]] = _absent(kind, len(codes))
    table = pd.DataFrame(data, copy=False)
    table.attrs.update(has_last=columns == 8, decimal=None if row is None else (row, texts[codes[row]]))
    return table


def _absent(kind, n):
    return np.full(n, NO_PERSON, np.int64) if kind == "ground_truth" else np.ones(n)


def _parse_pyarrow(file, names):
    """{column: array or Categorical}, on all cores."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    text = pa.dictionary(pa.int32(), pa.string())  # of action ids too: as numbers, 0x10 would be 16
    types = {name: text if name in (*KEYFRAME_COLUMNS, "action_id") else pa.float64() for name in names}
    try:
        table = pacsv.read_csv(
            file,
            pacsv.ReadOptions(column_names=names, block_size=MAX_LINE_BYTES),
            pacsv.ParseOptions(ignore_empty_lines=False),
            pacsv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    columns = {name: table.column(name) for name in names}
    del table  # with each column let go once it is copied, the two copies never exist whole
    with ThreadPoolExecutor() as threads:
        return dict(zip(names, threads.map(lambda name: _as_numpy(columns.pop(name)), names), strict=True))


def _as_numpy(column):
    """A pyarrow column as an array; of texts, as a Categorical."""
    if not str(column.type).startswith("dictionary"):
        return column.to_numpy()
    column = column.unify_dictionaries()
    chunks = [chunk.indices.to_numpy() for chunk in column.chunks]
    labels = column.chunk(0).dictionary.to_pylist() if chunks else []
    codes = np.concatenate(chunks) if chunks else np.zeros(0, np.int32)
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))


def _parse_pandas(file, names):
    """The same without pyarrow."""
    content = file.read()
    if b"\0" in content or re.search(rb"(?i)[,\"]\s*(true|false)\b", content):
        return None  # pandas would take them for 1 and 0; pandas 2.2 ends a text at a zero byte
    texts = [*KEYFRAME_COLUMNS, "action_id"]  # pandas would take 12.0 for an id
    types = {n: str if n in texts else np.float64 for n in names}
    options = dict(na_filter=False, float_precision="round_trip", index_col=False, skip_blank_lines=False)
    try:
        table = pd.read_csv(io.BytesIO(content), names=names, dtype=types, on_bad_lines="error", **options)
    except (ValueError, OverflowError):  # ParserError is a ValueError
        return None
    return {n: pd.Categorical(table[n].astype(object)) if n in texts else table[n].to_numpy() for n in names}


def _parse_rows(file, name, kind):
    """The careful way, row by row: the same table, rows of two columns included, or the fault by its place."""
    rows, decimal, has_last = [], None, True
    for line, fields in iter_lines(file, name):
        values, fault = parse_fields(fields, kind)
        if fault:
            raise ValueError(f"{name}, line {line}, {fault}{suggest_header(line, fields)}")
        if decimal is None and not is_whole(fields[1]):
            decimal = (len(rows), fields[1])
        has_last = has_last and len(fields) != 7
        rows.append(values)
    table = build_table(rows, kind)
    table.attrs.update(has_last=has_last, decimal=decimal)
    return table


def read_parquet(path, columns=None):
    """A parquet file as a DataFrame (of the columns named, all of them by default), texts as categories.

    Raises ValueError naming the file where it is none, lacks a column, or would fill the memory: a few bytes of parquet
    can stand for billions of rows.
    """
    import pyarrow as pa
    from pyarrow import parquet

    name, file = open_binary(path)
    with file:
        try:
            names = list(parquet.read_schema(file).names)
            file.seek(0)
            source = parquet.ParquetFile(file, read_dictionary=[name for name in names if name == "video_id"])
            if missing := [column for column in columns or () if column not in names]:
                raise ValueError(f"no column {', '.join(missing)}; it has {', '.join(names[:20])}")
            wanted = names if columns is None else columns
            _check_size(source.metadata, len(wanted))
            return source.read(columns=wanted).to_pandas(ignore_metadata=True)  # which may be damaged too
        except (pa.ArrowException, ValueError, OSError, TypeError, KeyError) as error:
            raise ValueError(f"{name}: not a parquet table that can be read ({error})") from None


def _check_size(metadata, n_columns):
    """Raise a ValueError for a parquet file that needs more memory than there is."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    needed = max(metadata.num_rows * n_columns * 8, sum(group.total_byte_size for group in groups))
    free = available_memory_bytes()
    bound = MAX_FILE_BYTES if free is None else min(MAX_FILE_BYTES, free // 2)
    if needed > bound or metadata.num_rows < 0:
        raise ValueError(
            f"{metadata.num_rows:,} rows need {needed:,} bytes, the limit (MAX_FILE_BYTES, or half of the free memory) "
            f"is {bound:,}"
        )


def convert_frame(frame, kind, source=None):
    """A user's DataFrame as a table: columns checked and put in order, types set. source: its name for messages."""
    source, last = source or f"{kind} table", LAST_COLUMN[kind]
    needed = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id"]
    if missing := [column for column in needed if column not in frame]:
        raise ValueError(f"{source}: no column {missing}; expected {needed} and {last}, got {list(frame)}")
    wanted = [*needed, last] if last in frame else needed
    if len(set(wanted)) < sum(frame.columns.isin(wanted)):
        raise ValueError(f"{source}: a column is there twice; expected {needed} and {last}, got {list(frame)}")
    table = frame[wanted].reset_index(drop=True)
    table = table.assign(video_id=_as_names(table["video_id"]))
    table = check_rows(table, source)
    if last not in frame:
        table[last] = _absent(kind, len(frame))
    table.attrs = {"source": source, "first": 0, "decimal": _first_fraction(table), "has_last": last in frame}
    return table


def _as_names(videos):
    """A column of video ids as a Categorical of texts; whole numbers are taken as the names they spell."""
    if isinstance(videos.dtype, pd.CategoricalDtype):
        return videos.array
    names = videos.astype(str) if videos.dtype.kind in "iu" else videos
    return pd.Categorical(names.astype(object))


def _first_fraction(table):
    seconds = table["timestamp"].to_numpy()
    fraction = seconds != np.floor(seconds)
    return (int(fraction.argmax()), str(seconds[fraction.argmax()])) if fraction.any() else None


def write_ava_csv(table, path):
    """Write a table as csv, rows as they come: detections (with `score`) exactly as MMAction2 v0.10.0 does (second as a
    plain number, five floats with 3 decimals), ground truth (with `person_id`) as AVA does (second with four digits).
    """
    kind = "detections" if "score" in table else "ground_truth"
    table = convert_frame(table, kind)
    columns = [table[c].tolist() for c in [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", LAST_COLUMN[kind]]]
    columns[0] = list(map(to_csv_text, columns[0]))
    columns[1] = [format_timestamp(t, digits=1 if kind == "detections" else 4) for t in columns[1]]
    line = "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{:.3f}\n" if kind == "detections" else (
        "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{}\n"
    )  # fmt: skip
    with atomic_write(path) as file:
        file.write("".join(map(line.format, *columns)).encode())


def format_timestamp(seconds, digits=4):
    """'0902' for 902.0; 902.5 stays '902.5'."""
    return f"{int(seconds):0{digits}d}" if seconds == int(seconds) else repr(float(seconds))


def to_csv_text(name):
    """A video's name as a csv's field: in quotes where it has a comma or a quote."""
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name
