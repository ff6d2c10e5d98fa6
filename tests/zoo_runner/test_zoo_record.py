"""zoo.json names the folders of its runs relative to its own, so that a copy of the results can be read anywhere."""

import json
import shutil

import pytest

from avalib.zoo_runner.notebook_result import NotebookResult
from avalib.zoo_runner.zoo_record import list_run_folders, write_zoo_record
from avalib.zoo_runner.zoo_run import list_zoo_runs


@pytest.fixture
def record(tmp_path):
    """The zoo.json of one run, whose folder exists."""
    zoo_runs = list_zoo_runs(["slowonly_r50"], dataset="tiny", output_dir=str(tmp_path / "runs"))
    executed = zoo_runs[0].get_executed_path("03_train")
    executed.parent.mkdir(parents=True)
    path = tmp_path / "runs" / "tiny" / "zoo" / "zoo.json"
    results = [NotebookResult("slowonly_r50", "03_train", "done", file=str(executed))]
    results.append(NotebookResult("slowonly_r50", "04_evaluate", "not run"))
    path.parent.mkdir()
    write_zoo_record(path, zoo_runs, results)
    return path


def test_paths_are_relative_to_the_records_folder(record):
    content = json.loads(record.read_text(encoding="utf-8"))
    assert content["runs"][0]["folder"] == "../slowonly_r50"
    assert content["runs"][0]["output_dir"] == "../.."
    files = [result["file"] for result in content["summary"]]
    assert files == ["../slowonly_r50/notebooks/03_train.ipynb", ""]


def test_a_copy_of_the_results_names_its_own_runs(record, tmp_path):
    copy = shutil.copytree(tmp_path / "runs", tmp_path / "elsewhere")
    (folder,) = list_run_folders(copy / "tiny" / "zoo" / "zoo.json")
    assert folder.resolve() == (copy / "tiny" / "slowonly_r50").resolve()


@pytest.mark.parametrize("key", ["runs", "rows"])
def test_records_of_earlier_versions_are_read(record, key, tmp_path, monkeypatch):
    absolute = str(tmp_path / "runs" / "tiny" / "slowonly_r50")
    relative_to_working_directory = "runs/tiny/slowonly_r50"
    content = {key: [{"folder": absolute}, {"folder": relative_to_working_directory}]}
    record.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert [str(folder) for folder in list_run_folders(record)] == [absolute, relative_to_working_directory]
