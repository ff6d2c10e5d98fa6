"""Person boxes of a data set: AVA's pickles, csv or parquet files, read and written."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import format_timestamp, read_parquet
from avalib.data.csv_rows import KEYFRAME_COLUMNS, check_quotes, describe_encoding_fault
from avalib.data.proposal_pickles import check_fractions, read_frames
from avalib.data.row_checks import BOX_COLUMNS, check_rows
from avalib.utils.files import atomic_write, write_table
from avalib.utils.text import open_binary

PROPOSAL_SUFFIXES = (".pkl", ".parquet", ".csv")


def read_proposals(path):
    """Table `video_id, timestamp, x1, y1, x2, y2, score` of person boxes: a pickle {"video_id,0902": array (n,5)}, or a
    .csv or .parquet with these columns (what `write_proposals` writes under such a name).

    No code in a pickle is run. A frame without boxes gives no rows.
    Raises ValueError naming file, key (or column) and what was found.
    """
    table = load_proposals(path)
    return table.assign(video_id=table["video_id"].astype(str))


def load_proposals(path):
    """`read_proposals` with video_id as a categorical."""
    suffix = Path(path).suffix
    table = _read_table(path) if suffix in (".csv", ".parquet") else read_frames(path)
    return table.astype({"video_id": "category"})


def write_proposals(table, path):
    """Write proposals as the published pickle, {"video_id,0902": float64 array (n,5)}, frames in the table's order; or,
    by the path's suffix, as .csv or .parquet, the safe alternatives.
    """
    table, suffix = table[[*KEYFRAME_COLUMNS, *BOX_COLUMNS, "score"]], Path(path).suffix
    if suffix in (".csv", ".parquet"):
        write_table(table, path)
        return
    frames = {}
    values = table[[*BOX_COLUMNS, "score"]].to_numpy(np.float64)
    for row, (video, seconds) in enumerate(zip(table["video_id"], table["timestamp"], strict=True)):
        frames.setdefault(f"{video},{format_timestamp(seconds)}", []).append(row)
    with atomic_write(path) as file:
        pickle.dump({key: values[rows] for key, rows in frames.items()}, file, protocol=4)


def _read_table(path):
    columns = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "score"]
    if Path(path).suffix == ".parquet":
        table = check_rows(read_parquet(path, columns)[columns], path)
        return check_fractions(table, lambda row: f"{path}, row {row}")
    name, file = open_binary(path)
    with file:
        check_quotes(file, name)
        try:
            table = pd.read_csv(file, dtype=str, na_filter=False)
        except UnicodeDecodeError:
            raise describe_encoding_fault(file, name) from None
        except ValueError as error:  # pandas' errors are ValueErrors
            raise ValueError(f"{name}: not a table ({error}); expected columns {','.join(columns)}") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what the header doesn't name for an index
        raise ValueError(f"{name}: rows with more columns than its header, {', '.join(map(str, list(table)[:20]))}")
    if missing := [column for column in columns if column not in table]:
        has = ", ".join(map(str, list(table)[:20]))
        raise ValueError(
            f"{name}: no column {', '.join(missing)}; it has {has}; expected person boxes, {','.join(columns)}"
        )

    def place(row):
        return f"{name}, line {row + 2}"

    return check_fractions(check_rows(table[columns], name, place=place), place)
