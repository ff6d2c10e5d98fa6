"""Published results: one json each, gathered from runs, checked and loaded.

A result is one model on one data set. It holds a run for every seed: the records (run.json) of training and evaluation
as the notebooks wrote them, the validations, and the AP of every action. All tables are computed from results.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from avalib import zoo
from avalib.training.logger import MAP, read_log
from avalib.utils.run_folder import read_record, require_file

RESULTS_FOLDER = "outputs/results"
SCHEMA = 1
RESULT_TYPES = {"schema": int, "name": str, "model": str, "dataset": str, "label": str, "note": str, "runs": list}
RUN_TYPES = {"seed": int, "train": dict | None, "evaluate": dict, "validation": list, "per_class": list | None}
RECORD_KEYS = ("name", "date", "parameters", "hashes", "git", "versions", "hardware", "wall_s", "peak_memory_GB")
EVALUATION_KEYS = ("mAP", "baseline_mAP", "coverage", "protocol")  # more keys of an evaluation's record
DATASET_ORDER = ("ava2.1", "ava2.2", "mini")  # others follow by name


def gather_results(folders: Sequence[str | Path], name: str | None = None, label: str = "", note: str = "") -> dict:
    """Gather the runs of one model on one data set into a result.

    Parameters
    ----------
    folders : list of str or Path
        Folders of runs, one for each seed, see `run_folder.get_run_folder`.
    name : str, optional
        Name of the result; None: "<data set>_<model>".
    label : str
        Describes the coverage of a result on less than all keyframes; shown in the leaderboard.
    note : str
        Anything else to say about the result.

    Returns
    -------
    dict
        The result, as it is written to json.

    Raises
    ------
    FileNotFoundError
        A record is missing.
    ValueError
        The folders belong to different models or data sets.
    """
    # In the order of seeds; all of one model on one data set.
    runs = sorted((_read_run(Path(folder)) for folder in folders), key=lambda run: run["seed"])
    kinds = {(run["evaluate"]["model"], run["evaluate"]["parameters"]["dataset"]) for run in runs}
    if len(kinds) != 1:
        raise ValueError(f"a result has one model and one data set; these folders have {sorted(kinds)}")
    ((model, dataset),) = kinds
    # From random weights some models share their training with another one; the note says so.
    trainings = [run["train"] for run in runs if run["train"]]
    shared = dict.fromkeys(training["run_of"] for training in trainings if "run_of" in training)
    notes = [note, *(f"From random weights this is the run of {other}." for other in shared)]
    return {
        "schema": SCHEMA,
        "name": name or f"{dataset}_{model}",
        "model": model,
        "dataset": dataset,
        "label": label,
        "note": " ".join(notes).strip(),
        "runs": runs,
    }


def _read_run(folder):
    """The records of one run's folder."""
    # The checkpoints "best" and "final" come from this folder's training; others were not trained here.
    evaluate = _read_required(folder / "evaluate" / "run.json", "notebook 04")
    is_trained_here = evaluate["parameters"]["checkpoint"] in ("best", "final")
    train = _read_required(folder / "train" / "run.json", "notebook 03") if is_trained_here else None
    log = read_log(folder / "train" / "log.jsonl") if is_trained_here else []
    report = _read_required(folder / "evaluate" / "report.json", "notebook 04")
    action_keys = ("action_id", "action", "AP", "ground_truth")
    return {
        "seed": (train or evaluate)["parameters"]["seed"],
        "train": train,
        "evaluate": evaluate,
        "validation": [{"epoch": line["epoch"], "mAP": line[MAP]} for line in log if line["mode"] == "val"],
        "per_class": [{key: action[key] for key in action_keys} for action in report["per_class"]],
    }


def _read_required(path, maker):
    return read_record(require_file(path, maker), maker)


def check_result(result: dict, source: str = "result") -> None:
    """Check a result's schema. Raises ValueError that names `source` and what is missing or of the wrong type."""
    _check_types(result, RESULT_TYPES, source)
    if result["schema"] != SCHEMA:
        raise ValueError(f"{source}: schema {result['schema']}: this package reads {SCHEMA}")
    if result["model"] not in zoo.list_models():
        raise ValueError(f"{source}: model {result['model']!r}: not in the zoo: {', '.join(zoo.list_models())}")
    if not result["runs"]:
        raise ValueError(f"{source}: no runs")
    for number, run in enumerate(result["runs"]):
        _check_run(run, f"{source}: run {number}", has_label=bool(result["label"]))


def _check_run(run, source, has_label):
    """Check one run of a result, see `check_result`."""
    _check_types(run, RUN_TYPES, source)
    # Every record has what `experiment` writes; that of an evaluation its scores as well.
    for part, keys in (("train", RECORD_KEYS), ("evaluate", RECORD_KEYS + EVALUATION_KEYS)):
        missing = [key for key in keys if run[part] is not None and key not in run[part]]
        if missing:
            raise ValueError(f"{source}: the record of {part} has no {', '.join(missing)}")
    share = run["evaluate"]["coverage"]["share"]
    if share < 1 and not has_label:
        raise ValueError(f"{source}: coverage {share:.3f} and no label")


def _check_types(content, types, source):
    for key, expected in types.items():
        if key not in content or not isinstance(content[key], expected):
            actual = type(content.get(key)).__name__
            raise ValueError(f"{source}: {key}: expected {expected}, found {actual}")


def load_results(folder: str | Path = RESULTS_FOLDER) -> list[dict]:
    """Load and check all results of a folder.

    Returns
    -------
    list of dict
        The results in the zoo's order of models, then AVA, the mini-AVA, other data sets, then by name.

    Raises
    ------
    ValueError
        A file is not a whole result, does not fit the schema, or holds a result of another name.
    """
    results = []
    # Hidden files are those that are being written.
    for path in sorted(Path(folder).glob("[!.]*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not a whole result ({error}); publish its runs again, or delete it") from error
        check_result(result, path.name)
        if result["name"] != path.stem:
            raise ValueError(f"{path.name}: holds the result {result['name']!r}")
        results.append(result)
    # By model, data set and name.
    models = zoo.list_models()
    datasets = [*DATASET_ORDER, *sorted({result["dataset"] for result in results} - set(DATASET_ORDER))]
    return sorted(
        results,
        key=lambda result: (models.index(result["model"]), datasets.index(result["dataset"]), result["name"]),
    )


def get_mAPs(result: dict) -> list[float]:
    """The mAP@0.5 of each run of a result, in percent."""
    return [100 * run["evaluate"]["mAP"] for run in result["runs"]]
