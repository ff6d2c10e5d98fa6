"""The run that a folder holds already: is it the one that is asked for, and if not, what is to become of it?

Nothing is moved or overwritten unasked. `existing` says what to do where the folder holds a run of other settings.
"""

import dataclasses
import zipfile
from pathlib import Path

from avalib import zoo
from avalib.utils.device import PRECISIONS
from avalib.utils.distributed import SINGLE_PROCESS
from avalib.utils.errors import AvalibError
from avalib.utils.files import remove_abandoned_parts, wait_for_writers
from avalib.utils.locks import LockedError, describe_conflict, hold_lock
from avalib.utils.pickled_arrays import PickleError
from avalib.utils.run_folder import archive_folder, find_free_name
from avalib.utils.torch_files import TensorRef, TorchFile

CHOICES = {
    "stop": "an error that says what is there and what differs",
    "continue": "go on with the run that is there, with its settings; a finished one is used as it is",
    "new": "keep that run as train.1 (the next free number) and begin anew",
}
WAYS = (
    'existing="continue" goes on with that run and its settings (a finished one is used as it is); existing="new" '
    'keeps it under the name {aside} and trains this one; tag="NAME" trains this one in a folder of its own. On the '
    "command line: --existing continue, --tag NAME; with papermill: -p existing continue; with make: EXISTING=continue."
)


class RunExistsError(AvalibError, FileExistsError):
    """The folder holds another run; the message describes it, says what differs, and the ways on."""


class DamagedCheckpointError(AvalibError, OSError):
    """last.pth can't be read; the message names it and says what to do."""


def check_choice(existing):
    """Raise ValueError for another word than those of CHOICES."""
    if existing not in CHOICES:
        lines = "; ".join(f"{name!r}: {what}" for name, what in CHOICES.items())
        raise ValueError(f"existing={existing!r}: expected one of {lines}")


def load_state_file(output_dir, weights=True):
    """What last.pth in a folder holds (a dict), or None where there is none.

    Like all checkpoints it is read by TorchFile, which runs nothing that a file names. weights=False reads no tensor.
    Raises DamagedCheckpointError.
    """
    path = Path(output_dir) / "last.pth"
    if not path.exists():
        return None
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("its end is missing, or it never was one")
        with TorchFile(path) as file:
            saved = _with_tensors(file.content, file.load) if weights else file.content
        missing = {"fingerprint", "clips_per_step", "epoch", "step"} - set(saved)
        what = f"it has no {', '.join(sorted(missing))}" if missing else ""
    except (PickleError, OSError, ValueError, TypeError, MemoryError) as error:
        what = str(error).strip().split("\n")[0] or type(error).__name__
    if what:
        raise DamagedCheckpointError(
            f"{path}: not a whole checkpoint of a training ({what[:200]}). Put a copy in its place, or remove it and "
            'train with existing="new"; best.pth and final.pth, where they are, can still be evaluated.'
        )
    return saved


def _with_tensors(value, load):
    """A value of a checkpoint with each TensorRef in it replaced by load(ref)."""
    if isinstance(value, TensorRef):
        return load(value)
    if isinstance(value, dict):
        return {key: _with_tensors(item, load) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_tensors(item, load) for item in value)
    return value


def get_lock_path(output_dir):
    """The lock's file of a training's folder: beside it, as the folder itself may get another name."""
    return Path(output_dir).with_name(f".{Path(output_dir).name}.lock")


def lock_run(output_dir):
    """The lock on a training's folder (utils.locks.hold)."""
    return hold_lock(get_lock_path(output_dir), "a training")


def read_run_state(output_dir, setup, context=SINGLE_PROCESS, existing="stop"):
    """What the run of this setup left in output_dir (last.pth as a dict), or None where there is nothing to go on from.

    Raises RunExistsError for another run, unless existing is "new": it is then kept under a new name, which is said.
    A finished run that took another number of clips a step is another run (an unfinished one goes on with the new
    number: machines come and go).
    """
    check_choice(existing)
    output_dir = Path(output_dir)
    wait_for_writers(output_dir)  # a training that was killed after Ctrl-C may still be saving
    remove_abandoned_parts(output_dir)
    saved = load_state_file(output_dir)
    if saved is None:
        if not any((output_dir / name).exists() for name in ("best.pth", "final.pth")):
            return None
        changed = {"last.pth": ("gone", "needed to go on")}
    else:
        changed = list_differences(saved, setup)
        if not changed and is_finished(saved) and saved["clips_per_step"] != setup.clips_per_step(context):
            changed = {"clips a step": (saved["clips_per_step"], setup.clips_per_step(context))}
    if not changed:
        return saved
    if existing != "new":
        raise RunExistsError(format_refusal(output_dir, saved, changed))
    kept = archive_folder(output_dir)
    print(f"{output_dir} held {describe_run(saved)}; it is kept as {kept.name}. {_told(changed)}")
    return None


def resolve_existing_run(setup, output_dir, existing="stop", minutes=None, context=SINGLE_PROCESS):
    """The Setup to train: with existing="continue" that of the run in output_dir, if there is one; else as given.

    minutes: what the number of epochs is to be fitted to afterwards (budget.fit), so it can't differ yet.
    Raises, before anything takes time: LockedError while another process trains there; RunExistsError as `read` does,
    and where a run can't be continued: its annotations are not the data set's any more, or another version of this
    package made it.
    """
    check_choice(existing)
    if refusal_of_lock := context.broadcast(describe_conflict(get_lock_path(output_dir)) if context.main else None):
        raise LockedError(refusal_of_lock)
    saved = context.broadcast(_head(output_dir) if context.main else None)
    if saved is None or existing == "new":
        return setup
    if existing == "stop":
        changed = list_differences(saved, setup)
        if set(changed) - ({"recipe.epochs"} if minutes is not None else set()):
            raise RunExistsError(format_refusal(output_dir, saved, changed))
        return setup
    return _adopt(setup, saved, output_dir, context)


def _adopt(setup, saved, output_dir, context):
    """The setup with what the saved run's settings say."""
    fingerprint = saved["fingerprint"]
    try:
        adopted = dataclasses.replace(
            setup,
            entry=zoo.ZooEntry(**fingerprint["entry"]),
            recipe=zoo.override_recipe(setup.recipe, fingerprint["recipe"]),
            dtype=PRECISIONS[fingerprint["precision"]],
            checkpoint=fingerprint["checkpoint"],
            minutes=saved.get("minutes"),
        )
    except (KeyError, TypeError) as error:
        reason = {"made by another version of avalib": (str(error), "")}
        raise RunExistsError(format_refusal(output_dir, saved, reason)) from error
    if changed := list_differences(saved, adopted):
        raise RunExistsError(format_refusal(output_dir, saved, changed))
    if context.main and (changed := list_differences(saved, setup)):
        print(f"going on with the run in {output_dir}, {describe_run(saved)}. {_told(changed)}")
    return adopted


def has_begun(output_dir, setup):
    """The head of the run in output_dir if it differs from this setup in the number of epochs at most; else None.

    -> last.pth's dict without tensors, with "epochs" beside it: what it set out to do.
    """
    saved = _head(output_dir)
    if saved is None or set(list_differences(saved, setup)) - {"recipe.epochs"}:
        return None
    return saved | {"epochs": saved["fingerprint"]["recipe"]["epochs"]}


def _head(output_dir):
    saved = load_state_file(output_dir, weights=False)
    return saved and {k: v for k, v in saved.items() if k not in ("model", "optimizer", "scaler", "log")}


def is_finished(saved):
    """Whether a run has done all of its epochs."""
    return saved["epoch"] >= saved["fingerprint"]["recipe"]["epochs"]


def list_differences(saved, setup):
    """{setting: (there, here)} of what tells the run in last.pth from this setup."""
    here, there = _flat(setup.fingerprint()), _flat(saved["fingerprint"])
    return {k: (there.get(k), here.get(k)) for k in sorted(here | there) if here.get(k) != there.get(k)}


def describe_run(saved):
    """A run in a line: "an unfinished run (3 of 9 epochs and 12 steps, best mAP 0.2134 after epoch 3)"."""
    if saved is None:
        return "weights of a run without its last.pth"
    epochs = saved["fingerprint"]["recipe"]["epochs"]
    if is_finished(saved):
        done = f"a finished run ({epochs} epochs"
    else:
        steps = f" and {saved['step']} steps" if saved["step"] else ""
        done = f"an unfinished run ({saved['epoch']} of {epochs} epochs{steps}"
    best = saved.get("best_mAP", -1)
    return done + (f", best mAP {best:.4f} after epoch {saved['best_epoch']})" if best >= 0 else ", not validated yet)")


def format_refusal(output_dir, saved, changed):
    """What RunExistsError says."""
    output_dir = Path(output_dir)
    ways = WAYS.format(aside=find_free_name(output_dir).name)
    return f"{output_dir} holds {describe_run(saved)}; nothing was changed. {_told(changed)} {ways}"


def _told(changed):
    pairs = "; ".join(f"{name} {there} there, {here} here" for name, (there, here) in changed.items())
    return f"What differs: {pairs}."


def _flat(tree, prefix=""):
    items = {}
    for key, value in tree.items():
        items |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return items
