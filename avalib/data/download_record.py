"""The record of a download of AVA: what is on disk, where it came from, which videos are missing."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.ava_source import AvaSource
from avalib.data.label_map import read_label_map
from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.download import is_url
from avalib.utils.files import compute_sha256

NO_TEST_LABELS = (
    "the labels of the test split were never published: its person boxes are here, but detections can't be scored"
)
# of records written before: today's keys
OLD_KEYS = {"videos_wanted": "videos_required", "not_had": "missing_videos", "classes_lost": "missing_classes"}
MISSING_COLUMNS = ["video_id", "split", "keyframes", "boxes", "labels", "classes", "missing_classes", "reason"]


def get_download_record_path(layout: DatasetLayout) -> Path:
    """Where `download_ava` keeps its record."""
    return layout.root / f"prepare_{layout.version}.json"


def read_download_record(path: Path) -> dict:
    """Read the record of a download."""

    def rename_keys(values):
        return {OLD_KEYS.get(key, key): value for key, value in values.items()}

    # rename the keys of the record and of each missing video in it
    return json.loads(path.read_text(encoding="utf-8"), object_hook=rename_keys)


def summarize_downloads(layout: DatasetLayout, record: dict) -> str:
    """The record in a few lines: one for each missing video."""
    lines = [f"{layout.root}: AVA {layout.version}, {record['videos']} of {record['videos_required']} videos"]
    for video in record["missing_videos"]:
        counts = ", ".join(f"{video[name]} {name}" for name in ("keyframes", "boxes", "labels", "classes"))
        missing = f", the only ones of {video['missing_classes']}" if video["missing_classes"] else ""
        lines.append(f"missing: {video['video_id']} ({video['split']}, with {counts}{missing}): {video['reason']}")
    return "\n".join([*lines, NO_TEST_LABELS])


def list_missing_videos(layout: DatasetLayout, failed: dict[str, str]) -> pd.DataFrame:
    """List missing videos with the annotations that go with them.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    failed : dict
        {video_id: reason}.

    Returns
    -------
    DataFrame
        One row per video: video_id, split, keyframes, boxes, labels, classes (how many actions occur in it),
        missing_classes (names of those that occur in no other video of its split), reason.
    """
    rows = []
    names = read_label_map(layout.label_map_path)
    for split in ("train", "val"):
        table = read_ava_csv(layout.get_csv_path(split), "ground_truth")
        is_missing = table.video_id.isin(failed)
        # actions that videos on disk still show
        remaining_actions = set(table.action_id[~is_missing])
        for video_id, annotations in table[is_missing].groupby("video_id", sort=False):
            missing_actions = sorted(set(annotations.action_id) - remaining_actions)
            rows.append(
                {
                    "video_id": video_id,
                    "split": split,
                    "keyframes": annotations.timestamp.nunique(),
                    "boxes": len(annotations.drop_duplicates(["timestamp", *BOX_COLUMNS])),
                    "labels": len(annotations),
                    "classes": annotations.action_id.nunique(),
                    "missing_classes": ", ".join(names.get(action_id, str(action_id)) for action_id in missing_actions),
                    "reason": failed[video_id],
                }
            )
    return pd.DataFrame(rows, columns=MISSING_COLUMNS)


def format_date(seconds: float) -> str:
    """A time in seconds since the epoch as a date in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def describe_locations(source: AvaSource) -> dict[str, str]:
    """{kind: URL} of where files came from; "a folder" for those of this machine, whose paths no record has."""
    return {kind: place if is_url(place) else "a folder" for kind, place in source.locations.items()}


def build_download_record(layout, source, n_required, missing, annotation_files, started):
    """The record of a download.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    source : AvaSource
        Where the files came from.
    n_required : int
        How many videos belong to it.
    missing : DataFrame
        Of `list_missing_videos`.
    annotation_files : list of Path
        Files whose hashes are recorded.
    started : float
        When it began, in seconds since the epoch.
    """
    return {
        "dataset": f"AVA {layout.version}",
        "date": format_date(started),
        "wall_s": round(time.time() - started, 1),
        "from": describe_locations(source),
        "videos_required": n_required,
        "videos": n_required - missing.video_id.nunique(),
        "missing_videos": missing.to_dict("records"),
        "hashes": {path.name: compute_sha256(path) for path in annotation_files},
        "test_split": NO_TEST_LABELS,
    }
