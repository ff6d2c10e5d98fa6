"""Videos that are folders of pictures: the number in a name is the frame's."""

import json

import numpy as np
import pytest
from annotation_files import BOX_PX, build_coco, build_csv, measure_gray_levels
from PIL import Image

from avalib.data.importers import import_dataset
from avalib.video.reader import Video


@pytest.mark.parametrize(
    ("numbers", "spelling", "annotated"),
    [
        (range(100), "frame{}.png", [20, 60]),
        (range(0, 100, 5), "frame_{:06d}.png", [10, 15]),
        (range(1, 60), "img_{:05d}.png", [1, 31]),
        (range(7, 60), "{}.png", [9, 10]),
    ],
    ids=["without zeros", "every fifth", "from 1", "from 7"],
)
def test_the_number_in_a_name_is_the_frames(numbers, spelling, annotated, import_source, write_pictures):
    folder = write_pictures("clip", numbers, spelling)
    text = json.dumps(build_coco([f"clip/{spelling.format(number)}" for number in annotated]))
    layout = import_source(text, "coco", suffix=".json", videos=folder)
    assert measure_gray_levels(layout, "clip") == pytest.approx([2 * number for number in annotated], abs=2)


def test_a_frame_of_a_csv_is_the_pictures_number(import_source, write_pictures):
    folder = write_pictures("clip", range(1, 60), "img_{:05d}.png")
    rows = [f"clip,{frame},{BOX_PX},walk" for frame in (5, 40)]
    layout = import_source(build_csv(*rows, header="video,frame,x1,y1,x2,y2,action"), videos=folder)
    assert measure_gray_levels(layout, "clip") == pytest.approx([10, 80], abs=2)


def test_missing_pictures_are_refused(import_source, write_pictures):
    folder = write_pictures("clip", range(0, 100, 5), "frame_{:06d}.png")
    text = json.dumps(build_coco(["clip/frame_000010.png", "clip/frame_000012.png"]))
    with pytest.raises(ValueError, match="frame 12 of video clip .*annotation 1.*20 pictures with the numbers 0..95"):
        import_source(text, "coco", suffix=".json", videos=folder)


def test_two_pictures_of_one_number_are_refused(import_source, write_pictures):
    folder = write_pictures("clip", range(3), "a_{}.png")
    Image.new("RGB", (64, 48)).save(folder / "clip" / "b_1.png")
    with pytest.raises(ValueError, match=r"a_1\.png and b_1\.png are both number 1"):
        import_source(json.dumps(build_coco(["clip/a_1.png"])), "coco", suffix=".json", videos=folder)


def test_pictures_become_a_video(write_pictures, tmp_path):
    folder = write_pictures("clip", range(30), "{}.png")
    path = tmp_path / "a.csv"
    path.write_text(build_csv(f"clip,0,{BOX_PX},walk", f"clip,1,{BOX_PX},walk"), encoding="utf-8")
    layout = import_dataset(path, "csv", tmp_path / "own", videos=folder, fps=25)
    with Video(layout.find_video("clip")) as video:
        assert video.n_frames == 30
        assert video.fps == pytest.approx(25)
        levels = video.read_frames([0, 11, 29]).mean(axis=(1, 2, 3))
    assert np.abs(levels - [0, 22, 58]).max() < 2
