"""Timelines: runs of actions out of any table, a line for each, and what is left out said."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from avalib import draw
from avalib.draw.colors import GROUP_COLORS, MODEL_COLORS, PERSON_COLORS, get_person_color


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def detected(*rows):
    """A table as detect gives it, of (time_s, person_id, action_id, score)."""
    return pd.DataFrame(rows, columns=["time_s", "person_id", "action_id", "score"])


def words(figure):
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_runs_end_at_gaps_low_scores_and_other_people():
    table = detected(*[(t, 0, 12, 0.5 + 0.1 * t) for t in (0, 1, 2, 5)], (3, 0, 12, 0.1), (1, 4, 12, 0.9))
    runs = draw.find_segments(table, score_threshold=0.3)
    assert runs[["person_id", "start_s", "stop_s"]].to_numpy().tolist() == [
        [0, -0.5, 2.5],
        [0, 4.5, 5.5],
        [4, 0.5, 1.5],
    ]
    assert np.allclose(runs.score, [0.6, 1.0, 0.9]) and set(runs.action) == {"stand"}
    assert len(draw.find_segments(table, score_threshold=2)) == 0
    assert draw.find_segments(table.assign(time_s=table.time_s / 4)).start_s.min() == -0.125  # the step is the table's


def test_random_tables_keep_every_second():
    """A property of any table: the runs of an action cover exactly the seconds at which its score was high enough."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(2, 60))
        table = detected(*zip(*(rng.integers(0, k, n) for k in (30, 3)), rng.integers(1, 5, n), rng.random(n)))  # noqa: B905
        runs = draw.find_segments(table, score_threshold=0.5, step=1.0)
        kept = table[table.score >= 0.5].drop_duplicates(["time_s", "person_id", "action_id"])
        assert np.isclose((runs.stop_s - runs.start_s).sum(), len(kept))
        assert (runs.groupby(["person_id", "action_id"]).start_s.diff().dropna() > 1).all()


def test_ava_tables_are_followed_by_their_boxes():
    box = np.array([0.1, 0.1, 0.3, 0.9])
    rows = [
        {"video_id": "v", "timestamp": 902.0 + t, **dict(zip(["x1", "y1", "x2", "y2"], b, strict=True)), "action_id": a}
        for t in range(3)
        for b, a in ((box, 12), (box + [0.5, 0, 0.5, 0], 11))
    ]
    table = pd.DataFrame(rows)
    runs = draw.find_segments(table)
    assert len(runs) == 2 and runs.person_id.nunique() == 2 and set(runs.stop_s - runs.start_s) == {3.0}
    two = pd.concat([table, table.assign(video_id="w")])
    with pytest.raises(ValueError, match="2 videos"):
        draw.find_segments(two)
    with pytest.raises(ValueError, match="'u' is not in the table; there are v, w"):
        draw.find_segments(two, "u")
    assert len(draw.find_segments(two, "w")) == 2
    with pytest.raises(ValueError, match="needs the column time_s or timestamp"):
        draw.plot_timeline(table.drop(columns="timestamp"))


def test_the_figure_has_a_line_an_action_and_says_what_is_left_out():
    table = detected(*[(t, p, a, 0.9 - 0.1 * p) for t in range(4) for p in range(3) for a in (12, 17, 80)])
    figure = draw.plot_timeline(table, top_k=2, people=2)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["stand", "carry/hold"] * 2
    text = words(figure)
    assert "not shown: 1 more people, 2 more actions" in text and "time [s]" in text
    assert "person 0" in text and "person 1" in text and "person 2" not in text and "person and object" in text
    bars = [patch for patch in axis.patches if isinstance(patch, Rectangle) and patch.get_width() == 4]
    assert len(bars) == 4
    empty = draw.plot_timeline(table, score_threshold=0.99)
    assert "no action with a score of 0.99 or more" in words(empty)


def test_colours_are_the_same_everywhere():
    assert list(MODEL_COLORS)[0] == "slowonly_r50" and len(set(MODEL_COLORS.values())) == 7
    assert get_person_color(3) == get_person_color(3 + len(PERSON_COLORS))
    assert GROUP_COLORS is GROUP_COLORS


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
