"""The annotated actions with the scores that a model gives them: which ones it misses."""

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.evaluation.labeled_boxes import LabeledBoxes


def list_annotated_scores(analysis: LabeledBoxes) -> pd.DataFrame:
    """List every evaluated action of every annotated person with the score on the detected box that overlaps it most.

    Parameters
    ----------
    analysis : LabeledBoxes
        From `error_analysis.analyze_errors`.

    Returns
    -------
    DataFrame
        video_id, timestamp, x1, y1, x2, y2 (the annotated box), action_id, action, score; in the order of videos and
        times. score is NaN without a detected box of at least the metric's IoU, or without a score for the action.
    """
    # (N,) the person and the action of each annotated label
    person, column = np.nonzero(analysis.labels)
    score = np.full(len(person), np.nan)
    is_found = analysis.best_box.iou[person] >= analysis.iou
    score[is_found] = analysis.scores[analysis.best_box.index[person[is_found]], column[is_found]]
    score[np.isinf(score)] = np.nan
    # the annotation's columns, and the action with its score
    rows = analysis.people.first_row[person]
    table = analysis.gt.iloc[rows][[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].reset_index(drop=True)
    table = table.assign(
        action_id=np.array(analysis.actions, int)[column], action=analysis.action_names[column], score=score
    )
    return table.sort_values(KEYFRAME_COLUMNS, kind="stable", ignore_index=True)
