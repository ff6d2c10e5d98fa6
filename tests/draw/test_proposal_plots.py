"""The recall of proposals counts people, each once."""

import pytest
from figures import read_text

from avalib import draw
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.proposal_plots import count_proposals_per_keyframe


@pytest.fixture
def proposals(square):
    """The square's boxes at three of five keyframes."""
    boxes = square.truth.drop_duplicates("timestamp")[["video_id", "timestamp", *BOX_COLUMNS]]
    return boxes[boxes.timestamp < 904].assign(score=0.9)


def test_the_figure_says_the_recall(square, proposals):
    figure = draw.plot_proposal_recall({"val": (square.truth, proposals)})
    assert "val: 0.600 at IoU 0.5, 5 people" in read_text(figure)


def test_the_curves_fall_where_proposals_end(square, proposals):
    by_iou, by_score = draw.plot_proposal_recall({"val": (square.truth, proposals)}).axes
    assert set(by_iou.lines[0].get_ydata()) == {0.6}  # the proposals fit exactly
    assert by_score.lines[0].get_ydata()[0] == 0.6
    assert by_score.lines[0].get_ydata()[-1] == 0


def test_proposals_are_counted_by_keyframe(square, proposals):
    assert count_proposals_per_keyframe(square.truth, proposals, [0, 0.95]).tolist() == [0.6, 0]
