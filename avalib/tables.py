"""Rows of an AVA csv -> one table of columns, exact to the last bit and fast, or an error that names the place.

Columns: `video_id, timestamp, x1, y1, x2, y2, action_id` and `person_id` (ground truth) or `score` (detections).
Used through `annotations.read_csv`; `load` is the same for the evaluator.
"""

import csv
import gzip
import io
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pandas as pd

FRAME = ["video_id", "timestamp"]
BOX = ["x1", "y1", "x2", "y2"]
LAST = {"ground_truth": "person_id", "detections": "score"}
NO_PERSON = -1  # person_id of a ground truth file with 7 columns
NO_ACTION = 0  # action_id of a row of two columns: an annotated frame without boxes (NaN)


def read_csv(source, kind):
    """One table of an AVA csv, rows in file order.

    source: path (plain or gzip), open file, or DataFrame (checked, missing last column filled in).
    kind: "ground_truth" -> last column person_id (int64; -1 where the file has 7 columns), or "detections" -> score
    (float64; 1.0 where the file has 7 columns, as the evaluators read it). Numbers are exact to the last bit; video
    names stay strings whatever they look like ("nan", "1e5", "007"). A row of two columns is a frame without boxes:
    action_id 0, NaN box.

    Raises ValueError naming file, line, column and value for anything that isn't such a row.
    """
    table = load(source, kind)
    return table.assign(video_id=table["video_id"].astype(str))


def load(source, kind):
    """`read_csv` with video_id as a categorical, which is how millions of rows stay small; for the evaluator.

    table.attrs: "source" and "first", for `place`; "decimal", None or (row, text) of the first timestamp that isn't
    spelt as a whole number; "has_last", whether the 8th column was there.
    """
    if kind not in LAST:
        raise ValueError(f'kind {kind!r}: expected "ground_truth" or "detections"')
    if isinstance(source, pd.DataFrame):
        return from_frame(source, kind)
    name, file = open_source(source)
    with file:
        first = file.readline()
        file.seek(0)
        columns = first.count(b",") + 1
        table = _parse_typed(file, columns, kind) if columns in (7, 8) else None
        if table is None:  # something unusual: two-column rows, or a fault to be named
            file.seek(0)
            table = _parse_rows(file, name, kind)
    table.attrs.update(source=name, first=1)
    return table


def place(table, row):
    """A row's place for messages: file and line, or, of a DataFrame, its row."""
    first = table.attrs["first"]
    return f"{table.attrs['source']}, {'line' if first else 'row'} {row + first}"


def open_source(source):
    """(name for messages, seekable binary file), gzip undone."""
    if isinstance(source, (str, os.PathLike)):
        name, file = str(source), open(source, "rb")
    else:
        data = source.read()
        name = str(getattr(source, "name", "csv"))
        file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    magic = file.read(2)
    file.seek(0)
    if magic == b"\x1f\x8b":
        with file:
            return name, io.BytesIO(gzip.decompress(file.read()))
    return name, file


def _parse_typed(file, columns, kind):
    """The fast way: every row has `columns` columns and every number is one. None where that isn't so."""
    names = [*FRAME, *BOX, "action_id", LAST[kind]][:columns]
    parse = _parse_pyarrow if find_spec("pyarrow") else _parse_pandas
    data = parse(file, names)
    if data is None:
        return None
    try:
        seconds = [number(text) for text in data["timestamp"].categories]
    except ValueError:
        return None
    floats = np.array(seconds, np.float64)
    texts, codes = data["timestamp"].categories, data["timestamp"].codes
    odd = [i for i, text in enumerate(texts) if not is_whole(text)]
    row = int(np.isin(codes, odd).argmax()) if odd else None
    data["timestamp"] = floats[codes]
    if not all(np.isfinite(values).all() for key, values in data.items() if key != "video_id"):
        return None
    if kind == "ground_truth" and columns == 8:
        person = data["person_id"].astype(np.int64)
        if (person != data["person_id"]).any():
            return None
        data["person_id"] = person
    elif columns == 7:
        data[LAST[kind]] = _absent(kind, len(codes))
    table = pd.DataFrame(data, copy=False)
    table.attrs.update(has_last=columns == 8, decimal=None if row is None else (row, texts[codes[row]]))
    return table


def _absent(kind, n):
    return np.full(n, NO_PERSON, np.int64) if kind == "ground_truth" else np.ones(n)


def _parse_pyarrow(file, names):
    """{column: array or Categorical}, on all cores."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: text if name in FRAME else pa.int64() if name == "action_id" else pa.float64() for name in names}
    try:
        table = pacsv.read_csv(
            file,
            pacsv.ReadOptions(column_names=names, block_size=1 << 23),
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
    texts = [*FRAME, "action_id"]  # pandas would take 12.0 for an id
    types = {n: str if n in texts else np.float64 for n in names}
    options = dict(na_filter=False, float_precision="round_trip", index_col=False, skip_blank_lines=False)
    try:
        table = pd.read_csv(file, names=names, dtype=types, on_bad_lines="error", **options)
        data = {n: pd.Categorical(table[n].astype(object)) if n in texts else table[n].to_numpy() for n in names}
        ids = np.array([number(text, whole=True) for text in data["action_id"].categories], np.int64)
    except (ValueError, OverflowError):  # ParserError is a ValueError
        return None
    return data | {"action_id": ids[data["action_id"].codes]}


def is_whole(text):
    return text.strip().lstrip("+-").isdecimal()


def number(text, whole=False):
    """The number a csv field spells; ValueError if it isn't a finite one (float() would take 1_0 and nan)."""
    if "_" in text or (whole and not is_whole(text)):
        raise ValueError(text)
    value = int(text) if whole else float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value


def _parse_rows(file, name, kind):
    """The careful way, row by row: the same table, rows of two columns included, or the fault by its place."""
    rows, decimal, has_last = [], None, True
    for line, fields in lines(file, name):
        values, fault = parse_fields(fields, kind)
        if fault:
            raise ValueError(f"{name}, line {line}, {fault}{_header_hint(line, fields)}")
        if decimal is None and not is_whole(fields[1]):
            decimal = (len(rows), fields[1])
        has_last = has_last and len(fields) != 7
        rows.append(values)
    table = table_of(rows, kind)
    table.attrs.update(has_last=has_last, decimal=decimal)
    return table


def table_of(rows, kind):
    """A table from rows of 8 values."""
    columns = [*FRAME, *BOX, "action_id", LAST[kind]]
    table = pd.DataFrame(rows, columns=columns)
    types = dict.fromkeys(columns[1:], np.float64) | {"action_id": np.int64, "person_id": np.int64}
    table = table.astype({column: types[column] for column in columns[1:]})
    table["video_id"] = pd.Categorical(table["video_id"].astype(object))
    return table


def lines(file, name):
    """(line number, fields) of every row of a binary csv file."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    reader = csv.reader(text)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}, near line {reader.line_num + 1}: not text in UTF-8 ({error}); expected a csv"
        ) from error
    finally:
        text.detach()


def parse_fields(fields, kind):
    """One csv row -> (list of 8 values, None), or (None, what is wrong: column, value, what was expected)."""
    names = [*FRAME, *BOX, "action_id", LAST[kind]]
    if len(fields) not in (2, 7, 8):
        return None, (
            f"{len(fields)} columns, {','.join(fields)[:80]!r}: expected 8 (or 7, or 2 for a frame without boxes): "
            f"{','.join(names)}"
        )
    values = [fields[0]]
    for column, text in zip(names[1:], fields[1:], strict=False):
        try:
            values.append(number(text, whole=column == "action_id"))
        except ValueError:
            expected = "a whole number" if column == "action_id" else "a finite number"
            return None, f"column {column}, value {text!r}: expected {expected}"
    if kind == "ground_truth" and len(fields) == 8 and values[7] != int(values[7]):
        return None, f"column person_id, value {fields[7]!r}: expected a whole number"
    if len(fields) == 2:
        values += [np.nan] * 4 + [NO_ACTION]
    if len(fields) < 8:
        values.append(_absent(kind, 1)[0])
    return values, None


def _header_hint(line, fields):
    return "; a header? AVA's csv files have none, remove the line" if line == 1 and "timestamp" in fields else ""


def from_frame(frame, kind):
    """A user's DataFrame as a table: columns checked and put in order, types set."""
    needed = [*FRAME, *BOX, "action_id"]
    if missing := [column for column in needed if column not in frame]:
        raise ValueError(f"{kind} table: no column {missing}; expected {needed} and {LAST[kind]}, got {list(frame)}")
    last = LAST[kind]
    videos = frame["video_id"]
    if not isinstance(videos.dtype, pd.CategoricalDtype):
        videos = pd.Categorical(videos.astype(str).astype(object))
    data = {"video_id": videos.array if isinstance(videos, pd.Series) else videos}
    data |= {column: _column(frame, column, kind) for column in needed[1:]}
    data[last] = _column(frame, last, kind) if last in frame else _absent(kind, len(frame))
    for column in ("action_id", "person_id"):
        if column in data:
            data[column] = data[column].astype(np.int64)
    table = pd.DataFrame(data, copy=False)
    table.attrs.update(source=f"{kind} table", first=0, decimal=_first_fraction(table), has_last=last in frame)
    return table


def _column(frame, column, kind):
    """One numeric column; ValueError naming row, column and value where it isn't finite (or whole, for ids)."""
    values = frame[column]
    values = (values if values.dtype.kind in "fiu" else pd.to_numeric(values, errors="coerce")).to_numpy(np.float64)
    bad = ~np.isfinite(values)
    if column in BOX:
        bad &= (frame["action_id"] != NO_ACTION).to_numpy()
    elif column in ("action_id", "person_id"):
        bad |= values != np.floor(values)
    if bad.any():
        row = int(bad.argmax())
        expected = "a whole number" if column in ("action_id", "person_id") else "a finite number"
        value = frame[column].tolist()[row]
        raise ValueError(f"{kind} table, row {row}, column {column}, value {value!r}: expected {expected}")
    return values


def _first_fraction(table):
    seconds = table["timestamp"].to_numpy()
    fraction = seconds != np.floor(seconds)
    return (int(fraction.argmax()), str(seconds[fraction.argmax()])) if fraction.any() else None
