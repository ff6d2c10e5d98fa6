"""CVAT's "CVAT for video 1.1": an xml a task, or a folder of them, or the zip that CVAT exports.

Source: docs.cvat.ai, XML annotation format, version 1.1, interpolation.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np

from avalib.data.importers.base import build_raw_table
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.markup import read_xml

EMPTY = ("", "none", "__undefined__", "undefined", "null")
NAMING = ("select", "radio", "checkbox")  # the kinds of attributes that name actions


def read_cvat(path, attributes=None, keyframes_only=False):
    """Raw rows of CVAT video annotations: boxes of tracks, where they aren't outside.

    A box's actions are the values of its select and radio attributes and the names of its ticked checkboxes, or, if its
    label has no such attribute, the label. attributes: only these count, of whatever kind. keyframes_only: leave out
    the boxes that CVAT interpolated. Frames are the video's own, as CVAT exports them whatever the task's step; boxes
    are in pixels of the task's original_size, a turned one counts as the upright box around it.
    Raises ValueError naming the file, the track, the frame and what was expected, and for attributes that don't occur.
    """
    attributes = [attributes] if isinstance(attributes, str) else attributes
    path = Path(path)
    files = sorted([*path.rglob("[!.]*.xml"), *path.rglob("[!.]*.zip")]) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no .xml or .zip in this folder")
    rows, left_out, seen = [], Counter(), {}
    for file in files:
        rows += _rows(file, attributes, keyframes_only, left_out, seen)
    if unknown := [name for name in attributes or () if name not in seen]:
        there = ", ".join(repr(str(name)) for name in seen) or "none"
        raise ValueError(f"{path}: no attribute {', '.join(map(repr, unknown))}; there is {there}")
    notes = [f"{count} {what} left out" for what, count in left_out.items()]
    columns = ["video", "frame", *BOX_COLUMNS, "width", "height", "action", "person", "split", "where"]
    return build_raw_table(rows, columns), None, notes


def _rows(file, attributes, keyframes_only, left_out, seen):
    """The rows of one task; what isn't taken is counted in left_out, attributes' names are put into seen."""
    root = read_xml(file)
    if root.tag != "annotations" or root.find("image") is not None:
        raise ValueError(f'{file}: <{root.tag}> with images; export the task as "CVAT for video 1.1"')
    source, subset, kinds, size = _meta(root, file)
    seen.update(dict.fromkeys(name for of_label in kinds.values() for name in of_label))
    rows = []
    for track in root.iter("track"):
        left_out.update(f"{shape.tag} shapes" for shape in track if shape.tag not in ("box", "attribute"))
        for box in track.iter("box"):
            seen.update(dict.fromkeys(a.get("name") for a in box.iterfind("attribute")))
            if box.get("outside") == "1" or (keyframes_only and box.get("keyframe") == "0"):
                continue
            where = f"{file.name}, track {track.get('id')}, frame {box.get('frame')}"
            try:
                frame, corners = int(box.get("frame")), _corners(box, size)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{file}, {where}: {error}; expected frame, xtl, ytl, xbr, ybr") from error
            named = _actions(track.get("label"), box, kinds, attributes)
            if None in named:
                raise ValueError(f"{file}, {where}: a track without a label, or an attribute without a name")
            left_out.update([] if named else ["boxes without an action"])
            rows += [(source, frame, *corners, *size, action, track.get("id"), subset, where) for action in named]
    return rows


def _corners(box, size):
    """xtl, ytl, xbr, ybr in pixels; of a turned box (`rotation`, degrees about its centre), those of its bounds, cut at
    the frame: a turned box reaches beyond it where its upright bounds would not."""
    values = [float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
    angle = float(box.get("rotation") or 0)
    if not all(map(math.isfinite, [*values, angle])):
        raise ValueError(f"box {values}, rotation {angle}, is not of finite numbers")
    x1, y1, x2, y2 = values
    if not angle % 180:
        return values
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    half_w = ((x2 - x1) * cos + (y2 - y1) * sin) / 2
    half_h = ((x2 - x1) * sin + (y2 - y1) * cos) / 2
    bounds = [(x1 + x2) / 2 - half_w, (y1 + y2) / 2 - half_h, (x1 + x2) / 2 + half_w, (y1 + y2) / 2 + half_h]
    ends = [side if math.isfinite(side) else math.inf for side in (*size, *size)]  # the file may not say the size
    return [min(max(value, 0.0), end) for value, end in zip(bounds, ends, strict=True)]


def _meta(root, file):
    """(the video's name, subset, {label: {attribute: kind}}, (width, height) of its frames) of a file's one task."""
    tasks = [*root.iterfind("meta/task"), *root.iterfind("meta/job"), *root.iterfind("meta/project/tasks/task")]
    sources = {s.text.strip() for s in root.iterfind("meta//source") if s.text and s.text.strip()}
    if len(sources) != 1 or len(tasks) > 1:
        raise ValueError(
            f"{file}: {len(tasks)} tasks of {len(sources)} videos; expected one task of one video (<source>): export "
            "task by task"
        )
    kinds = {}
    for label in root.iterfind("meta//labels/label"):
        attributes = label.iterfind("attributes/attribute")
        kinds[label.findtext("name")] = {a.findtext("name"): a.findtext("input_type") for a in attributes}
    subset = next((t.findtext("subset") or "" for t in tasks), "")
    return next(iter(sources)), subset, kinds, _size(root, file)


def _size(root, file):
    """(width, height) of the task's original_size, NaN where the file doesn't tell."""
    element = root.find("meta//original_size")
    if element is None:
        return np.nan, np.nan
    texts = [element.findtext(side) for side in ("width", "height")]
    try:
        width, height = (float(text) for text in texts)
        if not (0 < width < math.inf and 0 < height < math.inf):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"{file}: original_size {texts}; expected width and height in pixels") from None
    return width, height


def _actions(label, box, kinds, chosen):
    """The names of the actions of one box."""
    found, naming = [], False
    for attribute in box.iterfind("attribute"):
        name, value = attribute.get("name"), (attribute.text or "").strip()
        kind = kinds.get(label, {}).get(name) or ("checkbox" if value.lower() in ("true", "false") else "select")
        if name in chosen if chosen is not None else kind in NAMING:
            naming = True
            if kind == "checkbox":
                found += [name] if value.lower() == "true" else []
            elif value.lower() not in EMPTY:
                found.append(value)
    return found if naming else [label]
