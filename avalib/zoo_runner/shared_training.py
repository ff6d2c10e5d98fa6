"""Trainings that several models share: from random weights the OmniSource models are those of Kinetics-400."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace

from avalib import zoo
from avalib.utils.files import atomic_path, write_json
from avalib.utils.run_folder import archive_folder, read_record
from avalib.utils.temporary_files import make_part_path
from avalib.zoo_runner.zoo_run import ZooRun

logger = logging.getLogger(__name__)


def find_shared_runs(zoo_runs: Sequence[ZooRun]) -> dict[str, ZooRun]:
    """Find the runs whose training from random weights is the same as that of an earlier run with the same seed.

    Returns {name of the run: the earlier ZooRun}.
    """
    training_sources = {}
    for position, zoo_run in enumerate(zoo_runs):
        # Pretrained weights differ from model to model, and an evaluation trains nothing.
        weights = zoo_run.notebook_parameters.get("03_train", {}).get("checkpoint") or "random"
        if zoo_run.checkpoint or weights != "random":
            continue
        # The first run with the same network, seed and parameters has the training of its own.
        for earlier in zoo_runs[:position]:
            differs_in_model_only = replace(zoo_run, model=earlier.model) == earlier
            if differs_in_model_only and earlier.name not in training_sources and _has_equal_network(zoo_run, earlier):
                training_sources[zoo_run.name] = earlier
    return training_sources


def _has_equal_network(zoo_run, earlier):
    return zoo.is_same_training(zoo.get(zoo_run.model), zoo.get(earlier.model), zoo_run.dataset)


def has_own_training(zoo_run: ZooRun) -> bool:
    """Whether a run's folder holds a training of its own, not a copy by `copy_training`."""
    train = zoo_run.folder / "train"
    record = train / "run.json"
    if not record.exists():  # interrupted
        return (train / "last.pth").exists() or (train / "best.pth").exists()
    return "run_of" not in read_record(record, "notebook 03")


def copy_training(zoo_run: ZooRun, training_source: ZooRun) -> str:
    """Copy the finished training of another run, except the files that resume it.

    Returns the error message, "" if there was no error. The copy's run.json names the original in "run_of".
    """
    if not training_source.has_outputs("03_train"):
        return f"{training_source.name}, whose training it shares, has not been trained"
    train = zoo_run.folder / "train"
    # Everything goes into a temporary folder beside the final one.
    copy = make_part_path(train)
    try:
        resume_files = shutil.ignore_patterns("last.pth", "final.pth", ".*")
        shutil.copytree(training_source.folder / "train", copy, ignore=resume_files)
        record = read_record(copy / "run.json", "notebook 03")
        write_json(copy / "run.json", record | {"run_of": training_source.name})
        executed = zoo_run.get_executed_path("03_train")
        executed.parent.mkdir(exist_ok=True)
        with atomic_path(executed) as part:
            shutil.copy(training_source.get_executed_path("03_train"), part)
        # An older copy is kept under another name.
        if train.exists():
            archived = archive_folder(train)
            logger.info(
                "%s was an older copy of the run of %s; it is now %s", train, training_source.name, archived.name
            )
        copy.rename(train)  # last, so that an interrupted copy does not count as a training
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return ""
