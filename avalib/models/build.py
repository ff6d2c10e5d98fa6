"""Build a detector of the zoo, with random, pretrained, published or own weights."""

import dataclasses

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.models.checkpoint import (
    _check_head,
    _check_meta,
    _checked,
    _entry_for,
    _fill,
    _locate,
    _meta,
    _n_classes,
    _other_classes,
)
from avalib.models.checkpoint_file import read_checkpoint_file
from avalib.models.checkpoint_meta import check_n_classes
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.utils.device import choose_device


def build_model(
    model, checkpoint=None, device="cpu", strict=True, backbone_only=False, mirror=None, progress=True, verbose=True,
    label_map=None, **options,
):  # fmt: skip
    """A detector in eval mode, with its loading report as `.report` and what the file says of itself as `.meta`.

    model: a zoo name, an Entry, or None to take the entry that the checkpoint carries.
    checkpoint: None (initialised), "published" (the row's own file), "pretrained" (the recogniser's backbone and a new
    head), a path or a URL; backbone_only: the last two as "pretrained" does; strict: anything that does not fit is an
    error; label_map {action_id: name}: the classes to have, default the file's, else AVA's 80; a file of other
    classes then gives its backbone, the head is new, and that is said; options: Detector's (dropout,
    zero_init_residual, fc_bias).
    A lateral kernel that differs from the entry's is read from the file, built so, and said.
    Raises KeyError, FileNotFoundError, DownloadError, CheckpointError.
    """
    entry = zoo.get(model) if isinstance(model, str) else model
    if checkpoint is None:
        if entry is None:
            raise ValueError("build_model(None) needs a checkpoint that carries its entry")
        n_classes = max(_checked(label_map, "label_map") or get_action_names())
        network = Detector(entry, n_classes=n_classes, **options)
        network.report = network.meta = None
        return use_fast_forms(network.to(choose_device(device)).eval())
    label_map = _checked(label_map, "label_map")
    file = read_checkpoint_file(*_locate(entry, str(checkpoint), mirror, progress))
    _check_meta(file.source, check_n_classes, _n_classes(file.state_dict), "the classifier")
    meta = _meta(file)
    entry, notes = _entry_for(entry, file, meta, strict)
    only_backbone = backbone_only or checkpoint == "pretrained"
    n_classes = max(label_map) if label_map else _n_classes(file.state_dict)
    if label_map and not only_backbone and (other := _other_classes(file, meta, label_map)):
        only_backbone, notes = True, [*notes, f"a new head: {other}"]
    if not only_backbone:
        _check_head(file, label_map or meta.label_map, n_classes)
    network = Detector(entry, n_classes=n_classes, **options)
    network.report = _fill(network, file, strict, only_backbone, (*notes, *meta.notes))
    network.meta = dataclasses.replace(meta, label_map=label_map or meta.label_map)
    if verbose:
        print(network.report)
    return use_fast_forms(network.to(choose_device(device)).eval())
