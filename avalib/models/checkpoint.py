"""Models with weights in them: the published ones, a recogniser's backbone, your own; and saving them with their story.

Every loading says what matched. Nothing that does not fit is passed over, unless `strict=False` asks for it, and then
it stands in the report.
"""

import dataclasses
from dataclasses import dataclass, field

import torch

from avalib import zoo
from avalib.data.label_map import check_label_map
from avalib.data.labels import N_ACTIONS, get_action_names
from avalib.data.transforms import MEAN, STD
from avalib.models.checkpoint_file import (
    CheckpointError,
    parse_hash_in_name,
    read_checkpoint_file,
    unwrap_state_dict,
    write_checkpoint_file,
)
from avalib.models.checkpoint_meta import check_n_classes, check_preprocessing, check_values, read_label_map
from avalib.models.detector import Detector
from avalib.models.resnet3d import LATERAL_NAMES
from avalib.utils.download import download_file
from avalib.video.frame_numbers import AVA_FPS

HEAD, RECOGNISER_HEAD = "roi_head.", "cls_head."
_WITHIN_A_PART = r"(\.\d+\..*|\.(conv|bn)\..*|\.\w+)$"  # what a key has after its stage's name


@dataclass(frozen=True)
class LoadReport:
    """How a file's tensors met a model's: keys by what became of them, each once."""

    source: str  # the file's name
    model: str  # the entry's alias
    matched: tuple = ()
    missing: tuple = ()  # the model has it, the file has not
    unexpected: tuple = ()  # the other way round
    wrong_shape: tuple = ()  # (key, the file's shape, the model's shape)
    initialised: tuple = ()  # the head, where only a backbone was asked for
    left_out: tuple = ()  # what else the file has then
    notes: tuple = ()

    @property
    def ok(self):
        """Whether everything that had to fit did."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def to_frame(self):
        """A DataFrame with a row a key: key, status, file_shape, model_shape (shapes only where they differ)."""
        import pandas as pd

        rows = []
        for status in ("matched", "missing", "unexpected", "initialised", "left_out"):
            rows += [(key, status.replace("_", " "), "", "") for key in getattr(self, status)]
        rows += [(key, "wrong shape", _shape(a), _shape(b)) for key, a, b in self.wrong_shape]
        return pd.DataFrame(rows, columns=["key", "status", "file_shape", "model_shape"])

    def by_part(self):
        """The same counted: a row a part of the network ("backbone.layer1", …), a column a status."""
        import pandas as pd

        table = self.to_frame()
        part = table["key"].str.replace(_WITHIN_A_PART, "", regex=True)
        counts = pd.crosstab(part, table["status"]).reindex(part.unique())
        return counts.rename_axis(index="part", columns=None)

    def __str__(self):
        total = sum(len(getattr(self, f)) for f in ("matched", "missing", "wrong_shape", "initialised"))
        lines = [f"{self.source} -> {self.model}: {len(self.matched)} of {total} tensors matched"]
        shapes = [f"{key} ({_shape(a)} in the file, {_shape(b)} in the model)" for key, a, b in self.wrong_shape]
        for label, found in (
            ("missing in the file", self.missing),
            ("not in the model", self.unexpected),
            ("of another shape", shapes),
            ("initialised anew", self.initialised),
            ("left out", self.left_out),
        ):
            if found:
                more = f", … {len(found) - 4} more" if len(found) > 4 else ""
                lines.append(f"  {len(found)} {label}: {', '.join(found[:4])}{more}")
        return "\n".join(lines + [f"  {note}" for note in self.notes])


@dataclass(frozen=True)
class CheckpointMeta:
    """What a saved model carries with it. `entry` and `recipe` are None in files that we did not write."""

    entry: zoo.ZooEntry | None = None
    recipe: zoo.Recipe | None = None
    label_map: dict = field(default_factory=get_action_names)  # {action_id: name}
    preprocessing: dict = field(default_factory=dict)
    protocol: str | None = None  # of the metric it was chosen by
    extra: dict = field(default_factory=dict)  # everything else: epoch, mAP, mmcv's own
    notes: tuple = ()


def _checked(label_map, source):
    """A label map {action_id: name} whose highest id a classifier can have, None as it is. Raises ValueError."""
    return label_map and check_label_map(label_map.items(), source)


def _check_head(file, label_map, n_classes):
    """Raise CheckpointError where a file's classifier has fewer columns than the actions it would be read as."""
    if max(label_map) > n_classes:
        raise CheckpointError(
            f"{file.source}: its classifier has {n_classes + 1} outputs (actions 1 to {n_classes} and the reserved "
            f"column 0), but the label map to read them by has the actions up to {max(label_map)}"
            + ("" if "label_map" in file.meta else "; the file carries none, so these are AVA's")
            + f". Say what they are: build_model(…, label_map={{1: name, …, {n_classes}: name}})"
        )


def load_checkpoint(model, source, strict=True, backbone_only=False):
    """Fill a detector that is already built from a file; -> Report. Arguments and errors as build_model's."""
    file = read_checkpoint_file(*_locate(model.entry, str(source), None, True))
    _check_meta(file.source, check_n_classes, _n_classes(file.state_dict), "the classifier")
    _entry_for(model.entry, file, _meta(file), strict)
    return _fill(model, file, strict, backbone_only or source == "pretrained", ())


def read_state_dict(path):
    """{key: tensor} of a weight file, without wrappers and optimizer state. Errors as checkpoints.read's."""
    return read_checkpoint_file(path).state_dict


def read_meta(path):
    """The Meta of a weight file: entry, recipe, label map, preprocessing, protocol and the rest."""
    return _meta(read_checkpoint_file(path))


def save_checkpoint(
    model, path, entry=None, recipe=None, label_map=None, preprocessing=None, protocol="mmaction", **extra
):
    """Save a detector so that build_model and MMAction2 load it, with what is needed to use it inside. -> the path.

    path: .pth, or .safetensors for a file without pickle; entry: default the model's own; recipe: a Recipe or its dict;
    label_map {action_id: name}, default AVA's 80; preprocessing: default what `preprocessing` says; extra: plain values
    (epoch, mAP, …), which land beside them in the file's "meta".
    Raises ValueError where the model's tensors are not the entry's.
    """
    entry = entry or model.entry
    state_dict = unwrap_state_dict(model.state_dict())
    if _shapes(state_dict) != _shapes(_blank(entry, _n_classes(state_dict)).state_dict()):
        raise ValueError(
            f"the model is not a plain {entry.alias} (an inference form can't be saved; save the original)"
        )
    recipe = dataclasses.asdict(recipe) if dataclasses.is_dataclass(recipe) else recipe
    meta = {
        "entry": dataclasses.asdict(entry),
        "recipe": recipe,
        "label_map": label_map or get_action_names(),
        "preprocessing": preprocessing or get_default_preprocessing(entry, recipe),
        "protocol": protocol,
        **extra,
    }
    return write_checkpoint_file(path, state_dict, meta)


def get_default_preprocessing(entry, recipe=None):
    """How clips are made for this model, as plain values."""
    side = (recipe or {}).get("test_short_side", zoo.build_published_recipe(entry).test_short_side)
    return {
        "fps": AVA_FPS,
        "clip_len": entry.clip_len,
        "frame_interval": entry.frame_interval,
        "short_side": side,
        "channel_order": "RGB",
        "mean": MEAN,
        "std": STD,
    }


def describe_checkpoint(state_dict):
    """What network a state_dict is of, read off its keys and shapes: 'SlowFast R50 detector, laterals 7x1x1'."""
    prefix = "backbone.slow_path." if any(k.startswith("backbone.slow_path.") for k in state_dict) else "backbone."
    blocks = {k.split(".")[-4] for k in state_dict if k.startswith(f"{prefix}layer3.") and ".conv1.conv." in k}
    depth = {6: "R50", 23: "R101"}.get(len(blocks))
    stem = state_dict.get(f"{prefix}conv1.conv.weight")
    if depth is None or stem is None or stem.dim() != 5:
        return f"a network that is not of this zoo ({len(state_dict)} tensors, the first is {next(iter(state_dict))!r})"
    name = f"{'SlowFast' if 'slow' in prefix else 'SlowOnly'} {depth}"
    classifier = next((v for k, v in state_dict.items() if k.endswith("fc_cls.weight")), None)
    kind = "detector" if any(k.startswith(HEAD) for k in state_dict) else "recogniser"
    classifier = classifier if classifier is not None and classifier.dim() == 2 else None
    classes = f" for {classifier.shape[0]} classes" if classifier is not None and kind == "recogniser" else ""
    context = " with context" if classifier is not None and classifier.shape[1] in (4096, 4608) else ""
    laterals = _lateral_kernel(state_dict)
    return f"{name} {kind}{classes}{context}" + (f", laterals {laterals}x1x1" if laterals else "")


def _locate(entry, checkpoint, mirror, progress):
    """A checkpoint's path and the beginning of its hash, fetched where it is not on this machine."""
    if checkpoint in ("published", "pretrained"):
        if entry is None:
            raise ValueError(f"checkpoint={checkpoint!r} needs a model's name")
        of_row = {"published": "checkpoint", "pretrained": "pretrained"}[checkpoint]
        url, digest = getattr(entry, f"{of_row}_url"), getattr(entry, f"{of_row}_sha256")
    elif checkpoint.startswith(("http://", "https://")):
        url, digest = checkpoint, parse_hash_in_name(checkpoint)
    else:
        return checkpoint, None
    return download_file(url, digest, mirror=mirror, progress=progress), digest


def _entry_for(entry, file, meta, strict):
    """The entry to build: the asked one, with the laterals that the file has; and what there is to say about it."""
    notes = []
    if entry is None:
        if meta.entry is None:
            raise CheckpointError(
                f"{file.source} carries no entry; say which model it is: {', '.join(zoo.list_models())}"
            )
        entry = meta.entry
    elif meta.entry is not None:
        other = zoo.compare_fields(entry, meta.entry)
        changed = [f"{f} {b} (the entry: {a})" for f, (a, b) in other.items() if f in _SAMPLING]
        if strict and {"resample_rate", "speed_ratio"} & set(other):
            raise CheckpointError(
                f"{file.source} was saved as {meta.entry.alias}, {', '.join(changed)}; not {entry.alias}. Ask for "
                f"{meta.entry.alias!r}, or for None: what the file says it is"
            )
        if changed:
            notes.append(f"trained with {', '.join(changed)}")
    kernel = _lateral_kernel(file.state_dict)
    if kernel is not None:
        _check_meta(file.source, check_values, {"fusion_kernel": kernel}, zoo.ZooEntry)
    if kernel and entry.backbone == "SlowFast" and kernel != entry.fusion_kernel:
        notes.append(
            f"laterals are {kernel}x1x1 in the file, {entry.fusion_kernel}x1x1 in the entry: built as in the file"
        )
        entry = dataclasses.replace(entry, fusion_kernel=kernel)
    return entry, notes


_SAMPLING = ("clip_len", "frame_interval", "resample_rate", "speed_ratio")


def _lateral_kernel(state_dict):
    weight = state_dict.get(f"backbone.slow_path.{LATERAL_NAMES[0]}.conv.weight")
    return weight.shape[2] if weight is not None and weight.dim() == 5 else None


def _fill(model, file, strict, backbone_only, notes):
    """Copy what fits into the model; -> Report. Strict: the model is left as it was where something does not fit."""
    wanted, found = model.state_dict(), file.state_dict
    absent = [key for key in wanted if key not in found]
    extra = [key for key in found if key not in wanted]
    common = [key for key in wanted if key in found]
    initialised, left_out = [], []
    if backbone_only:
        initialised = [key for key in wanted if key.startswith(HEAD)]
        left_out = [key for key in found if key.startswith((HEAD, RECOGNISER_HEAD))]
        absent, common = ([k for k in keys if not k.startswith(HEAD)] for keys in (absent, common))
        extra = [key for key in extra if key not in left_out]
    differ = [(k, tuple(found[k].shape), tuple(wanted[k].shape)) for k in common if found[k].shape != wanted[k].shape]
    wrong = {key for key, _, _ in differ}
    matched = [key for key in common if key not in wrong]
    fields = (matched, absent, extra, differ, initialised, left_out, notes)
    report = LoadReport(file.source, model.entry.alias, *map(tuple, fields))
    if (strict and not report.ok) or not matched:
        raise CheckpointError(_mismatch(report, file.state_dict, backbone_only))
    _check_numbers(file.source, {key: found[key] for key in matched})
    model.load_state_dict({key: found[key] for key in matched}, strict=False)
    return report


def _check_numbers(source, state_dict):
    """Raise CheckpointError for weights with which a network gives no numbers."""
    wrong = []
    for key, value in state_dict.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            wrong.append(f"{key} (NaN or infinite: {int((~torch.isfinite(value)).sum()):,} of {value.numel():,})")
        elif key.endswith("running_var") and (value < 0).any():
            wrong.append(f"{key} (a negative variance)")
    if wrong:
        more = f", … {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise CheckpointError(
            f"{source}: {len(wrong)} tensors hold no usable numbers: {', '.join(wrong[:4])}{more}. The training that "
            "wrote it diverged, or float16 overflowed; take an earlier checkpoint"
        )


def _mismatch(report, state_dict, backbone_only):
    """Why a file does not fit, in words: what it is of, which rows it would fit, what to do."""
    n_classes = _n_classes(state_dict)
    fitting = [e.alias for e in zoo.ENTRIES if _shapes(_blank(e, n_classes).state_dict()) == _shapes(state_dict)]
    advice = "strict=False takes what fits."
    if fitting:
        advice = f"It fits {', '.join(fitting)}."
    elif not backbone_only and any(key.startswith(RECOGNISER_HEAD) for key in state_dict):
        advice = "backbone_only=True takes a recogniser's backbone and starts with a new head."
    return (
        f"{report.source} does not fit {report.model}: it is of {describe_checkpoint(state_dict)}. {advice}\n{report}"
    )


def _blank(entry, n_classes):
    with torch.device("meta"):
        return Detector(entry, n_classes=n_classes)


def _n_classes(state_dict):
    """How many classes a detector's file tells apart, without the reserved column; AVA's 80 where it has no head."""
    weight = state_dict.get(f"{HEAD}bbox_head.fc_cls.weight")
    if weight is None or weight.dim() != 2:
        return N_ACTIONS
    return weight.shape[0] - 1


def _other_classes(file, meta, label_map):
    """In words, how a file's classes differ from a label map; None where one can stand for the other."""
    n_file, n_wanted = _n_classes(file.state_dict), max(label_map)
    if n_file != n_wanted:
        return f"{file.source} tells {n_file} classes apart, {n_wanted} are wanted"
    for i in sorted(meta.label_map.keys() & label_map.keys()):
        if meta.label_map[i] != label_map[i]:
            return f"class {i} of {file.source} is {meta.label_map[i]!r}, {label_map[i]!r} is wanted"
    return None


def check_classes(detector, label_map):
    """Raise ValueError where a detector from a file was trained for other classes than {action_id: name}."""
    n_model, wanted = detector.roi_head.bbox_head.fc_cls.out_features - 1, max(label_map)
    known = detector.meta.label_map if getattr(detector, "meta", None) else {}
    wrong = [i for i in sorted(known.keys() & label_map.keys()) if known[i] != label_map[i]]
    if n_model != wanted or wrong:
        what = f"class {wrong[0]} is {known[wrong[0]]!r} there, {label_map[wrong[0]]!r} here; " if wrong else ""
        raise ValueError(
            f"the model tells {n_model} classes apart, the data set {wanted}: {what}train on this data set first "
            "(notebook 03 with this checkpoint starts from its backbone)"
        )


def _shapes(state_dict):
    return {key: tuple(value.shape) for key, value in state_dict.items()}


def _shape(shape):
    return "x".join(map(str, shape)) or "scalar"


def _check_meta(source, check, *values):
    """What check(*values) gives; its ValueError as a CheckpointError that names the file."""
    try:
        return check(*values)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _meta(file):
    """Meta out of a file's own words; an entry or recipe of another version is completed from today's, and said.

    Raises CheckpointError that names file, field and value for what is of another type or out of range.
    """
    known = {f.name for f in dataclasses.fields(CheckpointMeta)}
    values = dict(file.meta)
    if not isinstance(values.get("entry"), dict):
        return CheckpointMeta(extra=values)
    notes = []
    alias = values["entry"].get("alias")
    base = zoo.get(alias) if alias in zoo.list_models() else None
    entry = _rebuilt(zoo.ZooEntry, values["entry"], base, file.source, notes)
    recipe, protocol = values.get("recipe"), values.get("protocol")
    if protocol is not None and not isinstance(protocol, str):
        raise CheckpointError(f"{file.source}: its protocol is a {type(protocol).__name__}; expected text")
    _check_meta(file.source, check_preprocessing, values.get("preprocessing", {}))
    label_map = get_action_names()
    if "label_map" in values:
        label_map = _check_meta(file.source, read_label_map, values["label_map"], file.source)
    if recipe is not None:
        recipe = _rebuilt(zoo.Recipe, recipe, zoo.build_published_recipe(entry), file.source, notes)
    return CheckpointMeta(
        entry,
        recipe,
        label_map,
        values.get("preprocessing", {}),
        protocol,
        {key: value for key, value in values.items() if key not in known},
        tuple(notes),
    )


def _rebuilt(kind, values, base, source, notes):
    """A dataclass from a dict that another version of it may have written."""
    if not isinstance(values, dict):
        raise CheckpointError(f"{source}: its {kind.__name__} is a {type(values).__name__}; expected a dict")
    _check_meta(source, check_values, values, kind)
    names = {f.name for f in dataclasses.fields(kind)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    gone, new = sorted(map(str, set(values) - names)), sorted(names - set(values))
    if gone or new:
        what = [f"{', '.join(new)} as published"] * bool(new) + [f"{', '.join(gone)} not known here"] * bool(gone)
        notes.append(f"its {kind.__name__} was written by another version: {'; '.join(what)}")
    values = {k: v for k, v in values.items() if k in names}
    if base is not None:
        return dataclasses.replace(base, **values)
    try:
        return kind(**values)
    except TypeError as error:
        raise CheckpointError(f"{source}: its {kind.__name__} lacks {', '.join(new)} and can't be completed") from error
