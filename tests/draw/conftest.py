"""Fixtures for the tests of drawing."""

import matplotlib
import moving_square
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from avalib.evaluation.evaluator import evaluate


@pytest.fixture(autouse=True)
def no_figures_left():
    """Figures of a test are closed behind it."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def square(tmp_path_factory):
    """A SquareDataset. Nobody writes into it."""
    return moving_square.write_square_dataset(tmp_path_factory.mktemp("square"))


@pytest.fixture(scope="session")
def report(square):
    """The evaluation of the square's detections: one action of three has no boxes."""
    return evaluate(square.truth, square.detections, label_map={12: "stand", 80: "watch (a person)", 14: "walk"})
