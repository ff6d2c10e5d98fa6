"""COCO json whose images are frames of videos: one file, or a folder of them (one a frame, a video or a split)."""

import re
from pathlib import Path

import numpy as np

from avalib.data.importers.base import build_raw_table
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.limits import MAX_ACTION_ID
from avalib.utils.markup import read_json

LISTS = ("images", "annotations", "categories")

_FRAME = re.compile(r"^(?P<video>.+?)[/\\_-](?:[A-Za-z]+[_-]?)?(?P<frame>\d+)\.(jpe?g|png|bmp)$", re.I)
_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(?![a-z])")


def read_coco(path, first_frame=0, rate=None):
    """Raw rows of COCO detection json.

    The video and frame of an image: `video_id` (of "videos") with `frame_id`, or `file_name` as in
    `video/frame_000012.jpg` or `video_000012.jpg`. first_frame: the number of the first (FFmpeg's files: 1); rate: at
    how many a second the frames were taken, None: every frame of the video. `timestamp` (seconds), where an image has
    it, goes before all of these. Where the video is a folder of pictures, the number in file_name is the picture's.
    Annotations: `bbox` x,y,w,h in pixels, `category_id`, `track_id` where known.
    Raises ValueError naming the file, the image or annotation, and what was expected.
    """
    path = Path(path)
    files = sorted(path.rglob("[!.]*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no .json in this folder")
    rows, classes = [], {}
    for file in files:
        rows += _rows(file, classes, first_frame, rate)
    moved = 1 if 0 in classes else 0  # COCO's ids count from 0 or from 1
    label_map = {i + moved: name for i, name in sorted(classes.items())}
    columns = [
        "video",
        "frame",
        "number",
        "time_s",
        "width",
        "height",
        *BOX_COLUMNS,
        "action",
        "person",
        "split",
        "where",
    ]
    return build_raw_table(rows, columns), label_map, [f"category ids moved up by {moved}"] if moved else []


def _rows(file, classes, first_frame, rate):
    """The rows of one json; its categories are put into `classes`, {id: name}."""
    content = read_json(file)
    lists = {key: content.get(key) if isinstance(content, dict) else None for key in LISTS}
    if faulty := [key for key, items in lists.items() if not isinstance(items, list)]:
        raise ValueError(f"{file}: not COCO; expected lists of {', '.join(LISTS)}; no list of {', '.join(faulty)}")
    _read_categories(lists["categories"], classes, file)
    videos = _read_videos(content, file)
    split = next(iter(_SPLIT.findall(file.stem.lower())), "")
    frames = {}
    for n, image in enumerate(lists["images"]):
        place = _place(image, "image", n, file)
        key, frame = _value(image, "id", (int, str), place), _frame(image, videos, place, first_frame, rate)
        if frames.setdefault(key, frame) is not frame:
            raise ValueError(f"{place}: an image with this id is there already; expected each id once")
    found = []
    for n, annotation in enumerate(lists["annotations"]):
        place = _place(annotation, "annotation", n, file)
        image, category = (_value(annotation, key, (int, str), place) for key in ("image_id", "category_id"))
        for key, value, known in (("image_id", image, frames), ("category_id", category, classes)):
            if value not in known:
                raise ValueError(f"{place}: {key} {value!r}; there is no such id in the file")
        x, y, w, h = _bbox(annotation, place)
        extra = annotation.get("attributes")
        person = annotation.get("track_id", extra.get("track_id") if isinstance(extra, dict) else None)
        if person is not None and (isinstance(person, bool) or not isinstance(person, (int, float, str))):
            raise ValueError(f"{place}: track_id {_short(person)}; expected a number or a name")
        where = place.removeprefix(f"{file.parent}/").removeprefix(f"{file.parent}\\")
        found.append((*frames[image], x, y, x + w, y + h, classes[category], person, split, where))
    return found


def _read_categories(categories, classes, file):
    """Put {id: name} of a file's categories into `classes`."""
    for n, category in enumerate(categories):
        place = _place(category, "category", n, file)
        i, name = _value(category, "id", (int,), place), _value(category, "name", (str,), place)
        if not 0 <= i <= MAX_ACTION_ID:
            raise ValueError(f"{place}: id {i}; expected 0 to {MAX_ACTION_ID}")
        if classes.setdefault(i, name) != name:
            raise ValueError(f"{file}: category {i} is {name!r}, elsewhere {classes[i]!r}")


def _read_videos(content, file):
    """{id: name} of a file's "videos", which many files don't have."""
    videos = content.get("videos") or []
    if not isinstance(videos, list):
        raise ValueError(f"{file}: videos is a {type(videos).__name__}; expected a list")
    names = {}
    for n, item in enumerate(videos):
        place = _place(item, "video", n, file)
        key = "name" if "name" in item else "file_name"
        names[_value(item, "id", (int, str), place)] = _value(item, key, (str,), place)
    return names


def _frame(image, videos, place, first_frame, rate):
    """(video, frame, number in the picture's name, time_s, width, height) of an image."""
    named = _FRAME.match(str(image.get("file_name", "")))
    video_id = _value(image, "video_id", (int, str, type(None)), place, needed=False)
    video = videos.get(video_id) or (named and named["video"])
    in_name = int(named["frame"]) if named and len(named["frame"]) <= 15 else None
    number = _value(image, "frame_id", (int, type(None)), place, needed=False)
    number = _value(image, "frame_index", (int, type(None)), place, needed=False) if number is None else number
    number = in_name if number is None else number
    seconds = _value(image, "timestamp", (int, float, type(None)), place, needed=False)
    if not video or (number is None and seconds is None):
        name = _short(image.get("file_name"))
        raise ValueError(
            f"{place}, file_name {name}: can't tell its video and frame; "
            "expected video_id and frame_id, or a name like video_000012.jpg"
        )
    if seconds is None and rate:
        seconds = (number - first_frame) / rate
    size = [_value(image, key, (int, float, type(None)), place, needed=False) or np.nan for key in ("width", "height")]
    if seconds is not None:
        return video, np.nan, np.nan, float(seconds), *size
    return video, number - first_frame, np.nan if in_name is None else in_name, np.nan, *size


def _place(item, kind, n, file):
    """'FILE, annotation 7', for messages. Raises ValueError where the item isn't an object."""
    if not isinstance(item, dict):
        raise ValueError(f"{file}, {kind} number {n}: {_short(item)}; expected an object")
    return f"{file}, {kind} {_short(item['id'])}" if "id" in item else f"{file}, {kind} number {n}"


def _value(item, key, kinds, place, needed=True):
    """One value of an item, of one of the kinds; numbers are finite and fit into 53 bits."""
    if needed and key not in item:
        raise ValueError(f"{place}: no {key}; it has {', '.join(map(str, item)) or 'nothing'}")
    value = item.get(key)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits or (isinstance(value, (int, float)) and not abs(value) < 2**53):
        words = {int: "a whole number", float: "a number", str: "a name", type(None): "nothing"}
        expected = " or ".join(words[kind] for kind in kinds if kind is not int or float not in kinds)
        raise ValueError(f"{place}: {key} {_short(value)}; expected {expected}")
    return value


def _bbox(annotation, place):
    box = annotation.get("bbox")
    numbers = box if isinstance(box, list) else []
    if len(numbers) != 4 or not all(type(v) in (int, float) and abs(v) < 1e9 for v in numbers):
        raise ValueError(f"{place}: bbox {_short(box)}; expected [x, y, width, height] in pixels")
    return map(float, numbers)


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
