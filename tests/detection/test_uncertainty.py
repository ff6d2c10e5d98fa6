"""The times that a model is least sure of come first."""

import pandas as pd
import pytest

from avalib.detection.uncertainty import rank_uncertain_times

BOX = {"x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.9}


def build_table(*rows):
    """A table as avalib.detect returns it, of (time_s, person_id, action, score)."""
    table = pd.DataFrame(rows, columns=["time_s", "person_id", "action", "score"])
    return table.assign(frame=(25 * table.time_s).astype(int), **BOX)


@pytest.fixture
def table():
    """Three times: sure, one unsure person of two, a little unsure."""
    return build_table(
        (0.0, 0, "stand", 0.99),
        (0.0, 0, "walk", 0.01),
        (1.0, 0, "stand", 1.0),
        (1.0, 1, "stand", 0.5),
        (1.0, 1, "walk", 0.4),
        (2.0, 0, "walk", 0.8),
    )


def test_the_time_of_the_least_certain_person_comes_first(table):
    ranking = rank_uncertain_times(table)
    assert ranking.time_s.tolist() == [1.0, 2.0, 0.0]
    first = ranking.iloc[0]
    assert (first.frame, first.people, first.person_id, first.action, first.score) == (25, 2, 1, "stand", 0.5)
    assert first.uncertainty == pytest.approx(1 + 0.970951, abs=1e-5)


def test_neighbors_of_a_time_in_the_list_are_left_out(table):
    assert rank_uncertain_times(table, min_gap_s=1.5).time_s.tolist() == [1.0]
    assert rank_uncertain_times(table, min_gap_s=1.0).time_s.tolist() == [1.0, 2.0, 0.0]


def test_without_detections_the_ranking_is_empty(table):
    assert rank_uncertain_times(table[:0]).empty
