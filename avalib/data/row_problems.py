"""The rules for the rows of an AVA csv that the linter checks: which rows break them, and what that looks like."""

from dataclasses import dataclass

import numpy as np

from avalib.data.check_report import NOTE, WRONG
from avalib.data.labels import get_action_names
from avalib.data.proposal_pickles import LARGEST_FRACTION
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, describe_name_fault

MIN_INVERTED_SHARE = 0.05  # of the boxes; sizes in place of corners invert at least as many


@dataclass(frozen=True)
class RowProblem:
    """A rule, and the rows that break it."""

    problem: str
    rows: np.ndarray  # (N,) bool
    looks_like: str
    status: str = NOTE
    stops_import: bool = False


def list_box_problems(boxes: np.ndarray) -> list[RowProblem]:
    """The rules for boxes (N,4), expected in fractions of the frame."""
    x1, y1, x2, y2 = boxes.T
    in_pixels = (np.abs(boxes) > LARGEST_FRACTION).any(axis=1)
    is_outside = ((boxes < 0) | (boxes > 1)).any(axis=1) & ~in_pixels
    is_inverted = (x2 < x1) | (y2 < y1)
    is_flat = ((x2 == x1) | (y2 == y1)) & ~is_inverted
    # the part inside the frame has no area, the box has
    left, top, right, bottom = boxes.clip(0, 1).T
    is_invisible = is_outside & ~is_inverted & ~is_flat & ((right <= left) | (bottom <= top))
    return [
        RowProblem(
            "box in numbers far above 1",
            in_pixels,
            "pixels; divide x by the frame's width and y by its height",
            WRONG,
            stops_import=True,
        ),
        RowProblem(
            "box outside the frame, all of it",
            is_invisible,
            "boxes of another video, or in pixels of frames of another size",
            WRONG,
            stops_import=True,
        ),
        RowProblem(
            "box reaches outside the frame (0..1)",
            is_outside & ~is_invisible,
            "a box that wasn't clipped; legal, evaluators don't clip",
        ),
        RowProblem(
            "x2 < x1 or y2 < y1",
            is_inverted,
            "x,y,width,height where corners are expected"
            if _are_sizes(boxes, is_inverted)
            else "corners in the wrong order; evaluators drop or reject them",
            WRONG,
            stops_import=True,
        ),
        RowProblem("box without area", is_flat, "a collapsed box; most evaluators drop it", stops_import=True),
    ]


def _are_sizes(boxes, is_inverted):
    """Whether many boxes are inverted, and nearly all fit into the frame when read as x, y, width, height."""
    if not len(boxes):
        return False
    # the four numbers read as a corner and a size
    x, y, width, height = boxes.T
    fits = (x + width <= 1.01) & (y + height <= 1.01)
    return is_inverted.mean() > MIN_INVERTED_SHARE and fits.mean() > 0.9


def list_value_problems(table, kind, label_map, seconds) -> list[RowProblem]:
    """The rules for names, actions, times, repeated rows and scores. seconds: first and last one expected."""
    names = table["video_id"].astype("category").cat
    # few names stand for many rows: check each name once
    faulty_names = [code for code, name in enumerate(names.categories) if describe_name_fault(name)]
    # for the message
    expected_ids = "AVA's 1..80" if label_map == get_action_names() else f"the label map's {len(label_map)}"
    first, last = seconds
    problems = [
        RowProblem(
            "video_id isn't a video's name",
            np.isin(names.codes, faulty_names),
            "a path, an empty name or control characters; expected the file's name without folder and suffix",
            WRONG,
        ),
        RowProblem(
            f"action_id isn't one of {expected_ids}",
            ~np.isin(table["action_id"].to_numpy(), list(label_map)),
            "ids counted from 0, or another label map",
            WRONG,
        ),
        RowProblem(
            f"timestamp outside {first:g}..{last:g}",
            ~table["timestamp"].between(first, last).to_numpy(),
            "seconds counted from the cut, frame numbers or milliseconds; or videos of your own",
            WRONG,
            stops_import=True,
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
