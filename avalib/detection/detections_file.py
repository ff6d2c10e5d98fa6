"""Files of detections: parquet, with everything that the table of `detect` has, or csv."""

from pathlib import Path

import pandas as pd

from avalib.data.parquet_table import read_parquet, read_parquet_metadata, write_parquet
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_table import COLUMNS, write_detections
from avalib.utils.experiment import get_versions

TYPES = {
    "time_s": "float64",
    "frame": "int64",
    "person_id": "int64",
    **dict.fromkeys(BOX_COLUMNS, "float64"),
    "action_id": "int64",
    "action": "dictionary",
    "score": "float32",  # as the network computes it
}
UNITS = {
    "time_s": "seconds from the first frame",
    "frame": "number of the native frame, from 0",
    "person_id": "number, lasts while a person can be tracked",
    "x1": "fraction of the width, from the left",
    "y1": "fraction of the height, from the top",
    "x2": "fraction of the width, from the left",
    "y2": "fraction of the height, from the top",
    "action_id": "number in the label map",
    "action": "name in the label map",
    "score": "0..1",
}


def check_table_path(path: str | Path) -> Path:
    """`path` as a Path, if a table can be written to it. Raises ValueError for another suffix; a device needs none."""
    path = Path(path)
    is_device = path.exists() and not path.is_file()  # /dev/stdout
    if path.suffix not in (".csv", ".parquet") and not is_device:
        raise ValueError(f"{path}: expected a name that ends in .csv or .parquet")
    return path


def write_detections_file(table: pd.DataFrame, path: str | Path, settings: dict | None = None) -> Path:
    """Write the table of `detect` as parquet or csv, by the suffix.

    Parameters
    ----------
    table : DataFrame
    path : str or Path
        .parquet has the exact values, and in the metadata of its schema the units, the table's attrs (label map, cuts),
        versions and settings; .csv has rounded values alone.
    settings : dict, optional
        Plain values: what the table was computed with.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        The path has another suffix.
    """
    path = check_table_path(path)
    if path.suffix != ".parquet":
        return write_detections(table, path)
    metadata = {**table.attrs, "settings": settings or {}, "versions": get_versions()}
    return write_parquet(table[COLUMNS], path, TYPES, UNITS, metadata)


def read_detections(path: str | Path) -> pd.DataFrame:
    """Read a file that `detect_many` has written.

    Parameters
    ----------
    path : str or Path
        A parquet or csv file.

    Returns
    -------
    DataFrame
        Of parquet the table that `detect` returns, to the bit, with its attrs, and with "settings" and "versions". Of
        csv the rows alone, rounded.

    Raises
    ------
    ValueError
        The file is no such table; the message names it.
    """
    if Path(path).suffix != ".parquet":
        return pd.read_csv(path)
    text_type = pd.Series([""]).dtype  # which one pandas takes for texts depends on its version
    table = read_parquet(path, COLUMNS).astype({"score": "float64", "action": text_type})
    table.attrs = read_parquet_metadata(path)
    # json has texts as keys
    table.attrs["label_map"] = {int(number): name for number, name in table.attrs["label_map"].items()}
    return table
