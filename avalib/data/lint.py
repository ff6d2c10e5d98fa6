"""List what is wrong or odd in an AVA csv: every row is checked, nothing is raised."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.csv_rows import get_csv_columns
from avalib.data.label_map import load_label_map
from avalib.data.labels import get_action_names
from avalib.data.lenient_csv import Finding, read_leniently
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, LAST_COLUMN, describe_name_fault
from avalib.utils.boxes import compute_iou_matrix


@dataclass(frozen=True)
class RowProblem:
    """A check of every row of a table."""

    problem: str
    rows: np.ndarray  # (N,) bool: the rows that have it
    looks_like: str


@np.errstate(over="ignore", invalid="ignore")  # boxes of 1e308
def lint_csv(
    source: str | Path | IO | pd.DataFrame,
    kind: str = "detections",
    ground_truth: str | Path | pd.DataFrame | None = None,
    label_map: dict[int, str] | str | Path | None = None,
    seconds: tuple[float, float] = (900, 1800),
) -> pd.DataFrame:
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

    Returns
    -------
    DataFrame
        One row per kind of problem: problem, rows (how many), lines (list; row numbers for a DataFrame), example,
        looks_like. Empty for a clean file.

    Raises
    ------
    ValueError
        For an unknown kind, and for a DataFrame without the columns.
    """
    if kind not in LAST_COLUMN:
        raise ValueError(f'kind {kind!r}: expected "ground_truth" or "detections"')
    label_map = get_action_names() if label_map is None else load_label_map(label_map)
    lenient = read_leniently(source, kind)
    findings = [*lenient.findings, *_find_row_problems(lenient, kind, label_map, seconds)]
    if lenient.table.attrs["decimal"]:
        findings.append(_find_decimal_timestamp(lenient))
    swapped = _find_swapped(lenient.table, ground_truth)
    if len(swapped):
        findings.append(
            Finding(
                problem="x and y look swapped",
                lines=lenient.lines[swapped].tolist(),
                example=_format_row(lenient.table, swapped[0], kind),
                looks_like="y1,x1,y2,x2 (or height and width) where x1,y1,x2,y2 is expected",
            )
        )
    rows = [(f.problem, len(f.lines), f.lines, f.example, f.looks_like) for f in findings]
    return pd.DataFrame(rows, columns=["problem", "rows", "lines", "example", "looks_like"])


def _format_row(table, row, kind):
    return ", ".join(f"{column} {table[column].iloc[row]}" for column in get_csv_columns(kind))


# --- checks -----------------------------------------------------------------------------------------------------------


def _find_row_problems(lenient, kind, label_map, seconds):
    """A Finding for each check that some row with a box fails."""
    table = lenient.table
    boxes = table[BOX_COLUMNS].to_numpy()
    with_box = ~np.isnan(boxes).any(axis=1)
    problems = [*_check_boxes(boxes), *_check_values(table, kind, label_map, seconds)]
    for check in problems:
        rows = np.flatnonzero(check.rows & with_box)
        if len(rows):
            example = _format_row(table, rows[0], kind)
            yield Finding(check.problem, lenient.lines[rows].tolist(), example, check.looks_like)


def _check_boxes(boxes):
    """Checks of the boxes (N,4), expected in fractions of the frame."""
    x1, y1, x2, y2 = boxes.T
    in_pixels = (np.abs(boxes) > 2).any(axis=1)
    outside = ((boxes < 0) | (boxes > 1)).any(axis=1) & ~in_pixels
    inverted = (x2 < x1) | (y2 < y1)
    # many inverted boxes, and nearly all fit into the frame when read as x, y, width, height
    are_sizes = len(boxes) > 0 and inverted.mean() > 0.05 and ((x1 + x2 <= 1.01) & (y1 + y2 <= 1.01)).mean() > 0.9
    inverted_looks_like = "corners in the wrong order; evaluators drop or reject them"
    if are_sizes:
        inverted_looks_like = "x,y,width,height where corners are expected"
    return [
        RowProblem(
            "box in numbers far above 1", in_pixels, "pixels; divide x by the frame's width and y by its height"
        ),
        RowProblem(
            "box reaches outside the frame (0..1)",
            outside,
            "a box that wasn't clipped; legal, evaluators don't clip",
        ),
        RowProblem("x2 < x1 or y2 < y1", inverted, inverted_looks_like),
        RowProblem(
            "box without area",
            ((x2 == x1) | (y2 == y1)) & ~inverted,
            "a collapsed box; most evaluators drop it",
        ),
    ]


def _check_values(table, kind, label_map, seconds):
    """Checks of names, actions, times, repeated rows and scores."""
    names = table["video_id"].astype("category").cat
    faulty_names = [code for code, name in enumerate(names.categories) if describe_name_fault(name)]
    expected_ids = "AVA's 1..80" if label_map == get_action_names() else f"the label map's {len(label_map)}"
    first, last = seconds
    problems = [
        RowProblem(
            "video_id isn't a video's name",
            np.isin(names.codes, faulty_names),
            "a path, an empty name or control characters; expected the file's name without folder and suffix",
        ),
        RowProblem(
            f"action_id isn't one of {expected_ids}",
            ~np.isin(table["action_id"].to_numpy(), list(label_map)),
            "ids counted from 0, or another label map",
        ),
        RowProblem(
            f"timestamp outside {first:g}..{last:g}",
            ~table["timestamp"].between(first, last).to_numpy(),
            "seconds counted from the cut, frame numbers or milliseconds; or videos of your own",
        ),
        RowProblem(
            "the same frame, box and action again",
            table.duplicated([*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id"]).to_numpy(),
            "a row written twice; it stays in the ground truth's count, or is a false positive",
        ),
    ]
    if kind == "detections":
        scores = table["score"].to_numpy()
        problems.append(
            RowProblem(
                "score outside 0..1",
                (scores < 0) | (scores > 1),
                "logits or percentages; legal, only the order counts",
            )
        )
    return problems


def _find_decimal_timestamp(lenient):
    row, text = lenient.table.attrs["decimal"]
    return Finding(
        problem="timestamp isn't spelled as a whole number",
        lines=[int(lenient.lines[row])],
        example=f"timestamp {text}",
        looks_like=(
            "whole seconds as decimals, which only the protocol activitynet reads; or frames between keyframes"
        ),
    )


def _find_swapped(table, ground_truth):
    """Rows whose box fits the ground truth (or, without one, a standing person) once x and y change places."""
    boxes = table[BOX_COLUMNS].to_numpy()
    if ground_truth is None:
        return _find_lying_boxes(boxes)
    truth = read_ava_csv(ground_truth, "ground_truth").groupby(KEYFRAME_COLUMNS)[BOX_COLUMNS]
    truth_boxes = {keyframe: rows.to_numpy() for keyframe, rows in truth}
    # A box has one row for each of its actions: check its first row only.
    box_columns = [*KEYFRAME_COLUMNS, *BOX_COLUMNS]
    box_index = table.groupby(box_columns, sort=False, observed=True, dropna=False).ngroup().to_numpy()
    first_rows = np.unique(box_index, return_index=True)[1]
    keyframes = zip(*(table[column].iloc[first_rows].tolist() for column in KEYFRAME_COLUMNS), strict=True)
    swapped = []
    for row, keyframe in zip(first_rows, keyframes, strict=True):
        if keyframe not in truth_boxes:
            continue
        both_ways = np.stack([boxes[row], boxes[row, [1, 0, 3, 2]]])
        iou_as_is, iou_swapped = compute_iou_matrix(both_ways, truth_boxes[keyframe]).max(axis=1)
        if iou_swapped >= 0.5 > iou_as_is:
            swapped.append(box_index[row])
    return np.flatnonzero(np.isin(box_index, swapped))


def _find_lying_boxes(boxes):
    """Rows of boxes (N,4) wider than high, if most boxes are: people stand."""
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    mostly_lying = len(boxes) >= 20 and np.median(height / np.maximum(width, 1e-9)) < 0.7
    return np.flatnonzero(width > height) if mostly_lying else np.zeros(0, int)
