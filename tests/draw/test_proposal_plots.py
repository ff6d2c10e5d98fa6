"""The recall of proposals counts people, each once."""

import pytest
from figures import read_text

from avalib import draw
from avalib.data.row_checks import BOX_COLUMNS


@pytest.fixture
def proposals(square):
    """The square's boxes at three of five keyframes."""
    boxes = square.truth.drop_duplicates("timestamp")[["video_id", "timestamp", *BOX_COLUMNS]]
    return boxes[boxes.timestamp < 904].assign(score=0.9)


def test_the_figure_says_the_recall(square, proposals):
    figure = draw.plot_proposal_recall({"val": (square.truth, proposals)})
    assert "val: 0.600 at IoU 0.5, 5 people" in read_text(figure)
