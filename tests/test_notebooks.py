"""The notebooks: stripped, thin, parameterised, and each runs headless on the tiny data set, one after the other."""

import ast
import json
import os
from pathlib import Path

import fake_ava_server
import nbformat
import papermill
import pytest

from avalib.data.synthetic.generate import render_dataset

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_prepare_data", "02_build_model", "03_train", "04_evaluate", "05_visualise", "06_zoo", "07_your_video",
    "08_your_data",
]  # fmt: skip
SMALL = {"dataset": "tiny"}
PARAMETERS = {
    "02_build_model": {},
    "03_train": {"epochs": 1, "short_side": 32, "batch_size": 4, "workers": 0},
    "04_evaluate": {},
    "08_your_data": {
        "dataset": "own",
        "epochs": 1,
        "short_side": 32,
        "batch_size": 4,
        "workers": 0,
        "score_threshold": 0.0,
    },
    "05_visualise": {"seconds": 2, "score_threshold": 0.0, "explain_top": 1},
    "06_zoo": {
        "models": ["slowonly_r50"],
        "checkpoint": "best",  # of 03; training through 06 is tests/zoo_runner/test_runner.py's
        "jitter_models": ["slowonly_r50"],
        "jitter_seeds": 2,
        "parameters": {"05_visualise": {"seconds": 2, "score_threshold": 0.0}},
    },
    "07_your_video": {"start": 2.0, "stop": 4.0, "score_threshold": 0.0, "width": 160},
}


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_these_are_the_notebooks():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stripped_thin_and_parameterised(path):
    cells = code_cells(path)
    assert not any(cell.outputs or cell.execution_count for cell in cells), "run `nbstripout` on it"
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] is cells[0], "the first code cell, and it alone, holds the parameters"
    for line in tagged[0].source.splitlines():
        (assignment,) = ast.parse(line).body
        ast.literal_eval(assignment.value)
        assert "#" in line.split("=", 1)[1], f"no comment: {line}"
    for cell in cells[1:]:
        assert len(cell.source.splitlines()) < 30, cell.source
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not any(isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.Try) for n in nodes), cell.source
    assert "record.finish(" in cells[-1].source or "record_training(" in cells[-1].source
    assert nbformat.read(path, 4).cells[0].source.startswith("# ")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with data/ and outputs/ of its own in which notebooks run."""
    folder = tmp_path_factory.mktemp("workplace")
    before = os.environ.get("AVALIB_DATA")
    os.environ["AVALIB_DATA"] = str(folder / "data")
    yield folder
    os.environ.pop("AVALIB_DATA") if before is None else os.environ.update(AVALIB_DATA=before)


def execute(name, folder, **parameters):
    """Run a notebook through papermill as the command line does; -> its code cells, executed."""
    out = folder / f"{name}.ipynb"
    parameters = SMALL | PARAMETERS.get(name, {}) | {"output_dir": str(folder / "runs")} | parameters
    papermill.execute_notebook(ROOT / "notebooks" / f"{name}.ipynb", out, parameters, progress_bar=False, cwd=ROOT)
    return code_cells(out)


@pytest.mark.slow
def test_run_headless_one_after_the_other(workplace):
    """What each leaves behind is what the next one reads."""
    for name in NAMES:
        cells = execute(name, workplace)
        assert any("image/png" in o.get("data", {}) for c in cells for o in c.outputs), f"{name}: no picture"
        assert "written:" in cells[-1].outputs[0].text
    row = workplace / "runs" / "tiny" / "slowonly_r50"
    record = json.loads((row / "evaluate" / "run.json").read_text(encoding="utf-8"))
    assert 0 <= record["mAP"] <= 1 and record["coverage"]["share"] == 1.0 and record["protocol"] == "mmaction"
    assert len(record["git"]["commit"]) == 40 and record["hashes"]
    assert str(workplace) not in json.dumps(record), "a path of this machine is in the record"
    lines = (row / "evaluate" / "detections.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) % 80 == 0 and len(lines[0].split(",")) == 8
    assert (row / "train" / "best.pth").exists() and list((row / "visualise").glob("*.gif"))
    zoo = workplace / "runs" / "tiny" / "zoo"
    assert {p.name for p in zoo.iterdir()} >= {
        "order.png",
        "rows.gif",
        "leaderboard_ava.csv",
        "leaderboard_other_datasets.csv",
        "against_published.csv",
    }
    told, moved = (json.loads((zoo / name).read_text(encoding="utf-8")) for name in ("run.json", "jitter.json"))
    assert told["failed"] == [] and told["headline"]["mAP@0.5 of slowonly_r50"] == [round(record["mAP"], 4)]
    assert moved["rows"][0]["std"] >= 0 and len(moved["rows"][0]["mAP"]) == 2
    assert str(workplace) not in json.dumps([told, moved]), "a path of this machine is in the record"
    own = json.loads(
        (workplace / "runs" / "own" / "slowonly_r50" / "your_data" / "run.json").read_text(encoding="utf-8")
    )
    assert own["classes"]["1"] == "answer phone" and own["protocol"] == "frame" and 0 <= own["headline"]["mAP@0.5"] <= 1
    assert str(workplace) not in json.dumps(own), "a path of this machine is in the record"
    pictures = {path.name for path in (row / "visualise").glob("*.png")}
    assert pictures >= {"contact_sheet.png", "timeline.png", "workbench.png", "explained_1.png"}
    assert {p.suffix for p in (row / "your_video").iterdir()} == {".csv", ".gif", ".json", ".mp4", ".png"}
    # a second call of training finds it done
    again = execute("03_train", workplace)
    assert "finished already" in "".join(o.get("text", "") for c in again for o in c.outputs)


@pytest.mark.slow
def test_the_real_ava_is_prepared_and_checked(workplace):
    """Notebook 01 on a miniature of the official servers' files, from a mirror's folder."""
    tiny = render_dataset(workplace / "data" / "tiny-seed0", "tiny", progress=False)
    names = fake_ava_server.publish(tiny, workplace / "mirror")
    (workplace / "mirror" / names.popitem()[1]).unlink()  # one video can't be had
    kinds = dict.fromkeys(["annotations", "names", "videos", "proposals"], str(workplace / "mirror"))
    (workplace / "ava").mkdir()
    cells = execute("01_prepare_data", workplace / "ava", dataset="ava2.1", mirrors=kinds, cache_short_side=48)
    said = "".join(o.get("text", "") for c in cells for o in c.outputs)
    assert "2 of 3 videos" in said and "not had: " in said and "packing 2 videos at short side 48" in said
    folder = workplace / "ava" / "runs" / "ava2.1" / "data"
    checkup, record = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("check.json", "run.json"))
    assert not checkup["ok"] and "keyframes without frames" in checkup["verdict"]
    assert record["check"] == checkup["verdict"] and record["coverage"]["with a problem"] == 1
    assert str(workplace) not in json.dumps(record), "a path of this machine is in the record"


@pytest.mark.slow
def test_a_misspelt_parameter_stops_with_the_name_that_was_meant(workplace):
    with pytest.raises(papermill.PapermillExecutionError, match="no parameter 'modle'. Did you mean 'model'"):
        execute("02_build_model", workplace, modle="slowonly_r50")


@pytest.mark.slow
def test_an_unknown_model_is_answered_with_the_list(workplace):
    with pytest.raises(papermill.PapermillExecutionError, match="slowfast_r50_8x8"):
        execute("02_build_model", workplace, model="slowonly_r5")
