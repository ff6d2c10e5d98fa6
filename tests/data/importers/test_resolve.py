"""Rows against their videos: missing videos and frames, classes, splits."""

import pytest
from annotation_files import CSV_HEADER, CSV_ROWS, build_csv, build_frame_rows, write_frame_csv

from avalib.data.importers import import_dataset, read_annotations


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ("pal,3,10,5,40,45,run,1,dev", ValueError, "line 2: split 'dev', expected train, val or test"),
        (
            "nobody,3,10,5,40,45,run,1,",
            FileNotFoundError,
            "1 of 1 videos with 1 of 1 rows .* are not in this folder: nobody",
        ),
        ("pal,50,10,5,40,45,run,1,", ValueError, "frame 50 of video pal .line 2., which has the frames 0..49"),
    ],
)
def test_a_row_that_fits_no_video_is_named(row, error, message, rate_videos, tmp_path):
    with pytest.raises(error, match=message):
        read_annotations(write_frame_csv(tmp_path / "a.csv", row), "csv", rate_videos)


def test_a_class_outside_of_the_label_map_is_named(rate_videos, tmp_path):
    source = write_frame_csv(tmp_path / "a.csv", *build_frame_rows("pal", [1], "run"))
    with pytest.raises(ValueError, match="line 2: class 'run' isn't in the label map"):
        read_annotations(source, "csv", rate_videos, label_map=["walk"])


def test_a_split_for_some_rows_is_refused_with_the_rows(import_source):
    rows = [f"{row},{split}" for row, split in zip(CSV_ROWS, ("train", "val", "", ""), strict=True)]
    with pytest.raises(ValueError, match=r"source\.csv: 2 of 4 rows have no split \(line 4; line 5\)"):
        import_source(build_csv(*rows, header=f"{CSV_HEADER},split"))


def test_faults_are_left_out_on_request_and_counted(rate_videos, tmp_path, capsys):
    faulty = ["nobody,3,10,5,40,45,run,1,", "pal,50,10,5,40,45,run,1,", "pal,3,40,5,10,45,run,1,"]
    source = write_frame_csv(tmp_path / "a.csv", *build_frame_rows("pal", range(10)), *faulty)
    import_dataset(source, "csv", tmp_path / "own", videos=rate_videos, skip_faulty=True)
    output = capsys.readouterr().out
    assert "their files are missing: nobody" in output
    assert "beyond their video's end" in output
    assert "1 row left out: x2 < x1" in output
    assert "train: 1 videos, 8 keyframes" in output
