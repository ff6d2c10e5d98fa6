"""Choose the entry of a checkpoint: the caller's, the one stored in the file, or the one of its published name."""

import dataclasses

from avalib import zoo
from avalib.models.architecture import describe_checkpoint, get_lateral_kernel, list_fitting_models
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.checkpoint_meta import check_in_file
from avalib.models.meta_checks import check_values

# fields that keys and shapes don't show; weights still work with another clip length, but not with the fatal ones
_SAMPLING_FIELDS = ("clip_len", "frame_interval", "resample_rate", "speed_ratio", "temporal_pool")
_FATAL_FIELDS = {"resample_rate", "speed_ratio", "temporal_pool"}


def choose_entry(entry, file, meta, strict):
    """The entry to build for a checkpoint, with the file's lateral kernel, and notes on what differs.

    Parameters
    ----------
    entry : ZooEntry or None
        None: the one stored in the file, or the one whose published name the file has.
    file : Checkpoint
    meta : CheckpointMeta
    strict : bool

    Returns
    -------
    entry : ZooEntry
    notes : list of str

    Raises
    ------
    CheckpointError
        No entry is known, or (strict) the file's model samples the pathways, or pools over time, in another way.
    """
    notes = []
    origin = "was saved as" if meta.entry is not None else "has the published name of"
    file_entry = meta.entry or find_published_entry(file.source)
    # without an entry the file's; else compare how the two sample their frames
    if entry is None:
        if file_entry is None:
            raise CheckpointError(_ask_for_entry(file))
        entry = file_entry
    elif file_entry is not None:
        changes = _compare_sampling(entry, file_entry)
        if strict and _FATAL_FIELDS & set(changes):
            raise CheckpointError(
                f"{file.source} {origin} {file_entry.alias}, {', '.join(changes.values())}; not {entry.alias}. "
                f"Build {file_entry.alias!r}, or None for the file's own entry"
            )
        if changes:
            notes.append(f"trained with {', '.join(changes.values())}")
    # SlowFast: laterals are built as long as they are in the file
    kernel = get_lateral_kernel(file.state_dict)
    if kernel is not None:
        check_in_file(file.source, check_values, {"fusion_kernel": kernel}, zoo.ZooEntry)
    if kernel and entry.backbone == "SlowFast" and kernel != entry.fusion_kernel:
        notes.append(
            f"laterals are {kernel}x1x1 in the file, {entry.fusion_kernel}x1x1 in the entry: built as in the file"
        )
        entry = dataclasses.replace(entry, fusion_kernel=kernel)
    return entry, notes


def find_published_entry(file_name):
    """The entry whose published checkpoint has this name; None where no entry's has."""
    for entry in zoo.ENTRIES:
        if entry.checkpoint_url.rpartition("/")[2] == file_name:
            return entry
    return None


def _ask_for_entry(file):
    """The message for a file without an entry: the models that it fits, or all of them."""
    models = list_fitting_models(file.state_dict)
    reason = f"it is of {describe_checkpoint(file.state_dict)} and fits these" if models else "these are in the zoo"
    return f"{file.source} holds no entry; name its model ({reason}): {', '.join(models or zoo.list_models())}"


def _compare_sampling(entry, file_entry):
    """{field: text} of how a file's entry samples clips, or pools over time, otherwise."""
    different = zoo.compare_fields(entry, file_entry)
    return {
        name: f"{name} {file_value} (the entry: {value})"
        for name, (value, file_value) in different.items()
        if name in _SAMPLING_FIELDS
    }
