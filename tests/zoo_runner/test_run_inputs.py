"""What makes a notebook run again, and what does not."""

import json
from dataclasses import replace

import pytest
from toy_notebooks import change_code

from avalib.zoo_runner.run_inputs import compute_inputs, explain_rerun, get_inputs_path
from avalib.zoo_runner.zoo_run import ZooRun


@pytest.fixture
def explain(toy_notebooks, tiny):
    """Explains why notebook 04 of a run has to run."""

    def explain(zoo_run):
        inputs = compute_inputs(zoo_run, "04_evaluate", tiny, toy_notebooks / "04_evaluate.ipynb")
        return explain_rerun(zoo_run, "04_evaluate", inputs)

    return explain


@pytest.fixture
def evaluated(toy_notebooks, tiny):
    """A run whose notebook 04 is up to date."""
    zoo_run = ZooRun("slowonly_r50", dataset="tiny", output_dir=str(toy_notebooks.parent / "runs"), minutes=5)
    for name in ("train/best.pth", "evaluate/run.json", "evaluate/detections.csv"):
        (zoo_run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (zoo_run.folder / name).write_text("x", encoding="utf-8")
    path = get_inputs_path(zoo_run, "04_evaluate")
    path.parent.mkdir(parents=True)
    inputs = compute_inputs(zoo_run, "04_evaluate", tiny, toy_notebooks / "04_evaluate.ipynb")
    path.write_text(json.dumps(inputs), encoding="utf-8")
    return zoo_run


def test_a_notebook_that_was_never_run_has_to(explain, toy_notebooks):
    assert explain(ZooRun("slowonly_r50", output_dir=str(toy_notebooks.parent / "runs"))) == "first run"


def test_a_new_date_of_a_file_is_no_change(explain, evaluated):
    (evaluated.folder / "train/best.pth").touch()
    assert explain(evaluated) == ""


def test_a_changed_checkpoint_is_named(explain, evaluated):
    (evaluated.folder / "train/best.pth").write_text("y", encoding="utf-8")
    assert explain(evaluated) == "best.pth changed"


def test_a_changed_parameter_is_named_and_the_device_is_none(explain, evaluated):
    parameters = {"04_evaluate": {"short_side": 32, "device": "cuda:1"}}
    assert explain(replace(evaluated, notebook_parameters=parameters)) == "short_side changed"


def test_a_missing_output_is_named(explain, evaluated):
    (evaluated.folder / "evaluate/detections.csv").unlink()
    assert explain(evaluated) == "evaluate/detections.csv is gone"


def test_changed_code_is_named(explain, evaluated, toy_notebooks):
    change_code(toy_notebooks / "04_evaluate.ipynb")
    assert explain(evaluated) == "its code changed"


def test_a_torn_record_is_named(explain, evaluated):
    get_inputs_path(evaluated, "04_evaluate").write_text('{"parameters": {', encoding="utf-8")
    assert explain(evaluated) == "04_evaluate.inputs.json is damaged"
