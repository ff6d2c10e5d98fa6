"""Several models' detections of the same videos: loaded, and with the same person_id for the same person."""

import logging
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.utils.boxes import compute_iou_matrix
from avalib.utils.run_folder import get_run_folder
from avalib.utils.tracker import match_boxes

NEAR_IOU = 0.1  # with a lower IoU, two boxes are of two people

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
        Aliases, published names or patterns; default: the whole zoo. Models without detections are left out;
        those with detections are logged.
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

    At each time a detected person is the annotated one that it overlaps, one for one, with an IoU of at least min_iou.
    Somebody without such a partner has the id that its track has at most other times, unless that person is elsewhere
    or has a partner. Tracks of nobody get new ids, after all others.

    detected, annotated: {timestamp: [Person]}. -> `detected` with other ids.
    """
    # Partners by overlap: {timestamp: {place in the list: annotated person_id}}, and how often each track is whom.
    partners = {time: _match_people(people, annotated.get(time, []), min_iou) for time, people in detected.items()}
    counts_of_track = defaultdict(Counter)
    for time, people in detected.items():
        for i, person_id in partners[time].items():
            counts_of_track[people[i].person_id][person_id] += 1

    # The ids of everybody else, by their tracks.
    next_id = 1 + max((person.person_id for people in annotated.values() for person in people), default=-1)
    new_ids = {}  # {track: id}
    aligned = {}
    for time, people in detected.items():
        ids = partners[time]
        for i, person in enumerate(people):
            if i in ids:
                continue
            usual_id = max(counts_of_track[person.person_id], key=counts_of_track[person.person_id].get, default=None)
            is_free = usual_id is not None and usual_id not in ids.values()
            if is_free and not _is_elsewhere(usual_id, person.box, annotated.get(time, [])):
                ids[i] = usual_id
            else:
                ids[i] = new_ids.setdefault(person.person_id, next_id + len(new_ids))
        aligned[time] = [replace(person, person_id=ids[i]) for i, person in enumerate(people)]
    return aligned


def _match_people(people, candidates, min_iou):
    """{place in `people`: person_id of the candidate who is its partner}."""
    if not people or not candidates:
        return {}
    # (candidates, people) IoUs
    iou = compute_iou_matrix(np.stack([p.box for p in candidates]), np.stack([p.box for p in people]))
    pairs = match_boxes(iou, np.full(len(candidates), min_iou))
    return {int(i): candidates[j].person_id for j, i in pairs}


def _is_elsewhere(person_id, box, people):
    """Whether one of these people has this id and is not near a box."""
    boxes = [person.box for person in people if person.person_id == person_id]
    return bool(boxes) and compute_iou_matrix(np.stack(boxes), box[None]).max() < NEAR_IOU
