"""Writing the annotations of a data set in a format that annotation tools read: csv, COCO json, CVAT's video xml."""

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers.cvat import SCORE_SUFFIX
from avalib.data.importers.source_videos import SourceVideo, measure_video
from avalib.data.label_map import read_label_map
from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.files import atomic_path, atomic_write, join_inside, write_text
from avalib.video.frame_numbers import AVA_FPS

CSV_HEADER = ["video", "time_s", *BOX_COLUMNS, "action", "person", "split"]
CVAT_CORNERS = ("xtl", "ytl", "xbr", "ybr")


@dataclass(frozen=True)
class _Export:
    """What is to be written: a table per split, with class names and seconds from the video's first frame."""

    layout: DatasetLayout
    tables: list[pd.DataFrame]
    label_map: dict[int, str]
    folder: Path


@dataclass(frozen=True)
class VideoRows:
    """The rows of one video, in its native frames and pixels."""

    video_id: str
    split: str
    video: SourceVideo
    table: pd.DataFrame  # frame, time_s, x1, y1, x2, y2 in pixels, person_id, action_id, action; score of predictions


def export_annotations(
    layout: DatasetLayout, format: str, folder: str | Path, splits: tuple[str, ...] = ("train", "val")
) -> Path:
    """Write the annotations of a data set for an annotation tool.

    Classes keep their names; frames are the nearest native ones. The videos stay where they are (`layout.videos`).

    Parameters
    ----------
    layout : DatasetLayout
    format : str
        "csv" (one file), "coco" (a json per split) or "cvat" (an xml per video).
    folder : str or Path
        Where to write.
    splits : tuple of str

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        For another format.
    """
    writers = {"csv": _write_csv, "coco": _write_coco, "cvat": _write_cvat}
    if format not in writers:
        raise ValueError(f"format {format!r}: expected one of {', '.join(writers)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    label_map = read_label_map(layout.label_map_path)
    tables = []
    for split in splits:
        table = read_ava_csv(layout.get_csv_path(split), "ground_truth").assign(split=split)
        table["action"] = table.action_id.map(label_map)
        # Tools count from the first frame.
        table["time_s"] = table.timestamp - table.video_id.map(layout.get_start_s)
        tables.append(table)
    writers[format](_Export(layout, tables, label_map, folder))
    return folder


def _iter_videos(layout, table):
    """The VideoRows of each video of a split."""
    for video_id, rows in table.groupby("video_id", sort=False):
        video = measure_video(layout.find_video(video_id), AVA_FPS)
        # The native frame (N,) nearest to each row's time, and boxes (N,4) in pixels.
        distances_s = np.abs(video.times_s[None] - rows.time_s.to_numpy()[:, None])
        frames = distances_s.argmin(axis=1)
        boxes_px = rows[BOX_COLUMNS].to_numpy() * [video.width, video.height, video.width, video.height]
        rows = rows.assign(frame=frames, **dict(zip(BOX_COLUMNS, boxes_px.T, strict=True)))
        yield VideoRows(video_id, rows.split.iloc[0], video, rows)


def _write_csv(export):
    # The table's columns in the order of CSV_HEADER.
    columns = ["video_id", "time_s", *BOX_COLUMNS, "action", "person_id", "split"]
    with atomic_write(export.folder / "annotations.csv", "w") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_HEADER)
        for table in export.tables:
            writer.writerows(table[columns].values.tolist())


def _write_coco(export):
    for table in export.tables:
        rows_of_videos = _iter_videos(export.layout, table)
        write_coco_json(export.folder / f"{table.split.iloc[0]}.json", rows_of_videos, export.label_map)


def write_coco_json(path: str | Path, rows_of_videos: Iterable[VideoRows], label_map: dict[int, str]) -> Path:
    """Write rows of videos as COCO json: an image per keyframe, an annotation per row. Returns the path."""
    content = {
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": int(action_id), "name": name} for action_id, name in label_map.items()],
    }
    for rows in rows_of_videos:
        _add_coco_video(content, rows)
    return write_text(path, json.dumps(content) + "\n")


def _add_coco_video(content, rows):
    """Add a video with its images, one per keyframe, and annotations, one per row."""
    coco_id = len(content["videos"]) + 1
    size = {"width": rows.video.width, "height": rows.video.height}
    content["videos"].append({"id": coco_id, "name": rows.video.path.name, **size})
    are_predictions = "score" in rows.table
    # Rows of one keyframe share an image.
    image_ids = {}  # {(frame, time_s): id}
    for row in rows.table.itertuples():
        keyframe = (row.frame, row.time_s)
        if keyframe not in image_ids:
            image_ids[keyframe] = len(content["images"]) + 1
            image = {
                "id": image_ids[keyframe],
                "file_name": f"{rows.video_id}/{row.frame:06d}.jpg",
                "video_id": coco_id,
                "frame_id": row.frame,
                **size,
            }
            # The exact time, which may lie between two frames.
            content["images"].append(image | {"timestamp": row.time_s} if are_predictions else image)
        # COCO's boxes are a corner and a size.
        width = row.x2 - row.x1
        height = row.y2 - row.y1
        annotation = {
            "id": len(content["annotations"]) + 1,
            "image_id": image_ids[keyframe],
            "category_id": row.action_id,
            "bbox": [row.x1, row.y1, width, height],
            "area": width * height,
            "iscrowd": 0,
            "track_id": row.person_id,
        }
        content["annotations"].append(annotation | {"score": row.score} if are_predictions else annotation)


def _write_cvat(export):
    actions = sorted({name for table in export.tables for name in table.action})
    for table in export.tables:
        for rows in _iter_videos(export.layout, table):
            write_cvat_xml(join_inside(export.folder, f"{rows.video_id}.xml"), rows, actions)


def write_cvat_xml(path: str | Path, rows: VideoRows, actions: Sequence[str]) -> Path:
    """Write the rows of a video as "CVAT for video 1.1". Returns the path.

    A track is a person, with a checkbox per action: people do several things at a time. Predictions have a text
    attribute "ACTION score" beside it.
    """
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    are_predictions = "score" in rows.table
    _add_cvat_task(root, rows, actions, are_predictions)
    source = "auto" if are_predictions else "manual"
    for person_id, of_person in rows.table.groupby("person_id", sort=True):
        track = ET.SubElement(root, "track", id=str(person_id), label="person", source=source)
        # Rows of one box are its actions.
        for (frame, *corners), of_box in of_person.groupby(["frame", *BOX_COLUMNS], sort=True):
            box = _add_cvat_box(track, frame, corners, set(of_box.action), actions)
            if are_predictions:
                scores = dict(zip(of_box.action, of_box.score, strict=True))
                for action in actions:
                    text = f"{scores[action]:.4f}" if action in scores else ""
                    ET.SubElement(box, "attribute", name=f"{action}{SCORE_SUFFIX}").text = text
    ET.indent(root)
    with atomic_path(path) as part:
        ET.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)
    return Path(path)


def _add_cvat_task(root, rows, actions, are_predictions):
    """Add what CVAT says about a task: its video, and the label "person" with its checkboxes."""
    # meta/task with labels/label/attributes, as CVAT exports them.
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    _add_texts(task, name=rows.video_id, size=len(rows.video.times_s), mode="interpolation", subset=rows.split)
    label = ET.SubElement(ET.SubElement(task, "labels"), "label")
    _add_texts(label, name="person")
    attributes = ET.SubElement(label, "attributes")
    for action in actions:
        attribute = ET.SubElement(attributes, "attribute")
        _add_texts(attribute, name=action, mutable=True, input_type="checkbox", default_value="false")
        if are_predictions:
            attribute = ET.SubElement(attributes, "attribute")
            _add_texts(attribute, name=f"{action}{SCORE_SUFFIX}", mutable=True, input_type="text", default_value="")
    _add_texts(ET.SubElement(task, "original_size"), width=rows.video.width, height=rows.video.height)
    _add_texts(task, source=rows.video.path.name)


def _add_cvat_box(track, frame, corners, box_actions, actions):
    """Add a box to a track, with the checkboxes of `box_actions` ticked. Returns its element."""
    corner_texts = {key: f"{value:.2f}" for key, value in zip(CVAT_CORNERS, corners, strict=True)}
    box = ET.SubElement(
        track, "box", frame=str(frame), keyframe="1", outside="0", occluded="0", **corner_texts, z_order="0"
    )
    for action in actions:
        ET.SubElement(box, "attribute", name=action).text = str(action in box_actions).lower()
    return box


def _add_texts(parent, **texts):
    """Add an element with a text for each keyword."""
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)
