"""What an executed notebook depends on: fingerprints are kept beside it and compared before the next run."""

import json
from hashlib import sha256
from pathlib import Path

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.utils.files import compute_sha256
from avalib.utils.run_folder import DamagedRecordError, read_record
from avalib.zoo_runner.zoo_run import ZooRun

NOT_INPUTS = ("device", "output_dir", "existing", "workers")  # parameters that don't change the result


def compute_inputs(zoo_run: ZooRun, notebook: str, layout: DatasetLayout, source: Path) -> dict:
    """Compute what the result of a notebook depends on.

    Parameters
    ----------
    zoo_run : ZooRun
    notebook : str
        Its name, one of `zoo_run.NOTEBOOKS`.
    layout : DatasetLayout
        The data set's.
    source : Path
        The notebook's file.

    Returns
    -------
    dict
        "parameters"; "code", a hash of the code cells; "files", {name: sha256, or None for a missing file}. Dates of
        files and outputs of the notebook don't count.
    """
    # The contents of what the notebook reads.
    files = {}
    for path in _list_input_files(zoo_run, notebook, layout):
        files[path.name] = compute_sha256(path) if path.exists() else None
    if zoo_run.checkpoint == "published":
        files["published checkpoint"] = zoo.get(zoo_run.model).checkpoint_sha256
    parameters = {name: v for name, v in zoo_run.get_parameters(notebook).items() if name not in NOT_INPUTS}
    return {
        "parameters": json.loads(json.dumps(parameters)),  # as they are after reading them from a file
        "code": _hash_code(source),
        "files": files,
    }


def _list_input_files(zoo_run, notebook, layout):
    """The files of the data set and of the run that a notebook reads."""
    # Notebook 01 makes the data set, the others read it: training and validation split, or the latter alone.
    if notebook == "01_prepare_data":
        return [layout.get_csv_path("train"), layout.get_csv_path("val")]
    files = [layout.get_csv_path("val"), layout.get_proposals_path("val")]
    if notebook == "03_train":
        files = [layout.get_csv_path("train"), layout.get_proposals_path("train"), *files]
    if notebook == "04_evaluate" and zoo_run.checkpoint != "published":
        files.append(zoo_run.folder / "train" / f"{zoo_run.checkpoint or 'best'}.pth")
    if notebook == "05_visualise":
        files.append(zoo_run.folder / "evaluate" / "detections.csv")
    return files


def _hash_code(notebook_path):
    """The sha256 of a notebook's code cells."""
    # Texts and outputs of the notebook may change without a new run.
    cells = read_record(notebook_path, "git checkout", keys=["cells"])["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return sha256(json.dumps(code).encode()).hexdigest()


def get_inputs_path(zoo_run: ZooRun, notebook: str) -> Path:
    """Where the inputs of an executed notebook are kept."""
    return zoo_run.folder / "notebooks" / f"{notebook}.inputs.json"


def explain_rerun(zoo_run: ZooRun, notebook: str, inputs: dict) -> str:
    """Explain why a notebook has to run, given its current inputs; "" if its result is up to date."""
    path = get_inputs_path(zoo_run, notebook)
    if not path.exists():
        return "first run"
    try:
        before = read_record(path, notebook, keys=("parameters", "files", "code"))
    except DamagedRecordError:
        return f"{path.name} is damaged"
    # What is missing now, then what differs from the inputs of the last execution.
    outputs = zoo_run.list_outputs(notebook)
    reasons = [f"{output.parent.name}/{output.name} is gone" for output in outputs if not output.exists()]
    for part in ("parameters", "files"):
        names = before[part] | inputs[part]
        # A name that only one side has counts as changed: `...` equals no value.
        changed = [name for name in names if before[part].get(name, ...) != inputs[part].get(name, ...)]
        reasons += [f"{name} changed" for name in changed]
    if before["code"] != inputs["code"]:
        reasons.append("its code changed")
    return ", ".join(reasons)
