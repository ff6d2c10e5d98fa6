"""What is wrong or odd in an AVA csv: every row looked at, nothing raised."""

import re

import numpy as np
import pandas as pd

from avalib.data.ava_csv import convert_frame, parse_ava_csv, read_ava_csv
from avalib.data.csv_rows import KEYFRAME_COLUMNS, LAST_COLUMN, build_table, iter_lines, parse_fields
from avalib.data.label_map import load_label_map
from avalib.data.labels import get_action_names
from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION, describe_name_fault, is_whole
from avalib.utils.boxes import compute_iou_matrix
from avalib.utils.text import open_binary


@np.errstate(over="ignore", invalid="ignore")  # boxes of 1e308
def lint_csv(source, kind="detections", ground_truth=None, label_map=None, seconds=(900, 1800)):
    """What is wrong or odd in an AVA csv: DataFrame problem, rows (how many), lines (list), example, looks_like.

    source, kind: as `read_csv`'s, but rows that can't be read are listed instead of raised; a DataFrame's lines are its
    row numbers. ground_truth: the annotations of the same videos, if there, show swapped x and y box by box. label_map
    {action_id: name}, default AVA's 80, and seconds (from, to): what is expected of a data set. An empty result is a
    clean file.
    """
    if kind not in LAST_COLUMN:
        raise ValueError(f'kind {kind!r}: expected "ground_truth" or "detections"')
    label_map = get_action_names() if label_map is None else load_label_map(label_map)
    table, line, findings = _read_leniently(source, kind)
    boxes = table[BOX_COLUMNS].to_numpy()
    with_box = ~np.isnan(boxes).any(axis=1)
    for problem, mask, looks_like in _checks(table, boxes, kind, label_map, seconds):
        rows = np.flatnonzero(mask & with_box)
        if len(rows):
            findings.append(_finding(problem, line[rows], _example(table, rows[0], kind), looks_like))
    if table.attrs["decimal"]:
        at, text = table.attrs["decimal"]
        like = "whole seconds as decimals, which only the protocol activitynet reads; or frames between keyframes"
        findings.append(_finding("timestamp isn't spelt as a whole number", [line[at]], f"timestamp {text}", like))
    swapped = _swapped(table, boxes, ground_truth)
    if len(swapped):
        like = "y1,x1,y2,x2 (or height and width) where x1,y1,x2,y2 is expected"
        findings.append(_finding("x and y look swapped", line[swapped], _example(table, swapped[0], kind), like))
    return pd.DataFrame(findings, columns=["problem", "rows", "lines", "example", "looks_like"])


def _finding(problem, at, example, looks_like):
    return problem, len(at), [int(n) for n in at], example, looks_like


def _example(table, row, kind):
    values = [
        f"{column} {table[column].iloc[row]}"
        for column in [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", LAST_COLUMN[kind]]
    ]
    return ", ".join(values)


def _read_leniently(source, kind):
    """(table of the rows that can be read, their lines, findings about the others)."""
    if isinstance(source, pd.DataFrame):
        return _frame_leniently(source, kind)
    name, file = open_binary(source)
    with file:
        try:
            table = parse_ava_csv(file, name, kind)
            return table, np.arange(1, len(table) + 1), []
        except ValueError:
            file.seek(0)
        return _rows_leniently(iter_lines(file, name), name, kind)


def _frame_leniently(frame, kind):
    """The same of a DataFrame, whose lines are its row numbers."""
    try:
        return (table := convert_frame(frame, kind)), np.arange(len(table)), []
    except ValueError:
        columns = [
            *KEYFRAME_COLUMNS,
            *BOX_COLUMNS,
            "action_id",
            *([LAST_COLUMN[kind]] if LAST_COLUMN[kind] in frame else []),
        ]
        if not set(columns) <= set(frame) or frame.columns.duplicated().any():
            raise
    without = pd.to_numeric(frame["action_id"], errors="coerce").eq(NO_ACTION) & frame[BOX_COLUMNS].isna().all(axis=1)
    values = zip(*(frame[column].tolist() for column in columns), strict=True)
    rows = [(row, [_spelt(value) for value in fields]) for row, fields in enumerate(values)]
    rows = [(row, fields[:2] if without.iloc[row] else fields) for row, fields in rows]
    return _rows_leniently(rows, f"{kind} table", kind)


def _spelt(value):
    """A value of a table as a csv has it; whole numbers that pandas holds as float64 without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _rows_leniently(rows, name, kind):
    """The same of (line, fields), up to a place from which on the file can't be read."""
    good, at, faults, decimal = [], [], {}, None
    try:
        for line, fields in rows:
            values, fault = parse_fields(fields, kind)
            if fault is None:
                if decimal is None and not is_whole(fields[1]):
                    decimal = (len(good), fields[1])
                good.append(values)
                at.append(line)
            else:
                what = fault.split(", value")[0] if ", value" in fault else "columns"
                faults.setdefault(what, []).append((line, fault))
    except ValueError as error:
        place = re.search(r", line (\d+)", str(error).removeprefix(name))
        faults["the rest of the file"] = [(int(place[1]) if place else 0, str(error))]
    findings = [
        _finding(f"can't be read: {what}", [line for line, _ in found], found[0][1], "a header, or damaged rows")
        for what, found in faults.items()
    ]
    table = build_table(good, kind)
    table.attrs["decimal"] = decimal
    return table, np.array(at, int), findings


def _checks(table, boxes, kind, label_map, seconds):
    """(problem, mask, what it looks like) of everything that can be told row by row."""
    x1, y1, x2, y2 = boxes.T
    pixels = (np.abs(boxes) > 2).any(axis=1)
    yield "box in numbers far above 1", pixels, "pixels; divide x by the frame's width and y by its height"
    outside = ((boxes < 0) | (boxes > 1)).any(axis=1) & ~pixels
    yield "box reaches outside the frame (0..1)", outside, "a box that wasn't clipped; legal, evaluators don't clip"
    inverted = (x2 < x1) | (y2 < y1)
    sizes = inverted.mean() > 0.05 and ((x1 + x2 <= 1.01) & (y1 + y2 <= 1.01)).mean() > 0.9 if len(boxes) else False
    like = (
        "x,y,width,height where corners are expected"
        if sizes
        else "corners in the wrong order; evaluators drop or refuse"
    )
    yield "x2 < x1 or y2 < y1", inverted, like
    yield "box without area", ((x2 == x1) | (y2 == y1)) & ~inverted, "a collapsed box; most evaluators drop it"
    names = table["video_id"].astype("category")
    faulty = [code for code, name in enumerate(names.cat.categories) if describe_name_fault(name)]
    yield (
        "video_id isn't a video's name",
        np.isin(names.cat.codes, faulty),
        "a path, an empty name or control characters; expected the file's name without folder and suffix",
    )
    known = "AVA's 1..80" if label_map == get_action_names() else f"the label map's {len(label_map)}"
    unknown = ~np.isin(table["action_id"].to_numpy(), list(label_map))
    yield f"action_id isn't one of {known}", unknown, "ids counted from 0, or another label map"
    low, high = seconds
    yield (
        f"timestamp outside {low:g}..{high:g}",
        ~table["timestamp"].between(low, high).to_numpy(),
        "seconds counted from the cut, frame numbers or milliseconds; or videos of your own",
    )
    yield (
        "the same frame, box and action again",
        table.duplicated([*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id"]).to_numpy(),
        ("a row written twice; it stays in the ground truth's count, or is a false positive"),
    )
    if kind == "detections":
        score = table["score"].to_numpy()
        yield "score outside 0..1", (score < 0) | (score > 1), "logits or percentages; legal, only the order counts"


def _swapped(table, boxes, ground_truth):
    """Rows whose box fits the ground truth (or, without one, a standing person's shape) once x and y change places."""
    flipped = boxes[:, [1, 0, 3, 2]]
    if ground_truth is None:
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        wide = width > height
        return np.flatnonzero(wide) if len(boxes) >= 20 and np.median(height / np.maximum(width, 1e-9)) < 0.7 else []
    truth = read_ava_csv(ground_truth, "ground_truth").groupby(KEYFRAME_COLUMNS)[BOX_COLUMNS]
    truth = {frame: rows.to_numpy() for frame, rows in truth}
    box = table.groupby([*KEYFRAME_COLUMNS, *BOX_COLUMNS], sort=False, observed=True, dropna=False).ngroup().to_numpy()
    first = np.unique(box, return_index=True)[1]  # a box comes with many actions: look at it once
    swapped = []
    for row, frame in zip(
        first, zip(*(table[c].iloc[first].tolist() for c in KEYFRAME_COLUMNS), strict=True), strict=True
    ):
        if frame in truth:
            as_is, turned = compute_iou_matrix(np.stack([boxes[row], flipped[row]]), truth[frame]).max(axis=1)
            if turned >= 0.5 > as_is:
                swapped.append(box[row])
    return np.flatnonzero(np.isin(box, swapped))
