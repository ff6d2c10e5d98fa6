"""Person boxes that come with a video: read from any table, checked row by row, put on the video's clock."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv, read_parquet
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.video_start import infer_start_from_file_name, infer_start_from_timestamps
from avalib.utils.text import read_text
from avalib.video.reader import Video

PERSON_SCORE = 0.7  # people with a lower score are left out
TIME_COLUMNS = ("time_s", "timestamp", "frame")
MAX_BOX_COORDINATE = 2  # fractions of the frame are near 0..1; larger numbers are pixels
MAX_PERSON_ID = 2**53  # whole numbers below it are exact in float64


@dataclass(frozen=True)
class BoxSource:
    """Where boxes come from, for messages. row_kind: "row", or "line" for a text file."""

    name: str
    row_kind: str = "row"

    def locate(self, row: pd.Series) -> str:
        """A row of the table as in "boxes.csv, line 3"."""
        return f"{self.name}, {self.row_kind} {row['row']:.0f}"


def read_person_boxes(
    boxes: pd.DataFrame | str | Path, reader: Video, person_score: float | None = None, start: float | None = None
) -> pd.DataFrame:
    """Read the person boxes of one video.

    Parameters
    ----------
    boxes : DataFrame, str or Path
        A table, a csv with a header, a parquet file, a csv in AVA's format, or AVA's proposals (.pkl). Columns: x1, y1,
        x2, y2 (0..1); time_s (seconds from the video's first frame), frame (native, from 0) or timestamp (the data
        set's seconds). Optional: video_id (only rows of this video's file name are taken), person_id, and score, which
        is the person's if there is no action_id.
    reader : Video
        The open video.
    person_score : float, optional
        Boxes with a lower score are left out.
    start : float, optional
        The timestamp of the video's first frame; None: from the file's name, else from the timestamps.

    Returns
    -------
    DataFrame
        time_s, x1, y1, x2, y2, person_id if every row has one, and person_score if the source has the people's; each
        box once, by time.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The source, the row, the value and what was expected.
    """
    # The rows of this video.
    source, table = _read_table(boxes)
    if "video_id" in table:
        table = _select_video(source, table, reader.path.stem)
    time_column = next(column for column in TIME_COLUMNS if column in table)
    # Beside an action, `score` is the action's and says nothing about the person.
    has_person_scores = "score" in table and "action_id" not in table
    numeric = [*BOX_COLUMNS, time_column] + ["score"] * has_person_scores
    table = table.assign(**{column: _parse_numbers(source, table, column) for column in numeric})
    # Whatever clock the table has, from here on seconds from the video's first frame.
    if start is None:
        start = infer_start_from_file_name(boxes)
    table = table.assign(time_s=_compute_times(source, table, time_column, reader, start))
    _check_boxes(source, table, reader)
    if has_person_scores:
        table = table[table["score"] >= (PERSON_SCORE if person_score is None else person_score)]
    # One row per box: a table with actions repeats each box for every action.
    columns = ["time_s", *BOX_COLUMNS]
    person_ids = _parse_person_ids(source, table)
    if person_ids is not None:
        table = table.assign(person_id=person_ids)
        columns.append("person_id")
    table = table.drop_duplicates(columns)
    if has_person_scores:
        table = table.assign(person_score=table["score"])
        columns.append("person_score")
    return table[columns].sort_values("time_s", kind="stable").reset_index(drop=True)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_table(boxes):
    """(BoxSource, DataFrame) with the columns checked, and a column `row` for messages."""
    if isinstance(boxes, pd.DataFrame):
        source = BoxSource("boxes")
        table = boxes.reset_index(drop=True)
        first_row = 0
    elif isinstance(boxes, (str, Path)):
        source, table, first_row = _read_file(Path(boxes))
    else:
        raise ValueError(f"boxes: a {type(boxes).__name__}; expected a table, or a file (.csv, .parquet, .pkl)")
    _check_columns(source.name, table)
    return source, table.assign(row=table.index.to_numpy() + first_row)


def _read_file(path):
    """(BoxSource, DataFrame, the number of its first row) of a file, by its suffix and its first line."""
    _check_is_file(path)
    suffix = path.suffix.lower()
    if suffix == ".pkl":
        return BoxSource(str(path)), read_proposals(path), 0
    if suffix == ".parquet":
        return BoxSource(str(path)), read_parquet(path), 0
    text = read_text(path)
    if not text.strip():
        raise ValueError(f"{path}: an empty file; expected a header with x1,y1,x2,y2 and a time, and a line per box")
    source = BoxSource(str(path), "line")
    first_line = text.partition("\n")[0]
    if "x1" in first_line:
        return source, _parse_csv(path, text), 2
    # AVA's format has no header; its 8th column is a whole number, the person's, or a score.
    has_person_ids = "." not in first_line.rpartition(",")[2]
    return source, read_ava_csv(path, "ground_truth" if has_person_ids else "detections"), 1


def _check_is_file(path):
    try:
        is_file = path.is_file()
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        raise ValueError(f"boxes: {str(path)[:100]}: {getattr(error, 'strerror', None) or error}") from error
    if not is_file:
        problem = "is a folder" if is_folder else "no such file"
        raise FileNotFoundError(f"boxes: {path}: {problem}; expected a table (.csv, .parquet) or proposals (.pkl)")


def _parse_csv(path, text):
    """A csv with a header, all fields as texts. Blank lines are left out; the index counts lines from the second."""
    rows = []
    lines = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader)]
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise ValueError(f"{path}, line {reader.line_num}: {len(fields)} columns, the header has {len(header)}")
            rows.append(fields)
            lines.append(reader.line_num - 2)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; is a quote open?") from error
    return pd.DataFrame(rows, columns=header, index=lines, dtype=object)


def _check_columns(name, table):
    columns = [str(column) for column in table.columns]
    existing = ", ".join(columns[:20])
    important = (*BOX_COLUMNS, "video_id", *TIME_COLUMNS, "score", "person_id")
    if repeated := [column for column in important if columns.count(column) > 1]:
        raise ValueError(f"{name}: column {', '.join(repeated)} occurs twice; it has {existing}")
    if missing := [column for column in BOX_COLUMNS if column not in columns]:
        raise ValueError(f"{name}: no column {', '.join(missing)}; it has {existing}")
    if not set(TIME_COLUMNS) & set(columns):
        raise ValueError(f"{name}: no column time_s, timestamp or frame; it has {existing}")


def _select_video(source, table, video_id):
    """The rows of one video."""
    ids = table["video_id"].astype(str)
    if not (ids == video_id).any() and len(table):
        examples = ", ".join(map(str, pd.unique(ids)[:5]))
        raise ValueError(f"{source.name}: no boxes of video_id {video_id!r} (the file's name); it has {examples} …")
    return table[ids == video_id]


# --- values -----------------------------------------------------------------------------------------------------------


def _parse_numbers(source, table, column):
    """(N,) float64 of a column. Raises ValueError that names the first row that is not a finite number."""
    # Texts that are no number become NaN, which is wrong as well.
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    is_wrong = ~np.isfinite(values)
    expected = "a finite number"
    if column == "frame":
        is_wrong |= values % 1 != 0
        expected = "a whole number"
    if is_wrong.any():
        raise _build_value_error(source, table, is_wrong, column, expected)
    return values


def _compute_times(source, table, time_column, reader, start):
    """(N,) seconds from the video's first frame."""
    values = table[time_column].to_numpy(np.float64)
    if time_column == "time_s":
        return values
    if time_column == "timestamp":
        if start is None:
            start = infer_start_from_timestamps(values, reader.duration_s, source.name)
        return values - start
    # Native frame numbers, from 0 -> the seconds at which the frames are shown.
    is_outside = (values < 0) | (values >= reader.n_frames)
    if is_outside.any():
        first = int(is_outside.argmax())
        raise ValueError(
            f"{source.locate(table.iloc[first])}, frame {values[first]:g}: the video has 0..{reader.n_frames - 1} "
            "(frames count from 0)"
        )
    return reader.times_s[values.astype(np.int64)]


def _check_boxes(source, table, reader):
    """Raise ValueError for the first box that is not one, is in pixels, or lies outside the frame or the video."""
    # (N,4) fractions of the frame, (N,) seconds from the video's first frame.
    boxes = table[BOX_COLUMNS].to_numpy(float)
    times = table["time_s"].to_numpy()
    x1, y1, x2, y2 = boxes.T
    pixels_hint = f"looks like pixels; divide x by {reader.width} and y by {reader.height}"
    # (N,) bool and the problem of each check; the first check that fails is reported.
    checks = [
        ((x2 <= x1) | (y2 <= y1), "expected x1 < x2 and y1 < y2"),
        ((np.abs(boxes) > MAX_BOX_COORDINATE).any(axis=1), pixels_hint),
        ((x1 >= 1) | (y1 >= 1) | (x2 <= 0) | (y2 <= 0), "outside the frame, all of it; expected 0 to 1"),
        (
            ~((times >= 0) & (times <= reader.duration_s)),
            f"expected a time inside the video's {reader.duration_s:.2f} s",
        ),
    ]
    for is_wrong, problem in checks:
        if is_wrong.any():
            row = table.iloc[int(is_wrong.argmax())]
            box = ", ".join(f"{value:g}" for value in row[BOX_COLUMNS])
            raise ValueError(f"{source.locate(row)}: box {box} at {row['time_s']:g} s: {problem}")


def _parse_person_ids(source, table):
    """(N,) int64 person ids; None if the table has none, or negative ones, which stand for unknown people."""
    if "person_id" not in table or not len(table):
        return None
    ids = table["person_id"]
    is_empty = (ids.isna() | (ids.astype(str).str.strip() == "")).to_numpy()
    if is_empty.all():
        return None
    values = pd.to_numeric(ids, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    # Ids in some rows only: the first empty one is the error.
    is_wrong = is_empty if is_empty.any() else ~(np.abs(values) < MAX_PERSON_ID) | (values % 1 != 0)
    if is_wrong.any():
        raise _build_value_error(source, table, is_wrong, "person_id", "a whole number in every row")
    return values.astype(np.int64) if (values >= 0).all() else None


def _build_value_error(source, table, is_wrong, column, expected):
    """The ValueError for the first wrong value of a column."""
    row = table.iloc[int(is_wrong.argmax())]
    value = str(row[column])[:80]
    return ValueError(f"{source.locate(row)}, column {column}, value {value!r}: expected {expected}")
