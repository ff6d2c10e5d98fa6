"""Read and write AVA's excluded timestamps: the csv of keyframes that are not scored."""

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from avalib.data.ava_csv import convert_frame, format_timestamp, to_csv_text
from avalib.data.csv_rows import check_quotes, iter_lines
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_ACTION, check_rows, parse_number
from avalib.utils.files import atomic_write
from avalib.utils.text import open_binary


def read_exclusions(source: str | Path | IO | pd.DataFrame) -> pd.DataFrame:
    """Read the keyframes that are not scored.

    Parameters
    ----------
    source : str, Path, file or DataFrame
        A csv of video_id, timestamp without header (plain or gzip; it may be empty), an open file, or a table.

    Returns
    -------
    DataFrame
        video_id, timestamp (seconds).

    Raises
    ------
    ValueError
        Naming file, line and value for the first invalid row.
    """
    if isinstance(source, pd.DataFrame):
        if missing := [column for column in KEYFRAME_COLUMNS if column not in source]:
            raise ValueError(f"exclusions table: no column {missing}; expected {KEYFRAME_COLUMNS}, got {list(source)}")
        # checked as detections of frames without boxes
        frames = source[KEYFRAME_COLUMNS].assign(**dict.fromkeys(BOX_COLUMNS), action_id=NO_ACTION)
        table = convert_frame(frames, "detections", "exclusions")
        return table[KEYFRAME_COLUMNS].astype({"video_id": str})
    name, file = open_binary(source)
    with file:
        check_quotes(file, name)
        rows = [_parse_keyframe(fields, name, line) for line, fields in iter_lines(file, name)]
    table = pd.DataFrame(rows, columns=KEYFRAME_COLUMNS).astype({"timestamp": np.float64})
    table.attrs.update(source=name, first_row=1)
    return check_rows(table, name, locate=lambda row: f"{name}, line {row + 1}")


def _parse_keyframe(fields, name, line):
    """(video_id, seconds) of one csv row."""
    try:
        # exactly two fields
        video_id, seconds = fields
        return video_id, parse_number(seconds)
    except ValueError:
        value = ",".join(fields[:20])[:80]
        hint = "; a header? AVA's files have none, remove the line" if "timestamp" in fields else ""
        raise ValueError(
            f"{name}, line {line}, value {value!r}: expected video_id,timestamp in seconds{hint}"
        ) from None


def write_exclusions(table: pd.DataFrame, path: str | Path) -> None:
    """Write the columns video_id, timestamp as AVA does: seconds with four digits."""
    with atomic_write(path) as file:
        for video_id, seconds in zip(table["video_id"], table["timestamp"], strict=True):
            file.write(f"{to_csv_text(video_id)},{format_timestamp(seconds)}\n".encode())
