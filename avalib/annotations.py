"""AVA's files: ground truth and detections (csv), excluded seconds, person boxes (pickle), and where they lie on disk.

Every reader gives one table of columns, `video_id, timestamp, x1, y1, x2, y2, action_id` and `person_id` (ground truth)
or `score` (detections): timestamps in seconds, boxes in fractions of the frame (0..1), action ids AVA's 1..80.
"""

import gzip
import os
import pickle
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from avalib import actions
from avalib.boxes import iou_matrix
from avalib.numbering import LAST_FRAME, START
from avalib.tables import (
    BOX,
    FRAME,
    LAST,
    from_frame,
    is_whole,
    lines,
    load,
    number,
    open_source,
    parse_fields,
    read_csv,
    table_of,
)  # fmt: skip

__all__ = [
    "Layout", "read_csv", "write_csv", "lint_csv", "read_exclusions", "write_exclusions", "read_proposals",
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

        Raises FileNotFoundError that names what was looked for.
        """
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
    columns[1] = [_second(t, digits=1 if kind == "detections" else 4) for t in columns[1]]
    line = "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{:.3f}\n" if kind == "detections" else (
        "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{},{}\n"
    )  # fmt: skip
    with _replacing(path) as file:
        file.write("".join(map(line.format, *columns)).encode())


def _second(seconds, digits=4):
    """'0902' for 902.0; 902.5 stays '902.5'."""
    return f"{int(seconds):0{digits}d}" if seconds == int(seconds) else repr(float(seconds))


@contextmanager
def _replacing(path):
    """A binary file that takes its name only when it is whole; a name ending in .gz is compressed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
                yield file
        else:
            yield raw
    os.replace(part, path)


# --- csv: what is odd about one ---------------------------------------------------------------------------------------


def lint_csv(source, kind="detections", ground_truth=None, label_map=None, seconds=(900, 1800)):
    """What is wrong or odd in an AVA csv: DataFrame problem, rows (how many), lines (list), example, looks_like.

    source, kind: as `read_csv`'s, but rows that can't be read are listed instead of raised; a DataFrame's lines are its
    row numbers. ground_truth: the annotations of the same videos, if there, show swapped x and y box by box. label_map
    {action_id: name}, default AVA's 80, and seconds (from, to): what is expected of a data set. An empty result is a
    clean file.
    """
    table, line, findings = _read_leniently(source, kind)
    boxes = table[BOX].to_numpy()
    with_box = ~np.isnan(boxes).any(axis=1)
    for problem, mask, looks_like in _checks(table, boxes, kind, label_map or actions.names(), seconds):
        rows = np.flatnonzero(mask & with_box)
        if len(rows):
            findings.append(_finding(problem, line[rows], _example(table, rows[0], kind), looks_like))
    if table.attrs["decimal"]:
        at, text = table.attrs["decimal"]
        like = "whole seconds as decimals, which only the protocol activitynet reads; or frames between keyframes"
        findings.append(_finding("timestamp isn't spelt as a whole number", [line[at]], f"timestamp {text}", like))
    swapped = _swapped(table, boxes, ground_truth)
    if len(swapped):
        like = "y1,x1,y2,x2 (or height and width) where x1,y1,x2,y2 is expected"
        findings.append(_finding("x and y look swapped", line[swapped], _example(table, swapped[0], kind), like))
    return pd.DataFrame(findings, columns=["problem", "rows", "lines", "example", "looks_like"])


def _finding(problem, at, example, looks_like):
    return problem, len(at), [int(n) for n in at], example, looks_like


def _example(table, row, kind):
    values = [f"{column} {table[column].iloc[row]}" for column in [*FRAME, *BOX, "action_id", LAST[kind]]]
    return ", ".join(values)


def _read_leniently(source, kind):
    """(table of the rows that can be read, their lines, findings about the others)."""
    if isinstance(source, pd.DataFrame):
        return (table := from_frame(source, kind)), np.arange(len(table)), []
    name, file = open_source(source)
    with file:
        try:
            table = load(file, kind)
            return table, np.arange(1, len(table) + 1), []
        except ValueError:
            file.seek(0)
        good, at, faults, decimal = [], [], {}, None
        for line, fields in lines(file, name):
            values, fault = parse_fields(fields, kind)
            if fault is None:
                if decimal is None and not is_whole(fields[1]):
                    decimal = (len(good), fields[1])
                good.append(values)
                at.append(line)
            else:
                faults.setdefault(fault.split(", value")[0] if "value" in fault else "columns", []).append(
                    (line, fault)
                )
    findings = [
        _finding(f"can't be read: {what}", [line for line, _ in found], found[0][1], "a header, or damaged rows")
        for what, found in faults.items()
    ]
    table = table_of(good, kind)
    table.attrs["decimal"] = decimal
    return table, np.array(at, int), findings


def _checks(table, boxes, kind, label_map, seconds):
    """(problem, mask, what it looks like) of everything that can be told row by row."""
    x1, y1, x2, y2 = boxes.T
    pixels = (np.abs(boxes) > 2).any(axis=1)
    yield "box in numbers far above 1", pixels, "pixels; divide x by the frame's width and y by its height"
    outside = ((boxes < 0) | (boxes > 1)).any(axis=1) & ~pixels
    yield "box reaches outside the frame (0..1)", outside, "a box that wasn't clipped; legal, evaluators don't clip"
    inverted = (x2 < x1) | (y2 < y1)
    sizes = inverted.mean() > 0.05 and ((x1 + x2 <= 1.01) & (y1 + y2 <= 1.01)).mean() > 0.9 if len(boxes) else False
    like = (
        "x,y,width,height where corners are expected"
        if sizes
        else "corners in the wrong order; evaluators drop or refuse"
    )
    yield "x2 < x1 or y2 < y1", inverted, like
    yield "box without area", ((x2 == x1) | (y2 == y1)) & ~inverted, "a collapsed box; most evaluators drop it"
    known = "AVA's 1..80" if label_map == actions.names() else f"the label map's {len(label_map)}"
    unknown = ~np.isin(table["action_id"].to_numpy(), list(label_map))
    yield f"action_id isn't one of {known}", unknown, "ids counted from 0, or another label map"
    low, high = seconds
    yield (
        f"timestamp outside {low:g}..{high:g}",
        ~table["timestamp"].between(low, high).to_numpy(),
        "seconds counted from the cut, frame numbers or milliseconds; or videos of your own",
    )
    yield (
        "the same frame, box and action again",
        table.duplicated([*FRAME, *BOX, "action_id"]).to_numpy(),
        ("a row written twice; it stays in the ground truth's count, or is a false positive"),
    )
    if kind == "detections":
        score = table["score"].to_numpy()
        yield "score outside 0..1", (score < 0) | (score > 1), "logits or percentages; legal, only the order counts"


def _swapped(table, boxes, ground_truth):
    """Rows whose box fits the ground truth (or, without one, a standing person's shape) once x and y change places."""
    flipped = boxes[:, [1, 0, 3, 2]]
    if ground_truth is None:
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        wide = width > height
        return np.flatnonzero(wide) if len(boxes) >= 20 and np.median(height / np.maximum(width, 1e-9)) < 0.7 else []
    truth = read_csv(ground_truth, "ground_truth").groupby(FRAME)[BOX]
    truth = {frame: rows.to_numpy() for frame, rows in truth}
    box = table.groupby([*FRAME, *BOX], sort=False, observed=True, dropna=False).ngroup().to_numpy()
    first = np.unique(box, return_index=True)[1]  # a box comes with many actions: look at it once
    swapped = []
    for row, frame in zip(first, zip(*(table[c].iloc[first].tolist() for c in FRAME), strict=True), strict=True):
        if frame in truth:
            as_is, turned = iou_matrix(np.stack([boxes[row], flipped[row]]), truth[frame]).max(axis=1)
            if turned >= 0.5 > as_is:
                swapped.append(box[row])
    return np.flatnonzero(np.isin(box, swapped))


# --- excluded seconds and person boxes --------------------------------------------------------------------------------


def read_exclusions(source):
    """Table `video_id, timestamp` of the seconds left out; source as in `read_csv`, an empty file is an empty table.

    Raises ValueError naming file, line and value.
    """
    if isinstance(source, pd.DataFrame):
        rows = [(str(v), float(t)) for v, t in zip(source["video_id"], source["timestamp"], strict=True)]
        return pd.DataFrame(rows, columns=FRAME).astype({"timestamp": np.float64})
    name, file = open_source(source)
    rows = []
    with file:
        for line, fields in lines(file, name):
            try:
                video, seconds = fields
                rows.append((video, number(seconds)))
            except ValueError:
                value = ",".join(fields)
                raise ValueError(
                    f"{name}, line {line}, value {value!r}: expected video_id,timestamp in seconds"
                ) from None
    return pd.DataFrame(rows, columns=FRAME).astype({"timestamp": np.float64})


def write_exclusions(table, path):
    """Write `video_id, timestamp` as AVA does (second with four digits)."""
    with _replacing(path) as file:
        for video, seconds in zip(table["video_id"], table["timestamp"], strict=True):
            file.write(f"{video},{_second(seconds)}\n".encode())


class _ArraysOnly(pickle.Unpickler):
    """Reads dicts, strings, numbers and numpy arrays, and refuses everything that could run code."""

    modules = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
    plain = {"numpy": ("ndarray", "dtype"), "_codecs": ("encode",), "builtins": ("bytes",), "__builtin__": ("bytes",)}
    allowed = plain | dict.fromkeys(modules, ("_reconstruct", "scalar", "_frombuffer"))

    def find_class(self, module, name):
        if name in self.allowed.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; expected a dict of numpy arrays and nothing else")


def read_pickle(path, what):
    """The dicts, lists, strings, numbers and numpy arrays of a pickle; no code in it is run. ValueError for others."""
    try:
        with open(path, "rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a pickle of {what}: {error}") from error


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
    table = _read_table(path) if suffix in (".csv", ".parquet") else _read_frames(path)
    return table.astype({"video_id": "category"})


def _read_table(path):
    columns = [*FRAME, *BOX, "score"]
    try:
        table = (
            pd.read_parquet(path) if Path(path).suffix == ".parquet" else pd.read_csv(path, dtype=str, na_filter=False)
        )
        if missing := [column for column in columns if column not in table]:
            raise ValueError(f"no column {', '.join(missing)}; it has {', '.join(map(str, table))}")
        values = table[columns[1:]].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    except (ValueError, OSError) as error:  # pyarrow's and pandas' errors are ValueErrors
        raise ValueError(
            f"{path}: not a table of person boxes ({error}); expected columns {','.join(columns)}"
        ) from error
    odd = ~np.isfinite(values.to_numpy()).all(axis=1)
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(f"{path}, row {row}: {table.iloc[row].tolist()}; expected finite numbers")
    return pd.concat([table["video_id"].astype(str), values], axis=1)


def _read_frames(path):
    found = read_pickle(path, "person boxes")
    if not isinstance(found, dict):
        raise ValueError(f'{path}: a {type(found).__name__}; expected a dict "video_id,0902" -> float array (n,5)')
    names, arrays = [str(key).rpartition(",") for key in found], [np.asarray(boxes) for boxes in found.values()]
    for key, (video, _, second), array in zip(found, names, arrays, strict=True):
        fits = array.dtype.kind in "fi" and (array.shape[1:] == (5,) or not array.size)
        if not fits or not video or not _is_number(second):
            what = f"{array.dtype} array {array.shape}"
            raise ValueError(f"{path}, key {key!r}: {what}; expected key video_id,0902 and a float array (n,5)")
    filled = [array for array in arrays if len(array)]
    values = np.concatenate(filled, dtype=np.float64) if filled else np.zeros((0, 5))
    counts = [len(array) for array in arrays]
    codes, videos = pd.factorize(np.array([video for video, _, _ in names], dtype=object))
    seconds = np.array([float(second) for _, _, second in names], np.float64)
    columns = {"video_id": pd.Categorical.from_codes(np.repeat(codes, counts), videos)}
    columns |= {"timestamp": np.repeat(seconds, counts)}
    return pd.DataFrame(columns | dict(zip([*BOX, "score"], values.T.copy(), strict=True)))


def _is_number(text):
    try:
        number(text)
    except ValueError:
        return False
    return True


def write_proposals(table, path):
    """Write proposals as the published pickle, {"video_id,0902": float64 array (n,5)}, frames in the table's order; or,
    by the path's suffix, as .csv or .parquet, the safe alternatives.
    """
    table, suffix = table[[*FRAME, *BOX, "score"]], Path(path).suffix
    if suffix in (".csv", ".parquet"):
        with _replacing(path) as file:
            table.to_csv(file, index=False) if suffix == ".csv" else table.to_parquet(file, index=False)
        return
    frames = {}
    values = table[[*BOX, "score"]].to_numpy(np.float64)
    for row, (video, seconds) in enumerate(zip(table["video_id"], table["timestamp"], strict=True)):
        frames.setdefault(f"{video},{_second(seconds)}", []).append(row)
    with _replacing(path) as file:
        pickle.dump({key: values[rows] for key, rows in frames.items()}, file, protocol=4)
