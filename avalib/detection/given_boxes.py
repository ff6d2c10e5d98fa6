"""Person boxes that somebody gives for one video: read from any table, checked row by row, put on the video's clock."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.layout import DatasetLayout
from avalib.data.parquet_table import read_parquet
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.text import read_text
from avalib.video.frame_numbers import AVA_START_S

PERSON_SCORE = 0.7
TIMES = ("time_s", "timestamp", "frame")


def read_given_boxes(source, reader, person_score=PERSON_SCORE, start=None):
    """Given boxes of one video: table time_s, x1, y1, x2, y2, and person_id where it has one; each box once, by time.

    source: a DataFrame, a csv with a header or a parquet file, with x1, y1, x2, y2 (0..1) and time_s (from the video's
    first frame), frame (native, from 0) or timestamp (the data set's second); or a csv in AVA's format, or AVA's
    proposals (.pkl). With a video_id column, the rows of this video (its file's name) are taken. score: of the person
    if the table has no action_id; boxes under person_score are left out. reader: the open video.Video. start: the
    timestamp of the video's first frame, see `find_start`.
    Raises FileNotFoundError, and ValueError naming the source, the row, the value and what was expected.
    """
    name, table, first = _read_table(source)
    _check_columns(name, table)
    table = table.assign(row=table.index.to_numpy() + first)
    if "video_id" in table:
        table = _of_video(name, table, reader.path.stem)
    place = f"{name}, {'line' if first else 'row'}"
    time = next(column for column in TIMES if column in table)
    scored = ["score"] if "score" in table and "action_id" not in table else []
    table = table.assign(**{c: _numbers(place, table, c) for c in (*BOX_COLUMNS, time, *scored)})
    known_start = read_start_time(source) if start is None else start
    table = table.assign(time_s=_seconds(place, table, time, reader, known_start))
    _check_boxes(place, table, reader)
    if scored:
        table = table[table["score"] >= person_score]
    people = _people(place, table)
    kept = ["time_s", *BOX_COLUMNS, *([] if people is None else ["person_id"])]
    table = table if people is None else table.assign(person_id=people)
    return table[kept].drop_duplicates().sort_values("time_s", kind="stable").reset_index(drop=True)


def find_start_time(timestamps, duration_s, name, start=None):
    """The timestamp of a video's first frame: 900 by AVA's clock, 0 in data of one's own.

    timestamps: (N,) seconds; start: what is known already. Unknown, it is the one of the two by which all timestamps
    lie inside the video. Raises ValueError where both do.
    """
    if start is not None:
        return start
    seconds = np.asarray(timestamps, float)
    possible = [s for s in (0, AVA_START_S) if ((seconds >= s) & (seconds <= s + duration_s)).all()]
    if len(possible) == 2 and len(seconds):
        raise ValueError(
            f"{name}: timestamps {seconds.min():g} to {seconds.max():g} may count from 0 or from {AVA_START_S}, as AVA's do; "
            f"give boxes_start=0 or boxes_start={AVA_START_S}"
        )
    if possible:
        return possible[-1]
    return 0 if len(seconds) and seconds.min() < AVA_START_S else AVA_START_S


def read_start_time(source):
    """The start of the data set that a file belongs to, None where it can't be told from its name."""
    if isinstance(source, pd.DataFrame):
        return None
    path = Path(source)
    for version in ("own", "mini"):
        layout = DatasetLayout(path.absolute().parent.parent, version)
        for split in ("train", "val"):
            if path.name == layout.get_csv_path(split).name or path.stem == layout.get_proposals_path(split).stem:
                return layout.start_s
    return None


def _read_table(source):
    """(name for messages, DataFrame, the number of its first row there: 0, or of a text file its line)."""
    if isinstance(source, pd.DataFrame):
        return "boxes", source.reset_index(drop=True), 0
    if not isinstance(source, (str, Path)):
        raise ValueError(f"boxes: a {type(source).__name__}; expected a table, or a file (.csv, .parquet, .pkl)")
    path = Path(source)
    try:
        is_file, what = path.is_file(), "is a folder" if path.is_dir() else "no such file"
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        raise ValueError(f"boxes: {str(path)[:100]}: {getattr(error, 'strerror', None) or error}") from error
    if not is_file:
        raise FileNotFoundError(f"boxes: {path}: {what}; expected a table (.csv, .parquet) or proposals (.pkl)")
    suffix = path.suffix.lower()
    if suffix == ".pkl":
        return str(path), read_proposals(path), 0
    if suffix == ".parquet":
        return str(path), read_parquet(path), 0
    text = read_text(path)
    if not text.strip():
        raise ValueError(f"{path}: an empty file; expected a header with x1,y1,x2,y2 and a time, and a row a box")
    first = text.partition("\n")[0]
    if "x1" not in first:
        whole = "." not in first.rpartition(",")[2]  # AVA's 8th column: a person's number, or a score
        return str(path), read_ava_csv(path, "ground_truth" if whole else "detections"), 1
    return str(path), _read_csv(path, text), 2


def _read_csv(path, text):
    """A csv with a header, all fields as texts; blank lines are left out, the index counts lines from the second."""
    rows, at = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader)]
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise ValueError(f"{path}, line {reader.line_num}: {len(fields)} columns, the header has {len(header)}")
            rows.append(fields)
            at.append(reader.line_num - 2)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; is a quote open?") from error
    return pd.DataFrame(rows, columns=header, index=at, dtype=object)


def _check_columns(name, table):
    columns = [str(column) for column in table.columns]
    there = ", ".join(columns[:20])
    wanted = [c for c in (*BOX_COLUMNS, "video_id", *TIMES, "score", "person_id") if columns.count(c) > 1]
    if wanted:
        raise ValueError(f"{name}: column {', '.join(wanted)} is there twice; it has {there}")
    if absent := [c for c in BOX_COLUMNS if c not in columns]:
        raise ValueError(f"{name}: no column {', '.join(absent)}; it has {there}")
    if not set(TIMES) & set(columns):
        raise ValueError(f"{name}: no column time_s, timestamp or frame; it has {there}")


def _of_video(name, table, video_id):
    """The rows of one video."""
    ids = table["video_id"].astype(str)
    if not (ids == video_id).any() and len(table):
        some = ", ".join(map(str, pd.unique(ids)[:5]))
        raise ValueError(f"{name}: no boxes of video_id {video_id!r} (the file's name); it has {some} …")
    return table[ids == video_id]


def _numbers(place, table, column):
    """(N,) float64 of a column. Raises ValueError naming the first row that isn't a finite number."""
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values)
    expected = "a finite number"
    if column == "frame":
        wrong, expected = wrong | (values % 1 != 0), "a whole number"
    if wrong.any():
        row = table.iloc[int(wrong.argmax())]
        value = str(row[column])[:80]
        raise ValueError(f"{place} {row['row']:.0f}, column {column}, value {value!r}: expected {expected}")
    return values


def _seconds(place, table, time, reader, start):
    """(N,) seconds from the video's first frame."""
    values = table[time].to_numpy(np.float64)
    if time == "time_s":
        return values
    if time == "timestamp":
        return values - find_start_time(values, reader.duration_s, place.rpartition(", ")[0], start)
    outside = (values < 0) | (values >= reader.n_frames)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(
            f"{place} {table['row'].iloc[row]}, frame {values[row]:g}: the video has 0..{reader.n_frames - 1} "
            "(frames count from 0)"
        )
    return reader.times_s[values.astype(np.int64)]


def _check_boxes(place, table, reader):
    values, times = table[BOX_COLUMNS].to_numpy(float), table["time_s"].to_numpy()
    length = reader.duration_s
    for wrong, what in (
        ((values[:, 2] <= values[:, 0]) | (values[:, 3] <= values[:, 1]), "expected x1 < x2 and y1 < y2"),
        ((np.abs(values) > 2).any(1), f"looks like pixels; divide x by {reader.width} and y by {reader.height}"),
        (_outside(values), "outside the frame, all of it; expected 0 to 1"),
        (~((times >= 0) & (times <= length)), f"expected a time inside the video's {length:.2f} s"),
    ):
        if wrong.any():
            row = table.iloc[int(wrong.argmax())]
            box = ", ".join(f"{v:g}" for v in row[BOX_COLUMNS])
            raise ValueError(f"{place} {row['row']:.0f}: box {box} at {row['time_s']:g} s: {what}")


def _outside(values):
    return (values[:, 0] >= 1) | (values[:, 1] >= 1) | (values[:, 2] <= 0) | (values[:, 3] <= 0)


def _people(place, table):
    """(N,) whole person ids; None where the table doesn't know them all."""
    if "person_id" not in table or not len(table):
        return None
    ids = table["person_id"]
    if (empty := ids.isna() | (ids.astype(str).str.strip() == "")).any():
        return None if empty.all() else _refuse_person(place, table, empty)
    values = pd.to_numeric(ids, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if (wrong := ~(np.abs(values) < 2**53) | (values % 1 != 0)).any():
        _refuse_person(place, table, wrong)
    return values.astype(np.int64) if (values >= 0).all() else None


def _refuse_person(place, table, wrong):
    row = table.iloc[int(np.asarray(wrong).argmax())]
    value = str(row["person_id"])[:80]
    where = f"{place} {row['row']:.0f}, column person_id"
    raise ValueError(f"{where}, value {value!r}: expected a whole number in every row")
