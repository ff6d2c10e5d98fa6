"""The pickles of UCF101-24, JHMDB and MultiSports, boxes for every frame of every tube; read without running code.

    gttubes   {"labels": [name], "train_videos": [[…]], "test_videos": [[…]], "resolution": {video: (h, w)}, "gttubes":
              {video: {class from 0: [array (n,5): frame from 1, x1, y1, x2, y2 in pixels]}}}
              UCF101v2-GT.pkl, JHMDB-GT.pkl, multisports_GT.pkl
    pyannot   {video: {"label", "numf", "annotations": [{"label", "sf", "ef", "boxes" (n,4): x, y, w, h in pixels}]}},
              frames from 0; pyannot.pkl of UCF101-24, with trainlist01.txt beside it

Source: the ACT tubelet code's datasets (gttubes), github.com/gurkirt/corrected-UCF101-Annots (pyannot).
"""

from pathlib import Path

import numpy as np

from avalib.data.importers.base import build_raw_table
from avalib.data.proposal_pickles import read_pickle
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.text import read_text

NAMES = {
    "ucf101-24": ("UCF101v2-GT.pkl", "pyannot.pkl"),
    "jhmdb": ("JHMDB-GT.pkl",),
    "multisports": ("multisports_GT.pkl",),
}
COLUMNS = ["video", "frame", *BOX_COLUMNS, "width", "height", "action", "person", "split", "where"]


def build_tubelet_reader(format):
    """The reader of one of the three layouts: (path, list_number=1) -> raw rows, label map, notes."""

    def read(path, list_number=1):
        path = _locate(Path(path), NAMES[format])
        content = read_pickle(path, "tubes")
        if isinstance(content, dict) and "gttubes" in content:
            return _gttubes(content, path, list_number)
        if isinstance(content, dict) and all(isinstance(v, dict) and "annotations" in v for v in content.values()):
            return _pyannot(content, path, list_number)
        raise ValueError(f"{path}: expected the keys labels, gttubes, train_videos, test_videos, resolution")

    read.__doc__ = f"Raw rows of {', '.join(NAMES[format])}; list_number: which of the train/test lists, from 1."
    return read


def _locate(path, names):
    """The pickle itself: `path`, or the first of the usual names in that folder."""
    if path.is_file():
        return path
    for name in names:
        for found in sorted(path.rglob(name)):
            return found
    raise FileNotFoundError(f"{path}: no {' or '.join(names)} there")


def _gttubes(content, path, list_number):
    try:
        labels, rows, others = list(content["labels"]), [], 0
        lists = {s: _chosen(content[f"{s}_videos"], list_number, path) for s in ("train", "test")}
        for video, by_class in content["gttubes"].items():
            split = next((s for s, names in lists.items() if video in names), None)
            if split is None:
                others += 1
                continue
            height, width = map(float, content["resolution"][video])
            tubes = [(_label(labels, c), tube) for c, found in by_class.items() for tube in found]
            for person, (action, tube) in enumerate(tubes):
                for frame, *box in _finite(tube, 5, f"{video}, tube {person}"):
                    where = f"{video}, tube {person}, frame {frame:g}"
                    rows.append((video, frame - 1, *box, width, height, action, person, split, where))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {type(error).__name__} {error} is not as in its kind of pickle") from error
    notes = [f"{others} videos that aren't in train/test list {list_number} left out"] if others else []
    return build_raw_table(rows, COLUMNS), dict(enumerate(labels, 1)), notes


def _chosen(lists, number, path):
    """The names in one of the train or test lists."""
    if type(number) is not int or not 1 <= number <= len(lists):
        raise ValueError(f"{path}: list_number={number!r}; lists are numbered from 1 to {len(lists)}")
    return set(lists[number - 1])


def _label(labels, c):
    if not 0 <= int(c) < len(labels) or not isinstance(labels[int(c)], str):
        raise ValueError(f"class {c!r} of {len(labels)} labels")
    return labels[int(c)]


def _finite(values, columns, where):
    """The rows of a (n, columns) array; ValueError for another shape and for numbers that aren't finite."""
    array = np.asarray(values, np.float64)
    array = array if array.size else array.reshape(0, columns)
    if array.ndim != 2 or array.shape[1] != columns or not np.isfinite(array).all():
        raise ValueError(f"{where}: an array {array.shape}; expected finite numbers (n, {columns})")
    return array.tolist()


def _pyannot(content, path, list_number):
    if type(list_number) is not int or not 1 <= list_number <= 99:
        raise ValueError(f"{path}: list_number={list_number!r}; lists are numbered from 1")
    train = _list(path, f"trainlist{list_number:02d}.txt")
    labels, rows = {}, []
    try:
        for video, known in content.items():
            labels[int(known["label"])] = _class_of(video)
            for person, tube in enumerate(known["annotations"]):
                for n, (x, y, w, h) in enumerate(_finite(tube["boxes"], 4, f"{video}, tube {person}")):
                    frame = int(tube["sf"]) + n
                    where = f"{video}, tube {person}, frame {frame}"
                    box = (x, y, x + w, y + h, np.nan, np.nan)
                    split = "train" if video in train else "test"
                    rows.append((video, frame, *box, _class_of(video), person, split, where))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: {type(error).__name__} {error} is not as in pyannot.pkl") from error
    return build_raw_table(rows, COLUMNS), {i + 1: name for i, name in sorted(labels.items())}, []


def _class_of(video):
    """UCF101-24's videos are Class/v_Class_g01_c01, all of one class."""
    return video.split("/")[0] if "/" in video else video.split("_")[1]


def _list(path, name):
    """The videos of trainlist01.txt: beside the pickle or in a folder of its folder."""
    for found in sorted(path.parent.rglob(name)):
        return {line.split()[0].removesuffix(".avi") for line in read_text(found).splitlines() if line.strip()}
    raise FileNotFoundError(f"{path.parent / name}: not there; it says which videos of {path.name} are for training")
