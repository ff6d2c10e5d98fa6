"""Read and write person boxes (proposals) of a data set: AVA's pickles, PySlowFast's csv, csv or parquet files."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import format_timestamp
from avalib.data.csv_rows import build_encoding_error, check_quotes
from avalib.data.parquet_table import read_parquet
from avalib.data.proposal_pickles import PROPOSAL_COLUMNS, check_fractions, read_proposal_pickle
from avalib.data.pyslowfast_boxes import is_pyslowfast_row, read_pyslowfast_boxes
from avalib.data.row_checks import BOX_COLUMNS, check_rows
from avalib.utils.files import atomic_write, write_table
from avalib.utils.limits import MAX_LINE_BYTES
from avalib.utils.text import open_binary

SNIFFED_BYTES = 4096
PROPOSAL_SUFFIXES = (".pkl", ".parquet", ".csv")


def read_proposals(path: str | Path) -> pd.DataFrame:
    """Read person boxes. No code in a pickle is run.

    Parameters
    ----------
    path : str or Path
        A pickle {"video_id,0902": array (n,5)}, a csv (with a header) or parquet file with the columns below, or
        PySlowFast's csv (without a header: video, second, box, action or nothing, score). The content decides.

    Returns
    -------
    DataFrame
        video_id, timestamp (seconds), x1, y1, x2, y2 (0..1), score. A frame without boxes has no rows.

    Raises
    ------
    ValueError
        Naming file, key (or line and column) and value.
    """
    table = load_proposals(path)
    return table.assign(video_id=table["video_id"].astype(str))


def load_proposals(path):
    """`read_proposals` with video_id as a categorical."""
    readers = {"parquet": _read_proposal_parquet, "csv": _read_proposal_csv, "pickle": read_proposal_pickle}
    table = readers[_detect_format(path)](path)
    return table.astype({"video_id": "category"})


def _detect_format(path):
    """ "parquet", "pickle" or "csv": by a file's first bytes, and by its name where they leave it open."""
    with open(path, "rb") as file:
        head = file.read(SNIFFED_BYTES)
    suffix = Path(path).suffix
    if head.startswith(b"PAR1") or (suffix == ".parquet" and not head.startswith(b"\x80")):
        return "parquet"
    if head.startswith(b"\x80"):
        return "pickle"
    first_line = head.partition(b"\n")[0]
    if b"\0" not in first_line and first_line.count(b",") >= len(BOX_COLUMNS):
        return "csv"
    is_binary = b"\0" in head
    return "csv" if suffix == ".csv" and not is_binary else "pickle"


def write_proposals(table: pd.DataFrame, path: str | Path) -> None:
    """Write person boxes.

    Parameters
    ----------
    table : DataFrame
        video_id, timestamp (seconds), x1, y1, x2, y2 (0..1), score.
    path : str or Path
        With the suffix .csv or .parquet, a table; with any other, the pickle as AVA's proposals are published:
        {"video_id,0902": float64 array (n,5)}, frames in the table's order.
    """
    table = table[PROPOSAL_COLUMNS]
    if Path(path).suffix in (".csv", ".parquet"):
        write_table(table, path)
        return
    # the rows of each frame; a dict keeps the table's order
    rows_of_frame = {}
    for row, (video_id, seconds) in enumerate(zip(table["video_id"], table["timestamp"], strict=True)):
        rows_of_frame.setdefault(f"{video_id},{format_timestamp(seconds)}", []).append(row)
    values = table[[*BOX_COLUMNS, "score"]].to_numpy(np.float64)
    with atomic_write(path) as file:
        pickle.dump({key: values[rows] for key, rows in rows_of_frame.items()}, file, protocol=4)


def _read_proposal_parquet(path):
    table = read_parquet(path, PROPOSAL_COLUMNS)[PROPOSAL_COLUMNS]

    def locate(row):
        return f"{path}, row {row}"

    return check_fractions(check_rows(table, path, locate=locate), locate)


def _read_proposal_csv(path):
    expected = ",".join(PROPOSAL_COLUMNS)
    name, file = open_binary(path)
    with file:
        check_quotes(file, name)
        first_row = file.readline(MAX_LINE_BYTES).decode("utf-8", "replace").split(",")
        file.seek(0)
        if is_pyslowfast_row(first_row):
            return read_pyslowfast_boxes(file, name)
        try:
            # as text: `check_rows` converts, so that an error can quote what the file says
            table = pd.read_csv(file, dtype=str, na_filter=False)
        except UnicodeDecodeError:
            raise build_encoding_error(file, name) from None
        except ValueError as error:  # pandas' errors are ValueErrors
            raise ValueError(f"{name}: not a table ({error}); expected columns {expected}") from None
    # what is wrong with the columns, before the values
    header = ", ".join(map(str, list(table)[:20]))
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes columns that the header doesn't name for an index
        raise ValueError(f"{name}: rows with more columns than its header, {header}")
    if missing := [column for column in PROPOSAL_COLUMNS if column not in table]:
        raise ValueError(f"{name}: no column {', '.join(missing)}; it has {header}; expected person boxes, {expected}")

    def locate(row):
        return f"{name}, line {row + 2}"

    return check_fractions(check_rows(table[PROPOSAL_COLUMNS], name, locate=locate), locate)
