"""The demo runs notebooks 01 to 05 once, and again only for what has changed."""

import os

import pytest
from toy_notebooks import change_code

from avalib.zoo_runner.demo import main
from avalib.zoo_runner.zoo_run import NOTEBOOKS


@pytest.mark.slow
def test_the_demo_runs_once_and_again_only_for_what_has_changed(toy_notebooks, tiny, monkeypatch, capsys):
    """Dates don't count: an autosave or a checkout changes those alone."""
    monkeypatch.chdir(toy_notebooks.parent)
    (toy_notebooks.parent / "data").mkdir()
    (toy_notebooks.parent / "data" / "tiny-seed0").symlink_to(tiny.root)
    arguments = ["--dataset", "tiny", "--output-dir", "runs", "--notebooks", str(toy_notebooks)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if " done" in line] == list(NOTEBOOKS)
    for path in [*toy_notebooks.iterdir(), tiny.get_csv_path("train")]:
        os.utime(path)
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("done before") == 5
    change_code(toy_notebooks / "05_visualise.ipynb")
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert output.count("done before") == 4
    assert "05_visualise  done, its code changed" in output


def test_a_misspelt_data_set_is_answered_with_a_suggestion(toy_notebooks, monkeypatch, capsys):
    monkeypatch.chdir(toy_notebooks.parent)
    assert main(["--dataset", "tinny"]) == 1
    assert "Did you mean 'tiny'" in capsys.readouterr().err
