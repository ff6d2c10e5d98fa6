"""Mutated annotations and boxes: each is read, or refused with a message that names the file. Slow."""

import contextlib
import io
import itertools
import json
import shutil
import tempfile
from pathlib import Path

import fuzzing
import numpy as np
import pandas as pd
import pytest

from avalib.data.importers.dataset_import import import_dataset
from avalib.detection.person_boxes import read_person_boxes
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

pytestmark = pytest.mark.slow
EXPECTED = (ValueError, FileNotFoundError)
VIDEOS = Path(tempfile.gettempdir()) / "avalib-fuzz-videos"  # the reading process is another one
COUNT = itertools.count()


@pytest.fixture(autouse=True)
def videos():
    VIDEOS.mkdir(exist_ok=True)
    for name in ("walkA", "walkB", "walkC"):
        write_mp4(VIDEOS / f"{name}.mp4", (np.full((48, 64, 3), 2 * k, np.uint8) for k in range(20)), 10)
    yield
    shutil.rmtree(VIDEOS)


def imported(path, format, **options):
    root = path.parent / f"own{next(COUNT)}"
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            import_dataset(path, format, root, videos=VIDEOS, **options)
        except FileNotFoundError as error:
            if "are not in this folder" not in str(error):  # a video's name was changed
                raise
    shutil.rmtree(root, ignore_errors=True)


def import_coco(path):
    imported(path, "coco")


def import_cvat(path):
    imported(path, "cvat")


def import_csv(path):
    imported(path, "csv")


def import_ava(path):
    imported(path, "ava", label_map={1: "fall", 3: "walk"})


def import_faulty_csv(path):
    imported(path, "csv", skip_faulty=True)


def read_boxes(path):
    with Video(VIDEOS / "walkA.mp4") as reader:
        read_person_boxes(path, reader)


def test_coco():
    images = [{"id": i, "file_name": f"walk{v}_00001{i}.jpg", "width": 64, "height": 48} for i, v in enumerate("AB")]
    found = [{"id": i, "image_id": i, "category_id": 1, "bbox": [6, 8, 14, 32], "track_id": i} for i in range(2)]
    plain = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "walk"}]}
    videos = [{"id": 1, "name": "walkC.mp4"}]
    named = {"id": 0, "video_id": 1, "frame_id": 3, "width": 64, "height": 48}
    of_video = plain | {"videos": videos, "images": [named, named | {"id": 1, "timestamp": 0.5}]}
    seeds = [json.dumps(content).encode() for content in (plain, of_video)]
    fuzzing.run(import_coco, seeds, EXPECTED, suffix=".json", tokens=[b"null", b"true", b"[[", b"{}", b'"id":', b"NaN"])


CVAT = b"""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels><label>
<name>person</name><attributes><attribute><name>action</name><input_type>select</input_type></attribute></attributes>
</label></labels><original_size><width>64</width><height>48</height></original_size><source>walkA.mp4</source></task>
</meta><track id="0" label="person"><box frame="0" keyframe="1" outside="0" xtl="6" ytl="8" xbr="20" ybr="40">
<attribute name="action">walk</attribute></box><box frame="9" keyframe="1" outside="0" xtl="6" ytl="8" xbr="20"
ybr="40" rotation="30.5"><attribute name="action">fall</attribute></box></track></annotations>"""


def test_cvat():
    tokens = [b"<box>", b"</track>", b"<!DOCTYPE a []>", b"&amp;", b"&a;", b"]]>", b"<!--"]
    fuzzing.run(import_cvat, [CVAT], EXPECTED, suffix=".xml", tokens=tokens)


ROWS = [f"{v},{t},6,8,20,40,{a}" for v in ("walkA", "walkB") for t, a in ((1, "walk"), (1.5, "fall"))]
SEEDS = [
    "\n".join(["video,time_s,x1,y1,x2,y2,action", *ROWS]),
    "\n".join(
        ["video,frame,x,y,w,h,label,track_id,split", "walkA,3,6,8,14,32,walk,1,train", "walkC,4,6,8,9,9,a,2,val"]
    ),
]
CSV_TOKENS = [b",", b"\n", b'"', b"frame", b"width", b"nan"]


@pytest.mark.parametrize("read", [import_csv, import_faulty_csv])
def test_csv(read):
    fuzzing.run(read, [seed.encode() for seed in SEEDS], EXPECTED, suffix=".csv", tokens=CSV_TOKENS)


def test_avas_csv():
    seed = "\n".join(f"{v},000{t},0.1,0.2,0.4,0.8,{a},0" for v in ("walkA", "walkB") for t, a in ((0, 1), (1, 3)))
    fuzzing.run(import_ava, [seed.encode()], EXPECTED, suffix=".csv", tokens=CSV_TOKENS)


def test_person_boxes():
    seeds = [
        b"time_s,x1,y1,x2,y2,score\n1,0.1,0.1,0.5,0.9,0.9\n1.5,0.1,0.1,0.5,0.9,0.8\n",
        b"video_id,frame,x1,y1,x2,y2,person_id\nwalkA,3,0.1,0.1,0.5,0.9,7\nwalkB,4,0.1,0.1,0.5,0.9,8\n",
        b"walkA,0901,0.1,0.2,0.4,0.8,12,0\nwalkA,0901,0.5,0.2,0.9,0.8,12,1\n",
    ]
    fuzzing.run(read_boxes, seeds, EXPECTED, suffix=".csv", tokens=CSV_TOKENS)


def test_person_boxes_of_parquet(tmp_path):
    table = pd.DataFrame({"time_s": [1.0, 1.5], "x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.9, "person_id": [1, 2]})
    table.to_parquet(tmp_path / "a.parquet")
    fuzzing.run(read_boxes, [(tmp_path / "a.parquet").read_bytes()], EXPECTED, suffix=".parquet")
