"""Rows and seeds through papermill: what is done stays, what fails is told, what is interrupted goes on."""

import json
import os
import signal
import threading
import time

import nbformat
import pytest

from avalib.utils.locks import hold
from avalib.zoo_runner.demo import main
from avalib.zoo_runner.run_inputs import compute_inputs, explain_rerun, get_inputs_path
from avalib.zoo_runner.runner import NotebookKernel, ZooRunner, list_devices, raise_on_failure
from avalib.zoo_runner.zoo_run import NOTEBOOKS, list_zoo_runs

PARAMETERS = """
model = ""  # a
dataset = ""  # b
data_seed = 0  # c
tag = ""  # d
output_dir = ""  # e
device = ""  # f
"""
BEGIN = """
import json, time
from pathlib import Path
folder = Path(output_dir) / dataset / (model + ("-" + tag if tag else ""))
"""
CODE = {
    "03_train": "seed = 0  # g\nminutes = None  # h\n",
    "04_evaluate": "seed = 0  # g\ncheckpoint = ''  # h\n",
    "05_visualise": "",
}
BODY = {
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


@pytest.fixture
def toys(tmp_path):
    """Notebooks with the names and parameters of the real ones that take no time: their folder."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, more in CODE.items():
        cells = [nbformat.v4.new_code_cell(PARAMETERS + more), nbformat.v4.new_code_cell(BEGIN + BODY[name])]
        cells[0].metadata.tags = ["parameters"]
        kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / f"{name}.ipynb")
    (tmp_path / "runs").mkdir()
    return folder


def zoo(toys, layout, models, **options):
    rows = list_zoo_runs(models, dataset="tiny", output_dir=str(toys.parent / "runs"), **options)
    return ZooRunner(rows, layout, toys, ("cpu",), toys.parent / "zoo.json")


def statuses(summary):
    return {(entry["row"], entry["notebook"][:2]): entry["status"] for entry in summary}


@pytest.mark.slow
def test_a_failed_row_keeps_its_traceback_the_others_go_on_and_the_next_call_does_the_rest(toys, tiny):
    flag = toys.parent / "runs" / "fail-slowonly_r50"
    flag.touch()
    first = zoo(toys, tiny, ["slowonly_r50", "slowfast_r50"])
    found = statuses(first.run())
    assert [found["slowonly_r50", n] for n in ("03", "04", "05")] == ["failed", "not run", "not run"]
    assert [found["slowfast_r50", n] for n in ("03", "04", "05")] == ["done"] * 3
    left = nbformat.read(first.rows[0].folder / "notebooks" / "03_train.failed.ipynb", 4)
    assert any("asked to fail" in str(o.get("traceback")) for c in left.cells for o in c.get("outputs", []))
    with pytest.raises(RuntimeError, match="3 of 6 notebooks are not done:\n.*failed ValueError: asked to fail"):
        raise_on_failure(first.summary)
    assert statuses(json.loads((toys.parent / "zoo.json").read_text(encoding="utf-8"))["summary"]) == found
    flag.unlink()
    again = statuses(zoo(toys, tiny, ["slowonly_r50", "slowfast_r50"]).run())
    assert set(again.values()) == {"done", "done before"}
    assert all((status == "done") == (row == "slowonly_r50") for (row, _), status in again.items())


@pytest.fixture
def ctrl_c():
    """SIGINT as in a terminal, also where the tests run in the background, whose processes a shell lets ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_interrupted_it_stops_and_goes_on(toys, tiny, ctrl_c):
    wait = toys.parent / "runs" / "wait-slowonly_r50"
    wait.touch()
    running = zoo(toys, tiny, ["slowonly_r50"])

    def interrupt():
        end = time.time() + 120
        while not (running.rows[0].folder / "waiting").exists() and time.time() < end:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        running.run()
    assert not NotebookKernel.alive
    assert statuses(running.summary)["slowonly_r50", "03"] == "stopped"
    wait.unlink()
    again = zoo(toys, tiny, ["slowonly_r50"], more={})
    assert set(statuses(again.run()).values()) == {"done"}
    assert [entry["to do"] for entry in again.plan()] == ["", "", ""]


def test_what_makes_a_notebook_run_again_is_named(toys, tiny):
    row = list_zoo_runs(["slowonly_r50"], dataset="tiny", output_dir=str(toys.parent / "runs"), minutes=5)[0]
    source = toys / "04_evaluate.ipynb"

    def reason(row=row, layout=tiny):
        return explain_rerun(row, "04_evaluate", compute_inputs(row, "04_evaluate", layout, source))

    for name in ("train/best.pth", "evaluate/run.json", "evaluate/detections.csv"):
        (row.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (row.folder / name).write_text("x", encoding="utf-8")
    assert reason() == "not run yet"
    path = get_inputs_path(row, "04_evaluate")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(compute_inputs(row, "04_evaluate", tiny, source)), encoding="utf-8")
    assert reason() == ""
    (row.folder / "train/best.pth").touch()  # a new date is no change
    assert reason() == ""
    (row.folder / "train/best.pth").write_text("y", encoding="utf-8")
    assert reason() == "best.pth changed"
    (row.folder / "train/best.pth").write_text("x", encoding="utf-8")
    more = {"04_evaluate": {"short_side": 32, "device": "cuda:1"}}
    other = list_zoo_runs(["slowonly_r50"], dataset="tiny", output_dir=row.output_dir, more=more)[0]
    assert reason(other) == "short_side changed"  # the device is no input
    (row.folder / "evaluate/detections.csv").unlink()
    assert reason() == "evaluate/detections.csv is gone"
    (row.folder / "evaluate/detections.csv").write_text("x", encoding="utf-8")
    source.write_text(source.read_text(encoding="utf-8").replace("exist_ok=True", "exist_ok=1"), encoding="utf-8")
    assert reason() == "its code changed"


def test_rows_and_their_folders():
    rows = list_zoo_runs(["slowonly_r50", "slowfast_r50"], row_seeds={"slowfast_r50": [0, 1]}, tag="x")
    assert [row.name for row in rows] == ["slowonly_r50", "slowfast_r50", "slowfast_r50, seed 1"]
    assert [row.folder.name for row in rows] == ["slowonly_r50-x", "slowfast_r50-x", "slowfast_r50-x-seed1"]
    published = list_zoo_runs(checkpoint="published", dataset="ava2.1")
    assert len(published) == 7 and published[0].notebooks() == ["04_evaluate", "05_visualise"]
    assert published[0].run_tag == "published" and published[0].parameters("04_evaluate")["checkpoint"] == "published"
    assert list_devices("cpu") == ["cpu"] and list_devices("cpu", 2) == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (dict(models=["slowonly_r5"]), KeyError, "slowonly_r50"),
        (dict(checkpoint="weights.pth"), ValueError, "for a file: notebook 04"),
        (dict(more={"03_trian": {}}), ValueError, "03_train, 04_evaluate"),
        (dict(models=["slowonly_r50"], row_seeds={"slowfast_r50": [1]}), ValueError, "not among the rows"),
    ],
)
def test_what_cannot_be_run_is_told(given, error, words):
    with pytest.raises(error, match=words):
        list_zoo_runs(**given)


@pytest.mark.slow
def test_rows_that_are_one_run_from_random_weights_are_trained_once(toys, tiny):
    names = ["slowonly_r50", "slowonly_omnisource_r50"]
    first = zoo(toys, tiny, names)
    assert set(statuses(first.run()).values()) == {"done"}
    assert {name: row.name for name, row in first.original.items()} == {"slowonly_omnisource_r50": "slowonly_r50"}
    row = first.rows[1]
    assert (row.folder / "evaluate" / "detections.csv").read_text(encoding="utf-8") == "slowonly_r50 0"
    assert json.loads((row.folder / "train" / "run.json").read_text(encoding="utf-8")) == {"run_of": "slowonly_r50"}
    assert set(statuses(zoo(toys, tiny, names).run()).values()) == {"done before"}
    (first.original[row.name].folder / "train" / "best.pth").write_text("another", encoding="utf-8")
    found = statuses(zoo(toys, tiny, names).run())
    assert found["slowonly_r50", "03"] == "done before" and found["slowonly_omnisource_r50", "03"] == "done"
    assert (row.folder / "evaluate" / "detections.csv").read_text(encoding="utf-8") == "another"
    assert (row.folder.parent / row.folder.name / "train.1").exists()  # what was there is kept
    alone = zoo(toys, tiny, names, more={"03_train": {"checkpoint": "pretrained"}})
    assert not alone.original and not zoo(toys, tiny, names, checkpoint="best").original


def test_a_row_that_cannot_even_start_gives_its_device_back(toys, tiny):
    (toys / "03_train.ipynb").write_text("{ torn", encoding="utf-8")
    found = statuses(zoo(toys, tiny, ["slowonly_r50", "slowfast_r50"]).run())  # one device for both
    assert found["slowonly_r50", "03"] == found["slowfast_r50", "03"] == "failed"
    assert found["slowonly_r50", "04"] == found["slowfast_r50", "05"] == "not run"


def test_a_row_that_another_process_runs_is_refused_with_its_name(toys, tiny):
    running = zoo(toys, tiny, ["slowonly_r50"])
    with hold(running.rows[0].folder / ".notebooks.lock", "notebook 03_train"):
        summary = running.run()
    assert summary[0]["status"] == "failed" and f"notebook 03_train, process {os.getpid()}" in summary[0]["error"]


def test_a_torn_record_makes_its_notebook_run_again(toys, tiny):
    row = list_zoo_runs(["slowonly_r50"], dataset="tiny", output_dir=str(toys.parent / "runs"))[0]
    path = get_inputs_path(row, "04_evaluate")
    path.parent.mkdir(parents=True)
    path.write_text('{"parameters": {', encoding="utf-8")
    found = compute_inputs(row, "04_evaluate", tiny, toys / "04_evaluate.ipynb")
    assert explain_rerun(row, "04_evaluate", found) == "04_evaluate.inputs.json is damaged"


@pytest.mark.slow
def test_a_row_with_a_training_of_its_own_keeps_it(toys, tiny):
    alone = zoo(toys, tiny, ["slowonly_omnisource_r50"])
    alone.run()
    both = zoo(toys, tiny, ["slowonly_r50", "slowonly_omnisource_r50"])
    assert set(statuses(both.run()).values()) == {"done", "done before"}
    train = alone.rows[0].folder / "train"
    assert (train / "best.pth").read_text(encoding="utf-8") == "slowonly_omnisource_r50 0" and not train.with_name(
        "train.1"
    ).exists()


@pytest.mark.slow
def test_the_demo_runs_once_and_again_only_for_what_has_changed(toys, tiny, monkeypatch, capsys):
    """Dates do not count: an autosave or a checkout changes those alone."""
    monkeypatch.chdir(toys.parent)
    (toys.parent / "data").mkdir()
    (toys.parent / "data" / "tiny-seed0").symlink_to(tiny.root)
    for name, folder in (("01_prepare_data", "tiny/data"), ("02_build_model", "tiny/slowonly_r50/build")):
        body = f"from pathlib import Path\nfolder = Path(output_dir) / {folder!r}\nfolder.mkdir(parents=True)\n"
        body += "(folder / 'run.json').write_text('{}')"
        cells = [nbformat.v4.new_code_cell(PARAMETERS), nbformat.v4.new_code_cell(body)]
        cells[0].metadata.tags = ["parameters"]
        kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), toys / f"{name}.ipynb")
    words = ["--dataset", "tiny", "--output-dir", "runs", "--notebooks", str(toys)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines() if " done" in line] == list(NOTEBOOKS)
    for path in [*toys.iterdir(), tiny.get_csv_path("train")]:
        os.utime(path)
    assert main(words) == 0
    assert capsys.readouterr().out.count("done before") == 5
    source = toys / "05_visualise.ipynb"
    source.write_text(source.read_text(encoding="utf-8").replace("exist_ok=True", "exist_ok=1"), encoding="utf-8")
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("done before") == 4 and "05_visualise  done, its code changed" in said


def test_the_demo_says_what_stands_in_its_way(toys, tiny, monkeypatch, capsys):
    monkeypatch.chdir(toys.parent)
    assert main(["--dataset", "tinny"]) == 1
    assert "Did you mean 'tiny'" in capsys.readouterr().err
