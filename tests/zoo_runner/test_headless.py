"""The demo runs notebooks 01 to 05 once, and again only for what has changed."""

import os

import pytest
from toy_notebooks import change_code

from avalib.zoo_runner.headless import run_all_notebooks
from avalib.zoo_runner.zoo_run import NOTEBOOKS


@pytest.fixture
def run_demo(toy_notebooks, tiny, monkeypatch, capsys):
    """Runs the toy notebooks for slowonly_r50 on the tiny data set; returns what is printed."""
    monkeypatch.chdir(toy_notebooks.parent)
    (toy_notebooks.parent / "data").mkdir()
    (toy_notebooks.parent / "data" / "tiny-seed0").symlink_to(tiny.root)

    def run_demo():
        run_all_notebooks(["slowonly_r50"], dataset="tiny", notebooks=toy_notebooks, output_dir="runs")
        return capsys.readouterr().out

    return run_demo


@pytest.mark.slow
def test_the_demo_runs_all_notebooks_in_order(run_demo):
    lines = run_demo().splitlines()
    assert [line.split()[1] for line in lines if " done" in line] == list(NOTEBOOKS)


@pytest.mark.slow
def test_new_dates_of_files_do_not_make_it_run_again(run_demo, toy_notebooks, tiny):
    """An autosave or a checkout changes dates alone."""
    run_demo()
    for path in [*toy_notebooks.iterdir(), tiny.get_csv_path("train")]:
        os.utime(path)
    assert run_demo().count("done before") == 5


@pytest.mark.slow
def test_changed_code_makes_one_notebook_run_again(run_demo, toy_notebooks):
    run_demo()
    change_code(toy_notebooks / "05_visualise.ipynb")
    output = run_demo()
    assert output.count("done before") == 4
    assert "05_visualise  done, its code changed" in output


def test_a_misspelt_data_set_is_answered_with_a_suggestion(toy_notebooks, monkeypatch):
    monkeypatch.chdir(toy_notebooks.parent)
    with pytest.raises(ValueError, match="Did you mean 'tiny'"):
        run_all_notebooks(["slowonly_r50"], dataset="tinny", notebooks=toy_notebooks)
