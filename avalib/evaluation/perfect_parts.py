"""Detections as if one part of the detector were perfect: the boxes, or the actions."""

import numpy as np

from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.evaluation.labeled_boxes import MIN_IOU

_DETECTION_COLUMNS = [*KEYFRAME_COLUMNS, *BOX_COLUMNS]


def build_perfect_boxes(labeled):
    """Detections with one box for each annotated person, and the scores of the detected box nearest to the person.

    labeled: LabeledBoxes. Returns a table of detections.
    """
    scores = np.zeros((len(labeled.people), len(labeled.actions)))
    if len(labeled.boxes):
        box_scores = labeled.scores[labeled.best_box.index]
        is_scored = (labeled.best_box.iou >= MIN_IOU)[:, None] & np.isfinite(box_scores)
        scores[is_scored] = box_scores[is_scored]
    people = labeled.gt.iloc[labeled.people.first_row][_DETECTION_COLUMNS]
    return _build_detections(people, labeled.actions, scores, np.ones(scores.shape, bool))


def build_perfect_actions(labeled):
    """Detections with the detected boxes, scored by their IoU for the actions that their person does.

    labeled: LabeledBoxes. Returns a table of detections.
    """
    iou = labeled.best_person.iou
    is_correct = labeled.box_labels & (iou >= labeled.iou)[:, None]
    order = np.argsort(-iou, kind="stable")
    boxes = labeled.det.iloc[labeled.boxes.first_row][_DETECTION_COLUMNS].iloc[order]
    return _build_detections(boxes, labeled.actions, iou[order, None] * is_correct[order], is_correct[order])


def _build_detections(boxes, actions, scores, mask):
    """A table of detections of boxes (N rows) with scores (N,K) for K actions where mask (N,K) is True."""
    row, k = np.nonzero(mask)
    table = boxes.iloc[row].reset_index(drop=True)
    return table.assign(action_id=np.array(actions)[k], score=scores[row, k])
