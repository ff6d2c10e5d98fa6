"""Csv files with a header: what columns mean, and what is refused with its line."""

import pytest
from annotation_files import BOX_PX, CSV_HEADER, CSV_ROWS, build_csv, read_import_notes, read_imported_rows

from avalib.data.row_checks import BOX_COLUMNS


def test_of_two_action_columns_the_usual_name_counts(import_source):
    layout = import_source(build_csv(*(f"{row},person" for row in CSV_ROWS), header=f"{CSV_HEADER},label"))
    assert sorted(set(read_imported_rows(layout).action)) == ["fall", "walk"]
    assert "column 'label' isn't used: 'action' is" in read_import_notes(layout)


def test_width_and_height_beside_corners_are_the_frames(import_source):
    layout = import_source(build_csv(*(f"{row},128,96" for row in CSV_ROWS), header=f"{CSV_HEADER},width,height"))
    assert read_imported_rows(layout)[BOX_COLUMNS].iloc[0].tolist() == [0.047, 0.083, 0.156, 0.417]


def test_width_and_height_beside_x_and_y_are_the_boxes(import_source):
    rows = [row.replace(BOX_PX, "6,8,14,32") for row in CSV_ROWS]
    layout = import_source(build_csv(*rows, header="video,time_s,x,y,width,height,action"))
    assert read_imported_rows(layout)[BOX_COLUMNS].iloc[0].tolist() == [0.094, 0.167, 0.312, 0.833]


def test_pixels_and_fractions_in_one_file_are_refused_with_their_rows(import_source):
    message = r"4 boxes in pixels \(line 2; .*\) and 1 in fractions of the frame \(line 6\)"
    with pytest.raises(ValueError, match=message):
        import_source(build_csv(*CSV_ROWS, "walkC,3,0.1,0.2,0.4,0.8,walk"))


def test_another_encoding_is_named(import_source):
    text = build_csv(*(row.replace("fall", "跌倒") for row in CSV_ROWS))
    with pytest.raises(ValueError, match=r"source\.csv, line 3: .*GBK .*跌倒"):
        import_source(text.encode("gbk"))


def test_utf8_with_a_byte_order_mark_is_read(import_source):
    text = build_csv(*(row.replace("fall", "跌倒") for row in CSV_ROWS))
    assert "跌倒" in set(read_imported_rows(import_source(text.encode("utf-8-sig"))).action)


FAULTY_FILES = {
    "quote": (build_csv('walkA,1,6,8,20,40,"walk', "walkB,1,6,8,20,40,walk"), "line 3: .*quote"),
    "nul": (build_csv("walkA,1,6,8,20,40,wa\x00lk"), "line 2.*printable|line 2.*NUL"),
    "twice": (build_csv(*CSV_ROWS, header=f"{CSV_HEADER},action"), "line 1: column action occurs twice"),
    "semicolons": (
        build_csv("walkA;1;6;8;20;40;walk", header=CSV_HEADER.replace(",", ";")),
        "separated by something else than commas",
    ),
    "frame": (
        build_csv("walkA,1.5,6,8,20,40,walk", header=CSV_HEADER.replace("time_s", "frame")),
        "column frame, value 1.5: expected a whole",
    ),
    "no time": (build_csv(header="video,x1,y1,x2,y2,action"), "no column time_s or frame"),
    "video": (build_csv(",1,6,8,20,40,walk"), "line 2, column video: empty"),
    "action": (build_csv("walkA,1,6,8,20,40,"), "line 2, column action: empty"),
    "infinite": (build_csv("walkA,1,6,8,20,1e400,walk"), "line 2, column y2, value '1e400': expected a finite number"),
    "text": (build_csv("walkA,1,6,8,forty,40,walk"), "line 2, column x2, value 'forty': expected a finite number"),
    "columns": (build_csv("walkA,1,6,8,20,40"), "line 2: 6 columns, the header has 7"),
    "empty": ("", "no column video, action"),
    "header alone": (CSV_HEADER, "no annotated boxes"),
}


@pytest.mark.parametrize(("text", "message"), FAULTY_FILES.values(), ids=FAULTY_FILES.keys())
def test_a_faulty_csv_is_refused_with_its_line(text, message, import_source):
    with pytest.raises(ValueError, match=rf"source\.csv.*({message})"):
        import_source(text)
