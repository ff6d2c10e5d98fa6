"""The metadata in a checkpoint: entry, recipe, label map, preprocessing, protocol and the rest."""

import dataclasses
from dataclasses import dataclass, field

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.meta_checks import check_preprocessing, check_values, get_kind_name, read_label_map
from avalib.video.frame_numbers import AVA_FPS
from avalib.zoo.recipe import rename_old_fields


@dataclass(frozen=True)
class CheckpointMeta:
    """The metadata of a saved model. `entry` and `recipe` are None in files of other origin."""

    entry: zoo.ZooEntry | None = None
    recipe: zoo.Recipe | None = None
    label_map: dict = field(default_factory=get_action_names)  # {action_id: name}
    preprocessing: dict = field(default_factory=dict)
    protocol: str | None = None  # of the metric by which it was chosen
    extra: dict = field(default_factory=dict)  # everything else: epoch, mAP, mmcv's own
    notes: tuple = ()


def get_default_preprocessing(entry, recipe=None):
    """How clips are made for a model, as plain values; recipe: a dict, default the published one."""
    short_side = (recipe or {}).get("test_short_side", zoo.build_published_recipe(entry).test_short_side)
    return {
        "fps": AVA_FPS,
        "clip_len": entry.clip_len,
        "frame_interval": entry.frame_interval,
        "short_side": short_side,
        "channel_order": "RGB",
        "mean": entry.mean,
        "std": entry.std,
    }


def check_in_file(source, check, *values):
    """Return check(*values); its ValueError becomes a CheckpointError that names the file."""
    try:
        return check(*values)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error


def parse_checkpoint_meta(file):
    """The CheckpointMeta of a Checkpoint.

    An entry or recipe that another version wrote is completed with the published values; `notes` says so.
    Raises CheckpointError that names file, field and value for a wrong type or a value out of range.
    """
    values = dict(file.meta)
    if not isinstance(values.get("entry"), dict):
        return CheckpointMeta(extra=values)
    notes = []
    alias = values["entry"].get("alias")
    published_entry = zoo.get(alias) if alias in zoo.list_models() else None
    entry = _restore(zoo.ZooEntry, values["entry"], published_entry, file.source, notes)
    recipe = values.get("recipe")
    if isinstance(recipe, dict):
        recipe = rename_old_fields(recipe)
    if recipe is not None:
        recipe = _restore(zoo.Recipe, recipe, zoo.build_published_recipe(entry), file.source, notes)
    protocol = values.get("protocol")
    if protocol is not None and not isinstance(protocol, str):
        raise CheckpointError(f"{file.source}: its protocol is a {type(protocol).__name__}; expected text")
    preprocessing = values.get("preprocessing", {})
    check_in_file(file.source, check_preprocessing, preprocessing)
    label_map = get_action_names()
    if "label_map" in values:
        label_map = check_in_file(file.source, read_label_map, values["label_map"], file.source)
    own_fields = {f.name for f in dataclasses.fields(CheckpointMeta)}
    return CheckpointMeta(
        entry=entry,
        recipe=recipe,
        label_map=label_map,
        preprocessing=preprocessing,
        protocol=protocol,
        extra={key: value for key, value in values.items() if key not in own_fields},
        notes=tuple(notes),
    )


def _restore(kind, values, published, source, notes):
    """A ZooEntry or Recipe from a dict that another version may have written; fields it lacks are as `published`."""
    kind_name = get_kind_name(kind)
    if not isinstance(values, dict):
        raise CheckpointError(f"{source}: its {kind_name} is a {type(values).__name__}; expected a dict")
    check_in_file(source, check_values, values, kind)
    # the fields that this version has, and those of the version that wrote the file
    names = {f.name for f in dataclasses.fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    missing = sorted(names - set(values))
    unknown = sorted(map(str, set(values) - names))
    changes = []
    if missing:
        changes.append(f"{', '.join(missing)} as published")
    if unknown:
        changes.append(f"{', '.join(unknown)} unknown here")
    if changes:
        notes.append(f"its {kind_name} was written by another version: {'; '.join(changes)}")
    # the fields of both, the others as published
    values = {key: value for key, value in values.items() if key in names}
    if published is not None:
        return dataclasses.replace(published, **values)
    try:
        return kind(**values)
    except TypeError as error:
        lacking = ", ".join(missing)
        raise CheckpointError(f"{source}: its {kind_name} lacks {lacking} and can't be completed") from error
