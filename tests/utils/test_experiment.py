import json
import subprocess

import pytest

from avalib.utils import experiment, notebook_run
from avalib.utils.experiment import ExperimentRecord, get_git_state
from avalib.utils.files import compute_sha256
from avalib.utils.notebook_run import check_parameters, get_run_caption, parse_literals, start_run
from avalib.utils.run_folder import DamagedRecordError, print_run_report, resolve_checkpoint


def cells(*sources):
    return {"In": ["", *sources]}


def test_parameters_are_the_declared_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = cells('model = "a"  # which\nepochs = None', "# Parameters\nepochs = 3\n", "from avalib import run")
    record = start_run("x", space | {"model": "a", "epochs": 3, "other": 1})
    assert record.parameters == {"model": "a", "epochs": 3}


def test_a_misspelt_name_is_answered_with_the_one_that_was_meant():
    with pytest.raises(NameError, match="no parameter 'modle'. Did you mean 'model'"):
        start_run("x", cells('model = "a"', '# Parameters\nmodle = "b"'))


@pytest.mark.parametrize(
    ("declared", "given", "fine"),
    [
        ({"lr": 0.1}, {"lr": 1}, True),
        ({"epochs": None}, {"epochs": "3"}, True),
        ({"epochs": 3}, {"epochs": "3"}, False),
        ({"flag": True}, {"flag": 1}, False),
        ({"n": 1}, {"n": True}, False),
    ],
)
def test_kinds_of_values(declared, given, fine):
    if fine:
        check_parameters(declared, given)
    else:
        with pytest.raises(TypeError, match="expected"):
            check_parameters(declared, given)


def test_magics_and_computed_values_are_no_parameters():
    assert parse_literals("%matplotlib inline\na = 1\nb = a + 1\nc: int = 2\nd = [1, 'x']") == {"a": 1, "d": [1, "x"]}


def test_the_record_holds_what_is_needed_and_no_machine_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data.csv"
    data.write_text("x", encoding="utf-8")
    record = ExperimentRecord("x", {"checkpoint": str(tmp_path / "best.pth"), "n": 1})
    record.hash(data)
    record.finish(tmp_path / "out" / "run.json", mAP=0.5, coverage={"share": 1.0})
    written = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(written)
    assert written["parameters"] == {"checkpoint": "best.pth", "n": 1} and written["mAP"] == 0.5
    assert written["hashes"] == {"data.csv": compute_sha256(data)}
    assert {"git", "versions", "hardware", "wall_s", "peak_memory_GB", "date"} <= set(written)


def test_code_makes_a_state_dirty_and_records_do_not(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")  # a kernel may run here
    assert get_git_state() is None
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, cwd=tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "bench.json").write_text("{}", encoding="utf-8")
    assert get_git_state()["dirty"] is False
    (tmp_path / "code.py").write_text("", encoding="utf-8")
    assert get_git_state()["dirty"] is True


def test_the_line_in_a_figures_corner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # outside of any repository
    monkeypatch.setattr(notebook_run, "_current", None)
    assert get_run_caption() == ""
    declared = cells(
        'model = "slowonly_r50"  # which\ndataset = "mini"  # which\nseed = 0  # of chance\ntag = ""  # none'
    )
    start_run("03_train", declared | {"model": "slowonly_r50", "dataset": "mini", "seed": 0, "tag": ""})
    assert get_run_caption() == "03_train: slowonly_r50 on mini, seed 0"
    monkeypatch.setattr(experiment, "get_git_state", lambda: {"commit": "0123456789", "dirty": True})
    start_run("04_evaluate", declared | {"dataset": "mini", "tag": "long"})
    assert get_run_caption() == "04_evaluate: mini, tag long, commit 0123456 with changes"


def test_what_is_missing_is_named_with_its_maker(tmp_path):
    with pytest.raises(FileNotFoundError, match="best.pth is not there: run notebook 03"):
        resolve_checkpoint(tmp_path, "best")
    assert resolve_checkpoint(tmp_path, "published") == "published"


def test_report_without_runs(tmp_path):
    with pytest.raises(SystemExit, match="no run.json"):
        print_run_report(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff", "[" * 100_000])
def test_a_damaged_record_is_named_with_what_makes_it_again(content, tmp_path):
    path = tmp_path / "train" / "run.json"
    path.parent.mkdir()
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DamagedRecordError, match="train/run.json: .*train/ makes it again"):
        print_run_report(tmp_path)


def test_a_record_is_whole_or_not_there(tmp_path):
    path = tmp_path / "run.json"
    ExperimentRecord("x", {}).finish(path, mAP=0.5)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        ExperimentRecord("x", {}).finish(path, mAP=object())
    assert path.read_text(encoding="utf-8") == before and list(tmp_path.iterdir()) == [path]
