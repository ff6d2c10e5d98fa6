"""CVAT's "CVAT for video 1.1": an xml a task, or a folder of them, or the zip that CVAT exports.

Source: docs.cvat.ai, XML annotation format, version 1.1, interpolation.
"""

import io
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from pathlib import Path

from avalib.formats.common import raw_rows
from avalib.tables import BOX

EMPTY = ("", "none", "__undefined__", "undefined", "null")
NAMING = ("select", "radio", "checkbox")  # the kinds of attributes that name actions


def read(path, attributes=None, keyframes_only=False):
    """Raw rows of CVAT video annotations: boxes of tracks, where they aren't outside.

    A box's actions are the values of its select and radio attributes and the names of its ticked checkboxes, or, if its
    label has no such attribute, the label. attributes: only these count, of whatever kind. keyframes_only: leave out
    the boxes that CVAT interpolated. Frames are the video's own, as CVAT exports them whatever the task's step.
    Raises ValueError naming the file, the track, the frame and what was expected.
    """
    path = Path(path)
    files = sorted([*path.rglob("*.xml"), *path.rglob("*.zip")]) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no .xml or .zip in this folder")
    rows, left_out = [], Counter()
    for file in files:
        rows += _rows(file, attributes, keyframes_only, left_out)
    notes = [f"{count} {what} left out" for what, count in left_out.items()]
    columns = ["video", "frame", *BOX, "action", "person", "split", "where"]
    return raw_rows(rows, columns), None, notes


def _rows(file, attributes, keyframes_only, left_out):
    """The rows of one task; what isn't taken is counted in left_out, {what: how often}."""
    root = _parse(file)
    source, subset, kinds = _meta(root, file)
    rows = []
    for track in root.iter("track"):
        left_out.update(f"{shape.tag} shapes" for shape in track if shape.tag not in ("box", "attribute"))
        for box in track.iter("box"):
            if box.get("outside") == "1" or (keyframes_only and box.get("keyframe") == "0"):
                continue
            where = f"{file.name}, track {track.get('id')}, frame {box.get('frame')}"
            try:
                frame, corners = int(box.get("frame")), [float(box.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]
            except (TypeError, ValueError) as error:
                raise ValueError(f"{file}, {where}: {error}; expected frame, xtl, ytl, xbr, ybr") from error
            named = _actions(track.get("label"), box, kinds, attributes)
            left_out.update([] if named else ["boxes without an action"])
            rows += [(source, frame, *corners, action, track.get("id"), subset, where) for action in named]
    return rows


def _parse(file):
    """The root of annotations.xml, from the file or from a zip."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                name = next(n for n in archive.namelist() if n.endswith(".xml"))
                root = ET.parse(io.BytesIO(archive.read(name))).getroot()
        else:
            root = ET.parse(file).getroot()
    except (ET.ParseError, StopIteration) as error:
        raise ValueError(f"{file}: not readable as CVAT's xml ({error})") from error
    if root.tag != "annotations" or root.find("image") is not None:
        raise ValueError(f'{file}: <{root.tag}> with images; export the task as "CVAT for video 1.1"')
    return root


def _meta(root, file):
    """(the video's name, subset, {label: {attribute: kind}}) of the one task in a file."""
    tasks = [*root.iterfind("meta/task"), *root.iterfind("meta/job"), *root.iterfind("meta/project/tasks/task")]
    sources = {s.text for s in [*root.iterfind("meta//source"), *root.iterfind("meta/source")] if s.text}
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
    return next(iter(sources)), subset, kinds


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
