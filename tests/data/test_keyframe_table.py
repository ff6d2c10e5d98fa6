"""Keyframes: people and labels of the csv, proposals by score, memory shared with workers."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import write_proposals


def test_keyframes_are_the_csvs(tiny):
    table = read_ava_csv(tiny.get_csv_path("train"), "ground_truth")
    keyframes = load_keyframes(tiny, "train")
    assert len(keyframes) == table.groupby(["video_id", "timestamp"]).ngroups
    assert keyframes.labels.sum() == len(
        table.drop_duplicates(["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"])
    )
    for k in (0, len(keyframes) - 1):
        rows = table[(table.video_id == keyframes.video_ids[k]) & (table.timestamp == keyframes.timestamps[k])]
        boxes, labels = keyframes.get_ground_truth(k)
        for (x1, y1), person in rows.groupby(["x1", "y1"]):
            (at,) = np.flatnonzero((boxes[:, 0] == x1) & (boxes[:, 1] == y1))
            assert set(np.flatnonzero(labels[at])) == set(person.action_id)


def test_keyframes_without_a_sure_box_are_left_out_where_the_test_has_none(tiny):
    threshold = float(load_keyframes(tiny, "val", 0.0).proposal_scores.max()) - 1e-6
    all_keyframes = load_keyframes(tiny, "val", threshold)
    keyframes = load_keyframes(tiny, "val", threshold, only_with_boxes=True)
    assert 0 < len(keyframes) < len(all_keyframes) and (keyframes.proposal_scores >= threshold).all()
    # the boxes that both have are the same
    sure = all_keyframes.proposal_scores >= threshold
    assert np.array_equal(keyframes.proposals_norm, all_keyframes.proposals_norm[sure])
    assert keyframes.n_without_proposals == 0 and len(keyframes.box_start) == len(keyframes) + 1


def test_excluded_seconds_leave_training_only(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    for folder in ("annotations", "proposals"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    whole = load_keyframes(layout, "train", training=True)
    one = pd.DataFrame({"video_id": [whole.video_ids[0]], "timestamp": [whole.timestamps[0]]})
    write_exclusions(one, layout.get_exclusions_path("train"))
    assert (
        len(load_keyframes(layout, "train", training=False)) == len(load_keyframes(layout, "train", training=True)) + 1
    )


def test_proposals_at_the_threshold_the_frames_best_or_the_whole_frame(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    for folder in ("annotations", "proposals"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    keys = read_ava_csv(layout.get_csv_path("val"), "ground_truth")[["video_id", "timestamp"]].drop_duplicates()
    box = {"x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.5}
    rows = [{**dict(keys.iloc[0]), **box, "score": s} for s in (0.95, 0.9, 0.89)]
    rows += [{**dict(keys.iloc[1]), **box, "score": s} for s in (0.3, 0.5)]
    write_proposals(pd.DataFrame(rows), layout.get_proposals_path("val"))
    keyframes = load_keyframes(layout, "val")
    scores = [
        keyframes.proposal_scores[keyframes.proposal_start[k] : keyframes.proposal_start[k + 1]] for k in range(3)
    ]
    assert scores[0] == pytest.approx([0.95, 0.9]) and scores[1] == pytest.approx([0.5])
    assert keyframes.get_proposals(2).tolist() == [[0, 0, 1, 1]] and keyframes.n_without_proposals == len(keyframes) - 2


def test_workers_share_the_annotations_memory(tiny):
    keyframes = load_keyframes(tiny, "train")
    copy = pickle.loads(pickle.dumps(keyframes))
    for name, value in vars(copy).items():
        assert np.array_equal(value, getattr(keyframes, name)), name
    state = keyframes.__getstate__()
    assert all(value.is_shared() for value in state.values() if isinstance(value, torch.Tensor))
    assert keyframes.__getstate__() is state, "kept as long as the keyframes are"
