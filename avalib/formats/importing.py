"""From annotations in any of the formats to a Layout: read, lint, split, write."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from avalib import actions, annotations, lint, video
from avalib.formats import coco, csvs, cvat, tubes
from avalib.formats.common import finish, pictures
from avalib.tables import BOX, FRAME

FORMATS = {
    "csv": csvs.read,
    "ava": csvs.read_ava,
    "coco": coco.read,
    "cvat": cvat.read,
    **{name: tubes.reader(name) for name in tubes.NAMES},
}
STOPS = ("box in numbers far", "x2 < x1 or y2 < y1", "box without area", "timestamp outside", "timestamp beyond")
MANIFEST = "dataset.json"


def read(source, format, videos=None, label_map=None, fps=25.0, skip_faulty=False, **options):
    """Annotations in a format, as `Annotated`; nothing is written.

    source: the file or folder; format: one of FORMATS; videos: the folder of the videos, default the annotations' own;
    label_map: {action_id: name}, names, a pbtxt or a text file with a name a line, default the classes found; fps: of
    videos that are folders of pictures; skip_faulty: leave out, counted, the rows of missing videos and frames;
    options: the reader's own. Raises ValueError and FileNotFoundError naming file, place, value and what was expected.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder of annotations")
    if format == "ava":
        options["label_map"] = label_map
    raw, own_map, notes = FORMATS[format](source, **options)
    folder = Path(videos) if videos else source if source.is_dir() else source.parent
    return finish(raw, str(source), folder, label_map or own_map, fps, notes, skip_faulty)


def check(annotated):
    """The linter: DataFrame problem, rows (how many), where (the first places), example, looks_like, stops, lines.

    stops: with it nothing can be trained, `import_data` refuses; lines: row numbers of annotated.table.
    """
    table = annotated.table
    found = lint.lint_csv(table, "ground_truth", label_map=annotated.label_map, seconds=(0, float("inf")))
    found = found[~found.problem.str.startswith("timestamp isn't")]  # keyframes may be at any time
    ends = table.video_id.map({v: clip.duration_s for v, clip in annotated.videos.items()})
    if len(late := np.flatnonzero(table.timestamp >= ends)):
        row = table.iloc[late[0]]
        found.loc[len(found)] = {
            "problem": "timestamp beyond the video's end", "rows": len(late), "lines": late.tolist(),
            "example": f"{row.timestamp:g} s, {row.video_id} has {ends.iloc[late[0]]:.2f} s",
            "looks_like": "seconds that begin elsewhere (AVA's begin at 900: start=900), or frame numbers",
        }  # fmt: skip
    found["where"] = ["; ".join(table["where"].iloc[rows[:3]]) + " …" * (len(rows) > 3) for rows in found.lines]
    found["stops"] = found.problem.str.startswith(STOPS)
    return found[["problem", "rows", "where", "example", "looks_like", "stops", "lines"]]


def import_data(
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
    annotated = read(source, format, videos, label_map, fps, skip_faulty, **options)
    findings = check(annotated)
    table, notes = _without_faults(annotated, findings, skip_faulty)
    table = _thinned(table, every_s, notes)
    table = table.assign(split=_split(table, val_share, seed, notes)).sort_values(FRAME, kind="stable")
    layout = annotations.Layout(root, "own")
    layout.annotations.mkdir(parents=True, exist_ok=True)
    layout.videos.mkdir(parents=True, exist_ok=True)
    for name in table.video_id.unique():
        _bring(annotated.videos[name].path, layout.videos / name, fps)
    boxes = None if proposals == "annotated" else annotations.read_proposals(proposals)
    for split in ("train", "val"):
        rows = table[table.split == split]
        annotations.write_csv(rows, layout.csv(split))
        annotations.write_exclusions(rows[FRAME].iloc[:0], layout.excluded(split))
        annotations.write_proposals(_proposals(rows, boxes), layout.proposals(split))
    actions.write_label_map(annotated.label_map, layout.label_map)
    _write_manifest(layout, annotated, table, findings, notes, format, proposals)
    return layout


def open_own(root):
    """The Layout that `import_data` wrote at `root`, or None."""
    return annotations.Layout(root, "own") if (Path(root) / MANIFEST).is_file() else None


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
    outside = ((table[BOX] < 0) | (table[BOX] > 1)).any(axis=1).sum()
    if outside:
        notes.append(f"{outside} boxes reached outside of the frame and were cut at its edge")
    table = table.assign(**table[BOX].clip(0, 1))
    twice = table.duplicated([*FRAME, *BOX, "action_id"])
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
    mask = pd.MultiIndex.from_frame(table[FRAME]).isin(kept)
    notes.append(f"{len(kept)} of {len(table[FRAME].drop_duplicates())} keyframes kept, at least {every_s:g} s apart")
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
        border = times[min(int(len(times) * (1 - share)), len(times) - 1)]
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
        return rows.drop_duplicates([*FRAME, *BOX]).assign(score=1.0)
    kept = boxes.assign(timestamp=boxes.timestamp.round(6)).merge(rows[FRAME].drop_duplicates(), on=FRAME)
    if len(rows) and not len(kept):
        keys = [f"{t.video_id.iloc[0]}, {t.timestamp.iloc[0]:g} s" for t in (boxes, rows)]
        raise ValueError(f"proposals: none is at a keyframe; the first is of {keys[0]}, the annotations' of {keys[1]}")
    return kept


def _bring(path, target, fps):
    """The video under its id: a link (a copy where the system has no links), or pictures made into a video."""
    if path.is_dir():
        target = target.with_name(target.name + ".mp4")
        if not target.exists() or target.stat().st_mtime < path.stat().st_mtime:
            video.write_mp4(target, (np.asarray(Image.open(p).convert("RGB")) for p in pictures(path)), fps, crf=12)
        return
    target = target.with_name(target.name + path.suffix.lower())
    if target.exists() and target.samefile(path):
        return
    target.unlink(missing_ok=True)
    try:
        os.symlink(path.resolve(), target)
    except OSError:
        shutil.copy2(path, target)


def _write_manifest(layout, annotated, table, findings, notes, format, proposals):
    counts = {}
    for split, rows in table.groupby("split"):
        keyframes, people = (len(rows.drop_duplicates(c)) for c in (FRAME, [*FRAME, *BOX]))
        counts[split] = {"videos": rows.video_id.nunique(), "keyframes": keyframes, "people": people}
        counts[split]["labels"] = len(rows)
    only_val = set(table.action_id[table.split == "val"]) - set(table.action_id[table.split == "train"])
    if only_val:
        names = ", ".join(annotated.label_map[i] for i in sorted(only_val))
        notes.append(f"only in validation, so never learnt: {names}")
    content = {
        "format": format, "source": Path(annotated.source).name, "counts": counts, "label_map": annotated.label_map,
        "proposals": proposals if proposals == "annotated" else Path(proposals).name, "notes": notes,
        "findings": findings.drop(columns="lines").to_dict("records"),
    }  # fmt: skip
    (layout.root / MANIFEST).write_text(json.dumps(content, indent=1, default=str) + "\n")
    told = "; ".join(f"{s}: {', '.join(f'{n} {what}' for what, n in c.items())}" for s, c in counts.items())
    print(f"{layout.root.name} ({format}), {len(annotated.label_map)} classes. {told}")
    for note in notes:
        print(f"  {note}")
