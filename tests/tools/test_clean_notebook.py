"""Saving a notebook in JupyterLab leaves the committed file unchanged; the outputs are in a copy."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def manager(tmp_path):
    """Jupyter's own manager of files with the settings of `make lab`, in a folder with the notebooks."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(ROOT / "tools" / "jupyter")).load_config()
    return FileContentsManager(root_dir=str(tmp_path), config=config)


def run_cells(notebook):
    """What a run in JupyterLab changes: outputs, counts, times, the kernel's details."""
    notebook["metadata"]["kernelspec"]["display_name"] = "Python 3.12"
    notebook["metadata"]["language_info"] |= {"version": "3.12.3", "file_extension": ".py"}
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            cell["execution_count"] = number
            cell["outputs"] = [nbformat.v4.new_output("stream", text="done\n")]
            cell["metadata"] |= {"execution": {"iopub.execute_input": "now"}, "trusted": True}


@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS])
def test_a_notebook_that_was_run_and_saved_is_as_it_was_committed(manager, name):
    model = manager.get(f"notebooks/{name}")
    run_cells(model["content"])
    manager.save(model, f"notebooks/{name}")
    saved = Path(manager.root_dir) / "notebooks" / name
    assert saved.read_bytes() == (ROOT / "notebooks" / name).read_bytes()


def test_the_copy_has_the_outputs(manager):
    model = manager.get("notebooks/01_prepare_data.ipynb")
    run_cells(model["content"])
    manager.save(model, "notebooks/01_prepare_data.ipynb")
    copy = nbformat.read(Path(manager.root_dir) / "outputs/runs/notebooks/01_prepare_data.ipynb", as_version=4)
    code_cells = [cell for cell in copy.cells if cell.cell_type == "code"]
    assert all(cell.outputs[0].text == "done\n" for cell in code_cells)


def test_changed_code_is_saved(manager):
    model = manager.get("notebooks/01_prepare_data.ipynb")
    model["content"]["cells"][-1]["source"] = "1 + 1"
    manager.save(model, "notebooks/01_prepare_data.ipynb")
    saved = json.loads((Path(manager.root_dir) / "notebooks/01_prepare_data.ipynb").read_text(encoding="utf-8"))
    assert "".join(saved["cells"][-1]["source"]) == "1 + 1"


def test_other_notebooks_keep_their_outputs(manager):
    model = manager.get("notebooks/01_prepare_data.ipynb")
    run_cells(model["content"])
    manager.save(model, "mine.ipynb")
    saved = nbformat.read(Path(manager.root_dir) / "mine.ipynb", as_version=4)
    assert any(cell.get("outputs") for cell in saved.cells)
