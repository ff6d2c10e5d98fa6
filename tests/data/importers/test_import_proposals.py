"""Person boxes for testing that come with an import."""

import pickle

import numpy as np
import pytest
from annotation_files import (
    AVA_CLASSES,
    AVA_ROWS,
    AVA_TEXT,
    read_import_notes,
    read_imported_rows,
    write_proposals_pickle,
)

import avalib
from avalib.data.proposals import read_proposals

BOXES = [[0.1, 0.2, 0.4, 0.8, 0.9]]


@pytest.fixture
def import_ava(import_source):
    """import_ava(text, **options): AVA's csv with the two classes."""
    return lambda text=AVA_TEXT, **options: import_source(text, "ava", label_map=AVA_CLASSES, **options)


def test_pixels_are_refused_with_key_and_value(import_ava, tmp_path):
    path = write_proposals_pickle(tmp_path / "p.pkl", {"walkA,0001": BOXES, "walkB,0001": [[6, 8, 25, 38, 0.9]]})
    with pytest.raises(ValueError, match=r"p\.pkl, key 'walkB,0001', .*value 6: .*pixels"):
        import_ava(proposals=path)


@pytest.mark.parametrize(
    "box",
    [[0.4, 0.2, 0.1, 0.8, 0.9], [0.1, 0.2, 0.4, 0.8, 90], [0.1, 0.2, 1.9, 0.8, 0.5], [0.1, 0.2, 0.4, np.nan, 0.5]],
    ids=["x2 < x1", "score", "outside", "nan"],
)
def test_faulty_boxes_are_refused(box, import_ava, tmp_path):
    path = write_proposals_pickle(tmp_path / "p.pkl", {"walkA,0001": [box]})
    with pytest.raises(ValueError, match=r"p\.pkl"):
        import_ava(proposals=path)


def test_after_an_error_the_name_is_free(import_ava, tmp_path):
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps({"walkA,0001": [[0.1, 0.2, 0.4, 0.8, 0.9], [0.1, 0.2]]}))
    with pytest.raises(ValueError, match=r"p\.pkl"):
        import_ava(proposals=path)
    assert len(read_imported_rows(import_ava())) == 4


def test_boxes_at_the_keyframes_of_val_are_enough(import_ava, tmp_path):
    path = write_proposals_pickle(tmp_path / "p.pkl", {"walkA,0001": BOXES, "walkA,0002": BOXES})
    layout = import_ava(proposals=path)
    rows = read_imported_rows(layout)
    assert set(rows.video_id[rows.split == "val"]) == {"walkA"}
    assert len(read_proposals(layout.get_proposals_path("val"))) == 2
    assert "2 of 2 keyframes of train have no boxes" in read_import_notes(layout)
    assert avalib.check(layout, progress=False).ok


def test_boxes_at_no_keyframe_of_val_are_refused(import_ava, tmp_path):
    path = write_proposals_pickle(tmp_path / "p.pkl", {"walkB,0001": BOXES})
    message = r"p\.pkl: none is at a keyframe of val; .*walkB, 1 s, expected walkA, 1 s"
    with pytest.raises(ValueError, match=message):
        import_ava(proposals=path)


def test_seconds_are_counted_as_the_annotations_are(import_ava, tmp_path):
    rows = [row.replace(",000", ",090") for row in AVA_ROWS]
    path = write_proposals_pickle(tmp_path / "p.pkl", {"walkA,0901": BOXES, "walkA,0902": BOXES})
    layout = import_ava("\n".join(rows), proposals=path, start=900)
    assert read_proposals(layout.get_proposals_path("val")).timestamp.tolist() == [1, 2]
