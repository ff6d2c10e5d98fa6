"""Which keyframes are used, and for what."""

import numpy as np
import pandas as pd
import pytest

from avalib.data.importers.keyframe_split import assign_splits, thin_keyframes


def build_table(classes_by_video, times_s=(0.0, 1.0), split=""):
    """A row per video, time and class."""
    rows = [
        (video_id, time_s, action_id, split)
        for video_id, action_ids in classes_by_video.items()
        for time_s in times_s
        for action_id in action_ids
    ]
    return pd.DataFrame(rows, columns=["video_id", "timestamp", "action_id", "split"])


def test_keyframes_are_thinned_to_the_gap():
    table, notes = thin_keyframes(build_table({"a": [1]}, np.arange(10) / 5), 0.3)
    assert table.timestamp.tolist() == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert notes == ["5 of 10 keyframes kept, at least 0.3 s apart"]


def test_own_splits_stay():
    table = pd.concat([build_table({"a": [1]}, split="train"), build_table({"b": [1]}, split="val")])
    splits, notes = assign_splits(table, 0.5, seed=0)
    assert splits.tolist() == ["train", "train", "val", "val"]
    assert notes == []


def test_one_video_is_divided_in_time():
    splits, notes = assign_splits(build_table({"a": [1]}, range(10)), 0.2, seed=0)
    assert splits.tolist() == ["train"] * 8 + ["val"] * 2
    assert "from second 8 on it is for validation" in notes[0]


@pytest.mark.parametrize("seed", range(5))
def test_every_class_of_val_is_in_train_too(seed):
    table = build_table({"a": [1], "b": [1, 2], "c": [2, 3], "d": [1], "e": [2]})
    splits, _ = assign_splits(table, 0.4, seed)
    is_val = splits == "val"
    assert set(table.action_id[is_val]) <= set(table.action_id[~is_val])
    assert table.video_id[is_val].nunique() == 2


def test_a_video_is_for_validation_even_if_all_have_classes_of_their_own():
    splits, notes = assign_splits(build_table({"a": [1], "b": [2]}), 0.5, seed=0)
    assert splits.tolist() == ["train", "train", "val", "val"]
    assert "every video has a class that no other has" in notes[0]
