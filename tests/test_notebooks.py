"""The notebooks: stripped, short cells, parameters with comments; each runs headless on the tiny data set."""

import ast
import json
import os
from pathlib import Path

import fake_ava_server
import nbformat
import papermill
import pytest

from avalib.data.synthetic.generate import render_dataset
from avalib.models.checkpoint import read_meta

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_prepare_data",
    "02_build_model",
    "03_train",
    "04_evaluate",
    "05_visualise",
    "06_zoo",
    "07_your_video",
    "08_your_data",
]
MODEL = "slowonly_r50"
TRAINING = {"epochs": 1, "short_side": 32, "batch_size": 4, "workers": 0}
# What each notebook runs with beside the data set and the folder, so that it is quick.
PARAMETERS = {
    "03_train": TRAINING,
    "05_visualise": {"seconds": 2, "score_threshold": 0.0, "explain_top": 1},
    "06_zoo": {
        "models": [MODEL],
        "checkpoint": "best",  # of 03; training through 06 is tested in tests/zoo_runner
        "jitter_models": [MODEL],
        "jitter_seeds": 2,
        "parameters": {"05_visualise": {"seconds": 2, "score_threshold": 0.0}},
    },
    "07_your_video": {"start": 2.0, "stop": 4.0, "score_threshold": 0.0, "width": 160, "live_seconds": 3.0},
    "08_your_data": TRAINING | {"dataset": "own", "score_threshold": 0.0},
}
MAX_LINES = 30  # of a cell
FORBIDDEN = ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.Try


def read_code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def read_output_text(cells):
    """All that the cells have printed."""
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_these_are_the_notebooks():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_no_outputs(path):
    for cell in read_code_cells(path):
        assert not cell.outputs, "run `nbstripout` on it"
        assert not cell.execution_count, "run `nbstripout` on it"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_code_cell_alone_holds_the_parameters(path):
    tagged = ["parameters" in cell.metadata.get("tags", []) for cell in read_code_cells(path)]
    assert tagged[0]
    assert not any(tagged[1:])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_a_literal_with_a_comment(path):
    for line in read_code_cells(path)[0].source.splitlines():
        (assignment,) = ast.parse(line).body
        ast.literal_eval(assignment.value)
        assert "#" in line.split("=", 1)[1], f"no comment: {line}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short(path):
    for cell in read_code_cells(path)[1:]:
        assert len(cell.source.splitlines()) <= MAX_LINES, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_only_call_the_package(path):
    """Nothing is defined in a notebook."""
    for cell in read_code_cells(path):
        assert not any(isinstance(node, FORBIDDEN) for node in ast.walk(ast.parse(cell.source))), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_variable_hides_an_imported_module(path):
    tree = ast.parse("\n".join(cell.source for cell in read_code_cells(path)))
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert not modules & assigned


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_title_comes_first_and_the_record_last(path):
    assert nbformat.read(path, 4).cells[0].source.startswith("# ")
    last_source = read_code_cells(path)[-1].source
    assert "record.finish(" in last_source or "record_training(" in last_source


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with data/ and outputs/ of its own in which notebooks run."""
    folder = tmp_path_factory.mktemp("workplace")
    before = os.environ.get("AVALIB_DATA")
    os.environ["AVALIB_DATA"] = str(folder / "data")
    yield folder
    if before is None:
        del os.environ["AVALIB_DATA"]
    else:
        os.environ["AVALIB_DATA"] = before


def execute(name, folder, **parameters):
    """Run a notebook through papermill as the command line does; -> its code cells, executed."""
    out = folder / f"{name}.ipynb"
    parameters = {"dataset": "tiny", "output_dir": str(folder / "runs")} | PARAMETERS.get(name, {}) | parameters
    papermill.execute_notebook(ROOT / "notebooks" / f"{name}.ipynb", out, parameters, progress_bar=False, cwd=ROOT)
    return read_code_cells(out)


@pytest.fixture(scope="module")
def executed(workplace):
    """{name: code cells} of all notebooks, run one after the other: each reads what the ones before it wrote."""
    return {name: execute(name, workplace) for name in NAMES}


@pytest.fixture(scope="module")
def runs(workplace, executed):
    """The folder of the runs that the notebooks wrote."""
    return workplace / "runs"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_headless_and_shows_a_picture(executed, name):
    assert any("image/png" in output.get("data", {}) for cell in executed[name] for output in cell.outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_notebook_has_no_unfinished_bar_and_each_picture_once(executed, name):
    for cell in executed[name]:
        for output in cell.outputs:
            data = output.get("data", {})
            text = data.get("text/plain", "")
            assert "%|" not in text or "100%|" in text, text
            assert not {"image/png", "image/jpeg"} <= set(data), cell.source


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_ends_with_the_files_that_it_wrote(executed, name):
    assert "written:" in read_output_text(executed[name][-1:])


@pytest.mark.slow
def test_no_record_has_a_path_of_this_machine(runs, workplace):
    records = [*runs.glob("*/*/**/run.json"), *runs.glob("*/*/**/jitter.json")]
    assert len(records) > len(NAMES)
    for path in records:
        assert str(workplace) not in path.read_text(encoding="utf-8"), path


@pytest.mark.slow
def test_training_leaves_its_best_checkpoint_which_says_what_it_was_trained_on(runs):
    path = runs / "tiny" / MODEL / "train" / "best.pth"
    assert read_meta(path).extra["dataset_version"] == "mini"


@pytest.mark.slow
def test_the_evaluations_record_says_what_was_measured_and_how(runs):
    record = read_json(runs / "tiny" / MODEL / "evaluate" / "run.json")
    assert 0 <= record["mAP"] <= 1
    assert record["coverage"]["share"] == 1.0
    assert record["protocol"] == "mmaction"
    assert len(record["git"]["commit"]) == 40
    assert record["hashes"]


@pytest.mark.slow
def test_detections_are_written_as_mmaction2_writes_them(runs):
    path = runs / "tiny" / MODEL / "evaluate" / "detections.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) % 80 == 0
    assert len(lines[0].split(",")) == 8


@pytest.mark.slow
def test_the_visualization_has_its_pictures(runs):
    folder = runs / "tiny" / MODEL / "visualise"
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures >= {"contact_sheet.png", "timeline.png", "workbench.png", "explained_1.png"}
    assert list(folder.glob("*.gif"))


@pytest.mark.slow
def test_the_zoo_has_its_tables_and_figures(runs):
    files = {path.name for path in (runs / "tiny" / "zoo").iterdir()}
    assert files >= {
        "order.png",
        "zoo.gif",
        "leaderboard_ava.csv",
        "leaderboard_other_datasets.csv",
        "against_published.csv",
    }


@pytest.mark.slow
def test_the_zoos_record_has_the_models_scores(runs):
    record = read_json(runs / "tiny" / "zoo" / "run.json")
    evaluation = read_json(runs / "tiny" / MODEL / "evaluate" / "run.json")
    assert record["failed"] == []
    assert record["headline"][f"mAP@0.5 of {MODEL}"] == [round(evaluation["mAP"], 4)]


@pytest.mark.slow
def test_frame_jitter_is_measured_with_two_seeds(runs):
    (measured,) = read_json(runs / "tiny" / "zoo" / "jitter.json")["rows"]
    assert measured["std"] >= 0
    assert len(measured["mAP"]) == 2


@pytest.mark.slow
def test_a_video_becomes_a_table_videos_and_pictures(runs):
    suffixes = {path.suffix for path in (runs / "tiny" / MODEL / "your_video").iterdir()}
    assert suffixes == {".csv", ".gif", ".json", ".mp4", ".png"}


@pytest.mark.slow
def test_your_data_is_evaluated_by_its_own_classes(runs):
    record = read_json(runs / "own" / MODEL / "your_data" / "run.json")
    assert record["classes"]["1"] == "answer phone"
    assert record["protocol"] == "frame"
    assert 0 <= record["headline"]["mAP@0.5"] <= 1


@pytest.mark.slow
def test_a_finished_training_is_not_repeated(executed, workplace):
    assert "finished already" in read_output_text(execute("03_train", workplace))


@pytest.mark.slow
def test_the_real_ava_is_prepared_and_checked(workplace):
    """Notebook 01 on a miniature of the official servers' files, from a mirror's folder."""
    tiny = render_dataset(workplace / "data" / "tiny-seed0", "tiny", progress=False)
    names = fake_ava_server.publish(tiny, workplace / "mirror")
    missing_video = names.popitem()[1]
    (workplace / "mirror" / missing_video).unlink()
    kinds = dict.fromkeys(["annotations", "names", "videos", "proposals"], str(workplace / "mirror"))
    (workplace / "ava").mkdir()
    cells = execute("01_prepare_data", workplace / "ava", dataset="ava2.1", mirrors=kinds, cache_short_side=48)
    text = read_output_text(cells)
    assert "2 of 3 videos" in text
    assert f"missing: {Path(missing_video).stem} (" in text
    assert "building frame caches of 2 videos at short side 48" in text
    folder = workplace / "ava" / "runs" / "ava2.1" / "data"
    validation = read_json(folder / "check.json")
    record = read_json(folder / "run.json")
    assert not validation["ok"]
    assert "keyframes without frames" in validation["verdict"]
    assert record["check"] == validation["verdict"]
    assert record["coverage"]["unreadable"] == 1
    assert str(workplace) not in json.dumps(record), "a path of this machine is in the record"


@pytest.mark.slow
def test_detections_of_an_unchanged_model_are_not_computed_again(executed, workplace):
    cells = execute("04_evaluate", workplace)
    assert "it is not computed again" in read_output_text(cells)
    assert read_output_text(executed["04_evaluate"]).count("it is not computed again") == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["04_evaluate", "06_zoo"])
def test_no_published_number_stands_beside_one_of_another_data_set(executed, name):
    for cell in executed[name]:
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html", "")
            assert "<th>expected</th>" not in html and "measured mAP" not in html, html


@pytest.mark.slow
def test_a_misspelt_parameter_stops_with_the_name_that_was_meant(workplace):
    with pytest.raises(papermill.PapermillExecutionError, match="no parameter 'modle'. Did you mean 'model'"):
        execute("02_build_model", workplace, modle=MODEL)


@pytest.mark.slow
def test_an_unknown_model_is_answered_with_the_list(workplace):
    with pytest.raises(papermill.PapermillExecutionError, match="slowfast_r50_8x8"):
        execute("02_build_model", workplace, model="slowonly_r5")
