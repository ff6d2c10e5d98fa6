"""List what is wrong or odd in an AVA csv: every row is checked, nothing is raised."""

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.check_report import CheckReport, Finding, build_row_finding
from avalib.data.csv_rows import get_csv_columns
from avalib.data.label_map import load_label_map
from avalib.data.labels import get_action_names
from avalib.data.lenient_csv import read_leniently
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, LAST_COLUMN
from avalib.data.row_problems import list_box_problems, list_value_problems
from avalib.utils.boxes import compute_iou_matrix

DEFAULT_SECONDS = (900, 1800)  # of AVA's timestamps
MIN_BOXES_LYING = 20  # fewer boxes don't show whether x and y are swapped
MAX_LYING_RATIO = 0.7  # median of height / width, in fractions of the frame, from which boxes look swapped


def lint_csv(
    source: str | Path | IO | pd.DataFrame,
    kind: str = "detections",
    ground_truth: str | Path | pd.DataFrame | None = None,
    label_map: dict[int, str] | str | Path | None = None,
    seconds: tuple[float, float] = DEFAULT_SECONDS,
    whole_seconds: bool = True,
) -> CheckReport:
    """List what is wrong or odd in an AVA csv.

    Parameters
    ----------
    source, kind
        As for `read_ava_csv`, but rows that can't be read are listed instead of raised.
    ground_truth : str, Path or DataFrame, optional
        Annotations of the same videos: they show swapped x and y box by box.
    label_map : dict or file, optional
        {action_id: name} of the data set. The default is AVA's 80.
    seconds : (float, float)
        The first and last timestamp that are expected.
    whole_seconds : bool
        Whether timestamps that aren't spelled as whole numbers are listed.

    Returns
    -------
    CheckReport
        `findings`, or `problems` as a table: one per kind of problem. None for a clean file.

    Raises
    ------
    ValueError
        For an unknown kind, and for a DataFrame without the columns.
    """
    if kind not in LAST_COLUMN:
        raise ValueError(f'kind {kind!r}: expected "ground_truth" or "detections"')
    lenient = read_leniently(source, kind)
    label_map = get_action_names() if label_map is None else load_label_map(label_map)
    findings = find_row_problems(lenient, kind, label_map, seconds, whole_seconds, ground_truth)
    return CheckReport.of_rows(lenient.name, findings)


@np.errstate(over="ignore", invalid="ignore")  # boxes of 1e308
def find_row_problems(
    lenient, kind, label_map, seconds=DEFAULT_SECONDS, whole_seconds=True, ground_truth=None
) -> list[Finding]:
    """The findings of `lint_csv` in a LenientTable."""
    table = lenient.table
    boxes = table[BOX_COLUMNS].to_numpy()
    with_box = ~np.isnan(boxes).any(axis=1)  # (N,) the others stand for frames without people
    findings = list(lenient.findings)
    for problem in [*list_box_problems(boxes), *list_value_problems(table, kind, label_map, seconds)]:
        if rows := np.flatnonzero(problem.rows & with_box).tolist():
            findings.append(
                build_row_finding(
                    problem.problem,
                    lines=lenient.lines[rows].tolist(),
                    example=_format_row(table, rows[0], kind),
                    looks_like=problem.looks_like,
                    status=problem.status,
                    stops_import=problem.stops_import,
                )
            )
    if whole_seconds and table.attrs["decimal"]:
        row, text = table.attrs["decimal"]
        findings.append(
            build_row_finding(
                "timestamp isn't spelled as a whole number",
                lines=[int(lenient.lines[row])],
                example=f"timestamp {text}",
                looks_like=(
                    "whole seconds as decimals, which only the protocol activitynet reads; or frames between keyframes"
                ),
            )
        )
    # with annotations box by box, without them only if most people seem to lie
    swapped = _find_lying_boxes(boxes) if ground_truth is None else _find_swapped_boxes(table, ground_truth)
    if len(swapped):
        findings.append(
            build_row_finding(
                "x and y look swapped",
                lines=lenient.lines[swapped].tolist(),
                example=_format_row(table, swapped[0], kind),
                looks_like="y1,x1,y2,x2 (or height and width) where x1,y1,x2,y2 is expected",
            )
        )
    return findings


def _format_row(table, row, kind):
    return ", ".join(f"{column} {table[column].iloc[row]}" for column in get_csv_columns(kind))


def _find_swapped_boxes(table, ground_truth):
    """Rows whose box fits the ground truth once x and y change places, and doesn't as it is."""
    boxes = table[BOX_COLUMNS].to_numpy()
    # {keyframe: annotated boxes (M,4)}
    truth = read_ava_csv(ground_truth, "ground_truth").groupby(KEYFRAME_COLUMNS)[BOX_COLUMNS]
    truth_boxes = {keyframe: rows.to_numpy() for keyframe, rows in truth}
    # a box has one row for each of its actions: check its first row only
    box_columns = [*KEYFRAME_COLUMNS, *BOX_COLUMNS]
    box_index = table.groupby(box_columns, sort=False, observed=True, dropna=False).ngroup().to_numpy()  # (N,)
    first_rows = np.unique(box_index, return_index=True)[1]
    keyframes = zip(*(table[column].iloc[first_rows].tolist() for column in KEYFRAME_COLUMNS), strict=True)
    swapped = []
    for row, keyframe in zip(first_rows, keyframes, strict=True):
        if keyframe not in truth_boxes:
            continue
        # the box as it is and swapped (2,4), each with the truth that it overlaps most
        both_ways = np.stack([boxes[row], boxes[row, [1, 0, 3, 2]]])
        iou_as_is, iou_swapped = compute_iou_matrix(both_ways, truth_boxes[keyframe]).max(axis=1)
        if iou_swapped >= 0.5 > iou_as_is:
            swapped.append(box_index[row])
    return np.flatnonzero(np.isin(box_index, swapped))


def _find_lying_boxes(boxes):
    """Rows of boxes (N,4) wider than high, if most boxes are: people stand."""
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    ratio = height / np.maximum(width, 1e-9)
    mostly_lying = len(boxes) >= MIN_BOXES_LYING and np.median(ratio) < MAX_LYING_RATIO
    return np.flatnonzero(width > height) if mostly_lying else np.zeros(0, int)
