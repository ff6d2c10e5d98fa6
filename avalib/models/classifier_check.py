"""Check that the classifier in a file has the columns that its label map needs."""

from avalib.data.labels import N_ACTIONS, get_evaluated_actions
from avalib.models.architecture import (
    describe_checkpoint,
    get_n_outputs,
    has_reserved_column,
    read_network_facts,
)
from avalib.models.checkpoint_file import Checkpoint, CheckpointError


def check_classifier(file: Checkpoint, label_map: dict[int, str], n_classes: int) -> None:
    """Raise CheckpointError where a file's classifier has other columns than its label map has actions.

    Parameters
    ----------
    file : Checkpoint
    label_map : dict
        {action_id: name} by which the columns are read.
    n_classes : int
        Of the file's classifier, without the reserved column.
    """
    n_named = max(label_map)
    carries_names = "label_map" in file.meta
    # a file's own label map may leave out its last classes; AVA's, where the file has none, has to fit
    if n_named == n_classes or (carries_names and n_named < n_classes):
        return
    columns = f"actions 1 to {n_classes}"
    columns += " and the reserved column 0" if has_reserved_column(file.state_dict) else ", no reserved column"
    origin = "" if carries_names else "; the file has none, so these are AVA's"
    raise CheckpointError(
        f"{file.source}: its classifier has {get_n_outputs(file.state_dict)} outputs ({columns}), but the label map to "
        f"read them by has the actions up to {n_named}{origin}. {_explain_columns(file, n_named)}Name them: "
        f"build_model(…, label_map={{1: name, …, {n_classes}: name}})"
    )


def _explain_columns(file, n_named):
    """What a classifier of an unexpected width may be, as a sentence; empty where nothing is known."""
    n_outputs = get_n_outputs(file.state_dict)
    if not read_network_facts(file.state_dict).is_detector:
        return f"It is of {describe_checkpoint(file.state_dict)}: backbone_only=True takes its backbone. "
    if n_outputs == len(get_evaluated_actions()):
        return f"AVA's {n_outputs} evaluated actions have ids up to {N_ACTIONS}, so such a head has ids of its own. "
    if n_outputs == n_named and has_reserved_column(file.state_dict):
        return "That is one column less than MMAction2's files have, whose column 0 is reserved. "
    if n_outputs == n_named + 1 and not has_reserved_column(file.state_dict):
        return "That is one column more than files in these names have: is column 0 reserved, as in MMAction2's? "
    return ""
