"""Timelines: segments of actions out of any table, a line for each, and the count of what is left out."""

import numpy as np
import pandas as pd
import pytest
from figures import read_text
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from moving_square import list_rows

from avalib import draw
from avalib.draw.timeline_comparison import ANNOTATED_COLOR

BOX = np.array([0.1, 0.1, 0.3, 0.9])


def build_table(*rows):
    """A table as avalib.detect returns it, of (time_s, person_id, action_id, score)."""
    return pd.DataFrame(rows, columns=["time_s", "person_id", "action_id", "score"])


@pytest.fixture
def ava_table():
    """Two people at three seconds of video "v", without ids."""
    rows = []
    for second in range(3):
        rows += list_rows("v", 902 + second, BOX, [12])
        rows += list_rows("v", 902 + second, BOX + [0.5, 0, 0.5, 0], [11])
    return pd.DataFrame(rows)


@pytest.fixture
def three_people():
    """Three people with three actions each at four seconds."""
    return build_table(*[(t, p, a, 0.9 - 0.1 * p) for t in range(4) for p in range(3) for a in (12, 17, 80)])


def test_segments_end_at_gaps_low_scores_and_other_people():
    table = build_table(*[(t, 0, 12, 0.5 + 0.1 * t) for t in (0, 1, 2, 5)], (3, 0, 12, 0.1), (1, 4, 12, 0.9))
    segments = draw.find_segments(table, score_threshold=0.3)
    expected = [[0, -0.5, 2.5], [0, 4.5, 5.5], [4, 0.5, 1.5]]
    assert segments[["person_id", "start_s", "stop_s"]].to_numpy().tolist() == expected
    assert np.allclose(segments.score, [0.6, 1.0, 0.9])
    assert set(segments.action) == {"stand"}


def test_no_score_over_the_threshold_gives_no_segments():
    assert len(draw.find_segments(build_table((0, 0, 12, 0.5)), score_threshold=2)) == 0


def test_the_step_is_the_tables():
    table = build_table(*[(t / 4, 0, 12, 0.5) for t in range(4)])
    assert draw.find_segments(table).start_s.min() == -0.125


def test_segments_cover_exactly_the_seconds_over_the_threshold():
    """A property of any table."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(2, 60))
        table = pd.DataFrame(
            {
                "time_s": rng.integers(0, 30, n),
                "person_id": rng.integers(0, 3, n),
                "action_id": rng.integers(1, 5, n),
                "score": rng.random(n),
            }
        )
        segments = draw.find_segments(table, score_threshold=0.5, step=1.0)
        seconds = table[table.score >= 0.5].drop_duplicates(["time_s", "person_id", "action_id"])
        assert np.isclose((segments.stop_s - segments.start_s).sum(), len(seconds))
        assert (segments.groupby(["person_id", "action_id"]).start_s.diff().dropna() > 1).all()


def test_people_of_ava_tables_are_tracked_by_their_boxes(ava_table):
    segments = draw.find_segments(ava_table)
    assert len(segments) == 2
    assert segments.person_id.nunique() == 2
    assert set(segments.stop_s - segments.start_s) == {3.0}


def test_of_several_videos_one_has_to_be_chosen(ava_table):
    both = pd.concat([ava_table, ava_table.assign(video_id="w")])
    assert len(draw.find_segments(both, "w")) == 2
    with pytest.raises(ValueError, match="2 videos"):
        draw.find_segments(both)
    with pytest.raises(ValueError, match="'u' is not in the table; there are v, w"):
        draw.find_segments(both, "u")


def test_a_missing_column_is_named(ava_table):
    with pytest.raises(ValueError, match="needs the column time_s or timestamp"):
        draw.plot_timeline(ava_table.drop(columns="timestamp"))


def test_the_figure_has_a_line_for_each_action(three_people):
    axis = draw.plot_timeline(three_people, top_k=2, people=2).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["stand", "carry/hold"] * 2
    bars = [patch for patch in axis.patches if isinstance(patch, Rectangle) and patch.get_width() == 4]
    assert len(bars) == 4


@pytest.fixture
def own_table():
    """A table of avalib.detect with an action of AVA's and one beyond AVA's."""
    return pd.DataFrame({"time_s": [0.0, 1.0], "person_id": 0, "action_id": [3, 200], "score": 0.9})


def test_ones_own_actions_keep_their_names_on_a_timeline(own_table):
    figure = draw.plot_timeline(own_table.assign(action=["dribble", "shoot"]))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["dribble", "shoot"]


def test_segments_are_named_by_the_table(own_table):
    assert draw.find_segments(own_table.assign(action=["dribble", "shoot"])).action.tolist() == ["dribble", "shoot"]


def test_segments_are_named_by_a_label_map(own_table):
    assert draw.find_segments(own_table, label_map={3: "pass", 200: "shoot"}).action.tolist() == ["pass", "shoot"]


def test_segments_without_names_are_named_as_in_ava(own_table):
    assert draw.find_segments(own_table).action.tolist() == ["crouch/kneel", "action 200"]


def test_the_figure_says_what_is_left_out(three_people):
    text = read_text(draw.plot_timeline(three_people, top_k=2, people=2))
    assert "not shown: 1 more people, 2 more actions" in text
    assert "person 1" in text
    assert "person 2" not in text


def test_the_figure_names_people_groups_and_time(three_people):
    text = read_text(draw.plot_timeline(three_people, top_k=2, people=2))
    for part in ("time [s]", "person 0", "person 1", "person and object"):
        assert part in text


def test_the_first_people_can_be_chosen():
    table = build_table((0, 5, 12, 0.4), *[(t, p, 12, 0.9) for t in range(1, 9) for p in (1, 2)])
    assert "person 5" not in read_text(draw.plot_timeline(table, people=2))
    assert "person 5" in read_text(draw.plot_timeline(table, people=2, first_people=True))


def test_a_comparison_has_both_tables_on_one_axis_with_one_line_for_each_person_and_action(three_people):
    annotated = build_table((0, 0, 12, 1.0), (1, 0, 12, 1.0), (2, 7, 5, 1.0))
    figure = draw.plot_timeline_comparison(annotated, three_people, top_k=3, people=4)
    (axis,) = figure.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(names) == 3 * 3 + 1
    # Black bars: two seconds of "stand", one of person 7, who was not detected.
    black = [patch for patch in axis.patches if patch.get_facecolor()[:3] == to_rgb(ANNOTATED_COLOR)]
    assert sorted(patch.get_width() for patch in black) == [1, 2]
    assert names.count("fall down") == 1
    assert {f"person {i}" for i in (0, 1, 2, 7)} <= set(read_text(figure).split(" | "))


def test_scores_below_the_threshold_have_no_bar_in_a_comparison(three_people):
    annotated = build_table((0, 0, 12, 1.0))
    figure = draw.plot_timeline_comparison(annotated, three_people, score_threshold=0.95)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["stand"]


def test_an_empty_figure_says_why(three_people):
    assert "no action with a score of 0.99 or more" in read_text(draw.plot_timeline(three_people, score_threshold=0.99))
