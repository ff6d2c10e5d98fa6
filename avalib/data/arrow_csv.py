"""Parse AVA's csv files fast, with pyarrow: files in which all rows are complete and all numbers valid."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from avalib.data.csv_rows import fill_last_column, get_csv_columns
from avalib.data.row_checks import KEYFRAME_COLUMNS, LARGEST_EXACT_INT, is_whole, parse_number
from avalib.utils.limits import MAX_LINE_BYTES

TEXT_COLUMNS = (*KEYFRAME_COLUMNS, "action_id")  # action ids too: read as numbers, 0x10 would be 16


def parse_typed_csv(file, n_columns, kind):
    """The table of a binary csv file whose rows all have `n_columns` (7 or 8) valid fields; None for any other file.

    Numbers are exact to the last bit. video_id is a categorical.
    """
    columns = _read_columns(file, get_csv_columns(kind)[:n_columns])
    if columns is None:
        return None
    times, actions = columns["timestamp"], columns["action_id"]  # Categoricals
    # There are few distinct times and actions in many rows: parse each text once.
    try:
        seconds = np.array([parse_number(text) for text in times.categories], np.float64)
        action_ids = np.array([parse_number(text, whole=True) for text in actions.categories], np.int64)
    except (ValueError, OverflowError):
        return None
    columns["timestamp"] = seconds[times.codes]
    columns["action_id"] = action_ids[actions.codes]
    if not all(np.isfinite(values).all() for name, values in columns.items() if name != "video_id"):
        return None
    if n_columns == 7:
        columns |= {get_csv_columns(kind)[7]: fill_last_column(kind, len(times))}
    elif kind == "ground_truth":
        columns["person_id"] = _to_exact_ints(columns["person_id"])
        if columns["person_id"] is None:
            return None
    table = pd.DataFrame(columns, copy=False)
    table.attrs.update(has_last=n_columns == 8, decimal=_find_first_decimal(times))
    return table


def _read_columns(file, names):
    """{column: array (N,), or Categorical for columns of text}, on all cores. None for a file that isn't such a csv."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: text if name in TEXT_COLUMNS else pa.float64() for name in names}
    try:
        table = pacsv.read_csv(
            file,
            pacsv.ReadOptions(column_names=names, block_size=MAX_LINE_BYTES),
            pacsv.ParseOptions(ignore_empty_lines=False),
            pacsv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    # Each column is freed as soon as it is copied, so that two whole copies never exist.
    columns = {name: table.column(name) for name in names}
    del table
    with ThreadPoolExecutor() as threads:
        return dict(zip(names, threads.map(lambda name: _to_numpy(columns.pop(name)), names), strict=True))


def _to_numpy(column):
    """A pyarrow column as an array; a column of text as a Categorical."""
    if not str(column.type).startswith("dictionary"):
        return column.to_numpy()
    column = column.unify_dictionaries()
    chunks = [chunk.indices.to_numpy() for chunk in column.chunks]
    labels = column.chunk(0).dictionary.to_pylist() if chunks else []
    codes = np.concatenate(chunks) if chunks else np.zeros(0, np.int32)
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))


def _to_exact_ints(values):
    """Floats (N,) as int64 (N,); None if one is not whole or too large to be exact."""
    with np.errstate(invalid="ignore"):
        # what doesn't fit becomes some other number, and is not equal
        whole = values.astype(np.int64)
    is_inexact = (whole != values) | (np.abs(values) > LARGEST_EXACT_INT)
    return None if is_inexact.any() else whole


def _find_first_decimal(times):
    """(row, text) of the first timestamp that isn't spelled as a whole number, or None."""
    decimals = [code for code, text in enumerate(times.categories) if not is_whole(text)]
    if not decimals:
        return None
    row = int(np.isin(times.codes, decimals).argmax())
    return row, times.categories[times.codes[row]]
