"""A data set written out in a format that annotation tools read: csv, COCO json, CVAT's video xml."""

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers.source_videos import measure_video
from avalib.data.label_map import read_label_map
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.files import atomic_path, atomic_write, path_inside, write_text


def export_annotations(layout, format, folder, splits=("train", "val")):
    """Write the annotations of a Layout as "csv" (one file), "coco" (a json a split) or "cvat" (an xml a video).

    -> the folder. Classes keep their names; frames are the nearest native ones. The videos stay where they are
    (`layout.videos`). Raises ValueError for another format.
    """
    writers = {"csv": _write_csv, "coco": _write_coco, "cvat": _write_cvat}
    if format not in writers:
        raise ValueError(f"format {format!r}: expected one of {', '.join(writers)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    label_map = read_label_map(layout.label_map_path)
    tables = [read_ava_csv(layout.get_csv_path(split), "ground_truth").assign(split=split) for split in splits]
    for table in tables:
        table["action"] = table.action_id.map(label_map)
        table["time_s"] = table.timestamp - layout.start_s
    writers[format](layout, tables, label_map, folder)
    return folder


def _write_csv(layout, tables, label_map, folder):
    with atomic_write(folder / "annotations.csv", "w") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "time_s", *BOX_COLUMNS, "action", "person", "split"])
        for table in tables:
            writer.writerows(
                table[["video_id", "time_s", *BOX_COLUMNS, "action", "person_id", "split"]].values.tolist()
            )


def _native(layout, rows):
    """(file name, Clip, native frame (N,), boxes in pixels (N,4)) of the rows of one video."""
    path = layout.find_video(rows.video_id.iloc[0])
    clip = measure_video(path, 30)
    frames = np.abs(clip.times_s[None] - rows.time_s.to_numpy()[:, None]).argmin(axis=1)
    size = np.array([clip.width, clip.height] * 2)
    return path.name, clip, frames, rows[BOX_COLUMNS].to_numpy() * size


def _write_coco(layout, tables, label_map, folder):
    for table in tables:
        videos, images, found = [], {}, []
        for video_id, rows in table.groupby("video_id", sort=False):
            name, clip, frames, boxes = _native(layout, rows)
            videos.append({"id": len(videos) + 1, "name": name, "width": clip.width, "height": clip.height})
            for row, frame, (x1, y1, x2, y2) in zip(rows.itertuples(), frames.tolist(), boxes.tolist(), strict=True):
                image = images.setdefault((video_id, frame), {
                    "id": len(images) + 1, "file_name": f"{video_id}/{frame:06d}.jpg", "video_id": len(videos),
                    "frame_id": frame, "width": clip.width, "height": clip.height})  # fmt: skip
                box = [x1, y1, x2 - x1, y2 - y1]
                found.append({
                    "id": len(found) + 1, "image_id": image["id"], "category_id": row.action_id, "bbox": box,
                    "area": box[2] * box[3], "iscrowd": 0, "track_id": row.person_id})  # fmt: skip
        categories = [{"id": i, "name": name} for i, name in label_map.items()]
        content = {"videos": videos, "images": [*images.values()], "annotations": found, "categories": categories}
        write_text(folder / f"{table.split.iloc[0]}.json", json.dumps(content) + "\n")


def _write_cvat(layout, tables, label_map, folder):
    """A track a person, with a checkbox an action: people do several things at a time."""
    used = sorted({name for table in tables for name in table.action})
    for table in tables:
        for video_id, rows in table.groupby("video_id", sort=False):
            name, clip, frames, boxes = _native(layout, rows)
            root = ET.Element("annotations")
            ET.SubElement(root, "version").text = "1.1"
            task = ET.SubElement(ET.SubElement(root, "meta"), "task")
            _texts(task, name=video_id, size=len(clip.times_s), mode="interpolation", subset=table.split.iloc[0])
            label = ET.SubElement(ET.SubElement(task, "labels"), "label")
            _texts(label, name="person")
            attributes = ET.SubElement(label, "attributes")
            for action in used:
                attribute = ET.SubElement(attributes, "attribute")
                _texts(attribute, name=action, mutable=True, input_type="checkbox", default_value="false")
            _texts(ET.SubElement(task, "original_size"), width=clip.width, height=clip.height)
            _texts(task, source=name)
            rows = rows.assign(frame=frames, **dict(zip(BOX_COLUMNS, boxes.T, strict=True)))
            for person, of_person in rows.groupby("person_id", sort=True):
                track = ET.SubElement(root, "track", id=str(person), label="person", source="manual")
                for (frame, *corners), of_box in of_person.groupby(["frame", *BOX_COLUMNS], sort=True):
                    _box(track, frame, corners, set(of_box.action), used)
            ET.indent(root)
            with atomic_path(path_inside(folder, f"{video_id}.xml")) as part:
                ET.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)


def _box(track, frame, corners, doing, used):
    corners = {key: f"{value:.2f}" for key, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)}
    box = ET.SubElement(track, "box", frame=str(frame), keyframe="1", outside="0", occluded="0", **corners, z_order="0")
    for action in used:
        ET.SubElement(box, "attribute", name=action).text = str(action in doing).lower()


def _texts(parent, **texts):
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)
