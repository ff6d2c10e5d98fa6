"""CVAT's xml: actions from attributes and labels, rotated boxes, zips, and files that are refused."""

import zipfile

import pytest
from annotation_files import build_cvat, read_import_notes, read_imported_rows

from avalib.data.importers import read_annotations
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils import markup

TWO_LABELS = """<annotations><meta><task><labels>
<label><name>person</name><attributes>
<attribute><name>action</name><input_type>select</input_type></attribute>
<attribute><name>age</name><input_type>number</input_type></attribute></attributes></label>
<label><name>jump</name><attributes/></label></labels>
<source>pal.mp4</source></task></meta>
<track id="0" label="person">
<box frame="4" outside="0" keyframe="1" xtl="1" ytl="2" xbr="30" ybr="40">
<attribute name="action">walk</attribute><attribute name="age">7</attribute></box>
<box frame="5" outside="0" keyframe="0" xtl="1" ytl="2" xbr="30" ybr="40">
<attribute name="action">__undefined__</attribute></box>
<box frame="6" outside="1" keyframe="1" xtl="1" ytl="2" xbr="30" ybr="40">
<attribute name="action">walk</attribute></box></track>
<track id="2" label="jump"><polygon frame="4" outside="0" points="1,1;2,2;3,1"/></track>
<track id="1" label="jump"><box frame="4" outside="0" keyframe="1" xtl="31" ytl="2" xbr="60" ybr="40"/></track>
</annotations>"""
ENTITY_BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.fixture
def import_cvat(import_source):
    """import_cvat(text, **options) -> the rows of the data set."""
    return lambda text, **options: read_imported_rows(import_source(text, "cvat", suffix=".xml", **options))


@pytest.fixture
def two_labels(rate_videos, tmp_path):
    """The ImportedAnnotations of TWO_LABELS."""
    (tmp_path / "a.xml").write_text(TWO_LABELS, encoding="utf-8")
    return read_annotations(tmp_path / "a.xml", "cvat", videos=rate_videos)


def test_actions_are_values_of_selects_or_else_labels(two_labels):
    assert two_labels.label_map == {1: "jump", 2: "walk"}
    columns = ["timestamp", "action_id", "person_id"]
    assert two_labels.table[columns].values.tolist() == [[0.16, 2, 0], [0.16, 1, 1]]


def test_what_is_left_out_is_counted(two_labels):
    assert set(two_labels.notes) == {"1 boxes without an action left out", "1 polygon shapes left out"}


def test_a_rotated_box_counts_as_the_upright_one_around_it(import_cvat):
    box = 'frame="0" outside="0" xtl="22" ytl="14" xbr="42" ybr="34" rotation="45"'
    half = 10 * 2**0.5
    expected = [(32 - half) / 64, (24 - half) / 48, (32 + half) / 64, (24 + half) / 48]
    assert import_cvat(build_cvat(box))[BOX_COLUMNS].iloc[0].tolist() == pytest.approx(expected, abs=6e-4)


def test_a_rotated_box_is_cut_at_the_frame(import_cvat):
    box = 'frame="0" outside="0" xtl="6" ytl="8" xbr="20" ybr="40" rotation="90.0"'
    assert import_cvat(build_cvat(box))[BOX_COLUMNS].iloc[0].tolist() == [0, 0.354, 0.453, 0.646]


def test_boxes_are_of_frames_of_the_tasks_original_size(import_cvat):
    boxes = import_cvat(build_cvat(size=(128, 96)))[BOX_COLUMNS]
    assert boxes.iloc[0].tolist() == [0.047, 0.083, 0.156, 0.417]


def test_another_aspect_ratio_than_the_videos_is_noted(import_source):
    layout = import_source(build_cvat(size=(48, 64)), "cvat", suffix=".xml")
    assert "another shape than their video's" in read_import_notes(layout)


def test_a_chosen_attribute_is_read(import_cvat):
    assert import_cvat(build_cvat(), attributes="action").action.tolist() == ["walk"]


def test_a_misspelt_attribute_is_refused(import_cvat):
    with pytest.raises(ValueError, match=r"source\.xml: no attribute 'actoin'; there is 'action'"):
        import_cvat(build_cvat(), attributes=["actoin"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (build_cvat(before=ENTITY_BOMB), "document type"),
        ("<a>" * 100_000 + "</a>" * 100_000, "nested deeper than 100"),
        (build_cvat()[:300], "not readable as xml"),
        ("", "not readable as xml"),
        (build_cvat('frame="x"'), "track 0, frame x"),
        (build_cvat('frame="0" xtl="nan" ytl="8" xbr="20" ybr="40"'), "track 0, frame 0: .*finite"),
        (build_cvat(size=("wide", 48)), "original_size .*wide"),
        (build_cvat().replace("<annotations>", '<annotations><image id="1"/>'), 'export the task as "CVAT for video'),
    ],
)
def test_unreadable_xml_is_refused(text, message, import_cvat):
    with pytest.raises(ValueError, match=rf"(?s)source\.xml.*{message}"):
        import_cvat(text)


def write_zip(path, text):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", text)
    return path


def test_a_zip_is_read(import_source, tmp_path):
    layout = import_source(write_zip(tmp_path / "task.zip", build_cvat()), "cvat")
    assert read_imported_rows(layout).action.tolist() == ["walk"]


def test_a_zip_that_unpacks_to_too_much_is_refused(import_source, tmp_path, monkeypatch):
    monkeypatch.setattr(markup, "MAX_TEXT_BYTES", 2000)
    with pytest.raises(ValueError, match=r"bomb\.zip: annotations\.xml unpacks to more than 2,000 bytes"):
        import_source(write_zip(tmp_path / "bomb.zip", " " * 100_000), "cvat")


def test_a_zip_whose_entry_begins_elsewhere_is_refused(import_source, tmp_path):
    path = write_zip(tmp_path / "task.zip", "<annotations/>")
    content = bytearray(path.read_bytes())
    # The central directory's offset, in the record at the end, is moved by 60 bytes.
    start = content.rindex(b"PK\x05\x06") + 16
    offset = int.from_bytes(content[start : start + 4], "little")
    content[start : start + 4] = (offset + 60).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"task\.zip"):
        import_source(path, "cvat")
