"""COCO json: frames by file names, and items that are refused by name."""

import json

import pytest
from annotation_files import build_coco

from avalib.data.importers import read_annotations
from avalib.data.row_checks import BOX_COLUMNS

NAMES = ["walkA_000030.jpg", "walkB_000030.jpg"]


@pytest.fixture
def one_image(tmp_path):
    """A folder with a json of one image, frame 5 of the video pal, with one box."""
    content = {
        "images": [{"id": 1, "file_name": "pal/img_00005.jpg", "width": 32, "height": 24}],
        "annotations": [{"id": 9, "image_id": 1, "category_id": 0, "bbox": [8, 6, 8, 12]}],
        "categories": [{"id": 0, "name": "run"}],
    }
    (tmp_path / "one.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_file_names_tell_video_and_frame(one_image, rate_videos):
    row = read_annotations(one_image, "coco", rate_videos, first_frame=1).table.iloc[0]
    assert row[["timestamp", *BOX_COLUMNS, "action_id"]].tolist() == [0.16, 0.25, 0.25, 0.5, 0.75, 1]


def test_frames_may_be_counted_at_another_rate(one_image, rate_videos):
    assert read_annotations(one_image, "coco", rate_videos, first_frame=1, rate=4).table.timestamp[0] == 1.0


def build_annotation(**values):
    """COCO's content with one annotation."""
    return build_coco(NAMES, annotations=[{"image_id": 0, "category_id": 1} | values])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (build_coco(NAMES, categories=[{"id": 1}]), "category 1: no name"),
        (
            build_coco(NAMES, images=None, categories=None),
            "no list of images, categories",
        ),
        ([], "no list of images"),
        (build_coco(NAMES, images=[3]), "image number 0: 3; expected an object"),
        (build_annotation(id=7), "annotation 7: bbox None; expected"),
        (build_annotation(bbox=[1, 2, True, 4]), "number 0: bbox"),
        (build_annotation(id=7, image_id=[0]), r"annotation 7: image_id \[0\]"),
        (build_annotation(id=7, image_id=9), "image_id 9; there is no such id"),
        (build_annotation(id=7, category_id=10**30), "annotation 7: category_id 1000"),
        (build_coco(NAMES, categories=[{"id": -1, "name": "walk"}]), "category -1: id -1; expected 0 to"),
        (build_coco(NAMES, images=[{"id": 0, "file_name": name} for name in NAMES]), "an image with this id occurs"),
        (build_coco(NAMES, videos={"a": 1}), "videos is a dict"),
        (build_coco(["walkA_9999999999999999999999.jpg"]), "image 0, file_name .*can't tell its video and frame"),
        (build_coco(["x.jpg"]), "image 0, file_name 'x.jpg': can't tell its video and frame"),
    ],
)
def test_faulty_items_are_named(content, message, import_source):
    with pytest.raises(ValueError, match=rf"source\.json.*{message}"):
        import_source(json.dumps(content), "coco", suffix=".json")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000 + "]" * 100_000, '{"images": [NaN]}', '{"images": ' + "9" * 5000 + "}", "", "{", '{"a": "\ud800"}'],
    ids=["deep", "nan", "huge", "empty", "torn", "surrogate"],
)
def test_unreadable_json_is_refused(text, import_source):
    with pytest.raises(ValueError, match=r"source\.json"):
        import_source(text.encode("utf-8", "surrogatepass"), "coco", suffix=".json")
