"""Detected boxes beside annotated people: distinct boxes, their overlaps, labels and scores; for the error analysis."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from avalib.evaluation.matching import iter_pair_blocks
from avalib.evaluation.protocols import Protocol
from avalib.evaluation.report import Report
from avalib.evaluation.row_groups import find_run_starts, number_boxes
from avalib.utils.boxes import compute_iou_pairs

MIN_IOU = 0.1  # with a lower IoU a box does not belong to a person


@dataclass(frozen=True)
class DistinctBoxes:
    """The B distinct boxes of a table; a box that has several actions is in several of its N rows."""

    of_row: np.ndarray  # (N,) the box of each row
    first_row: np.ndarray  # (B,)
    frame: np.ndarray  # (B,)
    boxes: np.ndarray  # (B,4)

    def __len__(self):
        return len(self.first_row)


def find_distinct_boxes(frame, boxes):
    """The `DistinctBoxes` of a table's frames (N,) and boxes (N,4)."""
    of_row, first_row = number_boxes(frame, boxes)
    return DistinctBoxes(of_row=of_row, first_row=first_row, frame=frame[first_row], boxes=boxes[first_row])


@dataclass(frozen=True)
class BestPartners:
    """For each of n boxes (or people) the person (or box) with the highest IoU; arrays (n,), 0 without an overlap."""

    index: np.ndarray
    iou: np.ndarray


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a box and a person of one frame with an IoU above 0; arrays (N,)."""

    box: np.ndarray
    person: np.ndarray
    iou: np.ndarray
    n_boxes: int
    n_people: int

    def find_best_person(self):
        """The `BestPartners` of the boxes: people."""
        return find_best_partners(self.box, self.person, self.iou, self.n_boxes)

    def find_best_box(self):
        """The `BestPartners` of the people: boxes."""
        return find_best_partners(self.person, self.box, self.iou, self.n_people)

    def select_people(self, mask):
        """The pairs of some people; mask (n_people,)."""
        keep = mask[self.person]
        return Overlaps(self.box[keep], self.person[keep], self.iou[keep], self.n_boxes, self.n_people)


def find_overlaps(boxes, people):
    """The `Overlaps` of two `DistinctBoxes`."""
    by_frame = np.argsort(people.frame, kind="stable")
    box_parts = [np.zeros(0, int)]
    person_parts = [np.zeros(0, int)]
    iou_parts = [np.zeros(0)]
    for block in iter_pair_blocks(boxes.frame, people.frame[by_frame]):
        # (pairs of one frame,): those that do not overlap are dropped
        person = by_frame[block.right]
        iou = compute_iou_pairs(boxes.boxes[block.left], people.boxes[person])
        box_parts.append(block.left[iou > 0])
        person_parts.append(person[iou > 0])
        iou_parts.append(iou[iou > 0])
    return Overlaps(
        box=np.concatenate(box_parts),
        person=np.concatenate(person_parts),
        iou=np.concatenate(iou_parts),
        n_boxes=len(boxes),
        n_people=len(people),
    )


def find_best_partners(left, right, iou, n_left):
    """The `BestPartners` of n_left things, from pairs (left, right, iou) of indices; the first of equal IoUs wins."""
    # pairs sorted by left, then by falling IoU: the first pair of each run is the best
    order = np.lexsort((right, -iou, left))
    first = order[find_run_starts(left[order])]
    best = np.zeros(n_left, int)
    best_iou = np.zeros(n_left)
    best[left[first]] = right[first]
    best_iou[left[first]] = iou[first]
    return BestPartners(index=best, iou=best_iou)


@dataclass(frozen=True)
class LabeledBoxes:
    """Detections beside the annotated people. P people, B distinct detected boxes, K evaluated actions."""

    report: Report
    protocol: str | Protocol
    gt: pd.DataFrame
    det: pd.DataFrame
    people: DistinctBoxes  # the distinct boxes of the ground truth
    boxes: DistinctBoxes  # the distinct boxes of the detections
    overlaps: Overlaps  # their pairs

    @property
    def iou(self):
        """The IoU threshold."""
        return self.report.thresholds[0]

    @cached_property
    def actions(self):
        """The ids of the evaluated actions, in the order of the label map."""
        return list(self.report.label_map)

    @cached_property
    def action_names(self):
        """The names (K,) of the evaluated actions."""
        return np.array(list(self.report.label_map.values()), object)

    @cached_property
    def labels(self):
        """Labels (P,K) bool: what each person does."""
        labels = np.zeros((len(self.people), len(self.actions)), bool)
        rows, columns = self._find_evaluated_rows(self.gt)
        labels[self.people.of_row[rows], columns] = True
        return labels

    @cached_property
    def scores(self):
        """Scores (B,K) of each box for each action; -inf without a detection."""
        scores = np.full((len(self.boxes), len(self.actions)), -np.inf)
        rows, columns = self._find_evaluated_rows(self.det)
        # a box may have several detections of one action: the highest score counts
        np.maximum.at(scores, (self.boxes.of_row[rows], columns), self.det["score"].to_numpy()[rows])
        return scores

    def _find_evaluated_rows(self, table):
        """The rows of evaluated actions (N,), and their indices into the label map (N,)."""
        # NaN for actions that are not evaluated
        column = table["action_id"].map({action: k for k, action in enumerate(self.actions)})
        rows = np.flatnonzero(column.notna())
        return rows, column.iloc[rows].to_numpy().astype(int)

    @cached_property
    def best_person(self):
        """The person that each of the B boxes overlaps most: `BestPartners`."""
        return self.overlaps.find_best_person()

    @cached_property
    def best_box(self):
        """The box that overlaps each of the P people most: `BestPartners`."""
        return self.overlaps.find_best_box()

    @cached_property
    def box_labels(self):
        """Labels (B,K) of the person that each box overlaps most; all False on the background."""
        if not len(self.people):
            return np.zeros((len(self.boxes), len(self.actions)), bool)
        return self.labels[self.best_person.index] & (self.best_person.iou >= MIN_IOU)[:, None]

    @cached_property
    def best_correct_score(self):
        """The highest score (B,) of each box for an action that its person does; -inf if there is none."""
        return np.where(self.box_labels, self.scores, -np.inf).max(axis=1, initial=-np.inf)
