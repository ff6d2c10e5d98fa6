"""The annotations of AVA-Kinetics' Kinetics part: read, given to clips, and what is missing of them.

Source of the rules: MMAction2 1.2.0, tools/data/ava_kinetics.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import load_ava_table
from avalib.data.kinetics_clips import KineticsClip, parse_clip_name
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.text import open_binary

SECOND_COLUMNS = ["video_id", "timestamp"]
MISSING_COLUMNS = ["video_id", "keyframes", "boxes", "labels", "reason"]
ACTION_COLUMNS = ["action_id", "action", "labels", "missing", "share_missing"]


def read_kinetics_annotations(path: str | Path) -> pd.DataFrame:
    """Read the csv of the Kinetics part, kinetics_train_v1.0.csv.

    Parameters
    ----------
    path : str or Path
        Rows of 7 columns: YouTube id, second (a decimal number), box, action. Rows without a box are left out.

    Returns
    -------
    DataFrame
        Ground truth as of `read_ava_csv`, with video_id the YouTube id, whole seconds (decimals cut off, as MMAction2
        does), person_id -1.

    Raises
    ------
    ValueError
        Naming file, line and value.
    """
    table = _load_rows_with_boxes(path).reset_index(drop=True)
    return table.assign(video_id=table.video_id.astype(str), timestamp=np.trunc(table.timestamp))


def _load_rows_with_boxes(path):
    """The rows with a box. Without the others, a million rows are read in a second instead of a minute."""
    _, file = open_binary(path)
    with file:
        with_box = b"".join(line for line in file if b",,,," not in line and line.count(b",") > 1)
    try:
        return load_ava_table(io.BytesIO(with_box), "ground_truth")
    except ValueError:
        # once more with all rows, so that the message has the file's own lines
        return load_ava_table(path, "ground_truth").dropna(subset=["x1"])


def choose_clips(annotations: pd.DataFrame, clips: Iterable[KineticsClip]) -> pd.Series:
    """Choose the clip of each annotated second.

    A second belongs to a clip if it lies between the clip's start and end, neither of them included. Where several
    clips have it, the one with the most annotated seconds is taken, of these the longest, then the first.

    Parameters
    ----------
    annotations : DataFrame
        Of `read_kinetics_annotations`.
    clips : iterable of KineticsClip

    Returns
    -------
    Series
        (N,) the clip's name for each row; None where no clip has its second.
    """
    seconds = annotations[SECOND_COLUMNS].drop_duplicates()
    table = pd.DataFrame(
        [(clip.youtube_id, clip.start_s, clip.end_s, clip.name) for clip in clips],
        columns=["video_id", "start_s", "end_s", "clip"],
    ).astype({"video_id": str, "start_s": float, "end_s": float, "clip": str})
    # every pair of a second and a clip that has it
    pairs = seconds.merge(table.drop_duplicates("clip"), on="video_id")
    pairs = pairs[(pairs.start_s < pairs.timestamp) & (pairs.timestamp < pairs.end_s)]
    pairs = pairs.assign(seconds=pairs.groupby("clip").timestamp.transform("size"), length=pairs.end_s - pairs.start_s)
    best = pairs.sort_values(["seconds", "length", "start_s"], ascending=[False, False, True], kind="stable")
    best = best.drop_duplicates(SECOND_COLUMNS)[[*SECOND_COLUMNS, "clip"]]
    chosen = annotations[SECOND_COLUMNS].merge(best, on=SECOND_COLUMNS, how="left")["clip"]
    return chosen.astype(object).where(chosen.notna(), None).set_axis(annotations.index)


def list_missing_annotations(
    annotations: pd.DataFrame, chosen: pd.Series, clips: Iterable[KineticsClip], faults: dict[str, str]
) -> pd.DataFrame:
    """List what is annotated and has no clip.

    Parameters
    ----------
    annotations, chosen : DataFrame, Series
        Of `read_kinetics_annotations` and `choose_clips`.
    clips : iterable of KineticsClip
        All that exist, usable or not.
    faults : dict
        {clip's name: why it can't be used}.

    Returns
    -------
    DataFrame
        One row per YouTube id: video_id, keyframes, boxes, labels, reason.
    """
    clips_of_id = {}
    for clip in clips:
        clips_of_id.setdefault(clip.youtube_id, []).append(clip.name)
    # counts of each id (I,), in the order of the csv
    missing = annotations[chosen.isna()]
    boxes = missing.drop_duplicates(["video_id", "timestamp", *BOX_COLUMNS])
    by_id = missing.groupby("video_id", sort=False).timestamp
    counts = pd.DataFrame(
        {
            "keyframes": by_id.nunique(),
            "boxes": boxes.groupby("video_id", sort=False).size(),
            "labels": by_id.size(),
            "first": by_id.min(),
        }
    )
    rows = []
    for video_id, n_keyframes, n_boxes, n_labels, first in counts.itertuples():
        names = sorted(set(clips_of_id.get(video_id, [])))
        reasons = [faults[name] for name in names if name in faults]
        if not names:
            reasons = ["no clip of it"]
        elif not reasons:
            reasons = [f"second {first:g} is outside of {', '.join(names[:3])}"]
        rows.append((video_id, n_keyframes, n_boxes, n_labels, "; ".join(reasons)))
    return pd.DataFrame(rows, columns=MISSING_COLUMNS)


def count_missing_actions(annotations: pd.DataFrame, chosen: pd.Series, names: dict[int, str]) -> pd.DataFrame:
    """Count the labels of each action, and those that have no clip.

    Parameters
    ----------
    annotations, chosen : DataFrame, Series
        Of `read_kinetics_annotations` and `choose_clips`.
    names : dict
        {action_id: name}.

    Returns
    -------
    DataFrame
        One row per action that is annotated: action_id, action, labels, missing, share_missing (0..1), the most
        missing first.
    """
    is_missing = chosen.isna().groupby(annotations.action_id)
    counts = is_missing.agg(labels="size", missing="sum", share_missing="mean").reset_index()
    counts["action"] = [names.get(action_id, str(action_id)) for action_id in counts.action_id]
    ordered = counts.sort_values(["share_missing", "missing"], ascending=False, kind="stable")
    return ordered[ACTION_COLUMNS].reset_index(drop=True)


def name_clips_of_proposals(proposals: pd.DataFrame, video_names: Iterable[str]) -> pd.DataFrame:
    """Give the boxes of YouTube ids, as MMAction2's pickles of Kinetics have them, to the clips of these ids.

    Parameters
    ----------
    proposals : DataFrame
        Of `load_proposals`.
    video_names : iterable of str
        The annotated videos, <id>_<start>_<end> for clips.

    Returns
    -------
    DataFrame
        The same, and behind it each box of such an id once for each clip; video_id is a categorical.
    """
    clips = [clip for clip in map(parse_clip_name, video_names) if clip]
    clip_of_id = pd.DataFrame({"video_id": [c.youtube_id for c in clips], "clip": [c.name for c in clips]}, dtype=str)
    of_ids = proposals[proposals.video_id.isin(clip_of_id.video_id)]
    # a box in a second that its clip doesn't have belongs to no keyframe, and is dropped with the others of that kind
    of_clips = of_ids.astype({"video_id": str}).merge(clip_of_id, on="video_id")
    of_clips = of_clips.drop(columns="video_id").rename(columns={"clip": "video_id"})[list(proposals)]
    both = pd.concat([proposals.astype({"video_id": str}), of_clips], ignore_index=True)
    return both.astype({"video_id": "category"})
