"""The record of AVA-Kinetics' Kinetics part: which clips are there, and what is missing with the others."""

import logging
from dataclasses import dataclass

import pandas as pd

from avalib.data.ava_source import AvaSource
from avalib.data.download_record import describe_locations, format_date, get_download_record_path
from avalib.data.kinetics_annotations import count_missing_actions, list_missing_annotations
from avalib.data.kinetics_clips import ClipFile
from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.files import compute_sha256, is_writable, write_json, write_table
from avalib.utils.plurals import format_count

logger = logging.getLogger(__name__)

MISSING_FILE = "missing_kinetics.csv"
ACTIONS_FILE = "missing_kinetics_actions.csv"
SHOWN_ACTIONS = 5


@dataclass(frozen=True)
class KineticsPart:
    """The annotations of the Kinetics part, and what was found of its clips."""

    annotations: pd.DataFrame  # (N,) rows, video_id the YouTube id
    chosen: pd.Series  # (N,) the clip of each row; None: it has none
    files: list[ClipFile]  # all clips that exist, usable or not
    faults: dict[str, str]  # {clip's name: why it can't be used}
    unknown_names: list[str]  # videos that aren't named as clips


def write_kinetics_record(layout: DatasetLayout, part: KineticsPart, source: AvaSource, started: float) -> dict:
    """Write the record and the two tables of what is missing, and log a summary; into a read-only folder only the log.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    part : KineticsPart
        What it has.
    source : AvaSource
        Where it came from.
    started : float
        When, in seconds since the epoch.

    Returns
    -------
    dict
        Plain values.
    """
    rows = part.annotations
    missing = list_missing_annotations(rows, part.chosen, [file.clip for file in part.files], part.faults)
    actions = count_missing_actions(rows, part.chosen, layout.load_label_map())
    boxes = rows.assign(clip=part.chosen).drop_duplicates(["video_id", "timestamp", *BOX_COLUMNS])
    record = {
        "dataset": "AVA-Kinetics",
        "date": format_date(started),
        "from": describe_locations(source),
        "videos_required": int(rows.video_id.nunique()),
        "videos": int(rows.video_id[part.chosen.notna()].nunique()),
        "clips": int(part.chosen.nunique()),
        "boxes_required": len(boxes),
        "boxes": int(boxes["clip"].notna().sum()),
        "labels_required": len(rows),
        "labels": int(part.chosen.notna().sum()),
        "faulty_clips": part.faults,
        "unknown_names": len(part.unknown_names),
        "missing_actions": actions[actions.missing > 0].round(4).to_dict("records"),
    }
    try:
        write_table(missing, layout.root / MISSING_FILE)
        write_table(actions, layout.root / ACTIONS_FILE)
        record["hashes"] = {path.name: compute_sha256(path) for path in layout.list_annotation_files()}
        write_json(get_download_record_path(layout), record)
    except OSError as error:
        if is_writable(layout.root):
            raise
        logger.warning("%s: the record is not written (%s)", layout.root, error.strerror or error)
    logger.info("%s", summarize_kinetics(layout, record))
    return record


def summarize_kinetics(layout: DatasetLayout, record: dict) -> str:
    """The record in a few lines."""

    def describe(name):
        present, required = record[name], record[f"{name}_required"]
        return f"{present:,} of {required:,} {name} ({(required - present) / max(required, 1):.1%} missing)"

    counts = ", ".join(map(describe, ("videos", "boxes", "labels")))
    lines = [f"{layout.root}: the Kinetics part of AVA-Kinetics, {counts}, in {record['clips']:,} clips"]
    faults = list(record["faulty_clips"].values())
    if faults:
        lines.append(f"{format_count(len(faults), 'clip')} can't be used, such as: {faults[0]}")
    if actions := record["missing_actions"][:SHOWN_ACTIONS]:
        shares = ", ".join(f"{row['action']} {row['share_missing']:.1%}" for row in actions)
        lines.append(f"the actions with the largest share of missing labels: {shares}")
    if record["videos"] < record["videos_required"]:
        lines.append(f"all of it: {layout.root / MISSING_FILE}, {layout.root / ACTIONS_FILE}")
    return "\n".join(lines)
