"""Person boxes that are given to an import: looked at before anything is written."""

import numpy as np

from avalib.data.importers.base import list_locations
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS

MAX_OUTSIDE = 0.5  # of the frame's side, that a detector's box may reach beyond its edge


def read_given_proposals(source, table, start, notes):
    """Person boxes for the keyframes of a data set: table video_id, timestamp, x1 … y2 (0..1), score.

    source: a file as annotations.read_proposals takes it; table: the annotations, with split; start: the second at
    which the videos begin in the file, as in the annotations. Testing needs boxes at val's keyframes; training doesn't.
    Raises ValueError naming the file, the key and value, and what was expected.
    """
    try:
        boxes = read_proposals(source)
    except FileNotFoundError:
        raise FileNotFoundError(f"proposals: {source}: no such file") from None
    except (ValueError, OSError) as error:
        message = str(error) if str(source) in str(error) else f"{source}: not a file of person boxes ({error})"
        raise ValueError(message) from error
    boxes = boxes.assign(timestamp=(boxes.timestamp - start).round(6))
    _check(boxes, source, start)
    if (beyond := ((boxes[BOX_COLUMNS] < 0) | (boxes[BOX_COLUMNS] > 1)).any(axis=1)).any():
        notes.append(f"proposals: {beyond.sum()} boxes reached outside of the frame and were cut at its edge")
        boxes = boxes.assign(**boxes[BOX_COLUMNS].clip(0, 1))
    _check_keyframes(boxes, table, source, notes)
    return boxes


def _check(boxes, source, start):
    values, scores = boxes[BOX_COLUMNS].to_numpy(), boxes.score.to_numpy()
    x1, y1, x2, y2 = values.T
    for wrong, expected in (
        (~np.isfinite(values).all(axis=1), "finite numbers"),
        ((np.abs(values) > 2).any(axis=1), "fractions of the frame, 0 to 1; it looks like pixels"),
        (
            (values < -MAX_OUTSIDE).any(axis=1) | (values > 1 + MAX_OUTSIDE).any(axis=1),
            "fractions of the frame, 0 to 1",
        ),
        ((x2 <= x1) | (y2 <= y1), "x1 < x2 and y1 < y2"),
        (~((scores >= 0) & (scores <= 1)), "a score from 0 to 1"),
    ):
        if wrong.any():
            row = boxes.iloc[int(wrong.argmax())]
            numbers = ", ".join(f"{v:g}" for v in row[[*BOX_COLUMNS, "score"]])
            key = f"{row.video_id},{row.timestamp + start:04.10g}"
            count = f"{wrong.sum()} of {len(boxes)} boxes"
            raise ValueError(f"{source}, key {key!r}: box and score {numbers}: expected {expected} ({count})")


def _check_keyframes(boxes, table, source, notes):
    """Note the keyframes without boxes. Raises ValueError where no keyframe of val has any."""
    there = boxes[KEYFRAME_COLUMNS].drop_duplicates()
    for split in ("val", "train"):
        keyframes = table.loc[table.split == split, KEYFRAME_COLUMNS].drop_duplicates()
        covered = len(keyframes.merge(there, on=KEYFRAME_COLUMNS))
        if split == "val" and len(keyframes) and not covered:
            first = there.iloc[0] if len(there) else None
            found = "it has no boxes" if first is None else f"its first is of {first.video_id}, {first.timestamp:g} s"
            expected = list_locations([f"{v}, {t:g} s" for v, t in keyframes.to_numpy().tolist()], most=3)
            raise ValueError(f"{source}: none is at a keyframe of val; {found}, expected {expected}")
        if covered < len(keyframes):
            notes.append(
                f"proposals: {len(keyframes) - covered} of {len(keyframes)} keyframes of {split} have no boxes"
            )
