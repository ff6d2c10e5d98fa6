"""AVA's excluded seconds: the csv of keyframes that are not scored."""

import numpy as np
import pandas as pd

from avalib.data.ava_csv import convert_frame, format_timestamp, to_csv_text
from avalib.data.csv_rows import KEYFRAME_COLUMNS, check_quotes, iter_lines
from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION, check_rows
from avalib.data.row_checks import parse_number as number
from avalib.utils.files import atomic_write
from avalib.utils.text import open_binary


def read_exclusions(source):
    """Table `video_id, timestamp` of the seconds left out; source as in `read_csv`, an empty file is an empty table.

    table.attrs as `tables.load`'s "source" and "first". Raises ValueError naming file, line and value.
    """
    if isinstance(source, pd.DataFrame):
        if missing := [column for column in KEYFRAME_COLUMNS if column not in source]:
            raise ValueError(f"exclusions table: no column {missing}; expected {KEYFRAME_COLUMNS}, got {list(source)}")
        table = convert_frame(
            source[KEYFRAME_COLUMNS].assign(**dict.fromkeys(BOX_COLUMNS), action_id=NO_ACTION),
            "detections",
            "exclusions",
        )
        return table[KEYFRAME_COLUMNS].astype({"video_id": str})
    name, file = open_binary(source)
    rows = []
    with file:
        check_quotes(file, name)
        for line, fields in iter_lines(file, name):
            try:
                video, seconds = fields
                rows.append((video, number(seconds)))
            except ValueError:
                value = ",".join(fields[:20])[:80]
                hint = "; a header? AVA's files have none, remove the line" if "timestamp" in fields else ""
                raise ValueError(
                    f"{name}, line {line}, value {value!r}: expected video_id,timestamp in seconds{hint}"
                ) from None
    table = pd.DataFrame(rows, columns=KEYFRAME_COLUMNS).astype({"timestamp": np.float64})
    table.attrs.update(source=name, first=1)
    return check_rows(table, name, place=lambda row: f"{name}, line {row + 1}")


def write_exclusions(table, path):
    """Write `video_id, timestamp` as AVA does (second with four digits)."""
    with atomic_write(path) as file:
        for video, seconds in zip(table["video_id"], table["timestamp"], strict=True):
            file.write(f"{to_csv_text(video)},{format_timestamp(seconds)}\n".encode())
