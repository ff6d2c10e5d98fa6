"""The csv of AVA-Kinetics' Kinetics part, the clip of each second, and what is missing."""

import kinetics_clips
import numpy as np
import pandas as pd
import pytest

from avalib.data.kinetics_annotations import (
    choose_clips,
    count_missing_actions,
    list_missing_annotations,
    name_clips_of_proposals,
    read_kinetics_annotations,
)
from avalib.data.kinetics_clips import KineticsClip

CLIP = KineticsClip("abcdefghijk", 10, 20)


def make_rows(*seconds, video_id="abcdefghijk", action_id=12):
    """Annotations with one box in each second."""
    box = {"x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.9}
    rows = [{"video_id": video_id, "timestamp": float(s), **box, "action_id": action_id} for s in seconds]
    return pd.DataFrame(rows)


def test_seven_columns_decimal_seconds_and_frames_without_boxes(tmp_path):
    table = read_kinetics_annotations(kinetics_clips.write_annotations(tmp_path))
    assert len(table) == len(kinetics_clips.ROWS) - 1 and (table.person_id == -1).all()
    assert table.timestamp.tolist() == [14, 14, 14, 102, 22, 5, 5, 9]
    assert table.video_id[0] == "o3lCwWyyc_s"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("o3lCwWyyc_s", "14.0", 0.1, 0.1, 0.5, 0.9), "6 columns, 'o3lCwWyyc_s,14.0,.*expected 8"),
        (("o3lCwWyyc_s", "14.0", 0.1, 0.1, "wide", 0.9, 1), "column x2, value 'wide'"),
        (("o3lCwWyyc_s", "soon", 0.1, 0.1, 0.5, 0.9, 1), "column timestamp, value 'soon'"),
    ],
)
def test_a_faulty_row_is_named_with_file_line_and_value(tmp_path, row, fault):
    path = kinetics_clips.write_annotations(tmp_path, [*kinetics_clips.ROWS[:2], row])
    with pytest.raises(ValueError, match=rf"kinetics_train_v1.0.csv, line 3.*{fault}"):
        read_kinetics_annotations(path)


def test_a_second_lies_between_a_clips_ends():
    rows = make_rows(10, 11, 19, 20)
    assert choose_clips(rows, [CLIP]).tolist() == [None, CLIP.name, CLIP.name, None]


def test_the_clip_with_most_seconds_is_taken():
    long, cut = KineticsClip("abcdefghijk", 5, 30), KineticsClip("abcdefghijk", 12, 16)
    assert set(choose_clips(make_rows(11, 14, 25), [cut, CLIP, long])) == {long.name}
    assert choose_clips(make_rows(14), [cut, CLIP]).tolist() == [CLIP.name], "of those with as many, the longest"


def test_the_index_of_the_rows_is_kept():
    rows = make_rows(11, 50, 14).iloc[::-1]
    chosen = choose_clips(rows, [CLIP])
    assert chosen.index.equals(rows.index) and chosen.tolist() == [CLIP.name, None, CLIP.name]
    assert choose_clips(rows, []).isna().all()


def test_missing_annotations_have_a_reason_each():
    rows = pd.concat([make_rows(14, 50), make_rows(5, video_id="gonegonegon"), make_rows(14, video_id="faultyfault")])
    rows = rows.reset_index(drop=True)
    faulty = KineticsClip("faultyfault", 10, 20)
    missing = list_missing_annotations(rows, choose_clips(rows, [CLIP]), [CLIP, faulty], {faulty.name: "it is short"})
    assert missing.set_index("video_id").reason.to_dict() == {
        "abcdefghijk": f"second 50 is outside of {CLIP.name}",
        "gonegonegon": "no clip of it",
        "faultyfault": "it is short",
    }
    assert missing[["keyframes", "boxes", "labels"]].to_numpy().tolist() == [[1, 1, 1]] * 3


def test_shares_of_each_action():
    rows = pd.concat([make_rows(14, 50, 51), make_rows(15, action_id=80)], ignore_index=True)
    counts = count_missing_actions(rows, choose_clips(rows, [CLIP]), {12: "stand"})
    assert counts.action.tolist() == ["stand", "80"]
    assert counts[["labels", "missing"]].to_numpy().tolist() == [[3, 2], [1, 0]]
    assert np.allclose(counts.share_missing, [2 / 3, 0])


def test_boxes_of_an_id_are_those_of_its_clips():
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "score"]
    rows = [("abcdefghijk", 14.0, 0.1, 0.1, 0.5, 0.9, 0.9), ("-5KQ66BBWC4", 902.0, 0, 0, 1, 1, 0.8)]
    proposals = pd.DataFrame(rows, columns=columns).astype({"video_id": "category"})
    other = KineticsClip("abcdefghijk", 30, 40)
    named = name_clips_of_proposals(proposals, [CLIP.name, other.name, "-5KQ66BBWC4"])
    boxes_of = named.groupby("video_id", observed=True).size().to_dict()
    assert boxes_of == {"abcdefghijk": 1, "-5KQ66BBWC4": 1, CLIP.name: 1, other.name: 1}
    assert named[named.video_id == CLIP.name].x2.tolist() == [0.5]
