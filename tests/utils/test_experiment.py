"""Records of runs: what they hold, and that no path of this machine is among it."""

import json
import subprocess

import pytest

from avalib.utils.experiment import OWN_ENTRIES, ExperimentRecord, get_git_state, list_changed_files
from avalib.utils.files import compute_sha256


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def record(tmp_path, monkeypatch):
    """The content of a finished record in the current folder, with a hashed file and a path among its parameters."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data.csv"
    data.write_text("x", encoding="utf-8")
    record = ExperimentRecord("x", {"checkpoint": str(tmp_path / "best.pth"), "nested": {"path": tmp_path}, "n": 1})
    record.hash(data)
    record.finish(tmp_path / "out" / "run.json", mAP=0.5, coverage={"share": 1.0})
    return read_json(tmp_path / "out" / "run.json")


def test_a_record_has_results_and_hashes(record, tmp_path):
    assert record["mAP"] == 0.5
    assert record["hashes"] == {"data.csv": compute_sha256(tmp_path / "data.csv")}


def test_a_record_describes_code_and_machine(record):
    assert {"git", "versions", "hardware", "wall_s", "peak_memory_GB", "date"} <= set(record)


def test_a_record_has_no_path_of_this_machine(record, tmp_path):
    assert str(tmp_path) not in json.dumps(record)
    assert record["parameters"] == {"checkpoint": "best.pth", "nested": {"path": "."}, "n": 1}


def test_the_end_of_a_run_lists_its_files(tmp_path, capsys):
    ExperimentRecord("x", {}).finish(tmp_path / "run.json", written=["a.png", ".b.part"])
    assert capsys.readouterr().out == f"written:\n  a.png\n  {tmp_path / 'run.json'}\n"


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "run.json"
    ExperimentRecord("x", {}).finish(path, mAP=0.5)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        ExperimentRecord("x", {}).finish(path, mAP=object())
    assert path.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit; the current folder is below its root, as a kernel's may be."""
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        subprocess.run(command, check=True, cwd=tmp_path)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def test_outside_of_a_repository_there_is_no_git_state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert get_git_state() is None


def test_a_changed_file_makes_the_git_state_dirty(repository):
    assert get_git_state()["dirty"] is False
    (repository / "code.py").write_text("", encoding="utf-8")
    assert get_git_state()["dirty"] is True


def test_records_under_outputs_do_not_make_the_git_state_dirty(repository):
    (repository / "outputs").mkdir()
    (repository / "outputs" / "bench.json").write_text("{}", encoding="utf-8")
    assert get_git_state()["dirty"] is False


def write_notebook(path, code, outputs=(), note="text"):
    """A notebook with a text cell and a code cell, as JupyterLab would save it after a run."""
    cells = [
        {"cell_type": "markdown", "id": "0", "metadata": {}, "source": [note]},
        {"cell_type": "code", "id": "1", "metadata": {}, "source": [code], "outputs": list(outputs)},
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}), encoding="utf-8")


def commit_all(folder):
    for arguments in (["add", "-A"], ["commit", "-q", "-m", "next"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, cwd=folder)


def test_outputs_in_a_notebook_do_not_make_the_git_state_dirty(repository):
    path = repository / "notebooks" / "01_a.ipynb"
    write_notebook(path, "1 + 1")
    commit_all(repository)
    write_notebook(path, "1 + 1", outputs=[{"output_type": "stream", "text": "2"}], note="other text")
    assert get_git_state()["dirty"] is False
    assert list_changed_files() == []


@pytest.mark.parametrize("content", ["1 + 2", None])
def test_other_code_in_a_notebook_makes_the_git_state_dirty(repository, content):
    path = repository / "notebooks" / "01_a.ipynb"
    write_notebook(path, "1 + 1")
    commit_all(repository)
    if content:
        write_notebook(path, content)
    else:
        path.write_text("no notebook", encoding="utf-8")
    assert get_git_state()["dirty"] is True
    assert list_changed_files() == ["notebooks/01_a.ipynb"]


@pytest.mark.parametrize("name", sorted(OWN_ENTRIES))
def test_a_fact_does_not_replace_an_entry_of_the_record(name, tmp_path):
    with pytest.raises(ValueError, match=f"facts {name}: the record's own entries"):
        ExperimentRecord("02_build_model", {"model": "a"}).finish(tmp_path / "run.json", **{name: 1})
    assert not (tmp_path / "run.json").exists()


def test_the_own_entries_are_those_of_a_record():
    assert ExperimentRecord("02_build_model", {}).to_dict().keys() == OWN_ENTRIES
