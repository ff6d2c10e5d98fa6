"""Several models' detections of the same videos: found on disk, and with the same person_id for the same person."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.utils.boxes import compute_iou_matrix
from avalib.utils.run_folder import get_run_folder


def find_model_detections(output_dir, dataset, names=None, tag="", progress=print):
    """The detections of notebook 04 that exist under output_dir: {alias: table}, in the zoo's order.

    names: the rows to look for, None for all seven. Those that aren't there are said through `progress`.
    Raises FileNotFoundError when there are none.
    """
    names = zoo.list_models() if names is None else [zoo.get(name).alias for name in names]
    paths = {name: get_run_folder(output_dir, dataset, name, tag) / "evaluate" / "detections.csv" for name in names}
    found = {name: path for name, path in paths.items() if Path(path).is_file()}
    missing = [name for name in names if name not in found]
    if not found:
        raise FileNotFoundError(f"{paths[names[0]]}: no row's detections are there; run notebooks 03 and 04 first")
    if missing and progress:
        progress(f"{len(found)} of {len(names)} rows have detections; without: {', '.join(missing)}")
    return {name: read_ava_csv(path, "detections") for name, path in found.items()}


def align_person_ids(moments, truth, least_iou=0.5):
    """People under the annotation's person_ids: both {timestamp: [Person]}, -> `moments` with other ids.

    A detected track is the annotated person that it overlaps at most keyframes (IoU of at least least_iou), each
    annotated person at a keyframe going to one track; tracks that are nobody's get ids after all others.
    """
    meetings = {}
    for time, people in moments.items():
        known = truth.get(time, [])
        if known and people:
            iou = compute_iou_matrix(np.stack([p.box for p in people]), np.stack([p.box for p in known]))
            for i, j in zip(range(len(people)), iou.argmax(axis=1), strict=True):
                if iou[i, j] >= least_iou:
                    pair = people[i].person_id, known[j].person_id
                    meetings.setdefault(pair, set()).add(time)
    ids, busy = {}, {}
    for track, person in sorted(meetings, key=lambda pair: (-len(meetings[pair]), pair)):
        times = {t for t, people in moments.items() if any(p.person_id == track for p in people)}
        if track not in ids and not times & busy.get(person, set()):  # a person can be several tracks, at other times
            ids[track] = person
            busy[person] = busy.get(person, set()) | times
    following = 1 + max((p.person_id for people in truth.values() for p in people), default=-1)
    for track in sorted({p.person_id for people in moments.values() for p in people} - set(ids)):
        ids[track], following = following, following + 1
    return {t: [replace(p, person_id=ids[p.person_id]) for p in people] for t, people in moments.items()}
