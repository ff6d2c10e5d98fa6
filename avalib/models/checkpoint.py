"""Load weights into a detector, and save a detector with what is needed to use it.

checkpoint_file reads the files of MMAction2, PySlowFast, PyTorchVideo and UMT (caffe2_names: PySlowFast's .pkl),
key_names translates the names of their tensors, architecture recognizes their networks.

Each load reports which tensors matched. A tensor that does not fit is an error, or with `strict=False` a line in the
report.
"""

import dataclasses
from pathlib import Path

import torch

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.models.architecture import (
    POSITION_TABLE,
    describe_checkpoint,
    get_n_classes,
    has_shapes_of,
    list_fitting_models,
    read_network_facts,
)
from avalib.models.checkpoint_entry import choose_entry
from avalib.models.checkpoint_file import (
    CheckpointError,
    parse_hash_in_name,
    read_checkpoint_file,
    unwrap_state_dict,
    write_checkpoint_file,
)
from avalib.models.checkpoint_meta import check_in_file, get_default_preprocessing, parse_checkpoint_meta
from avalib.models.key_names import list_head_keys
from avalib.models.load_report import LoadReport, format_keys
from avalib.models.meta_checks import check_n_classes
from avalib.utils.download import download_file
from avalib.utils.plurals import format_count

_TABLE_TOLERANCE = 1e-3  # of a position table's sines; float16 rounds them by half of it


def load_checkpoint(model, source, strict=True, backbone_only=False):
    """Fill a detector that is already built from a file; -> LoadReport. Parameters and errors as build_model's."""
    file = open_checkpoint(model.entry, source)
    choose_entry(model.entry, file, parse_checkpoint_meta(file), strict)
    return fill_model(model, file, strict, backbone_only or source == "pretrained")


def read_state_dict(path):
    """{key: tensor} of a weight file, without wrappers and optimizer state. Errors as read_checkpoint_file's."""
    return read_checkpoint_file(path).state_dict


def read_meta(path):
    """The CheckpointMeta of a weight file: entry, recipe, label map, preprocessing, protocol and the rest."""
    return parse_checkpoint_meta(read_checkpoint_file(path))


def save_checkpoint(
    model, path, entry=None, recipe=None, label_map=None, preprocessing=None, protocol="mmaction", **extra
):
    """Save a detector so that build_model and MMAction2 load it, with the metadata that is needed to use it.

    Parameters
    ----------
    model : Detector
        Or a wrapper of it (DataParallel, a compiled one).
    path : str or Path
        .pth, or .safetensors for a file without pickle.
    entry : ZooEntry, optional
        Default the model's own.
    recipe : Recipe or dict, optional
    label_map : dict, optional
        {action_id: name}, default AVA's 80.
    preprocessing : dict, optional
        Default `get_default_preprocessing`.
    protocol : str
        Of the metric by which the model was chosen.
    **extra
        Plain values (epoch, mAP, …) for the file's "meta".

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        Where the model's tensors are not the entry's.
    """
    entry = entry or model.entry
    state_dict = unwrap_state_dict(model.state_dict())
    if not has_shapes_of(state_dict, entry):
        raise ValueError(f"the model is not a plain {entry.alias} (a fused detector can't be saved; save the original)")
    recipe = dataclasses.asdict(recipe) if dataclasses.is_dataclass(recipe) else recipe
    # everything that is needed to use the weights elsewhere
    meta = {
        "entry": dataclasses.asdict(entry),
        "recipe": recipe,
        "label_map": label_map or get_action_names(),
        "preprocessing": preprocessing or get_default_preprocessing(entry, recipe),
        "protocol": protocol,
        **extra,
    }
    return write_checkpoint_file(path, state_dict, meta)


def check_classes(detector, label_map):
    """Raise ValueError where a detector from a file was trained for other classes than {action_id: name}."""
    n_model = detector.n_classes
    n_dataset = max(label_map)
    model_names = detector.meta.label_map if getattr(detector, "meta", None) else {}
    different = find_different_class(model_names, label_map)
    if n_model == n_dataset and different is None:
        return
    names = "" if different is None else f"class {different} is {model_names[different]!r} in the model, "
    names += "" if different is None else f"{label_map[different]!r} in the data set; "
    raise ValueError(
        f"the model has {format_count(n_model, 'class', 'classes')}, the data set {n_dataset}: {names}train on this "
        "data set first "
        "(notebook 03 with this checkpoint starts from its backbone)"
    )


def find_different_class(names, other_names):
    """The first action_id that two label maps both have, under different names; None where they agree."""
    shared = sorted(names.keys() & other_names.keys())
    return next((action_id for action_id in shared if names[action_id] != other_names[action_id]), None)


def open_checkpoint(entry, checkpoint, mirror=None, progress=True):
    """Read a checkpoint, downloading it first where it is not on this machine; -> Checkpoint.

    checkpoint: "published", "pretrained", "mini" (all the entry's), a URL or a path.
    """
    path, sha256 = _locate(entry, str(checkpoint), mirror, progress)
    file = read_checkpoint_file(path, sha256)
    check_in_file(file.source, check_n_classes, get_n_classes(file.state_dict), "the classifier")
    return file


def download_checkpoint(entry, checkpoint, mirror=None, progress=True):
    """The path of a checkpoint on this machine, downloaded if need be. Parameters as for `open_checkpoint`."""
    return Path(_locate(entry, str(checkpoint), mirror, progress)[0])


def _locate(entry, checkpoint, mirror, progress):
    """A checkpoint's path on this machine and the beginning of its hash (None: unknown)."""
    # a file of the entry, an address, or a path
    if checkpoint in ("published", "pretrained", "mini"):
        if entry is None:
            raise ValueError(f"checkpoint={checkpoint!r} needs a model's name")
        if checkpoint == "mini":
            weights = zoo.get_mini_weights(entry.alias)
            url, sha256 = weights.url, weights.sha256
        elif checkpoint == "published":
            url, sha256 = entry.checkpoint_url, entry.checkpoint_sha256
        else:
            url, sha256 = entry.pretrained_url, entry.pretrained_sha256
        if url is None:
            raise ValueError(
                f"{entry.alias} has no published recognizer. Start from its published file with backbone_only=True"
            )
    elif checkpoint.startswith(("http://", "https://")):
        url, sha256 = checkpoint, parse_hash_in_name(checkpoint)
    else:
        return checkpoint, None
    return download_file(url, sha256, mirror=mirror, progress=progress), sha256


def fill_model(model, file, strict=True, backbone_only=False, notes=()):
    """Copy a file's tensors into a model.

    Parameters
    ----------
    model : Detector
    file : Checkpoint
    strict : bool
        Every tensor has to fit; else the model is left unchanged.
    backbone_only : bool
        Keep the model's own head.
    notes : sequence of str
        For the report.

    Returns
    -------
    LoadReport

    Raises
    ------
    CheckpointError
        Where tensors don't fit (strict), where none fits, and where values are not finite.
    """
    model_tensors, file_tensors = model.state_dict(), file.state_dict
    report = _compare_tensors(model, file, backbone_only, notes)
    if (strict and not report.ok) or not report.matched:
        raise CheckpointError(_explain_mismatch(report, file_tensors, backbone_only))
    # what fits; no weights are changed before all checks have passed
    tensors = {key: file_tensors[key] for key in report.matched}
    _check_finite(file.source, tensors)
    if POSITION_TABLE in tensors:
        _check_position_table(file.source, tensors[POSITION_TABLE], model_tensors[POSITION_TABLE])
    model.load_state_dict(tensors, strict=False)
    return report


def _compare_tensors(model, file, backbone_only, notes):
    """The LoadReport of a file's tensors against a model's; parameters as fill_model's."""
    model_tensors, file_tensors = model.state_dict(), file.state_dict
    expected, present = set(model_tensors), set(file_tensors)
    notes = [*notes, *file.notes]
    # tensors that the model initializes itself, and tensors of the file that it does not need
    initialized, left_out = _split_off_head(expected, present) if backbone_only else (set(), set())
    if POSITION_TABLE in expected - present:
        initialized.add(POSITION_TABLE)
        notes.append(f"the file has no {POSITION_TABLE}: it was built from its formula")
    expected = expected - initialized
    present = present - left_out
    # the rest has to match by name and shape
    common = expected & present
    wrong_shape = {key for key in common if file_tensors[key].shape != model_tensors[key].shape}

    # in the report keys are in the model's order, and those that the model lacks in the file's
    in_model_order, in_file_order = list(model_tensors), list(file_tensors)
    return LoadReport(
        source=file.source,
        model=model.entry.alias,
        matched=_order(common - wrong_shape, in_model_order),
        missing=_order(expected - present, in_model_order),
        unexpected=_order(present - expected, in_file_order),
        wrong_shape=tuple(
            (key, tuple(file_tensors[key].shape), tuple(model_tensors[key].shape))
            for key in _order(wrong_shape, in_model_order)
        ),
        initialized=_order(initialized, in_model_order),
        left_out=_order(left_out, in_file_order),
        notes=tuple(notes),
    )


def _split_off_head(expected, present):
    """What a model has newly initialized, and what of a file is left out, where only the backbone is loaded."""
    initialized, left_out = list_head_keys(expected), list_head_keys(present)
    # a ViT that recognizes actions has its last norm behind the mean of all tokens; the detector's starts anew
    if pooled_norm := {key for key in present if key.rpartition(".")[0] in ("backbone.fc_norm", "fc_norm")}:
        left_out |= pooled_norm
        initialized |= {key for key in expected - present if key.rpartition(".")[0] in ("backbone.norm", "norm")}
    return initialized, left_out


def _check_position_table(source, table, expected):
    """Raise CheckpointError for a ViT's position table that is not the one of the formula."""
    difference = (table.float() - expected.float().cpu()).abs().max().item()
    if difference > _TABLE_TOLERANCE:
        raise CheckpointError(
            f"{source}: {POSITION_TABLE} differs by up to {difference:.3g} from the table of sines and cosines that "
            "this ViT has. It was trained, or has another order of channels: the file is of another network"
        )


def _order(keys, order):
    """A set of keys as a tuple, in the order of a list."""
    return tuple(key for key in order if key in keys)


def _check_finite(source, state_dict):
    """Raise CheckpointError for weights with which a network computes nothing usable."""
    faults = []
    for key, value in state_dict.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            n_faults = int((~torch.isfinite(value)).sum())
            faults.append(f"{key} (NaN or infinite: {n_faults:,} of {value.numel():,})")
        elif key.endswith("running_var") and (value < 0).any():
            faults.append(f"{key} (a negative variance)")
    if faults:
        raise CheckpointError(
            f"{source}: {format_count(len(faults), 'tensor')} with unusable numbers: {format_keys(faults)}. "
            "The training that wrote it diverged, or float16 overflowed; take an earlier checkpoint"
        )


def _explain_mismatch(report, state_dict, backbone_only):
    """The message for a file that does not fit: which network it is of, which models it fits, what to do."""
    advice = "strict=False takes what fits."
    facts = read_network_facts(state_dict)
    if fitting := list_fitting_models(state_dict):
        advice = f"It fits {', '.join(fitting)}."
    elif not backbone_only and facts.backbone and not facts.is_detector:
        advice = "backbone_only=True takes a recognizer's backbone and starts with a new head."
    network = describe_checkpoint(state_dict)
    return f"{report.source} does not fit {report.model}: it is of {network}. {advice}\n{report}"
