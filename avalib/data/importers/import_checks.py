"""Checking imported annotations with the linter, and leaving out the rows it stops at."""

from dataclasses import replace

import numpy as np
import pandas as pd

from avalib.data.check_report import NOTE, WRONG, CheckReport, build_row_finding
from avalib.data.importers.base import ImportedAnnotations, format_locations
from avalib.data.lint import lint_csv
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.utils.plurals import format_count


def check_annotations(annotations: ImportedAnnotations) -> CheckReport:
    """What the linter finds in imported annotations.

    Parameters
    ----------
    annotations : ImportedAnnotations

    Returns
    -------
    CheckReport
        A finding per problem; `lines` are row numbers of annotations.table. Status "wrong": `import_data` rejects such
        rows.
    """
    table = annotations.table
    # the linter sees the boxes with the decimals that are written
    report = lint_csv(
        table.assign(**table[BOX_COLUMNS].round(3)),
        "ground_truth",
        label_map=annotations.label_map,
        seconds=(0, float("inf")),
        whole_seconds=False,
    )
    findings = [
        replace(
            finding,
            location=format_locations(table.location.iloc[finding.lines], limit=3),
            status=WRONG if finding.stops_import else NOTE,
        )
        for finding in [*report.findings, *_find_late_rows(annotations)]
    ]
    return CheckReport.of_rows(annotations.source, findings)


def _find_late_rows(annotations):
    """Yield the finding of rows after their video's end, if there are any."""
    table = annotations.table
    durations = {video_id: video.duration_s for video_id, video in annotations.videos.items()}
    # (N,) the end of each row's video
    end_s = table.video_id.map(durations)
    rows = np.flatnonzero(table.timestamp >= end_s).tolist()
    if rows:
        first = table.iloc[rows[0]]
        yield build_row_finding(
            "timestamp beyond the video's end",
            lines=rows,
            example=f"{first.timestamp:g} s, {first.video_id} has {end_s.iloc[rows[0]]:.2f} s",
            looks_like="seconds that begin elsewhere (AVA's begin at 900: start=900), or frame numbers",
            stops_import=True,
        )


def drop_faulty_rows(
    annotations: ImportedAnnotations, report: CheckReport, skip_faulty: bool
) -> tuple[pd.DataFrame, list[str]]:
    """The rows to train and test on: without faults, with boxes inside the frame, and each row once.

    Parameters
    ----------
    annotations : ImportedAnnotations
    report : CheckReport
        Of `check_annotations`.
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
    stops = [finding for finding in report.findings if finding.status == WRONG]
    if stops and not skip_faulty:
        problems = "\n".join(
            f"  {format_count(len(stop.lines), 'row')}: {stop.check} ({stop.location}; {stop.example}): "
            f"{stop.looks_like}"
            for stop in stops
        )
        raise ValueError(
            f"{annotations.source}: the linter stops at\n{problems}\nCorrect them, or skip_faulty=True leaves them out."
        )
    notes = [f"{format_count(len(stop.lines), 'row')} left out: {stop.check}" for stop in stops]
    table = annotations.table.drop(index=sorted({row for stop in stops for row in stop.lines}))
    if not len(table):
        raise ValueError(f"{annotations.source}: no rows are left after what the linter stops at")

    # Boxes that reach outside are cut; those without any area inside stopped above.
    reaches_outside = ((table[BOX_COLUMNS] < 0) | (table[BOX_COLUMNS] > 1)).any(axis=1)
    if reaches_outside.any():
        locations = format_locations(table.location, reaches_outside)
        notes.append(f"boxes that reach outside of the frame, cut at its edge: {reaches_outside.sum()} ({locations})")
    table = table.assign(**table[BOX_COLUMNS].clip(0, 1))

    is_repeated = table.duplicated([*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id"])
    if is_repeated.any():
        notes.append(f"rows that occur twice and count once: {is_repeated.sum()}")
    return table[~is_repeated].reset_index(drop=True), notes
