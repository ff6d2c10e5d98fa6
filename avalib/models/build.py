"""Build a detector of the zoo, with random, pretrained, published or own weights. The network is in detector.py."""

import dataclasses
import logging
from pathlib import Path

import torch

from avalib import zoo
from avalib.data.label_map import check_label_map
from avalib.data.labels import get_action_names
from avalib.models.architecture import get_n_classes
from avalib.models.checkpoint import fill_model, find_different_class, open_checkpoint
from avalib.models.checkpoint_entry import choose_entry
from avalib.models.checkpoint_meta import parse_checkpoint_meta
from avalib.models.classifier_check import check_classifier
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.utils.device import choose_device
from avalib.utils.plurals import format_count
from avalib.zoo.entry import ZooEntry

logger = logging.getLogger(__name__)


def build_model(
    model: str | ZooEntry | None,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    strict: bool = True,
    backbone_only: bool = False,
    mirror: str | Path | None = None,
    progress: bool = True,
    verbose: bool = True,
    label_map: dict[int, str] | None = None,
    **options: object,
) -> Detector:
    """Build a detector in evaluation mode.

    Parameters
    ----------
    model : str, ZooEntry or None
        A name of the zoo; None takes the entry that the checkpoint carries.
    checkpoint : None, "published", "pretrained", "mini", path or URL
        None: initialized. "published": the model's own file. "pretrained": the recognizer's backbone and a new head.
        "mini": trained on the rendered mini-AVA, see `zoo.load_mini_weights`.
    device : str or torch.device
    strict : bool
        Raise for anything that does not fit.
    backbone_only : bool
        Take only the backbone of a published or own file; the head is new.
    mirror : str or Path, optional
        Folder or URL to get published files from.
    progress, verbose : bool
        Show the download's progress; log the LoadReport.
    label_map : dict, optional
        {action_id: name}, the model's classes; default the file's, else AVA's 80. From a file of other classes only
        the backbone is taken: the head is new, and the report says so.
    **options
        Detector's: dropout, zero_init_residual, fc_bias.

    Returns
    -------
    Detector
        With `.report` (LoadReport) and `.meta` (CheckpointMeta), None without a checkpoint. A lateral kernel that
        differs from the entry's is built as in the file, which the report says.

    Raises
    ------
    KeyError
        For an unknown model.
    FileNotFoundError, DownloadError, CheckpointError
        For a checkpoint that does not exist, cannot be downloaded, is damaged or does not fit.
    """
    # 1. The entry, and the classes of the data
    entry = zoo.get(model) if isinstance(model, str) else model
    label_map = label_map and check_label_map(label_map.items(), "label_map")
    # 2. The network: with random weights, or as the file has it
    if checkpoint is None:
        if entry is None:
            raise ValueError("build_model(None) needs a checkpoint that carries its entry")
        detector = Detector(entry, n_classes=max(label_map or get_action_names()), **options)
        detector.report = detector.meta = None
    else:
        file = open_checkpoint(entry, checkpoint, mirror, progress)
        backbone_only = backbone_only or checkpoint == "pretrained"
        detector = _build_from_file(entry, file, strict, backbone_only, label_map, options)
        if verbose:
            logger.info(detector.report)
    # 3. On its device, with the faster forms of its layers
    return use_fast_forms(detector.to(choose_device(device)).eval())


def _build_from_file(entry, file, strict, backbone_only, label_map, options):
    """A detector with a Checkpoint's weights, its report and its meta."""
    # what to build: the entry, with the file's lateral kernel
    meta = parse_checkpoint_meta(file)
    entry, notes = choose_entry(entry, file, meta, strict)
    # a head for other classes than the file's is a new one
    if label_map and not backbone_only and (difference := _describe_class_difference(file, meta, label_map)):
        backbone_only = True
        notes.append(f"a new head: {difference}")
    n_classes = max(label_map) if label_map else get_n_classes(file.state_dict)
    if not backbone_only:
        check_classifier(file, label_map or meta.label_map, n_classes)
    # build it and fill in the file's tensors
    detector = Detector(entry, n_classes=n_classes, **options)
    detector.report = fill_model(detector, file, strict, backbone_only, (*notes, *meta.notes))
    detector.meta = dataclasses.replace(meta, label_map=label_map or meta.label_map)
    return detector


def _describe_class_difference(file, meta, label_map):
    """How a file's classes differ from a label map, as text; None where its head serves for them."""
    n_file, n_expected = get_n_classes(file.state_dict), max(label_map)
    if n_file != n_expected:
        return f"{file.source} has {format_count(n_file, 'class', 'classes')}, expected {n_expected}"
    different = find_different_class(meta.label_map, label_map)
    if different is None:
        return None
    return f"class {different} of {file.source} is {meta.label_map[different]!r}, expected {label_map[different]!r}"
