"""What the linter stops at, and boxes that reach outside of the frame."""

import pytest
from annotation_files import CSV_ROWS, build_csv, read_import_notes, read_imported_rows, write_frame_csv

from avalib.data.importers import import_dataset
from avalib.data.row_checks import BOX_COLUMNS

BOXES_OUTSIDE = build_csv(*CSV_ROWS, "walkC,1,-30,8,-10,40,walk", "walkC,2,64,8,90,40,walk")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("pal,3,40,5,10,45,run,1,", "1 row: x2 < x1 .*line 2"),
        ("pal,3,10,5,400,45,run,1,", "1 row: box in numbers far above 1"),
    ],
)
def test_a_faulty_box_is_refused(row, message, rate_videos, tmp_path):
    with pytest.raises(ValueError, match=message):
        import_dataset(write_frame_csv(tmp_path / "a.csv", row), "csv", tmp_path / "own", videos=rate_videos)


def test_boxes_that_reach_outside_are_cut(import_source):
    layout = import_source(build_csv(*CSV_ROWS, "walkC,1,-10,8,20,60,walk"))
    assert read_imported_rows(layout)[BOX_COLUMNS].iloc[-1].tolist() == [0, 0.167, 0.312, 1]
    assert "boxes that reach outside of the frame, cut at its edge: 1 (line 6)" in read_import_notes(layout)


def test_boxes_that_are_all_outside_are_refused_with_their_rows(import_source):
    with pytest.raises(ValueError, match=r"2 rows: box outside the frame, all of it \(line 6; line 7"):
        import_source(BOXES_OUTSIDE)


def test_boxes_that_are_all_outside_are_left_out_on_request(import_source):
    layout = import_source(BOXES_OUTSIDE, skip_faulty=True)
    assert len(read_imported_rows(layout)) == 4
    assert "2 rows left out: box outside the frame" in read_import_notes(layout)
