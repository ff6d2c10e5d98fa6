"""Checking imported annotations with the linter, and leaving out the rows it stops at."""

import numpy as np
import pandas as pd

from avalib.data.importers.base import ImportedAnnotations, format_locations
from avalib.data.lint import lint_csv
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS

# Beginnings of the linter's problems with which a row can be neither trained nor tested on.
STOPPING_PROBLEMS = (
    "box in numbers far",
    "x2 < x1 or y2 < y1",
    "box without area",
    "box outside",
    "timestamp outside",
    "timestamp beyond",
)


def check_annotations(annotations: ImportedAnnotations) -> pd.DataFrame:
    """What the linter finds in imported annotations.

    Parameters
    ----------
    annotations : ImportedAnnotations

    Returns
    -------
    DataFrame
        One row per problem: problem, rows (how many), location (the first ones), example, looks_like, stops (whether
        `import_data` rejects such rows), lines (row numbers of annotations.table).
    """
    table = annotations.table
    findings = lint_csv(table, "ground_truth", label_map=annotations.label_map, seconds=(0, float("inf")))
    findings = findings[~findings.problem.str.startswith("timestamp isn't")]  # keyframes may be at any time
    # What the linter of a csv can't know: the videos' ends, and boxes that are cut to nothing.
    for finding in (_find_late_rows(annotations), _find_boxes_outside(table)):
        if finding is not None:
            findings.loc[len(findings)] = finding
    findings["location"] = [format_locations(table.location.iloc[rows], limit=3) for rows in findings.lines]
    findings["stops"] = findings.problem.str.startswith(STOPPING_PROBLEMS)
    return findings[["problem", "rows", "location", "example", "looks_like", "stops", "lines"]]


def _find_late_rows(annotations):
    """The finding of rows after their video's end, or None."""
    table = annotations.table
    durations = {video_id: video.duration_s for video_id, video in annotations.videos.items()}
    end_s = table.video_id.map(durations)
    rows = np.flatnonzero(table.timestamp >= end_s)
    if not len(rows):
        return None
    first = table.iloc[rows[0]]
    return {
        "problem": "timestamp beyond the video's end",
        "rows": len(rows),
        "lines": rows.tolist(),
        "example": f"{first.timestamp:g} s, {first.video_id} has {end_s.iloc[rows[0]]:.2f} s",
        "looks_like": "seconds that begin elsewhere (AVA's begin at 900: start=900), or frame numbers",
    }


def _find_boxes_outside(table):
    """The finding of boxes that have an area, but none inside the frame, or None."""
    boxes = table[BOX_COLUMNS].to_numpy()
    x1, y1, x2, y2 = boxes.T
    has_area = (x2 > x1) & (y2 > y1) & ~(np.abs(boxes) > 2).any(axis=1)
    # The part inside the frame (N,4), with the decimals that are written.
    visible = boxes.clip(0, 1).round(3)
    is_empty = (visible[:, 2] <= visible[:, 0]) | (visible[:, 3] <= visible[:, 1])
    rows = np.flatnonzero(has_area & is_empty)
    if not len(rows):
        return None
    return {
        "problem": "box outside the frame, all of it",
        "rows": len(rows),
        "lines": rows.tolist(),
        "example": ", ".join(f"{value:g}" for value in boxes[rows[0]]),
        "looks_like": "boxes of another video, or in pixels of frames of another size",
    }


def drop_faulty_rows(
    annotations: ImportedAnnotations, findings: pd.DataFrame, skip_faulty: bool
) -> tuple[pd.DataFrame, list[str]]:
    """The rows to train and test on: without faults, with boxes inside the frame, and each row once.

    Parameters
    ----------
    annotations : ImportedAnnotations
    findings : DataFrame
        As `check_annotations` returns them.
    skip_faulty : bool
        Leave out rows at which the linter stops, instead of raising.

    Returns
    -------
    table : DataFrame
    notes : list of str
        What was left out or changed.

    Raises
    ------
    ValueError
        For rows at which the linter stops, or if no row is left.
    """
    stops = findings[findings.stops]
    if len(stops) and not skip_faulty:
        lines = [
            f"  {finding.rows} rows: {finding.problem} ({finding.location}; {finding.example}): {finding.looks_like}"
            for finding in stops.itertuples()
        ]
        problems = "\n".join(lines)
        raise ValueError(
            f"{annotations.source}: the linter stops at\n{problems}\nCorrect them, or skip_faulty=True leaves them out."
        )
    notes = [f"{finding.rows} rows left out: {finding.problem}" for finding in stops.itertuples()]
    table = annotations.table.drop(index=sorted({row for rows in stops.lines for row in rows}))
    if not len(table):
        raise ValueError(f"{annotations.source}: no rows are left after what the linter stops at")

    # Boxes that reach outside are cut; those without any area inside stopped above.
    reaches_outside = ((table[BOX_COLUMNS] < 0) | (table[BOX_COLUMNS] > 1)).any(axis=1)
    if reaches_outside.any():
        locations = format_locations(table.location, reaches_outside)
        notes.append(
            f"{reaches_outside.sum()} boxes reached outside of the frame and were cut at its edge ({locations})"
        )
    table = table.assign(**table[BOX_COLUMNS].clip(0, 1))

    is_repeated = table.duplicated([*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id"])
    if is_repeated.any():
        notes.append(f"{is_repeated.sum()} rows occurred twice and count once")
    return table[~is_repeated].reset_index(drop=True), notes
