"""Csv: one's own with a header, and AVA's without."""

import csv
from pathlib import Path

import numpy as np

from avalib import actions
from avalib.annotations import read_csv
from avalib.formats.common import as_label_map, raw_rows
from avalib.tables import BOX, NO_ACTION, number

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
    "w": ("w", "width"),
    "h": ("h", "height"),
    "action": ("action", "label", "class", "class_name"),
    "person": ("person", "person_id", "track", "track_id"),
    "split": ("split", "subset"),
}
HELP = "video, time_s (seconds) or frame (from 0), x1,y1,x2,y2 (or x,y,w,h), action; person and split where known"


def read(path, first_frame=0):
    """Raw rows of a csv with a header, a row a box with one action.

    Boxes are in pixels if any of them is beyond 2, else fractions of the frame; first_frame: the number of the first.
    Raises ValueError naming file, line, column and value.
    """
    path, rows = Path(path), []
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, [])]
        place = _columns(header, path)
        for fields in reader:
            if fields:
                rows.append(_row(fields, place, header, f"{path}, line {reader.line_num}", first_frame))
    names = ["video", "time_s", "frame", *BOX, "action", "person", "split", "where"]
    table = raw_rows(rows, names)
    pixels = bool((table[BOX].abs() > 2).any(axis=None))
    note = f"boxes are taken as {'pixels' if pixels else 'fractions of the frame'}"
    return table.assign(pixels=pixels), None, [note]


def _columns(header, path):
    place = {key: header.index(n) for key, names in COLUMNS.items() for n in names if n in header}
    wanted = ["video", "action", *(("x1", "y1", "x2", "y2") if "x1" in place else ("x", "y", "w", "h"))]
    missing = [key for key in wanted if key not in place]
    if not {"time_s", "frame"} & place.keys():
        missing.append("time_s or frame")
    if missing:
        raise ValueError(f"{path}, line 1: no column {', '.join(missing)} in {header}; expected a header with {HELP}")
    return place


def _row(fields, place, header, where, first_frame):
    if len(fields) != len(header):
        raise ValueError(f"{where}: {len(fields)} columns, the header has {len(header)}")

    def value(key):
        try:
            return number(fields[place[key]].strip())
        except ValueError:
            column, text = header[place[key]], fields[place[key]]
            raise ValueError(f"{where}, column {column}, value {text!r}: expected a finite number") from None

    time_s = value("time_s") if "time_s" in place else np.nan
    frame = value("frame") - first_frame if "time_s" not in place else np.nan
    if "x1" in place:
        box = [value(key) for key in BOX]
    else:
        x, y, w, h = (value(key) for key in "xywh")
        box = [x, y, x + w, y + h]
    action = fields[place["action"]].strip()
    if not action:
        raise ValueError(f"{where}, column {header[place['action']]}: empty; expected an action's name")
    person = (fields[place["person"]].strip() or None) if "person" in place else None
    split = fields[place["split"]] if "split" in place else ""
    return fields[place["video"]].strip(), time_s, frame, *box, action, person, split, where.rpartition(", ")[2]


def read_ava(path, start=0, label_map=None):
    """Raw rows of AVA's csv, or of a folder with <…train…>.csv, <…val…>.csv and a label map (pbtxt).

    start: the second at which the videos begin (AVA's own cuts: 900). Raises ValueError naming file, line and value.
    """
    path = Path(path)
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*.csv")) if "exclu" not in p.name]
    label_map = as_label_map(label_map) if label_map else _label_map_beside(path)
    parts, empty = [], 0
    for file in files:
        table = read_csv(file, "ground_truth")
        table = table.assign(where=[f"{file.name}, line {n}" for n in range(1, len(table) + 1)])
        empty += (table.action_id == NO_ACTION).sum()
        table = table[table.action_id != NO_ACTION]
        if unknown := sorted(set(table.action_id) - set(label_map)):
            line = table["where"][table.action_id == unknown[0]].iloc[0]
            raise ValueError(f"{path}, {line}: action_id {unknown[0]} isn't in the label map of {len(label_map)}")
        split = next((s for s in ("train", "val", "test") if s in file.stem.lower()), "")
        parts += zip(
            table.video_id, table.timestamp - start, *(table[c] for c in BOX), table.action_id.map(label_map),
            table.person_id.where(table.person_id >= 0), [split] * len(table), table["where"], strict=True,
        )  # fmt: skip
    rows = raw_rows(parts, ["video", "time_s", *BOX, "action", "person", "split", "where"])
    notes = [f"{empty} keyframes without boxes left out"] if empty else []
    return rows.assign(pixels=False), label_map, notes


def _label_map_beside(path):
    folder = path if path.is_dir() else path.parent
    found = sorted(folder.rglob("*.pbtxt"), key=lambda p: (len(p.name), p.name))  # the shortest name has all classes
    if not found:
        raise FileNotFoundError(
            f"{folder}: AVA's csv has numbers for actions; expected a label map (*.pbtxt) beside it"
        )
    return actions.read_label_map(found[0])
