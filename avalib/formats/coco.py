"""COCO json whose images are frames of videos: one file, or a folder of them (one a frame, a video or a split)."""

import json
import re
from pathlib import Path

import numpy as np

from avalib.formats.common import raw_rows
from avalib.tables import BOX

_FRAME = re.compile(r"^(?P<video>.+?)[/\\_-](?:[A-Za-z]+[_-]?)?(?P<frame>\d+)\.(jpe?g|png|bmp)$", re.I)
_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(?![a-z])")


def read(path, first_frame=0, rate=None):
    """Raw rows of COCO detection json.

    The video and frame of an image: `video_id` (of "videos") with `frame_id`, or `file_name` as in
    `video/frame_000012.jpg` or `video_000012.jpg`. first_frame: the number of the first (FFmpeg's files: 1); rate: at
    how many a second the frames were taken, None: every frame of the video. `timestamp` (seconds), where an image has
    it, goes before all of these. Annotations: `bbox` x,y,w,h in pixels, `category_id`, `track_id` where known.
    Raises ValueError naming the file, the image or annotation, and what was expected.
    """
    path = Path(path)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no .json in this folder")
    rows, classes = [], {}
    for file in files:
        rows += _rows(file, classes, first_frame, rate)
    first = min(classes, default=1)
    label_map = {i - min(first, 1) + 1: name for i, name in sorted(classes.items())}  # COCO counts from 0 or from 1
    columns = ["video", "frame", "time_s", "width", "height", *BOX, "action", "person", "split", "where"]
    return raw_rows(rows, columns), label_map, [f"category ids moved up by {1 - first}"] if first < 1 else []


def _rows(file, classes, first_frame, rate):
    """The rows of one json; its categories are put into `classes`, {id: name}."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        images, annotations, categories = (content[key] for key in ("images", "annotations", "categories"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: not COCO ({error}); expected images, annotations and categories") from error
    for category in categories:
        if classes.setdefault(category["id"], category["name"]) != category["name"]:
            known = classes[category["id"]]
            raise ValueError(f"{file}: category {category['id']} is {category['name']!r}, in another file {known!r}")
    videos = {v["id"]: v.get("name", v.get("file_name")) for v in content.get("videos", [])}
    split = next(iter(_SPLIT.findall(file.stem.lower())), "")
    frames = {image["id"]: _frame(image, videos, file, first_frame, rate) for image in images}
    found = []
    for annotation in annotations:
        where = f"{file.name}, annotation {annotation.get('id')}"
        try:
            frame, action = frames[annotation["image_id"]], classes[annotation["category_id"]]
            x, y, w, h = map(float, annotation["bbox"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{file}, annotation {annotation.get('id')}: {type(error).__name__} {error}; expected image_id, "
                "category_id and bbox [x, y, width, height] that the file has"
            ) from error
        person = annotation.get("track_id", annotation.get("attributes", {}).get("track_id"))
        found.append((*frame, x, y, x + w, y + h, action, person, split, where))
    return found


def _frame(image, videos, file, first_frame, rate):
    """(video, frame, time_s, width, height) of an image."""
    named = _FRAME.match(str(image.get("file_name", "")))
    video = videos.get(image.get("video_id")) or (named and named["video"])
    number = image.get("frame_id", image.get("frame_index", named and int(named["frame"])))
    seconds = image.get("timestamp")
    if not video or (number is None and seconds is None):
        raise ValueError(
            f"{file}, image {image.get('id')}, file_name {image.get('file_name')!r}: can't tell its video and frame; "
            "expected video_id and frame_id, or a name like video_000012.jpg"
        )
    if seconds is None and rate:
        seconds = (number - first_frame) / rate
    frame = np.nan if seconds is not None else number - first_frame
    size = (image.get("width") or np.nan, image.get("height") or np.nan)
    return video, frame, np.nan if seconds is None else float(seconds), *size
