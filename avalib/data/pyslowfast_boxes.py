"""PySlowFast's person boxes: a csv without header, one row for each box and action.

Source: PySlowFast, slowfast/datasets/ava_helper.py.
"""

from typing import IO

import pandas as pd

from avalib.data.csv_rows import iter_lines
from avalib.data.proposal_pickles import check_fractions
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, check_rows, is_whole, parse_number

COLUMNS = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", "score"]
EXPECTED = "video,second,x1,y1,x2,y2,action or nothing,score"
# of its archive ava_annotations.tar, by split
PYSLOWFAST_BOX_FILES = {
    "train": ("ava_train_predicted_boxes.csv", "ava_detection_train_boxes_and_labels_include_negative.csv"),
    "val": ("ava_detection_val_boxes_and_labels.csv",),
    "test": (),
}


def is_pyslowfast_row(fields: list[str]) -> bool:
    """Whether the first row of a csv of person boxes is PySlowFast's: no header, but a second in its second column."""
    return len(fields) > 1 and parse_number(fields[1].strip(), default=-1) >= 0


def read_pyslowfast_boxes(file: IO[bytes], name: str) -> pd.DataFrame:
    """Read PySlowFast's person boxes, such as ava_detection_val_boxes_and_labels.csv.

    Parameters
    ----------
    file : binary file
        At its beginning.
    name : str
        The file, for messages.

    Returns
    -------
    DataFrame
        video_id, timestamp (seconds), x1, y1, x2, y2 (0..1), score: each box once, whatever the number of its actions.

    Raises
    ------
    ValueError
        Naming file, line and value.
    """
    lines = []
    rows = []
    for line, fields in iter_lines(file, name):
        if len(fields) != len(COLUMNS):
            raise ValueError(f"{name}, line {line}: {len(fields)} columns, expected {len(COLUMNS)}: {EXPECTED}")
        action = fields[6].strip()
        if action and not (is_whole(action) or is_whole(action.removesuffix(".0"))):
            raise ValueError(f"{name}, line {line}, value {action[:80]!r}: expected an action's number or nothing")
        lines.append(line)
        rows.append(fields)
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object).drop(columns="action_id")

    def locate(row):
        return f"{name}, line {lines[row]}"

    table = check_fractions(check_rows(table, name, locate=locate), locate)
    is_outside = ~table["score"].between(0, 1)
    if is_outside.any():
        row = int(is_outside.to_numpy().argmax())
        raise ValueError(
            f"{locate(row)}, column score, value {table['score'].iat[row]:g}: expected 0 to 1. Is it a csv "
            "of annotations? Its last column is the person, and its boxes are no detector's"
        )
    return table.drop_duplicates([*KEYFRAME_COLUMNS, *BOX_COLUMNS], ignore_index=True)
