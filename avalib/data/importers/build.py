"""From annotations in any of the formats to a Layout: read, lint, split, write."""

import difflib
import inspect
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import write_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.importers.base import list_locations, resolve_annotations
from avalib.data.importers.coco import read_coco
from avalib.data.importers.csv import read_ava_annotations, read_own_csv
from avalib.data.importers.cvat import read_cvat
from avalib.data.importers.given_proposals import read_given_proposals
from avalib.data.importers.placement import building, finish_import, holds_import, is_free
from avalib.data.importers.source_videos import MANIFEST, iter_frames
from avalib.data.importers.tubelets import NAMES, build_tubelet_reader
from avalib.data.label_map import write_label_map
from avalib.data.layout import DatasetLayout
from avalib.data.lint import lint_csv
from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS
from avalib.utils.files import atomic_path, write_json
from avalib.video.writer import write_mp4

FORMATS = {
    "csv": read_own_csv,
    "ava": read_ava_annotations,
    "coco": read_coco,
    "cvat": read_cvat,
    **{name: build_tubelet_reader(name) for name in NAMES},
}
NUMBERS = ("first_frame", "rate", "start")  # options of readers
STOPS = (
    "box in numbers far", "x2 < x1 or y2 < y1", "box without area", "box outside", "timestamp outside",
    "timestamp beyond",
)  # fmt: skip


def read_annotations(source, format, videos=None, label_map=None, fps=25.0, skip_faulty=False, **options):
    """Annotations in a format, as `Annotated`; nothing is written.

    source: the file or folder; format: one of FORMATS; videos: the folder of the videos, default the annotations' own;
    label_map: {action_id: name}, names, a pbtxt or a text file with a name a line, default the classes found; fps: of
    videos that are folders of pictures, by the numbers in their names; skip_faulty: leave out,
    counted, the rows of missing videos and frames; options: the reader's own.
    Raises ValueError and FileNotFoundError naming file, place, value and what was expected.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    source = Path(source)
    if not os.path.exists(source):
        raise FileNotFoundError(f"{str(source)[:200]}: no such file or folder of annotations")
    _check_options(format, options)
    if format == "ava":
        options["label_map"] = label_map
    raw, own_map, notes = FORMATS[format](source, **options)
    folder = Path(videos) if videos else source if source.is_dir() else source.parent
    return resolve_annotations(raw, str(source), folder, label_map or own_map, fps, notes, skip_faulty)


def _check_options(format, options):
    """Raise ValueError for an option that a format's reader doesn't have, and for numbers that aren't."""
    there = [name for name in inspect.signature(FORMATS[format]).parameters if name not in ("path", "label_map")]
    for name, value in options.items():
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"option {name!r} of format {format!r}: it has {', '.join(there) or 'none'}.{hint}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
        if name in NUMBERS and not number and not (value is None and name != "start"):
            raise ValueError(f"{name}={value!r}: expected a number")
        if name == "rate" and value is not None and value <= 0:
            raise ValueError(f"rate={value!r}: expected frames a second, above 0")


def check_annotations(annotated):
    """The linter: DataFrame problem, rows (how many), where (the first places), example, looks_like, stops, lines.

    stops: with it nothing can be trained, `import_data` refuses; lines: row numbers of annotated.table.
    """
    table = annotated.table
    found = lint_csv(table, "ground_truth", label_map=annotated.label_map, seconds=(0, float("inf")))
    found = found[~found.problem.str.startswith("timestamp isn't")]  # keyframes may be at any time
    ends = table.video_id.map({v: clip.duration_s for v, clip in annotated.videos.items()})
    if len(late := np.flatnonzero(table.timestamp >= ends)):
        row = table.iloc[late[0]]
        found.loc[len(found)] = {
            "problem": "timestamp beyond the video's end", "rows": len(late), "lines": late.tolist(),
            "example": f"{row.timestamp:g} s, {row.video_id} has {ends.iloc[late[0]]:.2f} s",
            "looks_like": "seconds that begin elsewhere (AVA's begin at 900: start=900), or frame numbers",
        }  # fmt: skip
    outside = _outside(table[BOX_COLUMNS].to_numpy())
    if outside.any():
        row = table.iloc[int(outside.argmax())]
        found.loc[len(found)] = {
            "problem": "box outside the frame, all of it", "rows": int(outside.sum()),
            "lines": np.flatnonzero(outside).tolist(), "example": ", ".join(f"{v:g}" for v in row[BOX_COLUMNS]),
            "looks_like": "boxes of another video, or in pixels of frames of another size",
        }  # fmt: skip
    found["where"] = ["; ".join(table["where"].iloc[rows[:3]]) + " …" * (len(rows) > 3) for rows in found.lines]
    found["stops"] = found.problem.str.startswith(STOPS)
    return found[["problem", "rows", "where", "example", "looks_like", "stops", "lines"]]


def _outside(boxes):
    """Which boxes (N,4) have an area, but none inside the frame."""
    x1, y1, x2, y2 = boxes.T
    has_area = (x2 > x1) & (y2 > y1) & ~(np.abs(boxes) > 2).any(axis=1)
    inside = boxes.clip(0, 1).round(3)
    return has_area & ((inside[:, 2] <= inside[:, 0]) | (inside[:, 3] <= inside[:, 1]))


def import_dataset(
    source, format, root, videos=None, label_map=None, val_share=0.2, every_s=0.0, proposals="annotated", seed=0,
    fps=25.0, skip_faulty=False, **options,
):  # fmt: skip
    """Read, lint and write a data set of one's own in AVA's shape under `root`. -> Layout(root, "own").

    source, format, videos, label_map, fps, skip_faulty, options: as `read`'s; rows that the linter stops at are an
    error, or with skip_faulty left out. val_share: the part of the videos for validation where the format says nothing
    of a split (of one video: its end). every_s: keyframes nearer to the one before are left out. proposals: the boxes
    for testing: "annotated" (the annotated ones: an upper bound), or a file as annotations.read_proposals takes it.
    Videos are linked, not copied; dataset.json tells what was made of what. Clips are read at 30 frames a second, as
    AVA's are, whatever the videos' rate: the middle one is the annotated frame, or at more than 30 a second one at most
    0.06 s from it.
    """
    root = Path(root)
    if not is_free(root):
        raise ValueError(f"{root}: holds something else; choose another name, or root")
    for name, value, low, high in (
        ("val_share", val_share, 0, 1), ("every_s", every_s, 0, float("inf")), ("fps", fps, 1e-3, 1e4),
    ):  # fmt: skip
        if not low <= value <= high:
            raise ValueError(f"{name}={value}: expected {low} to {high}")
    annotated = read_annotations(source, format, videos, label_map, fps, skip_faulty, **options)
    findings = check_annotations(annotated)
    table, notes = _without_faults(annotated, findings, skip_faulty)
    table = _thinned(table, every_s, notes)
    table = table.assign(split=_split(table, val_share, seed, notes)).sort_values(KEYFRAME_COLUMNS, kind="stable")
    boxes = None
    if proposals != "annotated":
        boxes = read_given_proposals(proposals, table, options.get("start", 0), notes)
    _refuse_videos_inside(annotated, root)
    with building(root) as folder:
        layout = DatasetLayout(folder, "own")
        for name in table.video_id.unique():
            _bring(annotated.videos[name].path, layout.videos / name, fps)
        for split in ("train", "val"):
            rows = table[table.split == split]
            write_ava_csv(rows, layout.get_csv_path(split))
            write_exclusions(rows[KEYFRAME_COLUMNS].iloc[:0], layout.get_exclusions_path(split))
            write_proposals(_proposals(rows, boxes), layout.get_proposals_path(split))
        with atomic_path(layout.label_map_path) as part:
            write_label_map(annotated.label_map, part)
        _clean_cache(DatasetLayout(root, "own"), layout)
        content = _manifest(annotated, table, findings, notes, format, proposals)
        write_json(folder / MANIFEST, content, default=str)
    _tell(root.name, content)
    return DatasetLayout(root, "own")


def open_imported_dataset(root):
    """The Layout that `import_data` wrote at `root`, or None."""
    root = Path(root)
    if not holds_import(root):
        return None
    finish_import(root)
    return DatasetLayout(root, "own")


def _without_faults(annotated, findings, skip_faulty):
    """(the rows to train and test on, notes): faults out, boxes inside the frame, nothing twice."""
    stops = findings[findings.stops]
    if len(stops) and not skip_faulty:
        told = [f"  {r.rows} rows: {r.problem} ({r.where}; {r.example}): {r.looks_like}" for r in stops.itertuples()]
        told = "\n".join([f"{annotated.source}: the linter stops at", *told])
        raise ValueError(f"{told}\nCorrect them, or skip_faulty=True leaves them out.")
    notes = [*annotated.notes, *(f"{r.rows} rows left out: {r.problem}" for r in stops.itertuples())]
    table = annotated.table.drop(index=sorted({i for rows in stops.lines for i in rows}))
    if not len(table):
        raise ValueError(f"{annotated.source}: no rows are left after what the linter stops at")
    outside = ((table[BOX_COLUMNS] < 0) | (table[BOX_COLUMNS] > 1)).any(axis=1)
    if outside.any():
        places = list_locations(table["where"], outside)
        notes.append(f"{outside.sum()} boxes reached outside of the frame and were cut at its edge ({places})")
    table = table.assign(**table[BOX_COLUMNS].clip(0, 1))
    twice = table.duplicated([*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id"])
    if twice.any():
        notes.append(f"{twice.sum()} rows stood there twice and count once")
    return table[~twice].reset_index(drop=True), notes


def _thinned(table, every_s, notes):
    """The rows of keyframes at least every_s apart."""
    if not every_s:
        return table
    kept = set()
    for name, times in table.groupby("video_id").timestamp:
        last = -np.inf
        for t in np.unique(times):
            if t - last >= every_s - 1e-3:
                kept.add((name, last := t))
    mask = pd.MultiIndex.from_frame(table[KEYFRAME_COLUMNS]).isin(kept)
    notes.append(
        f"{len(kept)} of {len(table[KEYFRAME_COLUMNS].drop_duplicates())} keyframes kept, at least {every_s:g} s apart"
    )
    return table[mask].reset_index(drop=True)


def _split(table, share, seed, notes):
    """(N,) "train" or "val" of every row: as the format says, else by video, every class kept in train if it can be."""
    split = table.split.to_numpy().copy()
    if set(split) == {"train", "val"}:
        return split
    if len(said := set(split) - {""}):
        notes.append(f"the split was only {', '.join(sorted(said))}: videos were divided anew")
    names = sorted(table.video_id.unique())
    if len(names) == 1:
        times = np.unique(table.timestamp)
        border = times[min(max(int(len(times) * (1 - share)), 1), len(times) - 1)]
        notes.append(f"one video: from second {border:g} on it is for validation; clips near the border overlap")
        return np.where(table.timestamp < border, "train", "val")
    wanted, val = max(1, round(share * len(names))), set()
    classes = table.groupby("video_id").action_id.agg(set)
    for name in np.random.default_rng(seed).permutation(names):
        rest = set().union(*(classes[n] for n in names if n not in val and n != name))
        if len(val) < wanted and classes[name] <= rest:
            val.add(name)
    if not val:
        val = {names[-1]}
        notes.append("every video has a class that no other has: the last one is for validation all the same")
    notes.append(f"{len(val)} of {len(names)} videos are for validation, chosen by seed {seed}")
    return np.where(table.video_id.isin(val), "val", "train")


def _proposals(rows, boxes):
    """Person boxes of a split's keyframes, with a score: the annotated ones where `boxes` is None."""
    if boxes is None:
        return rows.drop_duplicates([*KEYFRAME_COLUMNS, *BOX_COLUMNS]).assign(score=1.0)
    return boxes.merge(rows[KEYFRAME_COLUMNS].drop_duplicates(), on=KEYFRAME_COLUMNS)


def _refuse_videos_inside(annotated, root):
    """Videos in the data set's own folder would go when it is replaced."""
    for clip in annotated.videos.values():
        if clip.path.resolve().is_relative_to(root.resolve() / "videos"):
            raise ValueError(f"{clip.path}: is in the data set's own folder {root}; give the folder of the originals")


def _bring(path, target, fps):
    """The video under its id: a link (a copy where the system has no links), or pictures made into a video."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        write_mp4(target.with_name(target.name + ".mp4"), iter_frames(path), fps, crf=12)
        return
    target = target.with_name(target.name + path.suffix.lower())
    try:
        os.symlink(path.resolve(), target)
    except OSError:
        with atomic_path(target, needed_bytes=path.stat().st_size) as part:
            shutil.copy2(path, part)


def _clean_cache(old, new):
    """Remove the cached frames of videos that are others now."""
    for path in sorted(old.root.glob("cache/*/*")):
        try:
            same = old.find_video(path.stem).samefile(new.find_video(path.stem))
        except OSError:
            same = False
        if not same:
            path.unlink(missing_ok=True)


def _manifest(annotated, table, findings, notes, format, proposals):
    """What was made of what, for dataset.json."""
    counts = {}
    for split, rows in table.groupby("split"):
        keyframes, people = (
            len(rows.drop_duplicates(c)) for c in (KEYFRAME_COLUMNS, [*KEYFRAME_COLUMNS, *BOX_COLUMNS])
        )
        counts[split] = {"videos": rows.video_id.nunique(), "keyframes": keyframes, "people": people}
        counts[split]["labels"] = len(rows)
    if not (table.split == "train").any():
        notes.append("there are no keyframes for training: it can be tested with, not trained on")
    only_val = set(table.action_id[table.split == "val"]) - set(table.action_id[table.split == "train"])
    if only_val:
        names = ", ".join(annotated.label_map[i] for i in sorted(only_val))
        notes.append(f"only in validation, so never learnt: {names}")
    return {
        "format": format, "source": Path(annotated.source).name, "counts": counts, "label_map": annotated.label_map,
        "proposals": proposals if proposals == "annotated" else Path(proposals).name, "notes": notes,
        "findings": findings.drop(columns="lines").to_dict("records"),
    }  # fmt: skip


def _tell(name, content):
    """Print what was imported."""
    counts = [f"{s}: {', '.join(f'{n} {what}' for what, n in c.items())}" for s, c in content["counts"].items()]
    print(f"{name} ({content['format']}), {len(content['label_map'])} classes. {'; '.join(counts)}")
    for note in content["notes"]:
        print(f"  {note}")
