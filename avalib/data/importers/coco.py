"""COCO json whose images are frames of videos: one file, or a folder of them (one per frame, video or split)."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avalib.data.importers.base import RawAnnotations, RawRow, build_raw_table
from avalib.data.importers.picture_folders import MAX_NUMBER_DIGITS
from avalib.data.row_checks import shorten_value
from avalib.utils.limits import MAX_ACTION_ID
from avalib.utils.markup import read_json

LISTS = ("images", "annotations", "categories")
MAX_COORDINATE_PX = 1e9
_MISSING = type(None)

# `video/frame_000012.jpg`, `video_000012.jpg`: the video, and the frame number.
_FRAME_NAME = re.compile(r"^(?P<video>.+?)[/\\_-](?:[A-Za-z]+[_-]?)?(?P<frame>\d+)\.(jpe?g|png|bmp)$", re.I)
_SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|val|test)(?![a-z])")


def read_coco(path, first_frame=0, rate=None):
    """Read COCO detection json.

    The video and frame of an image: `video_id` (of "videos") with `frame_id`, or `file_name` as in
    `video/frame_000012.jpg` or `video_000012.jpg`. `timestamp` (seconds), where an image has it, takes precedence over
    all of these. Where the video is a folder of pictures, the number in file_name is the picture's. Annotations have
    `bbox` x,y,w,h in pixels, `category_id`, and optionally `track_id` and `score` (0..1, of predictions).

    Parameters
    ----------
    path : str or Path
        A json file, or a folder of them.
    first_frame : int
        The number of the first frame (files that FFmpeg wrote: 1).
    rate : float, optional
        Frames per second at which the frames were taken. The default is every frame of the video.

    Returns
    -------
    RawAnnotations

    Raises
    ------
    FileNotFoundError
        If there is no json in the folder.
    ValueError
        Names the file, the image or annotation, and what was expected.
    """
    path = Path(path)
    files = sorted(path.rglob("[!.]*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no .json in this folder")
    class_names = {}  # {category id: name} of all files
    rows = []
    for file in files:
        rows += _CocoFile(file, read_json(file), class_names).build_rows(first_frame, rate)
    # COCO's ids count from 0 or from 1; AVA's from 1.
    offset = 1 if 0 in class_names else 0
    label_map = {category_id + offset: name for category_id, name in sorted(class_names.items())}
    notes = [f"category ids moved up by {offset}"] if offset else []
    return RawAnnotations(build_raw_table(rows), label_map, notes)


@dataclass(frozen=True)
class _CocoFrame:
    """The frame that an image is; NaN for what the file does not have."""

    video: str
    frame: float
    picture_number: float
    time_s: float
    width: float
    height: float


@dataclass
class _CocoFile:
    """One json file; its categories are added to `class_names`, which all files of an import share."""

    path: Path
    content: object
    class_names: dict
    videos: dict = field(default_factory=dict)  # {id: name}
    frames: dict = field(default_factory=dict)  # {image id: _CocoFrame}

    def build_rows(self, first_frame, rate):
        """The RawRows of the annotations; raises ValueError that names the item."""
        self._check_lists()
        for index, category in enumerate(self.content["categories"]):
            self._add_category(category, self._locate(category, "category", index))
        self._read_videos()
        for index, image in enumerate(self.content["images"]):
            self._add_image(image, self._locate(image, "image", index), first_frame, rate)
        split = next(iter(_SPLIT_IN_NAME.findall(self.path.stem.lower())), "")
        return [
            self._build_row(annotation, self._locate(annotation, "annotation", index), split)
            for index, annotation in enumerate(self.content["annotations"])
        ]

    def _check_lists(self):
        content = self.content if isinstance(self.content, dict) else {}
        missing = [key for key in LISTS if not isinstance(content.get(key), list)]
        if missing:
            raise ValueError(
                f"{self.path}: not COCO; expected lists of {', '.join(LISTS)}; no list of {', '.join(missing)}"
            )

    def _locate(self, item, kind, index):
        """'FILE, annotation 7', for messages. Raises ValueError for an item that is not an object."""
        if not isinstance(item, dict):
            raise ValueError(f"{self.path}, {kind} number {index}: {shorten_value(item)}; expected an object")
        if "id" in item:
            return f"{self.path}, {kind} {shorten_value(item['id'])}"
        return f"{self.path}, {kind} number {index}"

    def _add_category(self, category, location):
        category_id = _get_value(category, "id", (int,), location)
        name = _get_value(category, "name", (str,), location)
        if not 0 <= category_id <= MAX_ACTION_ID:
            raise ValueError(f"{location}: id {category_id}; expected 0 to {MAX_ACTION_ID}")
        if self.class_names.setdefault(category_id, name) != name:
            raise ValueError(
                f"{self.path}: category {category_id} is {name!r}, elsewhere {self.class_names[category_id]!r}"
            )

    def _read_videos(self):
        """Read the list "videos", which many files do not have."""
        videos = self.content.get("videos") or []
        if not isinstance(videos, list):
            raise ValueError(f"{self.path}: videos is a {type(videos).__name__}; expected a list")
        for index, video in enumerate(videos):
            location = self._locate(video, "video", index)
            video_id = _get_value(video, "id", (int, str), location)
            name_key = "name" if "name" in video else "file_name"
            self.videos[video_id] = _get_value(video, name_key, (str,), location)

    def _add_image(self, image, location, first_frame, rate):
        image_id = _get_value(image, "id", (int, str), location)
        frame = self._resolve_frame(image, location, first_frame, rate)
        if image_id in self.frames:
            raise ValueError(f"{location}: an image with this id occurs already; expected each id once")
        self.frames[image_id] = frame

    def _resolve_frame(self, image, location, first_frame, rate):
        """The _CocoFrame of an image; raises ValueError where its video or time can't be derived."""
        name_match = _FRAME_NAME.match(str(image.get("file_name", "")))
        # The video: by its id, or else from the file name.
        video = self.videos.get(_get_optional(image, "video_id", (int, str), location))
        if not video and name_match:
            video = name_match["video"]

        # The frame number: the image's own, or else the one in its file name.
        number_in_name = None
        if name_match and len(name_match["frame"]) <= MAX_NUMBER_DIGITS:
            number_in_name = int(name_match["frame"])
        number = _get_optional(image, "frame_id", (int,), location)
        if number is None:
            number = _get_optional(image, "frame_index", (int,), location)
        if number is None:
            number = number_in_name

        time_s = _get_optional(image, "timestamp", (int, float), location)
        if not video or (number is None and time_s is None):
            raise ValueError(
                f"{location}, file_name {shorten_value(image.get('file_name'))}: can't tell its video and frame; "
                "expected video_id and frame_id, or a name like video_000012.jpg"
            )
        if time_s is None and rate:
            time_s = (number - first_frame) / rate
        # With a time of its own, an image needs no frame number.
        has_time = time_s is not None
        return _CocoFrame(
            video=video,
            frame=np.nan if has_time else number - first_frame,
            picture_number=np.nan if has_time or number_in_name is None else number_in_name,
            time_s=float(time_s) if has_time else np.nan,
            width=_get_optional(image, "width", (int, float), location) or np.nan,
            height=_get_optional(image, "height", (int, float), location) or np.nan,
        )

    def _build_row(self, annotation, location, split):
        """The RawRow of an annotation."""
        image_id = _get_value(annotation, "image_id", (int, str), location)
        category_id = _get_value(annotation, "category_id", (int, str), location)
        # Both ids must exist.
        for key, value, ids in (("image_id", image_id, self.frames), ("category_id", category_id, self.class_names)):
            if value not in ids:
                raise ValueError(f"{location}: {key} {value!r}; there is no such id in the file")
        frame = self.frames[image_id]
        x, y, width, height = _get_bbox(annotation, location)
        return RawRow(
            video=frame.video,
            frame=frame.frame,
            picture_number=frame.picture_number,
            time_s=frame.time_s,
            width=frame.width,
            height=frame.height,
            x1=x,
            y1=y,
            x2=x + width,
            y2=y + height,
            action=self.class_names[category_id],
            person=_get_track_id(annotation, location),
            score=_get_score(annotation, location),
            split=split,
            location=location.removeprefix(f"{self.path.parent}/").removeprefix(f"{self.path.parent}\\"),
        )


def _get_track_id(annotation, location):
    """The person of an annotation, a number or a name; None where it has none."""
    # CVAT's COCO export has the track among the attributes.
    attributes = annotation.get("attributes")
    default = attributes.get("track_id") if isinstance(attributes, dict) else None
    track_id = annotation.get("track_id", default)
    if track_id is not None and (isinstance(track_id, bool) or not isinstance(track_id, (int, float, str))):
        raise ValueError(f"{location}: track_id {shorten_value(track_id)}; expected a number or a name")
    return track_id


def _get_score(annotation, location):
    """The score of a prediction, 0..1; NaN where there is none."""
    score = _get_optional(annotation, "score", (int, float), location)
    if score is not None and not 0 <= score <= 1:
        raise ValueError(f"{location}: score {shorten_value(score)}; expected 0 to 1")
    return np.nan if score is None else float(score)


def _get_bbox(annotation, location):
    """The box (x, y, width, height) of an annotation, in pixels."""
    bbox = annotation.get("bbox")
    numbers = bbox if isinstance(bbox, list) else []
    if len(numbers) != 4 or not all(
        type(value) in (int, float) and abs(value) < MAX_COORDINATE_PX for value in numbers
    ):
        raise ValueError(f"{location}: bbox {shorten_value(bbox)}; expected [x, y, width, height] in pixels")
    return map(float, numbers)


def _get_optional(item, key, kinds, location):
    """As `_get_value`, but None for a key that is missing or null."""
    return None if item.get(key) is None else _get_value(item, key, (*kinds, _MISSING), location)


def _get_value(item, key, kinds, location):
    """One value of an item, of one of the types `kinds`; numbers are finite and fit into 53 bits."""
    if key not in item:
        raise ValueError(f"{location}: no {key}; it has {', '.join(map(str, item)) or 'nothing'}")
    value = item[key]
    # True and False are whole numbers to Python, but not in json.
    is_kind = isinstance(value, kinds) and not isinstance(value, bool)
    is_huge = isinstance(value, (int, float)) and not abs(value) < 2**53
    if not is_kind or is_huge:
        # A float may also be whole, so "a whole number" is only named where floats are not allowed.
        descriptions = {int: "a whole number", float: "a number", str: "a name", _MISSING: "nothing"}
        named_kinds = [kind for kind in kinds if not (kind is int and float in kinds)]
        expected = " or ".join(descriptions[kind] for kind in named_kinds)
        raise ValueError(f"{location}: {key} {shorten_value(value)}; expected {expected}")
    return value
