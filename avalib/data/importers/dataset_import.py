"""From annotations of any format to a data set in AVA's shape: read, check, split, write."""

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from avalib.data.ava_csv import write_ava_csv
from avalib.data.check_report import CheckReport
from avalib.data.exclusions import write_exclusions
from avalib.data.importers.base import ImportedAnnotations
from avalib.data.importers.formats import read_annotations
from avalib.data.importers.import_checks import check_annotations, drop_faulty_rows
from avalib.data.importers.import_proposals import read_import_proposals
from avalib.data.importers.keyframe_split import assign_splits, thin_keyframes
from avalib.data.importers.picture_folders import iter_picture_frames
from avalib.data.importers.placement import finish_import, is_imported_dataset, is_replaceable, stage_import
from avalib.data.importers.source_videos import MANIFEST
from avalib.data.label_map import write_label_map
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.utils.files import atomic_path, write_json
from avalib.video.writer import write_mp4

PICTURES_CRF = 12  # H.264 quality of videos made of pictures: hardly any loss
MIN_FPS = 1e-3
MAX_FPS = 1e4

logger = logging.getLogger(__name__)


@dataclass
class _ImportedDataset:
    """What is about to be written."""

    annotations: ImportedAnnotations
    format: str
    report: CheckReport  # of check_annotations
    table: pd.DataFrame  # the rows to train and test on, with their splits
    proposals_source: str
    proposals: pd.DataFrame | None  # person boxes; None: the annotated ones
    fps: float  # of videos made of pictures
    notes: list[str] = field(default_factory=list)


def import_dataset(
    source: str | Path,
    format: str,
    root: str | Path,
    videos: str | Path | None = None,
    label_map: dict | list | str | Path | None = None,
    val_share: float = 0.2,
    min_gap_s: float = 0.0,
    proposals: str | Path = "annotated",
    seed: int = 0,
    fps: float = 25.0,
    skip_faulty: bool = False,
    **options,
) -> DatasetLayout:
    """Write a data set of your own in AVA's shape.

    Videos are linked, not copied; dataset.json records what was made of what. Clips are read at 30 frames per second,
    as AVA's are, whatever the videos' rate: the middle frame is the annotated one, or, in videos of more than 30 frames
    per second, one at most 0.06 s from it.

    Parameters
    ----------
    source, format, videos, label_map, fps, skip_faulty, **options
        As in `read_annotations`. Rows at which the linter stops raise an error, or are left out with skip_faulty.
    root : str or Path
        The data set's folder.
    val_share : float
        The part of the videos for validation, 0..1, where the annotations have no split. Of a single video: its end.
    min_gap_s : float
        Keyframes less than this many seconds after the last one used are left out.
    proposals : str or Path
        The person boxes for testing: "annotated" (the annotated ones: an upper bound), or a file as `read_proposals`
        takes it.
    seed : int
        Of the split.

    Returns
    -------
    DatasetLayout
        Of version "own".

    Raises
    ------
    ValueError, FileNotFoundError
        Name the file, the place in it, the value and what was expected. Nothing is written then.
    """
    root = Path(root)
    if not is_replaceable(root):
        raise ValueError(f"{root}: holds files that no import has written; choose another name, or root")
    _check_range("val_share", val_share, 0, 1)
    _check_range("min_gap_s", min_gap_s, 0, float("inf"))
    _check_range("fps", fps, MIN_FPS, MAX_FPS)

    annotations = read_annotations(
        source, format, videos=videos, label_map=label_map, fps=fps, skip_faulty=skip_faulty, **options
    )
    # Everything is read and checked before anything is written.
    dataset = _prepare_dataset(
        annotations,
        format,
        proposals,
        start=options.get("start", 0),
        val_share=val_share,
        min_gap_s=min_gap_s,
        seed=seed,
        fps=fps,
        skip_faulty=skip_faulty,
    )
    _check_videos_are_elsewhere(annotations, root)

    # Written beside the old data set, which is replaced at the end.
    with stage_import(root) as folder:
        layout = DatasetLayout(folder, "own")
        _write_dataset(dataset, layout)
        _remove_outdated_cache(DatasetLayout(root, "own"), layout)
        manifest = _build_manifest(dataset)
        write_json(folder / MANIFEST, manifest, default=str)
    _log_summary(root.name, manifest)
    return DatasetLayout(root, "own")


def _prepare_dataset(annotations, format, proposals, *, start, val_share, min_gap_s, seed, fps, skip_faulty):
    """Check the annotations, choose rows and splits, read the proposals. Returns _ImportedDataset."""
    report = check_annotations(annotations)
    table, fault_notes = drop_faulty_rows(annotations, report, skip_faulty)
    table, gap_notes = thin_keyframes(table, min_gap_s)
    splits, split_notes = assign_splits(table, val_share, seed)
    table = table.assign(split=splits).sort_values(KEYFRAME_COLUMNS, kind="stable")
    # The annotated boxes are taken where no file of person boxes is given.
    boxes = None
    proposal_notes = []
    if proposals != "annotated":
        boxes, proposal_notes = read_import_proposals(proposals, table, start)
    return _ImportedDataset(
        annotations=annotations,
        format=format,
        report=report,
        table=table,
        proposals_source=proposals,
        proposals=boxes,
        fps=fps,
        notes=[*annotations.notes, *fault_notes, *gap_notes, *split_notes, *proposal_notes],  # in the steps' order
    )


def open_imported_dataset(root: str | Path) -> DatasetLayout | None:
    """The DatasetLayout that `import_dataset` wrote at `root`, or None."""
    root = Path(root)
    if not is_imported_dataset(root):
        return None
    finish_import(root)
    return DatasetLayout(root, "own")


def _check_range(name, value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: expected {low} to {high}")


def _check_videos_are_elsewhere(annotations, root):
    """Raise ValueError for videos in the data set's own folder: they would be deleted when it is replaced."""
    for video in annotations.videos.values():
        if video.path.resolve().is_relative_to(root.resolve() / "videos"):
            raise ValueError(f"{video.path}: is in the data set's own folder {root}; give the folder of the originals")


def _write_dataset(dataset, layout):
    """Write videos, annotations, proposals and the label map."""
    for video_id in dataset.table.video_id.unique():
        _place_video(dataset.annotations.videos[video_id].path, layout.videos / video_id, dataset.fps)
    for split in ("train", "val"):
        rows = dataset.table[dataset.table.split == split]
        write_ava_csv(rows, layout.get_csv_path(split))
        # No keyframe is excluded, but AVA's readers expect the file.
        write_exclusions(rows[KEYFRAME_COLUMNS].iloc[:0], layout.get_exclusions_path(split))
        write_proposals(_select_proposals(rows, dataset.proposals), layout.get_proposals_path(split))
    with atomic_path(layout.label_map_path) as part:
        write_label_map(dataset.annotations.label_map, part)


def _place_video(path, target, fps):
    """Put a video at `target`, a path without suffix: a link, or a copy where links fail; pictures become a video."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        path_of_video = target.with_name(target.name + ".mp4")
        write_mp4(path_of_video, iter_picture_frames(path), fps, crf=PICTURES_CRF, quality="data")
        return
    # The id may have dots, so that with_suffix would cut it.
    target = target.with_name(target.name + path.suffix.lower())
    try:
        os.symlink(path.resolve(), target)
    except OSError:
        with atomic_path(target, needed_bytes=path.stat().st_size) as part:
            shutil.copy2(path, part)


def _select_proposals(rows, proposals):
    """Person boxes with scores at a split's keyframes: the annotated ones where `proposals` is None."""
    if proposals is None:
        # One box per person; score 1, so that every one is used.
        return rows.drop_duplicates([*KEYFRAME_COLUMNS, *BOX_COLUMNS]).assign(score=1.0)
    return proposals.merge(rows[KEYFRAME_COLUMNS].drop_duplicates(), on=KEYFRAME_COLUMNS)


def _remove_outdated_cache(old_layout, new_layout):
    """Remove the cached frames of videos that are other files in the new data set."""
    for path in sorted(old_layout.root.glob("cache/*/*")):
        try:
            # A new link to the same file keeps its cache.
            is_same = old_layout.find_video(path.stem).samefile(new_layout.find_video(path.stem))
        except OSError:
            is_same = False
        if not is_same:
            path.unlink(missing_ok=True)


def _build_manifest(dataset):
    """The content of dataset.json; adds notes on classes and splits that cannot be trained."""
    table = dataset.table
    label_map = dataset.annotations.label_map
    classes = {split: set(table.action_id[table.split == split]) for split in ("train", "val")}
    if not classes["train"]:
        dataset.notes.append("there are no keyframes for training: models can be tested on this data set, not trained")
    # Classes that the training never shows.
    only_val = classes["val"] - classes["train"]
    if only_val:
        names = ", ".join(label_map[action_id] for action_id in sorted(only_val))
        dataset.notes.append(f"only in validation, so never learned: {names}")
    is_annotated = dataset.proposals_source == "annotated"
    return {
        "format": dataset.format,
        "source": Path(dataset.annotations.source).name,
        "counts": {split: _count(rows) for split, rows in table.groupby("split")},
        "label_map": label_map,
        "proposals": "annotated" if is_annotated else Path(dataset.proposals_source).name,
        "notes": dataset.notes,
        "findings": dataset.report.problems.drop(columns="lines").to_dict("records"),
    }


def _count(rows):
    """The numbers of videos, keyframes, people and labels of a split."""
    return {
        "videos": rows.video_id.nunique(),
        "keyframes": len(rows.drop_duplicates(KEYFRAME_COLUMNS)),
        "people": len(rows.drop_duplicates([*KEYFRAME_COLUMNS, *BOX_COLUMNS])),
        "labels": len(rows),
    }


def _log_summary(name, manifest):
    """Log what was imported."""
    counts = []
    for split, of_split in manifest["counts"].items():
        counts.append(f"{split}: " + ", ".join(f"{number} {unit}" for unit, number in of_split.items()))
    logger.info(f"{name} ({manifest['format']}), {len(manifest['label_map'])} classes. {'; '.join(counts)}")
    for note in manifest["notes"]:
        logger.info(f"  {note}")
