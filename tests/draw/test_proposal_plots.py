"""The recall of proposals counts people, each once."""

import pytest
from figures import read_text

from avalib import draw
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.proposal_plots import match_proposals


@pytest.fixture
def proposals(square):
    """The square's boxes at three of five keyframes."""
    boxes = square.truth.drop_duplicates("timestamp")[["video_id", "timestamp", *BOX_COLUMNS]]
    return boxes[boxes.timestamp < 904].assign(score=0.9)


def test_people_are_matched_with_their_best_proposal(square, proposals):
    matches = match_proposals(square.truth, proposals)
    assert matches.best_iou.tolist() == [1, 1, 1, 0, 0]
    assert matches.best_score.tolist() == [0.9, 0.9, 0.9, -1, -1]


def test_proposals_are_counted_by_keyframe(square, proposals):
    matches = match_proposals(square.truth, proposals)
    assert matches.count_per_keyframe(0) == 0.6
    assert matches.count_per_keyframe(0.95) == 0


def test_the_figure_says_the_recall(square, proposals):
    figure = draw.plot_proposal_recall({"val": (square.truth, proposals)})
    assert "val: 0.600 at IoU 0.5, 5 people" in read_text(figure)
