"""What is done already: the inputs of a notebook that has run are kept beside it, and compared before the next run."""

import json
from hashlib import sha256

from avalib import zoo
from avalib.utils.files import compute_sha256
from avalib.utils.run_folder import DamagedRecordError, read_record

NOT_INPUTS = ("device", "output_dir", "existing", "workers")  # the result doesn't hang on them


def compute_inputs(row, notebook, layout, source):
    """What a notebook's result hangs on: {"parameters", "code", "files"}; files by name, those of the data and the run.

    A new date of a file is no change, nor are outputs, cell ids and the like in the notebook.
    layout: the data set's annotations.Layout; source: the notebook's path.
    """
    cells = read_record(source, "git checkout", keys=["cells"])["cells"]
    code = [c["source"] for c in cells if c["cell_type"] == "code"]
    reads = [layout.get_csv_path("val"), layout.get_proposals_path("val")]
    if notebook == "01_prepare_data":  # it makes the data set
        reads = [layout.get_csv_path("train"), layout.get_csv_path("val")]
    if notebook == "03_train":
        reads = [layout.get_csv_path("train"), layout.get_proposals_path("train"), *reads]
    if notebook == "04_evaluate" and row.checkpoint != "published":
        reads.append(row.folder / "train" / f"{row.checkpoint or 'best'}.pth")
    if notebook == "05_visualise":
        reads.append(row.folder / "evaluate" / "detections.csv")
    files = {path.name: compute_sha256(path) if path.exists() else None for path in reads}
    if row.checkpoint == "published":
        files["published checkpoint"] = zoo.get(row.model).checkpoint_sha256
    parameters = {k: v for k, v in row.parameters(notebook).items() if k not in NOT_INPUTS}
    code = sha256(json.dumps(["".join(cell) for cell in code]).encode()).hexdigest()
    return {"parameters": json.loads(json.dumps(parameters)), "code": code, "files": files}


def get_inputs_path(row, notebook):
    """Where the inputs of a notebook that has run are kept."""
    return row.folder / "notebooks" / f"{notebook}.inputs.json"


def explain_rerun(row, notebook, found):
    """Why a notebook has to run, in words; "" where it is done. found: its `inputs` now."""
    path = get_inputs_path(row, notebook)
    if not path.exists():
        return "not run yet"
    try:
        before = read_record(path, notebook, keys=("parameters", "files", "code"))
    except DamagedRecordError:
        return f"{path.name} is damaged"
    reasons = [f"{path.parent.name}/{path.name} is gone" for path in row.makes(notebook) if not path.exists()]
    for part in ("parameters", "files"):
        names = [n for n in before[part] | found[part] if before[part].get(n, ...) != found[part].get(n, ...)]
        reasons += [f"{name} changed" for name in names]
    return ", ".join(reasons + ["its code changed"] * (before["code"] != found["code"]))
