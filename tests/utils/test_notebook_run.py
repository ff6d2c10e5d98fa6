"""Starting a notebook: parameters are checked, and figures can name the run."""

import pytest

from avalib.utils import experiment, notebook_run
from avalib.utils.notebook_run import check_parameters, get_run_caption, parse_literals, start_run

PARAMETERS_CELL = 'model = "slowonly_r50"  # which\ndataset = "mini"  # which\nseed = 0  # of chance\ntag = ""  # none'


def build_namespace(*cells, **values):
    """The globals() of a notebook that has run these cells."""
    return {"In": ["", *cells], **values}


@pytest.fixture(autouse=True)
def no_run(tmp_path, monkeypatch):
    """No run has been started, and the current folder is in no repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notebook_run, "_current_record", None)


def test_parameters_are_the_declared_ones():
    cells = ('model = "a"  # which\nepochs = None', "# Parameters\nepochs = 3\n", "from avalib import draw")
    record = start_run("x", build_namespace(*cells, model="a", epochs=3, other=1))
    assert record.parameters == {"model": "a", "epochs": 3}


def test_a_misspelt_name_is_answered_with_the_one_that_was_meant():
    with pytest.raises(NameError, match="no parameter 'modle'. Did you mean 'model'"):
        start_run("x", build_namespace('model = "a"', '# Parameters\nmodle = "b"'))


@pytest.mark.parametrize(("default", "value"), [(0.1, 1), (None, "3"), (3, None)])
def test_values_that_go_with_the_default(default, value):
    check_parameters({"x": default}, {"x": value})


@pytest.mark.parametrize(("default", "value"), [(3, "3"), (True, 1), (1, True), (0.5, True)])
def test_values_of_another_type_are_an_error(default, value):
    with pytest.raises(TypeError, match="expected"):
        check_parameters({"x": default}, {"x": value})


def test_magics_and_computed_values_are_no_parameters():
    assert parse_literals("%matplotlib inline\na = 1\nb = a + 1\nc: int = 2\nd = [1, 'x']") == {"a": 1, "d": [1, "x"]}


def test_without_a_run_the_caption_is_empty():
    assert get_run_caption() == ""


def test_the_caption_has_model_data_set_and_seed():
    start_run("03_train", build_namespace(PARAMETERS_CELL, model="slowonly_r50", dataset="mini", seed=0, tag=""))
    assert get_run_caption() == "03_train: slowonly_r50 on mini, seed 0"


def test_the_caption_has_tag_commit_and_changes(monkeypatch):
    monkeypatch.setattr(experiment, "get_git_state", lambda: {"commit": "0123456789", "dirty": True})
    start_run("04_evaluate", build_namespace(PARAMETERS_CELL, dataset="mini", tag="long"))
    assert get_run_caption() == "04_evaluate: mini, tag long, commit 0123456 with changes"
