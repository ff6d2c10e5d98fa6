"""Small annotation files of every format for the tests of importing, and reading what an import wrote."""

import json
import pickle

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.video.reader import Video

BOX_PX = "6,8,20,40"
CSV_HEADER = "video,time_s,x1,y1,x2,y2,action"
FRAME_HEADER = "video,frame,x1,y1,x2,y2,action,person,split"
CSV_ROWS = [
    f"{video},{time_s},{BOX_PX},{action}"
    for video in ("walkA", "walkB")
    for time_s, action in ((1, "walk"), (2, "fall"))
]
AVA_ROWS = [
    f"{video},000{second},0.1,0.2,0.4,0.8,{action_id},0"
    for video in ("walkA", "walkB")
    for second, action_id in ((1, 1), (2, 3))
]
AVA_TEXT = "\n".join(AVA_ROWS)
AVA_CLASSES = {1: "fall", 3: "walk"}
CVAT_BOX = 'frame="0" outside="0" xtl="6" ytl="8" xbr="20" ybr="40"'


def build_csv(*rows, header=CSV_HEADER):
    """The text of a csv file."""
    return "\n".join([header, *rows]) + "\n"


def build_frame_rows(video, frames, action="juggle", split=""):
    """Rows for FRAME_HEADER: one box of a person who is called like the video, in each of the frames."""
    return [f"{video},{frame},10,5,40,45,{action},{video},{split}" for frame in frames]


def write_frame_csv(path, *rows):
    path.write_text(build_csv(*rows, header=FRAME_HEADER), encoding="utf-8")
    return path


def build_coco(file_names, **changes):
    """COCO's content: an image per name, each with one box; `changes` replace whole lists."""
    images = [{"id": index, "file_name": name, "width": 64, "height": 48} for index, name in enumerate(file_names)]
    annotations = [
        {"id": index, "image_id": index, "category_id": 1, "bbox": [6, 8, 14, 32]} for index in range(len(file_names))
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "walk"}]} | changes


def build_cvat(box=CVAT_BOX, size=(64, 48), before=""):
    """A CVAT xml of one track with one box of walkA.mp4; `before` goes before the root element."""
    return f"""<?xml version="1.0"?>{before}<annotations><meta><task><labels><label><name>person</name><attributes>
<attribute><name>action</name><input_type>select</input_type></attribute></attributes></label></labels>
<original_size><width>{size[0]}</width><height>{size[1]}</height></original_size><source>walkA.mp4</source></task>
</meta><track id="0" label="person"><box {box}><attribute name="action">walk</attribute></box></track></annotations>"""


def build_tubes(**changes):
    """The pickle of a data set of tubes: one of ten frames in each of walkA and walkB; `changes` replace its values."""
    tube = np.array([[frame, 6, 8, 20, 40] for frame in range(1, 11)], np.float32)
    content = {
        "labels": ["walk", "fall"],
        "train_videos": [["walkA"]],
        "test_videos": [["walkB"]],
        "resolution": {"walkA": (48, 64), "walkB": (48, 64)},
        "gttubes": {"walkA": {0: [tube]}, "walkB": {1: [tube]}},
    }
    return pickle.dumps(content | changes)


def write_proposals_pickle(path, boxes):
    """Write {"video,second": [[x1, y1, x2, y2, score]]}."""
    path.write_bytes(pickle.dumps({key: np.array(value, float) for key, value in boxes.items()}))
    return path


def read_imported_rows(layout):
    """Both splits of a data set as one table, with the classes' names."""
    tables = [
        read_ava_csv(layout.get_csv_path(split), "ground_truth").assign(split=split) for split in ("train", "val")
    ]
    table = pd.concat(tables).sort_values(["video_id", "timestamp"], ignore_index=True)
    return table.assign(action=table.action_id.map(layout.load_label_map()))


def read_import_notes(layout):
    """The notes of an import as one text."""
    return " | ".join(json.loads((layout.root / "dataset.json").read_text(encoding="utf-8"))["notes"])


def measure_gray_levels(layout, video_id):
    """The gray levels of a video at its annotated times."""
    table = read_imported_rows(layout)
    with Video(layout.find_video(video_id)) as video:
        times_s = table.timestamp[table.video_id == video_id].to_numpy()
        frames = np.searchsorted(video.times_s, times_s + 1e-3) - 1
        return video.read_frames(frames).mean(axis=(1, 2, 3)).round().tolist()
