"""AVA's files: ground truth and detections (csv), excluded seconds, person boxes (pickle), and where they lie on disk.

Every reader gives one table of columns, `video_id, timestamp, x1, y1, x2, y2, action_id` and `person_id` (ground truth)
or `score` (detections): timestamps in seconds, boxes in fractions of the frame (0..1), action ids AVA's 1..80.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from avalib import actions
from avalib.data.checks import check_video_ids
from avalib.data.csv_rows import check_quotes, encoding_fault
from avalib.data.proposal_pickles import check_fractions, read_frames
from avalib.numbering import LAST_FRAME, START
from avalib.tables import (
    BOX,
    FRAME,
    LAST,
    NO_ACTION,
    check_rows,
    from_frame,
    lines,
    number,
    open_binary,
    read_csv,
    read_parquet,
)  # fmt: skip
from avalib.utils import files

__all__ = [
    "Layout", "read_csv", "write_csv", "read_exclusions", "write_exclusions", "read_proposals",
    "write_proposals",
]  # fmt: skip

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
PROPOSAL_SUFFIXES = (".pkl", ".parquet", ".csv")


@dataclass(frozen=True)
class Layout:
    """Where a data set in AVA's shape lies: `root` and a `version`, "mini", "v2.1", "v2.2" or "own".

    "own" is anybody's data set (formats.import_data): other classes, any length, times from the video's beginning.
    Of the real AVA, the folders are MMAction2's, so that one made for it is found as it is: annotations/ (there the
    proposals may lie too), videos/ (uncut), videos_15min/ (cuts), rawframes/ (jpgs).
    """

    root: Path
    version: str

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        if self.version not in ("mini", "v2.1", "v2.2", "own"):
            raise ValueError(f'version {self.version!r}: expected "mini", "v2.1", "v2.2" or "own"')

    @property
    def start(self):
        """The second at which a video's first frame stands."""
        return 0 if self.version == "own" else START

    @property
    def last_frame(self):
        """The last frame number (30 a second, from 1) that a clip takes; the originals stop there."""
        return float("inf") if self.version == "own" else LAST_FRAME

    @property
    def protocol(self):
        """The rules its mAP is measured by: see protocols."""
        return "frame" if self.version == "own" else "mmaction"

    def classes(self):
        """{action_id: name} of all there are: AVA's 80, or one's own."""
        return actions.read_label_map(self.label_map) if self.version == "own" else actions.names()

    def action_names(self):
        """{action_id: name} for labels on pictures, without brackets."""
        return {i: actions.without_brackets(name) for i, name in self.classes().items()}

    @property
    def n_columns(self):
        """Columns of labels and logits: the highest action_id and, before it, the reserved column 0."""
        return max(self.classes()) + 1

    @property
    def annotations(self):
        return self.root / "annotations"

    @property
    def videos(self):
        """Folder of <video_id>.mp4|mkv|webm…: AVA's as they were downloaded, others from second `start` on."""
        return self.root / "videos"

    @property
    def cuts(self):
        """Folder of <video_id>.mp4|mkv|webm, each a cut that begins at second `start`."""
        return self.root / "videos_15min"

    def cut(self, path):
        """(start, length) in seconds of the part of this video file that counts; None: all of it."""
        uncut = self.version in ("v2.1", "v2.2") and Path(path).parent == self.videos
        return (self.start, 901) if uncut else None

    def csv(self, split):
        return self.annotations / f"ava_{split}_{self.version}.csv"

    def excluded(self, split):
        return self.annotations / f"ava_{split}_excluded_timestamps_{self.version}.csv"

    @property
    def label_map(self):
        """All actions: AVA's 80, or one's own."""
        return self.annotations / f"ava_action_list_{self.version}.pbtxt"

    @property
    def evaluated_map(self):
        """The actions that the metric counts."""
        if self.version == "own":
            return self.label_map
        ending = {"mini": "_mini_evaluated", "v2.1": "_for_activitynet_2018", "v2.2": "_for_activitynet_2019"}
        stem = "ava_action_list" if self.version == "mini" else f"ava_action_list_{self.version}"
        return self.annotations / f"{stem}{ending[self.version]}.pbtxt"

    def proposals(self, split):
        """The person boxes: the published pickle, or beside it the same table as .parquet or .csv."""
        maker = self.version if self.version in ("mini", "own") else "FAIR.recall_93.9"
        stem = f"ava_dense_proposals_{split}.{maker}"
        places = [f / f"{stem}{s}" for f in (self.root / "proposals", self.annotations) for s in PROPOSAL_SUFFIXES]
        return next((place for place in places if place.is_file()), places[0])

    def video_path(self, video_id):
        """Where a video's frames come from: the folder of its jpgs, the file of its cut, or of the whole of it.

        Raises FileNotFoundError that names what was looked for, ValueError for a name that leads out of the folder.
        """
        check_video_ids([video_id], self.root)
        for folder in ("rawframes", "frames"):
            if (path := self.root / folder / video_id).is_dir():
                return path
        for folder in (self.cuts, self.videos):
            for suffix in VIDEO_SUFFIXES:
                if (path := folder / f"{video_id}{suffix}").is_file():
                    return path
        raise FileNotFoundError(
            f"{self.videos / video_id}{{{','.join(VIDEO_SUFFIXES)}}}: no such video; prepare the data"
        )


# --- csv: writing -----------------------------------------------------------------------------------------------------


def write_csv(table, path):
    """Write a table as csv, rows as they come: detections (with `score`) exactly as MMAction2 v0.10.0 does (second as a
    plain number, five floats with 3 decimals), ground truth (with `person_id`) as AVA does (second with four digits).
    """
    kind = "detections" if "score" in table else "ground_truth"
    table = from_frame(table, kind)
    columns = [table[c].tolist() for c in [*FRAME, *BOX, "action_id", LAST[kind]]]
    columns[0] = list(map(_csv_text, columns[0]))
    columns[1] = [format_second(t, digits=1 if kind == "detections" else 4) for t in columns[1]]
    line = "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{:.3f}\n" if kind == "detections" else (
        "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{}\n"
    )  # fmt: skip
    with files.atomic_write(path) as file:
        file.write("".join(map(line.format, *columns)).encode())


def _csv_text(name):
    """A video's name as a csv's field: in quotes where it has a comma or a quote."""
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name


def format_second(seconds, digits=4):
    """'0902' for 902.0; 902.5 stays '902.5'."""
    return f"{int(seconds):0{digits}d}" if seconds == int(seconds) else repr(float(seconds))


# --- excluded seconds and person boxes --------------------------------------------------------------------------------


def read_exclusions(source):
    """Table `video_id, timestamp` of the seconds left out; source as in `read_csv`, an empty file is an empty table.

    table.attrs as `tables.load`'s "source" and "first". Raises ValueError naming file, line and value.
    """
    if isinstance(source, pd.DataFrame):
        if missing := [column for column in FRAME if column not in source]:
            raise ValueError(f"exclusions table: no column {missing}; expected {FRAME}, got {list(source)}")
        table = from_frame(source[FRAME].assign(**dict.fromkeys(BOX), action_id=NO_ACTION), "detections", "exclusions")
        return table[FRAME].astype({"video_id": str})
    name, file = open_binary(source)
    rows = []
    with file:
        check_quotes(file, name)
        for line, fields in lines(file, name):
            try:
                video, seconds = fields
                rows.append((video, number(seconds)))
            except ValueError:
                value = ",".join(fields[:20])[:80]
                hint = "; a header? AVA's files have none, remove the line" if "timestamp" in fields else ""
                raise ValueError(
                    f"{name}, line {line}, value {value!r}: expected video_id,timestamp in seconds{hint}"
                ) from None
    table = pd.DataFrame(rows, columns=FRAME).astype({"timestamp": np.float64})
    table.attrs.update(source=name, first=1)
    return check_rows(table, name, place=lambda row: f"{name}, line {row + 1}")


def write_exclusions(table, path):
    """Write `video_id, timestamp` as AVA does (second with four digits)."""
    with files.atomic_write(path) as file:
        for video, seconds in zip(table["video_id"], table["timestamp"], strict=True):
            file.write(f"{_csv_text(video)},{format_second(seconds)}\n".encode())


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


def _read_table(path):
    columns = [*FRAME, *BOX, "score"]
    if Path(path).suffix == ".parquet":
        table = check_rows(read_parquet(path, columns)[columns], path)
        return check_fractions(table, lambda row: f"{path}, row {row}")
    name, file = open_binary(path)
    with file:
        check_quotes(file, name)
        try:
            table = pd.read_csv(file, dtype=str, na_filter=False)
        except UnicodeDecodeError:
            raise encoding_fault(file, name) from None
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


def write_proposals(table, path):
    """Write proposals as the published pickle, {"video_id,0902": float64 array (n,5)}, frames in the table's order; or,
    by the path's suffix, as .csv or .parquet, the safe alternatives.
    """
    table, suffix = table[[*FRAME, *BOX, "score"]], Path(path).suffix
    if suffix in (".csv", ".parquet"):
        files.write_table(table, path)
        return
    frames = {}
    values = table[[*BOX, "score"]].to_numpy(np.float64)
    for row, (video, seconds) in enumerate(zip(table["video_id"], table["timestamp"], strict=True)):
        frames.setdefault(f"{video},{format_second(seconds)}", []).append(row)
    with files.atomic_write(path) as file:
        pickle.dump({key: values[rows] for key, rows in frames.items()}, file, protocol=4)
