"""The score to beat: a detector that knows nothing but how frequent each action is."""

import numpy as np
import pandas as pd

from avalib.data.ava_csv import load_ava_table
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_ACTION
from avalib.evaluation.evaluator import Source


def compute_frequency_baseline(train: Source, proposals: pd.DataFrame) -> pd.DataFrame:
    """Detections of the strongest trivial detector: each proposal gets each action, scored by its training frequency.

    Parameters
    ----------
    train : path or DataFrame
        Ground truth of the training split. An action's score is the share of its boxes that have the action.
    proposals : DataFrame
        video_id, timestamp, x1, y1, x2, y2, …

    Returns
    -------
    DataFrame
        Detections: the proposals' columns with action_id and score; frame by frame, then by action and proposal.
    """
    columns = [*KEYFRAME_COLUMNS, *BOX_COLUMNS]
    missing = [column for column in columns if column not in proposals]
    if missing:
        raise ValueError(f"proposals table: no column {missing}; expected {columns}, got {list(proposals)}")
    train = load_ava_table(train, "ground_truth")
    train = train[train["action_id"] != NO_ACTION]
    # the share of the distinct boxes that have each action
    n_boxes = len(train[columns].drop_duplicates())
    if not n_boxes:
        raise ValueError("the training table has no boxes; expected AVA ground truth")
    frequency = (train["action_id"].value_counts() / n_boxes).sort_index()

    # each proposal once for each action, then sorted by frame, action, proposal
    actions = pd.DataFrame({"action_id": frequency.index.astype(np.int64), "score": frequency.to_numpy()})
    detections = proposals[columns].reset_index(drop=True).merge(actions, how="cross")
    frame = np.repeat(proposals.groupby(KEYFRAME_COLUMNS, sort=False).ngroup().to_numpy(), len(actions))
    proposal = np.repeat(np.arange(len(proposals)), len(actions))
    order = np.lexsort((proposal, detections["action_id"], frame))
    return detections.iloc[order].reset_index(drop=True)
