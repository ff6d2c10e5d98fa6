"""Where data comes from, by name: the rendered mini-AVA, the real AVA, and what was brought in by `import_data`."""

import difflib
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.ava_download import download_ava, get_download_record_path, summarize_downloads
from avalib.data.dataset import ClipDataset, build_loader, load_keyframes
from avalib.data.exclusions import read_exclusions
from avalib.data.importers import MANIFEST, import_dataset, open_imported_dataset
from avalib.data.layout import DatasetLayout
from avalib.data.synthetic.generate import SIZES, render_dataset
from avalib.video.dataset_frames import open_frames
from avalib.video.frame_source import open_video

AVA = {"ava2.1": "v2.1", "ava2.2": "v2.2"}
DATASETS = (*SIZES, *AVA)
MAX_NAME = 100  # letters of one's own data set's name


def get_data_root():
    """The folder for data sets: AVALIB_DATA, else data/ in the current folder."""
    return Path(os.environ.get("AVALIB_DATA", "data"))


def prepare(
    dataset="mini", seed=0, root=None, workers=None, progress=True, again=False, mirrors=None, cut=False,
    max_videos=None, **options,
):  # fmt: skip
    """The named data set on disk, made or downloaded if it isn't there: -> annotations.Layout.

    dataset: a size of the rendered mini-AVA (mini.SIZES), or "ava2.1" or "ava2.2", the real one, which share their
    folder and videos, or the name of one's own (import_data). mirrors, cut, max_videos, options: of the real one, see
    ava.prepare. One that was prepared is taken as it is, with what could not be had told; again=True tries to get that.
    Raises ValueError, with a suggestion, for another name, and for options that only the real one has.
    """
    layout = find_dataset(dataset, root, seed)
    options |= {k: v for k, v in dict(mirrors=mirrors, cut=cut, max_videos=max_videos).items() if v}
    if dataset in AVA:
        record = get_download_record_path(layout)
        if record.is_file() and not again:
            print(summarize_downloads(layout, json.loads(record.read_text(encoding="utf-8"))))
        else:
            download_ava(layout, workers=workers, progress=progress, **options)
        return layout
    if options:
        raise ValueError(f"{', '.join(options)}: of the real AVA only (ava2.1, ava2.2), not of {dataset!r}")
    if layout.version == "own":
        return layout
    return render_dataset(layout.root, size=dataset, seed=seed, workers=workers, progress=progress)


def find_dataset(dataset, root=None, seed=0):
    """Where the named data set lies or would lie: an annotations.Layout. Raises ValueError as `prepare` does."""
    if not isinstance(dataset, str):
        raise ValueError(f"data set {dataset!r}: expected a name")
    if (
        dataset not in DATASETS
        and (root or _is_plain(dataset))
        and (own := open_imported_dataset(root or get_data_root() / dataset))
    ):
        return own
    if dataset not in DATASETS:
        near = difflib.get_close_matches(dataset, [*DATASETS, *_own_names()], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no data set {dataset[:100]!r}.{hint} There are: {', '.join([*DATASETS, *_own_names()])}")
    usual = "ava" if dataset in AVA else f"{dataset}-seed{seed}"
    return DatasetLayout(root or get_data_root() / usual, AVA.get(dataset, "mini"))


def _own_names():
    """The names of the data sets that were imported into data_root()."""
    return sorted(path.parent.name for path in get_data_root().glob(f"*/{MANIFEST}"))


def _is_plain(name):
    """Whether a data set's name is fit for a folder on every system."""
    return isinstance(name, str) and bool(re.fullmatch(rf"\w[\w .+=@-]{{0,{MAX_NAME - 1}}}(?<![ .])", name))


def import_data(source, format, name, root=None, **options):
    """Annotations and videos of one's own as a data set that is prepared by `name` ever after. -> annotations.Layout.

    source: file or folder; format: "csv", "ava", "coco", "cvat", "ucf101-24", "jhmdb" or "multisports"; root: where to
    write, default a folder `name` in data_root(); options: formats.import_data's (videos, label_map, val_share, …).
    Raises ValueError for a name that means another data set, and what formats.import_data raises.
    """
    if not _is_plain(name) or name in DATASETS or name.startswith("ava"):
        raise ValueError(
            f"name {str(name)[:100]!r}: expected a plain name of at most {MAX_NAME} letters that isn't "
            f"{', '.join(DATASETS)} or AVA's"
        )
    root = Path(root) if root else get_data_root() / name
    return import_dataset(source, format, root, **options)


SURVEY = [
    "split", "video_id", "file", "fps", "width", "height", "seconds", "frames", "problem", "keyframes", "people",
    "labels", "gaps",
]  # fmt: skip


def survey_videos(layout, splits=("train", "val")):
    """What is there, a row a video: split, video_id, file, fps, width, height, seconds, frames (at 30 a second),
    keyframes, people (boxes), labels, gaps (seconds without annotation between the first and the last), problem.

    A missing or unreadable video is a row with its problem in words; nothing is left out.
    """
    rows = []
    for split in splits:
        table = read_ava_csv(layout.get_csv_path(split), "ground_truth")
        excluded = read_exclusions(layout.get_exclusions_path(split))
        for video_id, of_video in table.groupby("video_id", sort=False):
            known = set(of_video.timestamp) | set(excluded.timestamp[excluded.video_id == video_id])
            whole = all(second % 1 == 0 for second in known)  # own keyframes may be at any time
            wanted = range(int(min(known)), int(max(known)) + 1) if whole else ()
            rows.append(
                {
                    "split": split,
                    "video_id": video_id,
                    **_describe_video(layout, video_id),
                    "keyframes": of_video.timestamp.nunique(),
                    "people": len(of_video.drop_duplicates(["timestamp", "x1", "y1", "x2", "y2"])),
                    "labels": len(of_video),
                    "gaps": " ".join(str(second) for second in wanted if second not in known),
                }
            )
    return pd.DataFrame(rows, columns=SURVEY)


def _describe_video(layout, video_id):
    try:
        with open_video(layout, video_id) as opened:
            return {
                "file": opened.path.name,
                "fps": round(getattr(opened, "fps", 30.0), 3),
                "width": opened.width,
                "height": opened.height,
                "seconds": round(getattr(opened, "duration_s", opened.n_ava_frames / 30), 2),
                "frames": opened.n_ava_frames,
                "problem": "",
            }
    except OSError as error:
        return {"file": "", "problem": str(error)}


def measure_loading_speed(layout, name, model="slowonly_r50", cache_short_side=None, workers=0, count=32):
    """How fast training clips of a row of the zoo come out of the videos, or of the cache, in random order: a table
    of one row: from, clips, seconds, clips_per_s, processes. name: the data set's, which chooses the recipe.
    """
    entry = zoo.get(model)
    recipe = replace(zoo.get_recipe(entry, name), cache_short_side=cache_short_side)
    keyframes = load_keyframes(layout, "val", recipe.person_score)
    source = open_frames(layout, recipe, [keyframes], progress=False, max_missing=1.0)
    order = np.random.default_rng(0).permutation(len(keyframes))[:count].tolist()
    training = ClipDataset(keyframes, entry, recipe, source, training=True)
    loader = build_loader(training, [[k] for k in order], workers)
    loader.max_lost, started = 1.0, time.perf_counter()
    done = sum(len(batch["clips"]) for batch in loader)
    seconds = time.perf_counter() - started
    where = f"packed frames, short side {cache_short_side}" if cache_short_side else "the videos"
    row = {"from": where, "clips": done, "seconds": seconds, "clips_per_s": done / seconds}
    return pd.DataFrame([row | {"processes": max(workers, 1)}]).round(2)
