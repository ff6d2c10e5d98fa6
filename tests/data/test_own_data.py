"""Annotations that other people made: what is right is read, what isn't is named with its place, nothing is guessed."""

import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import avalib
from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.catalog import find_dataset, prepare
from avalib.data.importers.source_videos import SourceVideos
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.detection import proposal_generation
from avalib.detection.person_boxes import read_person_boxes
from avalib.detection.person_detector import DetectedPeople
from avalib.utils import markup
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

BOX_PX = "6,8,20,40"
HEADER = "video,time_s,x1,y1,x2,y2,action"
ROWS = [f"{v},{t},{BOX_PX},{a}" for v in ("walkA", "walkB") for t, a in ((1, "walk"), (2, "fall"))]
AVA_ROWS = [f"{v},000{t},0.1,0.2,0.4,0.8,{a},0" for v in ("walkA", "walkB") for t, a in ((1, 1), (2, 3))]
CLASSES = {1: "fall", 3: "walk"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """walkA, walkB, walkC: 64x48, 30 frames a second, 4 s; frame k is of grey 2 * k."""
    folder = tmp_path_factory.mktemp("vids")
    for name in ("walkA", "walkB", "walkC"):
        frames = (np.full((48, 64, 3), 2 * k, np.uint8) for k in range(120))
        write_mp4(folder / f"{name}.mp4", frames, 30, crf=10)
    return folder


@pytest.fixture
def imported(videos, tmp_path, monkeypatch):
    """imported(text or path, format, **options) -> the Layout of a fresh data set."""
    monkeypatch.setenv("AVALIB_DATA", str(tmp_path / "data"))

    def run(source, format="csv", name="gym", suffix=".csv", **options):
        path = source
        if not hasattr(source, "exists"):
            path = tmp_path / f"source{suffix}"
            path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return avalib.import_data(path, format, name, **{"videos": videos} | options)

    return run


def csv_of(*rows, header=HEADER):
    return "\n".join([header, *rows]) + "\n"


def rows_of(layout):
    """Both splits as one table, with the classes' names."""
    tables = [read_ava_csv(layout.get_csv_path(s), "ground_truth").assign(split=s) for s in ("train", "val")]
    table = pd.concat(tables).sort_values(["video_id", "timestamp"], ignore_index=True)
    return table.assign(action=table.action_id.map(layout.load_label_map()))


def notes_of(layout):
    return " | ".join(json.loads((layout.root / "dataset.json").read_text(encoding="utf-8"))["notes"])


# --- csv --------------------------------------------------------------------------------------------------------------


def test_of_two_columns_for_the_action_the_first_kind_counts_and_is_named(imported):
    layout = imported(csv_of(*(f"{row},person" for row in ROWS), header=f"{HEADER},label"))
    assert sorted(set(rows_of(layout).action)) == ["fall", "walk"]
    assert "column 'label' isn't used: 'action' is" in notes_of(layout)


def test_pixels_and_fractions_in_one_file_are_refused_with_their_rows(imported):
    with pytest.raises(
        ValueError, match=r"4 boxes in pixels \(line 2; .*\) and 1 in fractions of the frame \(line 6\)"
    ):
        imported(csv_of(*ROWS, "walkC,3,0.1,0.2,0.4,0.8,walk"))


def test_a_split_for_some_rows_is_refused_with_the_rows(imported):
    rows = [f"{row},{split}" for row, split in zip(ROWS, ("train", "val", "", ""), strict=True)]
    with pytest.raises(ValueError, match=r"source\.csv: 2 of 4 rows have no split \(line 4; line 5\)"):
        imported(csv_of(*rows, header=f"{HEADER},split"))


def test_another_encoding_is_named(imported):
    text = csv_of(*(row.replace("fall", "跌倒") for row in ROWS))
    with pytest.raises(ValueError, match=r"source\.csv, line 3: .*GBK .*跌倒"):
        imported(text.encode("gbk"))
    assert "跌倒" in set(rows_of(imported(text.encode("utf-8-sig"))).action)


def test_width_and_height_beside_corners_are_the_frames(imported):
    layout = imported(csv_of(*(f"{row},128,96" for row in ROWS), header=f"{HEADER},width,height"))
    assert rows_of(layout)[BOX_COLUMNS].iloc[0].tolist() == [0.047, 0.083, 0.156, 0.417]
    boxes = [row.replace(BOX_PX, "6,8,14,32") for row in ROWS]
    own = imported(csv_of(*boxes, header="video,time_s,x,y,width,height,action"), name="other")
    assert rows_of(own)[BOX_COLUMNS].iloc[0].tolist() == [0.094, 0.167, 0.312, 0.833], "with x and y they are the box's"


def test_boxes_beyond_the_frame_are_cut_and_boxes_outside_are_refused_with_their_rows(imported):
    layout = imported(csv_of(*ROWS, "walkC,1,-10,8,20,60,walk"))
    assert rows_of(layout)[BOX_COLUMNS].iloc[-1].tolist() == [0, 0.167, 0.312, 1]
    assert "1 boxes reached outside of the frame and were cut at its edge (line 6)" in notes_of(layout)
    outside = csv_of(*ROWS, "walkC,1,-30,8,-10,40,walk", "walkC,2,64,8,90,40,walk")
    with pytest.raises(ValueError, match=r"2 rows: box outside the frame, all of it \(line 6; line 7"):
        imported(outside)
    left = imported(outside, name="left", skip_faulty=True)
    assert len(rows_of(left)) == 4 and "2 rows left out: box outside the frame" in notes_of(left)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (csv_of('walkA,1,6,8,20,40,"walk', "walkB,1,6,8,20,40,walk"), "line 3: .*quote"),
        (csv_of("walkA,1,6,8,20,40,wa\x00lk"), "line 2.*printable|line 2.*NUL"),
        (csv_of(*ROWS, header=f"{HEADER},action"), "line 1: column action occurs twice"),
        (csv_of("walkA;1;6;8;20;40;walk", header=HEADER.replace(",", ";")), "separated by something else than commas"),
        (csv_of("walkA,1.5,6,8,20,40,walk", header=HEADER.replace("time_s", "frame")), "value 1.5: expected a whole"),
        (csv_of(",1,6,8,20,40,walk"), "line 2, column video: empty"),
        (csv_of("walkA,1,6,8,20,1e400,walk"), "line 2, column y2, value '1e400': expected a finite number"),
        ("", "no column video, action"),
        (HEADER, "no annotated boxes"),
    ],
    ids=["quote", "nul", "twice", "semicolons", "frame", "video", "infinite", "empty", "header"],
)
def test_a_faulty_csv_is_refused_with_its_line(text, message, imported):
    with pytest.raises(ValueError, match=rf"source\.csv.*({message})"):
        imported(text)


def test_a_video_of_another_folder_or_name_isnt_taken(videos, tmp_path):
    found = SourceVideos(videos)
    assert found.find("walkA") == found.find("walkA.avi") == found.find("/data/vids/walkA.mp4") == videos / "walkA.mp4"
    assert found.find("walkA.2") is None
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "clip.mp4").write_bytes(b"")
    nested = SourceVideos(tmp_path)
    assert nested.find("b/clip") == nested.find("clip") and nested.find("a/clip") is None


# --- AVA's csv, label maps, proposals ---------------------------------------------------------------------------------


def test_avas_csv_with_a_byte_order_mark_is_read(imported):
    layout = imported(("\ufeff" + "\n".join(AVA_ROWS)).encode(), "ava", label_map=CLASSES)
    assert rows_of(layout).action.tolist() == ["fall", "walk"] * 2


def test_action_ids_from_0_are_refused(imported):
    with pytest.raises(ValueError, match=r"source\.csv, line 1: action_id 0; are ids counted from 0"):
        imported("\n".join(AVA_ROWS).replace(",1,0", ",0,0"), "ava", label_map=CLASSES)


@pytest.mark.parametrize(
    "text", ["1: fall\n3: walk\n", "\ufeff1: fall\n3: walk\n", 'item { name: "fall" id: 1 }\nitem{name:"walk" id:3}']
)
def test_a_label_map_is_a_file_of_ids_and_names(text, imported, tmp_path):
    (tmp_path / "map.txt").write_text(text, encoding="utf-8")
    layout = imported("\n".join(AVA_ROWS), "ava", label_map=tmp_path / "map.txt")
    assert layout.load_label_map() == CLASSES and rows_of(layout).action.tolist() == ["fall", "walk"] * 2


def proposals_of(path, boxes):
    path.write_bytes(pickle.dumps({key: np.array(value, float) for key, value in boxes.items()}))
    return path


GOOD = [[0.1, 0.2, 0.4, 0.8, 0.9]]


def test_proposals_in_pixels_are_refused_with_key_and_value(imported, tmp_path):
    path = proposals_of(tmp_path / "p.pkl", {"walkA,0001": GOOD, "walkB,0001": [[6, 8, 25, 38, 0.9]]})
    with pytest.raises(ValueError, match=r"p\.pkl, key 'walkB,0001', .*value 6: .*pixels"):
        imported("\n".join(AVA_ROWS), "ava", label_map=CLASSES, proposals=path)


@pytest.mark.parametrize(
    "box",
    [[0.4, 0.2, 0.1, 0.8, 0.9], [0.1, 0.2, 0.4, 0.8, 90], [0.1, 0.2, 1.9, 0.8, 0.5], [0.1, 0.2, 0.4, np.nan, 0.5]],
)
def test_proposals_that_are_no_boxes_are_refused(box, imported, tmp_path):
    path = proposals_of(tmp_path / "p.pkl", {"walkA,0001": [box]})
    with pytest.raises(ValueError, match=r"p\.pkl"):
        imported("\n".join(AVA_ROWS), "ava", label_map=CLASSES, proposals=path)


def test_after_an_error_the_same_name_is_free(imported, tmp_path):
    path = tmp_path / "p9.pkl"
    path.write_bytes(pickle.dumps({"walkA,0001": [[0.1, 0.2, 0.4, 0.8, 0.9], [0.1, 0.2]]}))
    with pytest.raises(ValueError, match=r"p9\.pkl"):
        imported("\n".join(AVA_ROWS), "ava", label_map=CLASSES, proposals=path)
    assert len(rows_of(imported("\n".join(AVA_ROWS), "ava", label_map=CLASSES))) == 4


def test_proposals_for_testing_alone_are_enough(imported, tmp_path):
    path = proposals_of(tmp_path / "p.pkl", {"walkA,0001": GOOD, "walkA,0002": GOOD})
    layout = imported("\n".join(AVA_ROWS), "ava", label_map=CLASSES, proposals=path)
    assert set(rows_of(layout).video_id[rows_of(layout).split == "val"]) == {"walkA"}
    assert len(read_proposals(layout.get_proposals_path("val"))) == 2
    assert "2 of 2 keyframes of train have no boxes" in notes_of(layout)
    assert avalib.check(layout, progress=False).ok
    other = proposals_of(tmp_path / "other.pkl", {"walkB,0001": GOOD})
    with pytest.raises(
        ValueError, match=r"other\.pkl: none is at a keyframe of val; .*walkB, 1 s, expected walkA, 1 s"
    ):
        imported("\n".join(AVA_ROWS), "ava", name="other", label_map=CLASSES, proposals=other)


def test_proposals_count_seconds_as_the_annotations_do(imported, tmp_path):
    rows = [row.replace(",000", ",090") for row in AVA_ROWS]
    path = proposals_of(tmp_path / "p.pkl", {"walkA,0901": GOOD, "walkA,0902": GOOD})
    layout = imported("\n".join(rows), "ava", label_map=CLASSES, proposals=path, start=900)
    assert read_proposals(layout.get_proposals_path("val")).timestamp.tolist() == [1, 2]


# --- COCO and pictures ------------------------------------------------------------------------------------------------


def coco(names, **changes):
    images = [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)]
    found = [{"id": i, "image_id": i, "category_id": 1, "bbox": [6, 8, 14, 32]} for i in range(len(names))]
    return {"images": images, "annotations": found, "categories": [{"id": 1, "name": "walk"}]} | changes


def levels(layout, video_id):
    """The grey levels of a video at the annotated times."""
    table = rows_of(layout)
    with Video(layout.find_video(video_id)) as opened:
        times = table.timestamp[table.video_id == video_id].to_numpy()
        frames = np.searchsorted(opened.times_s, times + 1e-3) - 1
        return opened.read_frames(frames).mean(axis=(1, 2, 3)).round().tolist()


@pytest.fixture
def pictures(tmp_path):
    """pictures(name, numbers, spelling): a folder of pictures, that of number n of grey 2 * n."""

    def save(name, numbers, spelling):
        folder = tmp_path / "frames" / name
        folder.mkdir(parents=True)
        for n in numbers:
            Image.fromarray(np.full((48, 64, 3), 2 * n, np.uint8)).save(folder / spelling.format(n))
        return folder.parent

    return save


@pytest.mark.parametrize(
    ("numbers", "spelling", "wanted"),
    [
        (range(100), "frame{}.png", [20, 60]),
        (range(0, 100, 5), "frame_{:06d}.png", [10, 15]),
        (range(1, 60), "img_{:05d}.png", [1, 31]),
        (range(7, 60), "{}.png", [9, 10]),
    ],
    ids=["without zeros", "every fifth", "from 1", "from 7"],
)
def test_the_number_in_a_pictures_name_counts(numbers, spelling, wanted, imported, pictures):
    folder = pictures("clip", numbers, spelling)
    text = json.dumps(coco([f"clip/{spelling.format(n)}" for n in wanted]))
    layout = imported(text, "coco", suffix=".json", videos=folder)
    assert levels(layout, "clip") == pytest.approx([2 * n for n in wanted], abs=2)


def test_a_frame_of_a_csv_is_the_pictures_number(imported, pictures):
    folder = pictures("clip", range(1, 60), "img_{:05d}.png")
    rows = [f"clip,{n},{BOX_PX},walk" for n in (5, 40)]
    layout = imported(csv_of(*rows, header=HEADER.replace("time_s", "frame")), videos=folder)
    assert levels(layout, "clip") == pytest.approx([10, 80], abs=2)


def test_pictures_that_arent_there_are_refused(imported, pictures):
    folder = pictures("clip", range(0, 100, 5), "frame_{:06d}.png")
    text = json.dumps(coco(["clip/frame_000010.png", "clip/frame_000012.png"]))
    with pytest.raises(ValueError, match="frame 12 of video clip .*annotation 1.*20 pictures with the numbers 0..95"):
        imported(text, "coco", suffix=".json", videos=folder)


def test_two_pictures_of_one_number_are_refused(imported, pictures):
    folder = pictures("clip", range(3), "a_{}.png")
    Image.new("RGB", (64, 48)).save(folder / "clip" / "b_1.png")
    with pytest.raises(ValueError, match=r"a_1\.png and b_1\.png are both number 1"):
        imported(json.dumps(coco(["clip/a_1.png"])), "coco", suffix=".json", videos=folder)


NAMES = ["walkA_000030.jpg", "walkB_000030.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco(NAMES, categories=[{"id": 1}]), "category 1: no name"),
        (coco(NAMES, images=None, annotations=None, categories=None), "no list of images, annotations, categories"),
        ([], "no list of images"),
        (coco(NAMES, images=[3]), "image number 0: 3; expected an object"),
        (coco(NAMES, annotations=[{"id": 7, "image_id": 0, "category_id": 1}]), "annotation 7: bbox None; expected"),
        (coco(NAMES, annotations=[{"image_id": 0, "category_id": 1, "bbox": [1, 2, True, 4]}]), "number 0: bbox"),
        (coco(NAMES, annotations=[{"id": 7, "image_id": [0], "category_id": 1}]), r"annotation 7: image_id \[0\]"),
        (coco(NAMES, annotations=[{"id": 7, "image_id": 9, "category_id": 1}]), "image_id 9; there is no such id"),
        (coco(NAMES, annotations=[{"id": 7, "image_id": 0, "category_id": 10**30}]), "annotation 7: category_id 1000"),
        (coco(NAMES, categories=[{"id": -1, "name": "walk"}]), "category -1: id -1; expected 0 to"),
        (
            coco([NAMES[0]] * 2, images=[{"id": 0, "file_name": n} for n in NAMES]),
            "an image with this id occurs already",
        ),
        (coco(NAMES, videos={"a": 1}), "videos is a dict"),
        (coco(["walkA_9999999999999999999999.jpg"]), "image 0, file_name .*can't tell its video and frame"),
    ],
)
def test_coco_with_holes_is_refused_with_the_item(content, message, imported):
    with pytest.raises(ValueError, match=rf"source\.json.*{message}"):
        imported(json.dumps(content), "coco", suffix=".json")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000 + "]" * 100_000, '{"images": [NaN]}', '{"images": ' + "9" * 5000 + "}", "", "{", '{"a": "\ud800"}'],
    ids=["deep", "nan", "huge", "empty", "torn", "surrogate"],
)
def test_json_that_cant_be_read_is_refused(text, imported):
    with pytest.raises(ValueError, match=r"source\.json"):
        imported(text.encode("utf-8", "surrogatepass"), "coco", suffix=".json")


# --- CVAT -------------------------------------------------------------------------------------------------------------


def cvat(box='frame="0" outside="0" xtl="6" ytl="8" xbr="20" ybr="40"', size=(64, 48), before=""):
    return f"""<?xml version="1.0"?>{before}<annotations><meta><task><labels><label><name>person</name><attributes>
<attribute><name>action</name><input_type>select</input_type></attribute></attributes></label></labels>
<original_size><width>{size[0]}</width><height>{size[1]}</height></original_size><source>walkA.mp4</source></task>
</meta><track id="0" label="person"><box {box}><attribute name="action">walk</attribute></box></track></annotations>"""


def read_cvat(imported, text, **options):
    return rows_of(imported(text, "cvat", suffix=".xml", **options))


def test_a_turned_box_counts_as_the_upright_one_around_it(imported):
    turned = 'frame="0" outside="0" xtl="6" ytl="8" xbr="20" ybr="40" rotation="90.0"'
    assert read_cvat(imported, cvat(turned))[BOX_COLUMNS].iloc[0].tolist() == [0, 0.354, 0.453, 0.646], (
        "cut at the frame"
    )
    diagonal = 'frame="0" outside="0" xtl="22" ytl="14" xbr="42" ybr="34" rotation="45"'
    half = 10 * 2**0.5
    expected = [(32 - half) / 64, (24 - half) / 48, (32 + half) / 64, (24 + half) / 48]
    assert read_cvat(imported, cvat(diagonal), name="two")[BOX_COLUMNS].iloc[0].tolist() == pytest.approx(
        expected, abs=6e-4
    )


def test_boxes_are_of_frames_of_the_tasks_original_size(imported):
    assert read_cvat(imported, cvat(size=(128, 96)))[BOX_COLUMNS].iloc[0].tolist() == [0.047, 0.083, 0.156, 0.417]
    layout = imported(cvat(size=(48, 64)), "cvat", name="turned", suffix=".xml")
    assert "another shape than their video's" in notes_of(layout)


def test_an_attribute_that_doesnt_occur_is_refused(imported):
    with pytest.raises(ValueError, match=r"source\.xml: no attribute 'actoin'; there is 'action'"):
        read_cvat(imported, cvat(), attributes=["actoin"])
    assert read_cvat(imported, cvat(), attributes="action").action.tolist() == ["walk"]


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cvat(before=BOMB), "document type"),
        ("<a>" * 100_000 + "</a>" * 100_000, "nested deeper than 100"),
        (cvat()[:300], "not readable as xml"),
        ("", "not readable as xml"),
        (cvat('frame="x"'), "track 0, frame x"),
        (cvat('frame="0" xtl="nan" ytl="8" xbr="20" ybr="40"'), "track 0, frame 0: .*finite"),
        (cvat(size=("wide", 48)), "original_size .*wide"),
        (cvat().replace("<annotations>", '<annotations><image id="1"/>'), 'export the task as "CVAT for video'),
    ],
)
def test_xml_that_cant_be_read_is_refused(text, message, imported):
    with pytest.raises(ValueError, match=rf"(?s)source\.xml.*{message}"):
        read_cvat(imported, text)


def test_a_zip_of_cvat_is_read_and_a_bomb_is_not(imported, tmp_path, monkeypatch):
    import zipfile

    with zipfile.ZipFile(tmp_path / "task.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", cvat())
    assert rows_of(imported(tmp_path / "task.zip", "cvat")).action.tolist() == ["walk"]
    monkeypatch.setattr(markup, "MAX_TEXT_BYTES", 2000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", " " * 100_000)
    with pytest.raises(ValueError, match=r"bomb\.zip: annotations\.xml unpacks to more than 2,000 bytes"):
        imported(tmp_path / "bomb.zip", "cvat", name="bomb")


# --- tubes ------------------------------------------------------------------------------------------------------------


def tubes(**changes):
    tube = np.array([[frame, 6, 8, 20, 40] for frame in range(1, 11)], np.float32)
    content = {"labels": ["walk", "fall"], "train_videos": [["walkA"]], "test_videos": [["walkB"]]}
    content["resolution"] = {"walkA": (48, 64), "walkB": (48, 64)}
    content["gttubes"] = {"walkA": {0: [tube]}, "walkB": {1: [tube]}}
    return pickle.dumps(content | changes)


@pytest.mark.parametrize("number", [0, -1, 2, "1"])
def test_a_list_of_tubes_that_isnt_there_is_refused(number, imported):
    with pytest.raises(ValueError, match=r"source\.pkl: list_number=.*; lists are numbered from 1 to 1"):
        imported(tubes(), "jhmdb", suffix=".pkl", list_number=number)


@pytest.mark.parametrize(
    "changes",
    [
        {"gttubes": {"walkA": {-1: [np.zeros((1, 5))]}}},
        {"gttubes": {"walkA": {0: [np.full((1, 5), np.nan)]}}},
        {"gttubes": {"walkA": {0: [np.zeros((2, 4))]}}},
        {"gttubes": {"walkA": [1]}},
        {"gttubes": 3},
        {"labels": [1, 2]},
        {"train_videos": None},
    ],
)
def test_faulty_tubes_are_refused(changes, imported):
    with pytest.raises(ValueError, match=r"source\.pkl"):
        imported(tubes(**changes), "jhmdb", suffix=".pkl")


# --- one's own seconds, everywhere ------------------------------------------------------------------------------------


def test_a_data_set_of_ones_own_is_right(imported, tmp_path):
    assert avalib.check(imported(csv_of(*ROWS)), progress=False).verdict == "All right: 2 videos, 4 keyframes."
    one = imported(csv_of(*(f"walkA,{t},{BOX_PX},walk" for t in (0.5, 1, 1.5, 2))), name="one")
    checkup = avalib.check("one", progress=False)
    assert checkup.ok, checkup
    assert checkup.table.status[checkup.table.check == "videos in train and in val"].tolist() == ["note"]
    assert one.start_s == 0


def test_what_is_wrong_with_a_data_set_of_ones_own_is_named(imported):
    layout = imported(csv_of(*ROWS))
    table = read_ava_csv(layout.get_csv_path("val"), "ground_truth")
    late = table.assign(timestamp=table.timestamp + 30, action_id=9)
    write_ava_csv(pd.concat([table, late]), layout.get_csv_path("val"))
    verdict = avalib.check(layout, progress=False).verdict
    assert verdict.startswith("Not right")
    assert (
        "keyframes without frames (val): 2 (50.00%)" in verdict and "actions not in the label map (val): [9]" in verdict
    )


def test_ones_own_proposals_are_given_boxes(imported):
    layout = imported(csv_of(*ROWS))
    with Video(layout.find_video("walkA")) as reader:
        for source in (
            layout.get_proposals_path("val"),
            layout.get_csv_path("val"),
            read_proposals(layout.get_proposals_path("val")),
        ):
            assert read_person_boxes(source, reader).time_s.tolist() == [1, 2]


def test_proposals_are_made_for_ones_own_seconds(imported, monkeypatch, tmp_path):
    class Finder:
        """Says how bright each picture is."""

        def __init__(self, *args, **options):
            pass

        def __call__(self, pictures):
            boxes = [np.array([[0.1, 0.1, 0.9, picture.mean() / 255]]) for picture in pictures]
            return [DetectedPeople(box, np.array([1.0])) for box in boxes]

    monkeypatch.setattr(proposal_generation, "PersonDetector", Finder)
    layout = imported(csv_of(*ROWS, f"walkA,0.5,{BOX_PX},walk", f"walkA,0.7,{BOX_PX},walk"))
    paths = {name: layout.find_video(name) for name in ("walkA", "walkB")}
    keyframes = {name: rows_of(layout).query("video_id == @name").timestamp.unique() for name in paths}
    table = avalib.make_proposals(paths, layout.get_proposals_path("val"), seconds=keyframes, progress=False)
    found = table[table.video_id == "walkA"]
    assert found.timestamp.tolist() == [0.5, 0.7, 1, 2]
    assert (found.y2 * 255 / 2).round().tolist() == pytest.approx([15, 21, 30, 60], abs=1.5), "the frames themselves"
    whole = avalib.make_proposals(paths["walkA"], layout.get_proposals_path("train"), progress=False)
    assert whole.timestamp.tolist() == [0, 1, 2, 3]
    ava = avalib.make_proposals(paths["walkA"], tmp_path / "ava.pkl", progress=False)
    assert ava.timestamp.tolist() == [900, 901, 902, 903]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_fram": 1}, "option 'first_fram' of format 'csv': it has first_frame. Did you mean 'first_frame'"),
        ({"first_frame": "1"}, "first_frame='1': expected a number"),
        ({"val_share": 2}, "val_share=2: expected 0 to 1"),
        ({"fps": 0}, "fps=0: expected"),
    ],
)
def test_options_are_checked(options, message, imported):
    with pytest.raises(ValueError, match=message):
        imported(csv_of(*ROWS), **options)


def test_names_of_data_sets_are_plain(imported):
    for name in ("..", "a/b", "", "x" * 300, "con\0", 7, "mini", "gym."):
        with pytest.raises(ValueError, match="name .*expected a plain name"):
            imported(csv_of(*ROWS), name=name)
    for name in (7, "x" * 300, "gmy"):
        with pytest.raises(ValueError, match="data set"):
            prepare(name)


def test_a_data_set_is_suggested(imported):
    imported(csv_of(*ROWS), name="juggling")
    with pytest.raises(ValueError, match="Did you mean 'juggling'"):
        find_dataset("jugling")


def test_the_folder_of_the_data_sets_isnt_one_of_videos(imported, videos, tmp_path):
    """An import whose videos folder holds data/ finds each video once, at every call."""
    for path in videos.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for _ in range(2):
        assert len(rows_of(imported(csv_of(*ROWS), videos=tmp_path))) == 4


def test_keyframes_of_written_data_are_the_annotated_frames(imported):
    assert levels(imported(csv_of(*ROWS)), "walkA") == pytest.approx([60, 120], abs=2)
    assert rows_of(prepare("gym"))[KEYFRAME_COLUMNS].values.tolist() == [
        [v, t] for v in ("walkA", "walkB") for t in (1, 2)
    ]


def test_a_zip_whose_entry_begins_elsewhere_is_refused_by_name(imported, tmp_path):
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + 16 : end + 20] = (int.from_bytes(data[end + 16 : end + 20], "little") + 60).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"task\.zip"):
        imported(path, "cvat")
