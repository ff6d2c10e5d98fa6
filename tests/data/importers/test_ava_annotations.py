"""AVA's own csv as a source of an import, and the label maps that go with it."""

import pytest
from annotation_files import AVA_CLASSES, AVA_TEXT, read_imported_rows

from avalib.data.importers import check_annotations, read_annotations


def test_a_byte_order_mark_is_skipped(import_source):
    layout = import_source(("\ufeff" + AVA_TEXT).encode(), "ava", label_map=AVA_CLASSES)
    assert read_imported_rows(layout).action.tolist() == ["fall", "walk"] * 2


def test_action_ids_from_0_are_refused(import_source):
    with pytest.raises(ValueError, match=r"source\.csv, line 1: action_id 0; are ids counted from 0"):
        import_source(AVA_TEXT.replace(",1,0", ",0,0"), "ava", label_map=AVA_CLASSES)


@pytest.mark.parametrize(
    "text", ["1: fall\n3: walk\n", "\ufeff1: fall\n3: walk\n", 'item { name: "fall" id: 1 }\nitem{name:"walk" id:3}']
)
def test_a_label_map_is_a_file_of_ids_and_names(text, import_source, tmp_path):
    (tmp_path / "map.txt").write_text(text, encoding="utf-8")
    layout = import_source(AVA_TEXT, "ava", label_map=tmp_path / "map.txt")
    assert layout.load_label_map() == AVA_CLASSES
    assert read_imported_rows(layout).action.tolist() == ["fall", "walk"] * 2


def test_seconds_of_another_clock_are_found(tiny):
    problems = check_annotations(read_annotations(tiny.annotations, "ava", videos=tiny.videos)).problems
    assert problems.problem.tolist() == ["timestamp beyond the video's end"]
    assert "start=900" in problems.looks_like[0]
