"""Notebooks as they are committed: `make lab` saves them without outputs, and with outputs as a copy.

A notebook of notebooks/ that JupyterLab saves stays as it is in git unless its code or text has changed. The copy with
the outputs is outputs/runs/notebooks/NAME.ipynb. tools/jupyter/jupyter_server_config.py puts `save_clean` in place.
"""

from pathlib import Path

import nbformat

SOURCES = "notebooks/"  # folder of the committed notebooks
COPIES = "outputs/runs/notebooks"  # where those with outputs go
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("tags",)  # what stays of a cell's own


def save_clean(model: dict, path: str, contents_manager: object, **unused: object) -> None:
    """Jupyter's hook before a file is saved: clean a notebook of notebooks/, after a copy of it has been written.

    Parameters
    ----------
    model : dict
        The file as Jupyter will write it; its "content" is cleaned in place.
    path : str
        From the folder in which Jupyter was started.
    contents_manager : jupyter_server.services.contents.filemanager.FileContentsManager
        It knows that folder.
    """
    if model["type"] != "notebook" or not path.startswith(SOURCES):
        return
    copy = Path(contents_manager.root_dir) / COPIES / Path(path).name
    copy.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.from_dict(model["content"]), copy)
    clean_notebook(model["content"])


def clean_notebook(notebook: dict) -> None:
    """Remove a notebook's outputs and what an editor adds, in place."""
    notebook["metadata"] = METADATA
    for cell in notebook["cells"]:
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key in CELL_METADATA}
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
