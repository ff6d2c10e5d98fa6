"""Figures name their run, and notebooks show them."""

import subprocess
import sys

import pytest
from figures import read_text

from avalib import draw
from avalib.draw import figure_style


def test_figures_name_their_run(report, monkeypatch):
    monkeypatch.setattr(figure_style, "get_run_caption", lambda: "04_evaluate: slowonly_r50 on mini, seed 0")
    assert "04_evaluate: slowonly_r50 on mini, seed 0" in read_text(draw.plot_pr_curves(report, [12]))


@pytest.mark.slow
def test_notebooks_show_every_figure():
    """A notebook turns matplotlib interactive at its first figure, whoever draws it; then a cell's figures show."""
    code = """
import nbformat, nbclient
cell = (
    "import pandas; from avalib import draw; table = pandas.DataFrame({'action_id': [12]}); "
    "figure = draw.plot_class_counts(table, table)"
)
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for _ in range(2)])
nbclient.NotebookClient(notebook).execute()
assert all("image/png" in cell.outputs[0].data for cell in notebook.cells)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
