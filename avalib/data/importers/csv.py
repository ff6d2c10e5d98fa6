"""Csv: one's own with a header, and AVA's without."""

import csv
import io
from pathlib import Path

import numpy as np

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers.base import build_raw_table, list_locations
from avalib.data.label_map import load_label_map, read_label_map
from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION
from avalib.data.row_checks import parse_number as number
from avalib.utils.text import read_text

COLUMNS = {  # what a column may be called
    "video": ("video", "video_id", "video_name", "file", "filename"),
    "time_s": ("time_s", "time", "timestamp", "second", "seconds"),
    "frame": ("frame", "frame_id", "frame_index"),
    "x1": ("x1", "xmin", "left", "xtl"),
    "y1": ("y1", "ymin", "top", "ytl"),
    "x2": ("x2", "xmax", "right", "xbr"),
    "y2": ("y2", "ymax", "bottom", "ybr"),
    "x": ("x",),
    "y": ("y",),
    "w": ("w", "width"),  # width and height are the frame's where the box has corners, or w and h
    "h": ("h", "height"),
    "frame_width": ("frame_width", "image_width", "img_width", "video_width"),
    "frame_height": ("frame_height", "image_height", "img_height", "video_height"),
    "action": ("action", "label", "class", "class_name"),
    "person": ("person", "person_id", "track", "track_id"),
    "split": ("split", "subset"),
}
HELP = (
    "video, time_s (seconds) or frame (from 0), x1,y1,x2,y2 (or x,y,w,h), action; person, split, width and height (of "
    "the frame) where known"
)


def read_own_csv(path, first_frame=None):
    """Raw rows of a csv with a header, a row a box with one action.

    Boxes are in pixels if any of them is beyond 2, else fractions of the frame. first_frame: the number of the first;
    None is 0, and for a video that is a folder of pictures the numbers are those in their names.
    Raises ValueError naming file, line, column and value.
    """
    path, rows = Path(path), []
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        place, notes = _columns(header, path)
        for fields in reader:
            if fields:
                rows.append(_row(fields, place, header, f"{path}, line {reader.line_num}", first_frame))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; is a quote open?") from error
    names = [
        "video",
        "time_s",
        "frame",
        "number",
        *BOX_COLUMNS,
        "width",
        "height",
        "action",
        "person",
        "split",
        "where",
    ]
    table = build_raw_table(rows, names)
    pixels = _are_pixels(table, path)
    return (
        table.assign(pixels=pixels),
        None,
        [f"boxes are taken as {'pixels' if pixels else 'fractions of the frame'}"] + notes,
    )


def _columns(header, path):
    """({what: place in the row}, notes on columns that aren't used)."""
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise ValueError(f"{path}, line 1: column {', '.join(twice)} is there twice; expected each once")
    corners = any(name in header for name in COLUMNS["x1"])
    sizes = corners or {"w", "h"} <= set(header)  # then width and height are the frame's, not the box's
    known = {key: [n for n in names if n in header] for key, names in COLUMNS.items()}
    for key, side in (("w", "width"), ("h", "height")):
        known[key] = [n for n in known[key] if n != side or not sizes]
        known[f"frame_{side}"] += [side] if side in header and sizes else []
    unused = {name: found[0] for found in known.values() for name in found[1:]}
    if known["time_s"] and known["frame"]:
        unused[known.pop("frame")[0]] = known["time_s"][0]
    if corners:
        unused |= {found[0]: "x1, y1, x2, y2" for key in "xywh" if (found := known.pop(key))}
    place = {key: header.index(found[0]) for key, found in known.items() if found}
    wanted = ["video", "action", *(("x1", "y1", "x2", "y2") if corners else ("x", "y", "w", "h"))]
    missing = [key for key in wanted if key not in place]
    if not {"time_s", "frame"} & place.keys():
        missing.append("time_s or frame")
    if missing:
        hint = "; are the columns separated by something else than commas?" if len(header) == 1 else ""
        raise ValueError(
            f"{path}, line 1: no column {', '.join(missing)} in {header}; expected a header with {HELP}{hint}"
        )
    return place, [f"column {name!r} isn't used: {used!r} is" for name, used in unused.items()]


def _row(fields, place, header, where, first_frame):
    if len(fields) != len(header):
        raise ValueError(f"{where}: {len(fields)} columns, the header has {len(header)}")
    if any("\n" in field or "\r" in field for field in fields):
        raise ValueError(f"{where}: a line ends within a field; is a quote open?")

    def value(key):
        try:
            return number(fields[place[key]].strip())
        except ValueError:
            column, text = header[place[key]], fields[place[key]]
            raise ValueError(f"{where}, column {column}, value {text[:80]!r}: expected a finite number") from None

    def text(key, what):
        if not (found := fields[place[key]].strip()):
            raise ValueError(f"{where}, column {header[place[key]]}: empty; expected {what}")
        return found

    time_s = value("time_s") if "time_s" in place else np.nan
    frame = value("frame") if "frame" in place else np.nan
    in_name = frame if first_frame is None else np.nan
    if frame % 1 != 0 and "frame" in place:
        raise ValueError(f"{where}, column {header[place['frame']]}, value {frame:g}: expected a whole number")
    if "x1" in place:
        box = [value(key) for key in BOX_COLUMNS]
    else:
        x, y, w, h = (value(key) for key in "xywh")
        box = [x, y, x + w, y + h]
    size = [value(key) if key in place else np.nan for key in ("frame_width", "frame_height")]
    person = (fields[place["person"]].strip() or None) if "person" in place else None
    split = fields[place["split"]] if "split" in place else ""
    video, action = text("video", "a video's name"), text("action", "an action's name")
    place_in_file = where.rpartition(", ")[2]
    return video, time_s, frame - (first_frame or 0), in_name, *box, *size, action, person, split, place_in_file


def _are_pixels(table, path):
    """Whether the boxes are in pixels. Raises ValueError where some are and some look like fractions."""
    boxes = table[BOX_COLUMNS].to_numpy(np.float64)
    pixels = (np.abs(boxes) > 2).any(axis=1)
    area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    fractions = ~pixels & area
    if pixels.any() and fractions.any():
        raise ValueError(
            f"{path}: {pixels.sum()} boxes in pixels ({list_locations(table['where'], pixels)}) and {fractions.sum()} in "
            f"fractions of the frame ({list_locations(table['where'], fractions)}); expected the same in all rows"
        )
    return bool(pixels.any())


def read_ava_annotations(path, start=0, label_map=None):
    """Raw rows of AVA's csv, or of a folder with <…train…>.csv, <…val…>.csv and a label map (pbtxt).

    start: the second at which the videos begin (AVA's own cuts: 900). Raises ValueError naming file, line and value.
    """
    path = Path(path)
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("[!.]*.csv")) if "exclu" not in p.name]
    if not files:
        raise FileNotFoundError(f"{path}: no .csv in this folder")
    label_map = load_label_map(label_map) if label_map is not None else _label_map_beside(path)
    parts, empty = [], 0
    for file in files:
        table = read_ava_csv(file, "ground_truth")
        table = table.assign(where=[f"{file.name}, line {n}" for n in range(1, len(table) + 1)])
        without_box = table[BOX_COLUMNS].isna().all(axis=1)
        empty += without_box.sum()
        table = table[~without_box]
        if unknown := sorted(set(table.action_id) - set(label_map)):
            line = table["where"][table.action_id == unknown[0]].iloc[0]
            hint = "; are ids counted from 0? AVA's begin at 1" if unknown[0] == NO_ACTION else ""
            known = list(label_map)[:20]
            raise ValueError(
                f"{file.parent / line}: action_id {unknown[0]} isn't in the label map, which has {known}{hint}"
            )
        split = next((s for s in ("train", "val", "test") if s in file.stem.lower()), "")
        parts += zip(
            table.video_id, table.timestamp - start, *(table[c] for c in BOX_COLUMNS), table.action_id.map(label_map),
            table.person_id.where(table.person_id >= 0), [split] * len(table), table["where"], strict=True,
        )  # fmt: skip
    rows = build_raw_table(parts, ["video", "time_s", *BOX_COLUMNS, "action", "person", "split", "where"])
    notes = [f"{empty} keyframes without boxes left out"] if empty else []
    return rows.assign(pixels=False), label_map, notes


def _label_map_beside(path):
    folder = path if path.is_dir() else path.parent
    found = sorted(folder.rglob("[!.]*.pbtxt"), key=lambda p: (len(p.name), p.name))  # the shortest has all classes
    if not found:
        raise FileNotFoundError(
            f"{folder}: AVA's csv has numbers for actions; expected a label map (*.pbtxt) beside it"
        )
    return read_label_map(found[0])
