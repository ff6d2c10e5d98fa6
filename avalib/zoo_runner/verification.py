"""Verify records: recompute the hashes and the scores that runs and published results have recorded."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from avalib.data.catalog import find_dataset
from avalib.evaluation.evaluator import evaluate
from avalib.utils.files import compute_sha256
from avalib.zoo_runner.result_records import check_result

MAX_mAP_DIFFERENCE = 1e-9
RUN_RECORDS = ("train/run.json", "evaluate/run.json")  # in a run's folder


def verify_records(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Recompute what is recorded under some paths.

    Parameters
    ----------
    paths : list of str or Path
        Folders that contain run.json files, run.json files, results (json) or the folder of results.

    Returns
    -------
    DataFrame
        One row per recorded hash or score: record, file, verdict. The verdict is "same", "differs: …", or
        "not here" if the file or the data set is not on this machine.

    Raises
    ------
    FileNotFoundError
        Nothing under the paths can be verified.
    """
    checks = []
    for path in map(Path, paths):
        # A record, a folder with records or results in it, or a result.
        if path.name == "run.json":
            checks += verify_run(path.parent.parent, [path])
        elif path.is_dir():
            for record in sorted(path.rglob("run.json")):
                checks += verify_run(record.parent.parent, [record])
            for file in sorted(path.glob("[!.]*.json")):
                checks += _verify_result_file(file)
        elif path.is_file():
            checks += _verify_result_file(path)
    if not checks:
        raise FileNotFoundError(f"{', '.join(map(str, paths))}: no run.json and no result in it")
    return pd.DataFrame(checks, columns=["record", "file", "verdict"])


def count_verdicts(checks: pd.DataFrame) -> dict[str, int]:
    """Count the verdicts of `verify_records`: {"same": …, "differs": …, "not here": …}."""
    kinds = checks.verdict.str.partition(":")[0]
    return {kind: int((kinds == kind).sum()) for kind in ("same", "differs", "not here")}


def verify_run(folder: Path, records: list[Path] | None = None, score: bool = True) -> list[dict]:
    """Verify the records of a run's folder.

    Parameters
    ----------
    folder : Path
        The folder of the run, see `run_folder.get_run_folder`.
    records : list of Path, optional
        The run.json files to verify; None takes those of training and evaluation.
    score : bool
        Evaluate the stored detections again, too.

    Returns
    -------
    list of dict
        {"record", "file", "verdict"}, as in `verify_records`.
    """
    # Hashes of what the run read and wrote, and the mAP of the detections that it wrote.
    if records is None:
        records = [folder / name for name in RUN_RECORDS if (folder / name).exists()]
    checks = []
    for path in records:
        record = json.loads(path.read_text(encoding="utf-8"))
        layout = _find_layout(record)
        for name, digest in record["hashes"].items():
            verdict = _compare_hash(_find_file(name, path.parent, layout), digest)
            checks.append({"record": str(path), "file": name, "verdict": verdict})
        if score and "mAP" in record:
            verdict = _compare_score(record, path.parent / "detections.csv", layout)
            checks.append({"record": str(path), "file": "mAP from detections.csv", "verdict": verdict})
    return checks


def verify_result(result: dict, path: Path) -> list[dict]:
    """Verify a published result: its schema, the hashes of the data, the mAP of each run.

    The mAP of every run is compared with the mean over its classes, that of the first run also with the published
    detections. `result` is the content of the json file `path`. Returns a list of dicts as `verify_run` does.
    """
    check_result(result, path.name)
    checks = []
    for number, run in enumerate(result["runs"]):
        name = f"{path} run {number}"
        checks += _verify_data_hashes(run, name)
        if run["per_class"]:
            mean = pd.Series([action["AP"] for action in run["per_class"]], dtype=float).mean()
            verdict = _compare_mAP(mean, run["evaluate"]["mAP"])
            checks.append({"record": name, "file": "mAP from its classes", "verdict": verdict})
    # Only the first seed's detections are published.
    detections = path.parents[1] / "published" / result["name"] / "detections.csv.gz"
    first = result["runs"][0]["evaluate"]
    verdict = _compare_score(first, detections, _find_layout(first))
    return [*checks, {"record": str(path), "file": "mAP from detections.csv.gz", "verdict": verdict}]


def _verify_result_file(file):
    """The checks of a json file, none if it is not a result."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return verify_result(content, file) if "runs" in content else []


def _verify_data_hashes(run, name):
    """The checks of the recorded files that belong to the data set, where it is on this machine."""
    layout = _find_layout(run["evaluate"])
    checks = []
    for record in (run["train"], run["evaluate"]):
        for recorded, digest in (record["hashes"] if record else {}).items():
            file = _find_file(recorded, None, layout)
            if file is not None:
                verdict = _compare_hash(file, digest)
                checks.append({"record": name, "file": Path(recorded).name, "verdict": verdict})
    return checks


def _find_layout(record):
    """The layout of the data set that a record names; None if it is not on this machine."""
    parameters = record["parameters"]
    if not isinstance(parameters, dict):  # records of notebook 02 had the network's parameters there
        return None
    try:
        layout = find_dataset(parameters["dataset"], seed=parameters.get("data_seed", 0))
    except (KeyError, ValueError):
        return None
    return layout if layout.get_csv_path("val").exists() else None


def _find_file(recorded, folder, layout):
    """The path of a recorded file, None if it is not here.

    Searched in this order: the record's folder, the folders beside it, the recorded path itself, the data set.
    """
    # Records of other machines have other folders, so names are what counts.
    name = Path(recorded).name
    candidates = []
    if folder:
        candidates += [folder / name, *sorted(folder.parent.glob(f"*/{name}")), Path(recorded)]
    if layout:
        for split in ("train", "val"):
            data_files = (layout.get_csv_path(split), layout.get_proposals_path(split))
            candidates += [path for path in data_files if path.name == name]
    return next((path for path in candidates if path.is_file()), None)


def _compare_hash(path, recorded):
    if path is None:
        return "not here"
    digest = compute_sha256(path)
    return "same" if digest == recorded else f"differs: {digest[:12]}… now, {recorded[:12]}… recorded"


def _compare_mAP(mAP, recorded):
    if abs(mAP - recorded) <= MAX_mAP_DIFFERENCE:
        return "same"
    return f"differs: {mAP:.6f} now, {recorded:.6f} recorded"


def _compare_score(record, detections, layout):
    """The verdict on a record's mAP, after evaluating its detections again."""
    if layout is None:
        return "not here: the data set"
    if not detections.exists():
        return f"not here: {detections.name}"
    # By the rules that the record was made under.
    report = evaluate(
        layout.get_csv_path("val"),
        detections,
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path("val"),
        protocol=record["protocol"],
    )
    return _compare_mAP(report.mAP, record["mAP"])
