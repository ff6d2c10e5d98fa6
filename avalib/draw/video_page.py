"""One web page per video: the player with boxes, a timeline, a table and a search box. It needs no server."""

import base64
import json
import re
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.labels import get_action_groups
from avalib.draw.colors import GROUP_COLORS, get_person_color
from avalib.draw.people import HALF_KEYFRAME_S, LONGEST_GAP_S, group_people_by_time, resolve_action_names
from avalib.draw.timeline import find_segments, select_lanes
from avalib.utils.download import build_relative_url, get_local_path
from avalib.utils.files import write_text
from avalib.video.reader import Video

TEMPLATE = "video_page.html"
MAX_EMBEDDED_MB = 20.0
# what browsers take; of other suffixes they decide by the content
MEDIA_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}


def write_video_page(
    path: str | Path,
    video: str | Path,
    detections: pd.DataFrame,
    score_threshold: float = 0.3,
    top_k: int | None = 3,
    embed_mb: float = MAX_EMBEDDED_MB,
    title: str | None = None,
) -> Path:
    """Write a web page that plays a video with its detections; it opens without a server and without a network.

    The page shows boxes over the playing video, a timeline of each person's actions, a table of them, and a search box
    whose matches are one click from their second.

    Parameters
    ----------
    path : str or Path
        The html file.
    video : path or URL
        The video of the detections. Browsers play H.264 and VP9, mp4 and webm; of others the page says that it can't.
    detections : DataFrame
        What avalib.detect returned, or its csv read by pandas.
    score_threshold : float
        Actions with a lower score are left out.
    top_k : int, optional
        At most this many labels on each box; None: all. Timeline and table have all actions.
    embed_mb : float
        A video of up to this many megabytes becomes part of the page, which then is one file to send. A larger one is
        referenced by its path from the page.
    title : str, optional
        Default: the video's name.

    Returns
    -------
    Path

    Raises
    ------
    VideoError
        The video cannot be read.
    ValueError
        The path has another suffix, or the table other columns.
    """
    path = get_page_path(path)
    video_path = Path(get_local_path(video))
    with Video(video_path) as reader:
        content = {"width": reader.width, "height": reader.height, "duration_s": reader.duration_s}
    content |= _build_content(detections, score_threshold, top_k)
    is_embedded = video_path.stat().st_size <= 1e6 * embed_mb
    content["fault"] = f"This browser can't play {video_path.name}: " + (
        "write it as mp4 (H.264) or webm." if is_embedded else "is it where the page expects it, and mp4 or webm?"
    )
    page = resources.files("avalib.draw").joinpath(TEMPLATE).read_text(encoding="utf-8")
    values = {
        "TITLE": escape(title or video_path.name),
        "VIDEO": _embed_video(video_path) if is_embedded else escape(build_relative_url(video_path, path)),
        "DATA": _to_script_json(content),
    }
    # In one pass: nothing in a value is taken for a placeholder.
    return write_text(path, re.sub(r"\{\{([A-Z]+)\}\}", lambda match: values[match[1]], page))


def get_page_path(path: str | Path) -> Path:
    """`path` as a Path, if a page can have this name. Raises ValueError for another suffix."""
    path = Path(path)
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"{path}: expected a name that ends in .html")
    return path


def _build_content(detections, score_threshold, top_k):
    """What the page's script needs of the table: keyframes for the boxes, segments for timeline and table."""
    names = resolve_action_names(detections)
    groups = get_action_groups(names)
    segments = find_segments(detections, score_threshold=score_threshold)
    segments = segments.sort_values(["start_s", "person_id", "action_id"], kind="stable")
    people_by_time = group_people_by_time(detections.rename(columns={"time_s": "timestamp"}))
    # Boxes are interpolated over one and a half steps of the table, as in render_frames.
    longest_gap_s = LONGEST_GAP_S
    if len(people_by_time) > 1:
        longest_gap_s = max(longest_gap_s, 1.5 * float(np.median(np.diff(list(people_by_time)))))
    keyframes = []
    for time_s, people in people_by_time.items():
        shown = [_build_person(person.filter_labels(score_threshold, top_k)) for person in people]
        keyframes.append({"time_s": time_s, "people": shown})
    person_ids = sorted({person["person_id"] for keyframe in keyframes for person in keyframe["people"]})
    lanes = select_lanes(segments, top_k=len(names), max_people=len(person_ids))
    return {
        "keyframes": keyframes,
        "segments": segments.drop(columns="action").round(3).to_dict("records"),
        "lanes": [
            {"person_id": int(person_id), "action_ids": [int(action) for action in actions]}
            for person_id, actions in lanes
        ],
        "names": names,
        "group_colors": {action_id: GROUP_COLORS[groups[action_id]] for action_id in names},
        "colors": {person_id: get_person_color(person_id) for person_id in person_ids},
        "cuts_s": [float(cut_s) for cut_s in detections.attrs.get("cuts_s", ())],
        "longest_gap_s": longest_gap_s,
        "half_keyframe_s": HALF_KEYFRAME_S,
    }


def _build_person(person):
    """A Person as plain values: boxes to a ten-thousandth of the frame, scores to a thousandth."""
    return {
        "person_id": person.person_id,
        "box": [round(float(value), 4) for value in person.box],
        "labels": [[action_id, round(score, 3)] for action_id, score in person.scored_labels],
    }


def _to_script_json(content):
    """json that is safe inside a script element: no "<" that could end it."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _embed_video(video_path):
    """The video's bytes as a URL."""
    media_type = MEDIA_TYPES.get(video_path.suffix.lower(), "video/mp4")
    return f"data:{media_type};base64,{base64.b64encode(video_path.read_bytes()).decode()}"
