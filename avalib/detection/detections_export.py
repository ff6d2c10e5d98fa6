"""Detections for other tools: COCO json, CVAT's xml, and the Detections of the library supervision."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.importers.annotation_export import VideoRows, write_coco_json, write_cvat_xml
from avalib.data.importers.source_videos import measure_video
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_table import COLUMNS
from avalib.utils.download import get_local_path
from avalib.video.frame_numbers import AVA_FPS

EXPORT_SUFFIXES = {".json": "COCO", ".xml": "CVAT"}


def export_detections(
    detections: pd.DataFrame, video: str | Path, path: str | Path, score_threshold: float = 0.3
) -> Path:
    """Write the table of `detect` for an annotation tool, as COCO or CVAT.

    `avalib.import_data` and `read_annotations` read the file back, with the scores.

    Parameters
    ----------
    detections : DataFrame
        What avalib.detect returned, or its csv read by pandas.
    video : path or URL
        The video of the detections.
    path : str or Path
        .json is COCO: an annotation per row with `track_id` (the person) and `score`, an image per time with its
        `timestamp`. .xml is "CVAT for video 1.1": a track per person, with a checkbox per action and a text attribute
        "ACTION score"; boxes to a hundredth of a pixel, scores to four digits, times those of frames.
    score_threshold : float
        Rows with a lower score are left out.

    Returns
    -------
    Path

    Raises
    ------
    VideoError
        The video cannot be read.
    ValueError
        The path has another suffix, or the table lacks a column.
    """
    path = get_export_path(path)
    _check_columns(detections)
    video_path = Path(get_local_path(video))
    measured = measure_video(video_path, AVA_FPS)
    # Boxes from fractions to pixels.
    table = detections[detections["score"] >= score_threshold].copy()
    table[BOX_COLUMNS] *= [measured.width, measured.height, measured.width, measured.height]
    rows = VideoRows(video_path.stem, "", measured, table)
    if path.suffix == ".json":
        return write_coco_json(path, [rows], get_label_map(detections))
    return write_cvat_xml(path, rows, sorted(table["action"].unique()))


def get_export_path(path: str | Path) -> Path:
    """`path` as a Path, if its suffix is a format of `export_detections`. Raises ValueError otherwise."""
    path = Path(path)
    if path.suffix not in EXPORT_SUFFIXES:
        formats = " or ".join(f"{suffix} ({name})" for suffix, name in EXPORT_SUFFIXES.items())
        raise ValueError(f"{path}: expected a name that ends in {formats}")
    return path


def get_label_map(detections: pd.DataFrame) -> dict[int, str]:
    """{action_id: name} of a table of detections: that of its model, or, read from a csv, of the actions it has."""
    if "label_map" in detections.attrs:
        return {int(action_id): name for action_id, name in sorted(detections.attrs["label_map"].items())}
    named = detections.drop_duplicates("action_id").sort_values("action_id")
    return dict(zip(named["action_id"].tolist(), named["action"].tolist(), strict=True))


def to_supervision(detections: pd.DataFrame, frame: int, width: int, height: int):
    """One frame's people as `supervision.Detections`.

    Parameters
    ----------
    detections : DataFrame
        What avalib.detect returned, or its csv read by pandas.
    frame : int
        Number of the native frame, as in the table's column `frame`.
    width, height : int
        Of the pictures, in pixels.

    Returns
    -------
    supervision.Detections
        One row per person: `xyxy` in pixels, `tracker_id` (the person), `class_id` and `confidence` (the action with
        the highest score), `data["class_name"]` (its name), `data["scores"]` (N,A) of all actions, NaN where the table
        has no row. `metadata` has time_s, frame, and the A action_ids and class_names. Without people it is empty.

    Raises
    ------
    ImportError
        supervision is not installed.
    ValueError
        The table lacks a column.
    """
    supervision = _import_supervision()
    _check_columns(detections)
    rows = detections[detections["frame"] == frame]
    return _build_detections(supervision, rows, frame, (width, height), get_label_map(detections))


def iter_supervision(detections: pd.DataFrame, width: int, height: int) -> Iterator[tuple]:
    """Yield (frame, supervision.Detections) of each frame of the table, in order; see `to_supervision`."""
    supervision = _import_supervision()
    _check_columns(detections)
    label_map = get_label_map(detections)
    for frame, rows in detections.groupby("frame", sort=True):
        yield int(frame), _build_detections(supervision, rows, int(frame), (width, height), label_map)


def _build_detections(supervision, rows, frame, size, label_map):
    """The supervision.Detections of one frame's rows."""
    if not len(rows):
        return supervision.Detections.empty()
    # The best row of each person, in the order of the ids (N).
    ordered = rows.sort_values(["person_id", "score"], ascending=[True, False], kind="stable")
    best = ordered.drop_duplicates("person_id")
    # Scores (N,A): a person a line, an action a column.
    action_ids = list(label_map)
    scores = rows.pivot_table("score", "person_id", "action_id", "max").reindex(columns=action_ids)
    return supervision.Detections(
        xyxy=(best[BOX_COLUMNS].to_numpy() * [*size, *size]).astype(np.float32),
        confidence=best["score"].to_numpy(np.float32),
        class_id=best["action_id"].to_numpy(np.int64),
        tracker_id=best["person_id"].to_numpy(np.int64),
        data={"class_name": best["action"].to_numpy(str), "scores": scores.to_numpy(np.float64)},
        metadata={
            "frame": frame,
            "time_s": float(best["time_s"].iloc[0]),
            "action_ids": action_ids,
            "class_names": list(label_map.values()),
        },
    )


def _import_supervision():
    """The library, which is optional."""
    try:
        import supervision
    except ImportError as error:
        raise ImportError(f"supervision is not installed ({error}): pip install 'avalib[supervision]'") from error
    return supervision


def _check_columns(detections):
    """Raise ValueError unless a table has the columns of detections."""
    if missing := [column for column in COLUMNS if column not in detections]:
        raise ValueError(f"no column {', '.join(missing)}: expected the table that avalib.detect returns")
