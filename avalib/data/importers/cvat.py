"""CVAT's "CVAT for video 1.1": an xml per task, or a folder of them, or the zip that CVAT exports.

Source: docs.cvat.ai, XML annotation format, version 1.1, interpolation.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avalib.data.importers.base import RawAnnotations, RawRow, build_raw_table
from avalib.utils.markup import read_xml

EMPTY_VALUES = ("", "none", "__undefined__", "undefined", "null")
SCORE_SUFFIX = " score"  # "walk score" is the text attribute with the score of the checkbox "walk"
ACTION_INPUT_TYPES = ("select", "radio", "checkbox")  # the input types of attributes that name actions


def read_cvat(path, attributes=None, keyframes_only=False):
    """Read CVAT video annotations: the boxes of tracks, except where they are marked "outside".

    A box's actions are the values of its select and radio attributes and the names of its ticked checkboxes, or, if its
    label has no such attribute, the label. Frames are the video's own, as CVAT exports them whatever the task's step.
    A text attribute "walk score" is the score of the action "walk", as `export_detections` writes it.
    Boxes are in pixels of the task's original_size; a rotated box counts as the upright box around it.

    Parameters
    ----------
    path : str or Path
    attributes : str or list of str, optional
        Only these attributes count, whatever their input type.
    keyframes_only : bool
        Leave out the boxes that CVAT interpolated.

    Returns
    -------
    RawAnnotations

    Raises
    ------
    FileNotFoundError
        If there is no xml or zip in the folder.
    ValueError
        Names the file, track, frame and what was expected; also for `attributes` that do not occur.
    """
    if isinstance(attributes, str):
        attributes = [attributes]
    path = Path(path)
    files = sorted([*path.rglob("[!.]*.xml"), *path.rglob("[!.]*.zip")]) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no .xml or .zip in this folder")
    rows = []
    skipped = Counter()  # {description: count}, of all files
    attribute_names = {}  # of all files, in order; a dict for its order
    for file in files:
        task = _read_task(file)
        attribute_names.update(dict.fromkeys(task.list_attributes()))
        rows += _build_rows(task, attributes, keyframes_only, skipped)
    if unknown := [name for name in attributes or () if name not in attribute_names]:
        available = ", ".join(repr(str(name)) for name in attribute_names) or "none"
        raise ValueError(f"{path}: no attribute {', '.join(map(repr, unknown))}; there is {available}")
    notes = [f"{count} {description} left out" for description, count in skipped.items()]
    return RawAnnotations(build_raw_table(rows), None, notes)


@dataclass(frozen=True)
class _CvatTask:
    """One task: its video, labels and tracks."""

    path: Path
    root: object  # the xml's root element
    video: str
    subset: str
    input_types: dict  # {label: {attribute: input type}}
    width: float  # of the video's frames, NaN where the file has no size
    height: float

    def list_attributes(self):
        """The names of all attributes, of labels and of boxes, in order."""
        names = [name for of_label in self.input_types.values() for name in of_label]
        for box in self.root.iterfind(".//track//box"):
            names += [attribute.get("name") for attribute in box.iterfind("attribute")]
        return names


def _read_task(file):
    """The _CvatTask of a file; raises ValueError for images, and for several tasks or videos."""
    root = read_xml(file)
    if root.tag != "annotations" or root.find("image") is not None:
        raise ValueError(f'{file}: <{root.tag}> with images; export the task as "CVAT for video 1.1"')
    # CVAT exports a task, a job of it, or a project.
    tasks = [*root.iterfind("meta/task"), *root.iterfind("meta/job"), *root.iterfind("meta/project/tasks/task")]
    # The videos' file names.
    sources = {source.text.strip() for source in root.iterfind("meta//source") if source.text and source.text.strip()}
    if len(sources) != 1 or len(tasks) > 1:
        raise ValueError(
            f"{file}: {len(tasks)} tasks of {len(sources)} videos; expected one task of one video (<source>): export "
            "task by task"
        )
    input_types = {}
    for label in root.iterfind("meta//labels/label"):
        input_types[label.findtext("name")] = {
            attribute.findtext("name"): attribute.findtext("input_type")
            for attribute in label.iterfind("attributes/attribute")
        }
    width, height = _read_original_size(root, file)
    return _CvatTask(
        path=file,
        root=root,
        video=next(iter(sources)),
        subset=next((task.findtext("subset") or "" for task in tasks), ""),
        input_types=input_types,
        width=width,
        height=height,
    )


def _read_original_size(root, file):
    """(width, height) of the task's frames in pixels, NaN where the file has no original_size."""
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


def _build_rows(task, attributes, keyframes_only, skipped):
    """The RawRows of one task; shapes and boxes that are left out are counted in `skipped`."""
    rows = []
    for track in task.root.iter("track"):
        # Polygons, points and the like have no box.
        skipped.update(f"{shape.tag} shapes" for shape in track if shape.tag not in ("box", "attribute"))
        for box in track.iter("box"):
            # "outside" marks frames in which the track is not in the picture.
            if box.get("outside") == "1" or (keyframes_only and box.get("keyframe") == "0"):
                continue
            box_rows = _build_box_rows(task, track, box, attributes)
            if not box_rows:
                skipped["boxes without an action"] += 1
            rows += box_rows
    return rows


def _build_box_rows(task, track, box, attributes):
    """The RawRows of one box, one per action."""
    location = f"{task.path.name}, track {track.get('id')}, frame {box.get('frame')}"
    try:
        frame = int(box.get("frame"))
        x1, y1, x2, y2 = _compute_upright_corners(box, task.width, task.height)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{task.path}, {location}: {error}; expected frame, xtl, ytl, xbr, ybr") from error
    actions = _list_actions(track.get("label"), box, task.input_types, attributes)
    if None in actions:
        raise ValueError(f"{task.path}, {location}: a track without a label, or an attribute without a name")
    return [
        RawRow(
            video=task.video,
            frame=frame,
            x1=x1,
            y1=y1,
            x2=x2,
            y2=y2,
            width=task.width,
            height=task.height,
            action=action,
            score=_get_score(box, action),
            person=track.get("id"),
            split=task.subset,
            location=location,
        )
        for action in actions
    ]


def _compute_upright_corners(box, width, height):
    """(xtl, ytl, xbr, ybr) of a box in pixels.

    Of a rotated box (`rotation`, degrees about its center) they are those of its bounds, clipped to the frame: a
    rotated box may reach beyond the frame where the person does not.
    """
    corners = [float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
    angle_deg = float(box.get("rotation") or 0)
    if not all(map(math.isfinite, [*corners, angle_deg])):
        raise ValueError(f"box {corners}, rotation {angle_deg}, is not of finite numbers")
    if not angle_deg % 180:
        return corners
    x1, y1, x2, y2 = corners
    # Absolute values: bounds are the same for angles of either sign.
    cos = abs(math.cos(math.radians(angle_deg)))
    sin = abs(math.sin(math.radians(angle_deg)))
    # The upright bounds of the rotated box, around the same center.
    half_width = ((x2 - x1) * cos + (y2 - y1) * sin) / 2
    half_height = ((x2 - x1) * sin + (y2 - y1) * cos) / 2
    center_x = (x1 + x2) / 2
    center_y = (y1 + y2) / 2
    # Without a known frame size, boxes are clipped at the left and top only.
    max_x = width if math.isfinite(width) else math.inf
    max_y = height if math.isfinite(height) else math.inf
    return [
        min(max(center_x - half_width, 0.0), max_x),
        min(max(center_y - half_height, 0.0), max_y),
        min(max(center_x + half_width, 0.0), max_x),
        min(max(center_y + half_height, 0.0), max_y),
    ]


def _get_score(box, action):
    """The number 0..1 of the box's attribute "walk score", for the action "walk"; NaN where there is none."""
    for attribute in box.iterfind("attribute"):
        if attribute.get("name") == f"{action}{SCORE_SUFFIX}":
            try:
                score = float(attribute.text)
            except (TypeError, ValueError):
                return math.nan
            return score if 0 <= score <= 1 else math.nan
    return math.nan


def _list_actions(label, box, input_types, attributes):
    """The names of the actions of one box."""
    actions = []
    has_action_attribute = False
    for attribute in box.iterfind("attribute"):
        name = attribute.get("name")
        value = (attribute.text or "").strip()
        # Without a declaration, the value tells a checkbox from a select.
        input_type = input_types.get(label, {}).get(name)
        if not input_type:
            input_type = "checkbox" if value.lower() in ("true", "false") else "select"
        is_chosen = input_type in ACTION_INPUT_TYPES if attributes is None else name in attributes
        if not is_chosen:
            continue
        has_action_attribute = True
        if input_type == "checkbox":
            if value.lower() == "true":
                actions.append(name)
        elif value.lower() not in EMPTY_VALUES:
            actions.append(value)
    return actions if has_action_attribute else [label]
