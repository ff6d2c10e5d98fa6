"""Read parquet files as tables, within the available memory; write them with units and metadata."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from avalib.utils.files import atomic_path
from avalib.utils.limits import MAX_FILE_BYTES
from avalib.utils.process import get_available_memory_bytes
from avalib.utils.text import open_binary


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a parquet file.

    Parameters
    ----------
    path : str or Path
        The file.
    columns : sequence of str, optional
        The columns to read; all of them by default.

    Returns
    -------
    DataFrame
        Texts of video_id as categories.

    Raises
    ------
    ValueError
        Naming the file, if it isn't parquet, lacks a column, or would fill the memory: a few bytes of parquet can
        stand for billions of rows.
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
            selected = names if columns is None else columns
            _check_memory(source.metadata, len(selected))
            # without the metadata of pandas, which may be damaged too
            return source.read(columns=selected).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, ValueError, OSError, TypeError, KeyError) as error:
            raise ValueError(f"{name}: not a parquet table that can be read ({error})") from None


def _check_memory(metadata, n_columns):
    """Raise a ValueError for a parquet file that needs more memory than there is."""
    # 8 bytes a value once it is an array, or the size in its metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    needed_bytes = max(metadata.num_rows * n_columns * 8, sum(group.total_byte_size for group in groups))
    limit_bytes = min(MAX_FILE_BYTES, get_available_memory_bytes() // 2)
    if needed_bytes > limit_bytes or metadata.num_rows < 0:
        raise ValueError(
            f"{metadata.num_rows:,} rows need {needed_bytes:,} bytes, the limit (MAX_FILE_BYTES, or half of the free "
            f"memory) is {limit_bytes:,}"
        )


def write_parquet(
    table: pd.DataFrame, path: str | Path, types: Mapping[str, str], units: Mapping[str, str], metadata: dict
) -> Path:
    """Write a table as parquet with units of its columns and metadata.

    Parameters
    ----------
    table : DataFrame
    path : str or Path
    types : mapping
        {column: its Arrow type, as "float32"; "dictionary" for texts that repeat}.
    units : mapping
        {column: unit}, the metadata "unit" of each column in the file's schema.
    metadata : dict
        Plain values, as json under the key "avalib".

    Returns
    -------
    Path
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = []
    for column in table.columns:
        is_text = types[column] == "dictionary"
        arrow_type = pa.dictionary(pa.int32(), pa.string()) if is_text else pa.type_for_alias(types[column])
        schema.append(pa.field(column, arrow_type, nullable=False, metadata={"unit": units[column]}))
    arrow_table = pa.Table.from_pandas(table, pa.schema(schema), preserve_index=False)
    arrow_table = arrow_table.replace_schema_metadata({"avalib": json.dumps(metadata, ensure_ascii=False)})
    with atomic_path(path) as part:
        parquet.write_table(arrow_table, part, compression="zstd")
    return Path(path)


def read_parquet_metadata(path: str | Path) -> dict:
    """Read the metadata that `write_parquet` has written. Raises ValueError, naming the file, if it has none."""
    from pyarrow import ArrowException, parquet

    try:
        return json.loads(parquet.read_schema(path).metadata[b"avalib"])
    except (ArrowException, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a parquet file of this package ({error})") from None
