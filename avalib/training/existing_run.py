"""The run that a folder holds already: resume it, keep it (an error), or rename its folder.

Nothing is moved or overwritten unless the user says so. `existing` says what to do with a run of other settings.
"""

import dataclasses
import logging
from contextlib import AbstractContextManager
from pathlib import Path

from avalib import zoo
from avalib.training.saved_run import SavedRun, load_last_checkpoint, load_saved_run
from avalib.training.train_config import TrainConfig
from avalib.utils.device import PRECISIONS
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext
from avalib.utils.errors import AvalibError
from avalib.utils.locks import Lock, LockedError, describe_conflict, hold_lock
from avalib.utils.run_folder import archive_folder, find_free_name
from avalib.utils.temporary_files import remove_abandoned_parts, wait_for_writers

logger = logging.getLogger(__name__)

CHOICES = {
    "stop": "an error that describes the run and what differs",
    "continue": "resume that run, with its settings; a finished one is used as it is",
    "new": "keep that run as train.1 (the next free number) and start a new one",
}
NEXT_STEPS = (
    'existing="continue" resumes that run with its settings (a finished one is used as it is); existing="new" renames '
    'its folder to {archive} and starts this one; tag="NAME" trains this one in a folder of its own. On the command '
    "line: --existing continue, --tag NAME; with papermill: -p existing continue; with make: EXISTING=continue."
)


class RunExistsError(AvalibError, FileExistsError):
    """The folder holds another run; the message describes it, says what differs, and what to do."""


def check_choice(existing: str) -> None:
    """Raise ValueError for a value that is not one of CHOICES."""
    if existing not in CHOICES:
        lines = "; ".join(f"{name!r}: {meaning}" for name, meaning in CHOICES.items())
        raise ValueError(f"existing={existing!r}: expected one of {lines}")


def get_lock_path(output_dir: str | Path) -> Path:
    """The lock file of a training's folder; it lies beside the folder, which may be renamed."""
    return Path(output_dir).with_name(f".{Path(output_dir).name}.lock")


def lock_run(output_dir: str | Path) -> AbstractContextManager[Lock | None]:
    """Hold the lock on a training's folder inside the context, see `locks.hold_lock`."""
    return hold_lock(get_lock_path(output_dir), "a training")


# --- what to do with it -----------------------------------------------------------------------------------------------


def resolve_existing_run(
    config: TrainConfig,
    output_dir: str | Path,
    existing: str = "stop",
    minutes: float | None = None,
    context: DistributedContext = SINGLE_PROCESS,
) -> TrainConfig:
    """Decide what to train, before anything takes time.

    Parameters
    ----------
    config : TrainConfig
    output_dir : str or Path
        The folder of the training; it need not exist.
    existing : str
        What to do if it holds a run of other settings, see CHOICES.
    minutes : float, optional
        The time limit that the number of epochs will be set from (time_limit.limit_epochs); until then it may differ.
    context : DistributedContext

    Returns
    -------
    TrainConfig
        With existing="continue" that of the run in the folder, if there is one; else `config`.

    Raises
    ------
    LockedError
        Another process trains in this folder.
    RunExistsError
        The folder holds another run; or that run can't be continued, because its annotations changed or another
        version of this package wrote it.
    """
    check_choice(existing)
    # the main process reads the folder for all; every process gets the same answer
    refusal = context.broadcast(describe_conflict(get_lock_path(output_dir)) if context.is_main else None)
    if refusal:
        raise LockedError(refusal)
    saved = context.broadcast(load_saved_run(output_dir) if context.is_main else None)
    if saved is None or existing == "new":
        return config
    if existing == "continue":
        return _adopt_settings(config, saved, output_dir)
    # "stop": the settings have to be the same
    differences = saved.list_differences(config)
    allowed = {"recipe.epochs"} if minutes is not None else set()
    if set(differences) - allowed:
        raise RunExistsError(format_refusal(output_dir, saved, differences))
    return config


def _adopt_settings(config, saved, output_dir):
    """The config with the settings of a saved run."""
    # rebuild entry, recipe and precision from what last.pth says
    fingerprint = saved.fingerprint
    try:
        adopted = dataclasses.replace(
            config,
            entry=zoo.ZooEntry(**fingerprint["entry"]),
            recipe=zoo.update_recipe(config.recipe, fingerprint["recipe"]),
            dtype=PRECISIONS[fingerprint["precision"]],
            checkpoint=fingerprint["checkpoint"],
            minutes=saved.minutes,
        )
    except (KeyError, TypeError) as error:
        problem = {"written by another version of avalib": (str(error), "")}
        raise RunExistsError(format_refusal(output_dir, saved, problem)) from error
    # what still differs can't be taken over, such as changed annotations
    if differences := saved.list_differences(adopted):
        raise RunExistsError(format_refusal(output_dir, saved, differences))
    if differences := saved.list_differences(config):
        logger.info(f"resuming the run in {output_dir}, {saved.describe()}. {format_differences(differences)}")
    return adopted


def load_checkpoint_to_resume(
    output_dir: str | Path,
    config: TrainConfig,
    context: DistributedContext = SINGLE_PROCESS,
    existing: str = "stop",
) -> dict | None:
    """Read what the run of a config left in a folder.

    A finished run with another global batch size is another run; an unfinished one resumes with the new size, as
    machines come and go.

    Parameters
    ----------
    output_dir : str or Path
    config : TrainConfig
    context : DistributedContext
    existing : str
        "new" moves another run aside.

    Returns
    -------
    dict or None
        The content of last.pth; None if there is nothing to resume.

    Raises
    ------
    RunExistsError
        The folder holds another run, and existing is not "new".
    DamagedCheckpointError
    """
    check_choice(existing)
    output_dir = Path(output_dir)
    wait_for_writers(output_dir)  # a training that was killed after Ctrl-C may still be saving
    remove_abandoned_parts(output_dir)
    checkpoint = load_last_checkpoint(output_dir)
    saved = SavedRun.from_checkpoint(checkpoint)
    # what keeps that run from being resumed: {setting: (there, here)}
    if saved is None:
        if not any((output_dir / name).exists() for name in ("best.pth", "final.pth")):
            return None
        differences = {"last.pth": ("missing", "needed to resume")}
    else:
        differences = saved.list_differences(config)
        clips_per_step = config.count_clips_per_step(context)
        if not differences and saved.is_finished and saved.clips_per_step != clips_per_step:
            differences = {"clips in a step": (saved.clips_per_step, clips_per_step)}
    if not differences:
        return checkpoint
    if existing != "new":
        raise RunExistsError(format_refusal(output_dir, saved, differences))
    # existing="new": move that run aside
    archive = archive_folder(output_dir)
    logger.info(
        f"{output_dir} held {describe_saved_run(saved)}; it is now {archive.name}. {format_differences(differences)}"
    )
    return None


def load_run_of_same_settings(output_dir: str | Path, config: TrainConfig) -> SavedRun | None:
    """The run in a folder if it differs from a config in the number of epochs at most; else None."""
    saved = load_saved_run(output_dir)
    if saved is None or set(saved.list_differences(config)) - {"recipe.epochs"}:
        return None
    return saved


# --- messages ---------------------------------------------------------------------------------------------------------


def describe_saved_run(saved):
    """A SavedRun in a line; None stands for weights without a last.pth."""
    return "weights of a run without its last.pth" if saved is None else saved.describe()


def format_refusal(output_dir: str | Path, saved: SavedRun | None, differences: dict) -> str:
    """The message of RunExistsError. saved: a SavedRun or None."""
    output_dir = Path(output_dir)
    next_steps = NEXT_STEPS.format(archive=find_free_name(output_dir).name)
    return (
        f"{output_dir} holds {describe_saved_run(saved)}; nothing was changed. {format_differences(differences)} "
        f"{next_steps}"
    )


def format_differences(differences):
    """{setting: (value of the run in the folder, value of this one)} as a sentence."""
    pairs = [f"{name} {saved} in that run, {current} in this one" for name, (saved, current) in differences.items()]
    return f"What differs: {'; '.join(pairs)}."
