"""Several models' detections of the same videos: loaded, and with the same person_id for the same person."""

import logging
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.utils.boxes import compute_iou_matrix
from avalib.utils.run_folder import get_run_folder

logger = logging.getLogger(__name__)


def load_predictions(
    output_dir: str | Path, dataset: str, models: list[str] | None = None, tag: str = ""
) -> dict[str, pd.DataFrame]:
    """Load the detections that notebook 04 has written.

    Parameters
    ----------
    output_dir : str or Path
        The folder of the runs, such as outputs/runs.
    dataset : str
        The data set's name.
    models : list of str, optional
        Aliases, published names or patterns; default: the whole zoo. Models without detections are left out; others
        are logged.
    tag : str
        The runs' tag.

    Returns
    -------
    dict
        {model: table}, in the order of the zoo.

    Raises
    ------
    FileNotFoundError
        No model has detections.
    """
    models = zoo.select_models(["*"] if models is None else models)
    paths = {name: get_run_folder(output_dir, dataset, name, tag) / "evaluate" / "detections.csv" for name in models}
    evaluated = [name for name, path in paths.items() if path.is_file()]
    if not evaluated:
        raise FileNotFoundError(f"{paths[models[0]]}: no model has detections. Run notebooks 03 and 04 first.")
    if len(evaluated) < len(models):
        logger.info("%d of %d models have detections: %s", len(evaluated), len(models), ", ".join(evaluated))
    return {name: read_ava_csv(paths[name], "detections") for name in evaluated}


def align_person_ids(detected, annotated, min_iou=0.5):
    """Detected people under the annotation's person_ids.

    A detected track becomes the annotated person that it overlaps (IoU of at least min_iou) at most keyframes. An
    annotated person can be several tracks, but only one at a time. Tracks of nobody get new ids, after all others.

    detected, annotated: {timestamp: [Person]}. -> `detected` with other ids.
    """
    # {track: times at which it exists}
    overlap_times = _find_overlaps(detected, annotated, min_iou)
    times_of_track = defaultdict(set)
    for time, people in detected.items():
        for person in people:
            times_of_track[person.person_id].add(time)

    # Pairs with the most common keyframes first; a person's keyframes are used up by its tracks.
    new_ids = {}
    used_times = defaultdict(set)
    for track, person_id in sorted(overlap_times, key=lambda pair: (-len(overlap_times[pair]), pair)):
        if track not in new_ids and not times_of_track[track] & used_times[person_id]:
            new_ids[track] = person_id
            used_times[person_id] |= times_of_track[track]

    # Ids that no annotated person has, for the tracks of nobody.
    next_id = 1 + max((person.person_id for people in annotated.values() for person in people), default=-1)
    for track in sorted(set(times_of_track) - set(new_ids)):
        new_ids[track] = next_id
        next_id += 1
    return {
        time: [replace(person, person_id=new_ids[person.person_id]) for person in people]
        for time, people in detected.items()
    }


def _find_overlaps(detected, annotated, min_iou):
    """{(track, annotated person_id): times at which this annotated person overlaps the track most}."""
    overlap_times = defaultdict(set)
    for time, people in detected.items():
        candidates = annotated.get(time, [])
        if not candidates or not people:
            continue
        # (detected, annotated) IoUs; each detected person is paired with the annotated person of the largest.
        iou = compute_iou_matrix(np.stack([p.box for p in people]), np.stack([p.box for p in candidates]))
        for i, j in enumerate(iou.argmax(axis=1)):
            if iou[i, j] >= min_iou:
                overlap_times[people[i].person_id, candidates[j].person_id].add(time)
    return overlap_times
