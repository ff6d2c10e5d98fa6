"""The pickles of UCF101-24, JHMDB and MultiSports, with a box for every frame of every tube; no code in them is run.

    gttubes   {"labels": [name], "train_videos": [[…]], "test_videos": [[…]], "resolution": {video: (h, w)}, "gttubes":
              {video: {class from 0: [array (n,5): frame from 1, x1, y1, x2, y2 in pixels]}}}
              UCF101v2-GT.pkl, JHMDB-GT.pkl, multisports_GT.pkl
    pyannot   {video: {"label", "numf", "annotations": [{"label", "sf", "ef", "boxes" (n,4): x, y, w, h in pixels}]}},
              frames from 0; pyannot.pkl of UCF101-24, with trainlist01.txt beside it

Source: the ACT tubelet code's datasets (gttubes), github.com/gurkirt/corrected-UCF101-Annots (pyannot).
"""

from pathlib import Path

import numpy as np

from avalib.data.importers.base import RawAnnotations, RawRow, build_raw_table
from avalib.data.proposal_pickles import read_pickle
from avalib.utils.text import read_text

FILE_NAMES = {
    "ucf101-24": ("UCF101v2-GT.pkl", "pyannot.pkl"),
    "jhmdb": ("JHMDB-GT.pkl",),
    "multisports": ("multisports_GT.pkl",),
}
MAX_LIST_NUMBER = 99  # of trainlist01.txt, trainlist02.txt, …

# What a pickle of another structure raises while it is read.
_STRUCTURE_ERRORS = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


def build_tubelet_reader(format):
    """The reader of one of FILE_NAMES' data sets: (path, list_number=1) -> RawAnnotations."""

    def read(path, list_number=1):
        # Which of the two structures it is, its content tells, not its name.
        path = _find_pickle(Path(path), FILE_NAMES[format])
        content = read_pickle(path, "tubes")
        if isinstance(content, dict) and "gttubes" in content:
            return _read_gttubes(content, path, list_number)
        if isinstance(content, dict) and all(
            isinstance(video, dict) and "annotations" in video for video in content.values()
        ):
            return _read_pyannot(content, path, list_number)
        raise ValueError(f"{path}: expected the keys labels, gttubes, train_videos, test_videos, resolution")

    read.__doc__ = f"Read {', '.join(FILE_NAMES[format])}; list_number: which of the train/test lists, from 1."
    return read


def _find_pickle(path, file_names):
    """The pickle itself: `path`, or the first of the usual names in that folder."""
    if path.is_file():
        return path
    for name in file_names:
        if files := sorted(path.rglob(name)):
            return files[0]
    raise FileNotFoundError(f"{path}: no {' or '.join(file_names)} in this folder")


def _read_gttubes(content, path, list_number):
    try:
        labels = list(content["labels"])
        split_videos = {split: _get_list(content[f"{split}_videos"], list_number, path) for split in ("train", "test")}
        rows = []
        n_unlisted = 0
        for video, tubes_by_class in content["gttubes"].items():
            # Videos in neither list are left out: other lists have them.
            split = next((split for split, videos in split_videos.items() if video in videos), None)
            if split is None:
                n_unlisted += 1
            else:
                rows += _build_gttubes_rows(video, split, tubes_by_class, labels, content["resolution"][video])
    except _STRUCTURE_ERRORS as error:
        # A message of ours names the file already.
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {type(error).__name__} {error} is not as in its kind of pickle") from error
    notes = [f"{n_unlisted} videos that aren't in train/test list {list_number} left out"] if n_unlisted else []
    return RawAnnotations(build_raw_table(rows), dict(enumerate(labels, 1)), notes)


def _build_gttubes_rows(video, split, tubes_by_class, labels, resolution):
    """The RawRows of one video; its tubes are numbered through all classes."""
    height, width = map(float, resolution)
    tubes = [(_get_label(labels, class_index), tube) for class_index, tubes in tubes_by_class.items() for tube in tubes]
    rows = []
    # The tube is the person; its boxes are frame by frame.
    for person, (action, tube) in enumerate(tubes):
        for frame, x1, y1, x2, y2 in _list_finite_rows(tube, 5, f"{video}, tube {person}"):
            rows.append(
                RawRow(
                    video=video,
                    frame=frame - 1,
                    x1=x1,
                    y1=y1,
                    x2=x2,
                    y2=y2,
                    width=width,
                    height=height,
                    action=action,
                    person=person,
                    split=split,
                    location=f"{video}, tube {person}, frame {frame:g}",
                )
            )
    return rows


def _get_list(lists, list_number, path):
    """The videos of one of the train or test lists."""
    if type(list_number) is not int or not 1 <= list_number <= len(lists):
        raise ValueError(f"{path}: list_number={list_number!r}; lists are numbered from 1 to {len(lists)}")
    return set(lists[list_number - 1])


def _get_label(labels, class_index):
    if not 0 <= int(class_index) < len(labels) or not isinstance(labels[int(class_index)], str):
        raise ValueError(f"class {class_index!r} of {len(labels)} labels")
    return labels[int(class_index)]


def _list_finite_rows(values, n_columns, location):
    """The rows of an array (n, n_columns); ValueError for another shape and for numbers that are not finite."""
    array = np.asarray(values, np.float64)
    if not array.size:
        array = array.reshape(0, n_columns)
    if array.ndim != 2 or array.shape[1] != n_columns or not np.isfinite(array).all():
        raise ValueError(f"{location}: an array {array.shape}; expected finite numbers (n, {n_columns})")
    return array.tolist()


def _read_pyannot(content, path, list_number):
    if type(list_number) is not int or not 1 <= list_number <= MAX_LIST_NUMBER:
        raise ValueError(f"{path}: list_number={list_number!r}; lists are numbered from 1 to {MAX_LIST_NUMBER}")
    train_videos = _read_train_list(path, f"trainlist{list_number:02d}.txt")
    label_map = {}
    rows = []
    try:
        for video, annotation in content.items():
            # Classes count from 0 in the pickle, from 1 in AVA.
            label_map[int(annotation["label"]) + 1] = _get_class_name(video)
            split = "train" if video in train_videos else "test"
            rows += _build_pyannot_rows(video, split, annotation)
    except _STRUCTURE_ERRORS as error:
        raise ValueError(f"{path}: {type(error).__name__} {error} is not as in pyannot.pkl") from error
    return RawAnnotations(build_raw_table(rows), dict(sorted(label_map.items())), [])


def _build_pyannot_rows(video, split, annotation):
    """The RawRows of one video, whose tubes are all of one class."""
    rows = []
    for person, tube in enumerate(annotation["annotations"]):
        boxes = _list_finite_rows(tube["boxes"], 4, f"{video}, tube {person}")
        for frame, (x, y, width, height) in enumerate(boxes, start=int(tube["sf"])):
            rows.append(
                RawRow(
                    video=video,
                    frame=frame,
                    x1=x,
                    y1=y,
                    x2=x + width,
                    y2=y + height,
                    action=_get_class_name(video),
                    person=person,
                    split=split,
                    location=f"{video}, tube {person}, frame {frame}",
                )
            )
    return rows


def _get_class_name(video):
    """UCF101-24's videos are Class/v_Class_g01_c01, all of one class."""
    return video.split("/")[0] if "/" in video else video.split("_")[1]


def _read_train_list(path, name):
    """The videos of trainlist01.txt: beside the pickle or in a folder of its folder."""
    files = sorted(path.parent.rglob(name))
    if not files:
        raise FileNotFoundError(
            f"{path.parent / name}: no such file; it lists which videos of {path.name} are for training"
        )
    # Lines are "Class/video.avi 1".
    lines = read_text(files[0]).splitlines()
    return {line.split()[0].removesuffix(".avi") for line in lines if line.strip()}
