"""Notebooks with the names, parameters and outputs of the real ones that take no time."""

import nbformat

PARAMETERS = """
model = ""  # a
dataset = ""  # b
data_seed = 0  # c
tag = ""  # d
output_dir = ""  # e
device = ""  # f
"""
MORE_PARAMETERS = {
    "01_prepare_data": "",
    "02_build_model": "",
    "03_train": "seed = 0  # g\nminutes = None  # h\n",
    "04_evaluate": "seed = 0  # g\ncheckpoint = ''  # h\n",
    "05_visualise": "",
}
BEGIN = """
import json, time
from pathlib import Path
folder = Path(output_dir) / dataset / (model + ("-" + tag if tag else ""))
"""
BODIES = {
    "01_prepare_data": """
data = Path(output_dir) / dataset / "data"
data.mkdir(parents=True)
(data / "run.json").write_text("{}")
""",
    "02_build_model": """
(folder / "build").mkdir(parents=True)
(folder / "build" / "run.json").write_text("{}")
""",
    # fails if there is a file fail-<model> in the folder of all runs, waits while there is a file wait-<model>
    "03_train": """
(folder / "train").mkdir(exist_ok=True)
if (Path(output_dir) / f"fail-{model}").exists():
    raise ValueError("asked to fail")
while (Path(output_dir) / f"wait-{model}").exists():
    (folder / "waiting").touch()
    time.sleep(0.1)
(folder / "train" / "best.pth").write_text(f"{model} {seed}")
(folder / "train" / "run.json").write_text("{}")
""",
    "04_evaluate": """
(folder / "evaluate").mkdir(exist_ok=True)
(folder / "evaluate" / "detections.csv").write_text((folder / "train" / f"{checkpoint}.pth").read_text())
(folder / "evaluate" / "run.json").write_text("{}")
""",
    "05_visualise": """
(folder / "visualise").mkdir(exist_ok=True)
(folder / "visualise" / "run.json").write_text("{}")
""",
}


def write_toy_notebooks(folder, names=tuple(BODIES)):
    """Write the notebooks into a new folder."""
    folder.mkdir()
    for name in names:
        parameters = nbformat.v4.new_code_cell(PARAMETERS + MORE_PARAMETERS[name])
        parameters.metadata.tags = ["parameters"]
        body = nbformat.v4.new_code_cell(BEGIN + BODIES[name])
        kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=[parameters, body], metadata=kernel), folder / f"{name}.ipynb")


def change_code(notebook):
    """Change a notebook's code, not what it does."""
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace("exist_ok=True", "exist_ok=1"), encoding="utf-8")
