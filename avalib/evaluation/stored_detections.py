"""Detections in a csv file that is written once: scoring again what has not changed is skipped."""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

import pandas as pd
import torch

import avalib
from avalib import zoo
from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.keyframe_table import KeyframeTable, load_test_keyframes
from avalib.data.layout import DatasetLayout
from avalib.evaluation.inference import detect_dataset
from avalib.models.detector import Detector
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.experiment import get_versions
from avalib.utils.files import compute_sha256, write_json

logger = logging.getLogger(__name__)


def detect_dataset_once(
    detector: Detector,
    layout: DatasetLayout,
    split: str,
    recipe: zoo.Recipe,
    path: str | Path,
    decimals: int = 3,
    device: str = "auto",
    precision: str = "auto",
    workers: int = 0,
) -> tuple[pd.DataFrame, KeyframeTable]:
    """Score all proposals of a split into a csv file, unless that file has them already.

    What the detections depend on (weights, recipe, annotations, proposals, videos, this package's code, versions) is
    stored beside the file, with a hash of the file itself. If all of it is the same, the file is read.

    Parameters
    ----------
    detector, layout, split, recipe, device, precision, workers
        See `detect_dataset`.
    path : str or Path
        The csv file.
    decimals : int
        Of its boxes and scores.

    Returns
    -------
    DataFrame
        The detections as they are in the file.
    KeyframeTable
        The keyframes of the split.
    """
    path = Path(path)
    inputs = compute_detection_inputs(detector, layout, split, recipe, device, precision) | {"decimals": decimals}
    keyframes = load_test_keyframes(detector.entry, layout, split, recipe)
    if _is_unchanged(path, inputs):
        logger.info("%s: same weights, data and code as before, so it is not computed again", path)
    else:
        detections, keyframes = detect_dataset(detector, layout, split, recipe, device, precision, workers=workers)
        write_ava_csv(detections, path, decimals)
        write_json(_get_inputs_path(path), inputs | {"sha256": compute_sha256(path)})
    return read_ava_csv(path, "detections"), keyframes


def compute_detection_inputs(
    detector: Detector,
    layout: DatasetLayout,
    split: str,
    recipe: zoo.Recipe,
    device: str = "auto",
    precision: str = "auto",
) -> dict:
    """Compute what the detections of a split depend on, as plain values. Parameters as for `detect_dataset`."""
    device = choose_device(device)
    files = (layout.get_csv_path(split), layout.get_proposals_path(split), layout.get_exclusions_path(split))
    video_ids = sorted(read_ava_csv(files[0], "ground_truth").video_id.unique())
    inputs = {
        "weights": _hash_weights(detector),
        "entry": dataclasses.asdict(detector.entry),
        "recipe": dataclasses.asdict(recipe),
        "split": split,
        "device": device.type,
        "precision": str(choose_precision(precision, device)),
        "files": {path.name: compute_sha256(path) for path in files if path.is_file()},
        "videos": {video_id: _describe_video(layout, video_id) for video_id in video_ids},
        "code": _hash_code(),
        "versions": get_versions(),
    }
    return json.loads(json.dumps(inputs))  # tuples become lists, as in a file


def _is_unchanged(path, inputs):
    """Whether a csv file was written from these inputs, and is still what was written."""
    try:
        stored = json.loads(_get_inputs_path(path).read_text(encoding="utf-8"))
        return stored == inputs | {"sha256": compute_sha256(path)}
    except (OSError, ValueError):
        return False


def _get_inputs_path(path):
    return path.with_suffix(".inputs.json")


def _hash_weights(detector):
    """The sha256 of a detector's tensors and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(detector.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _hash_code():
    """The sha256 of this package's source files."""
    root = Path(avalib.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _describe_video(layout, video_id):
    """[name, bytes, time of the last change] of a video's file or folder of frames; None if it is missing."""
    try:
        path = layout.find_video(video_id)
    except FileNotFoundError:
        return None
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]
