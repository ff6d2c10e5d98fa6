"""Mistakes for a look differ from each other."""

import pandas as pd

from avalib.evaluation.varied_mistakes import select_varied_mistakes


def make_mistakes(*rows):
    """A table of (video_id, action_id, does), the surest first."""
    table = pd.DataFrame(rows, columns=["video_id", "action_id", "does"])
    return table.assign(score=[1 - 0.001 * i for i in range(len(rows))])


def test_the_same_mistake_is_shown_once_in_a_video():
    mistakes = make_mistakes(("a", 12, "walk"), ("a", 12, "walk"), ("b", 12, "walk"), ("a", 12, "sit"))
    selection = select_varied_mistakes(mistakes, 4)
    assert selection[["video_id", "does"]].values.tolist() == [["a", "walk"], ["b", "walk"], ["a", "sit"]]


def test_one_action_and_one_video_have_a_fifth_at_most():
    rows = [(f"v{i % 10}", 12, f"does {i}") for i in range(100)]
    rows += [("v0", action, "walk") for action in range(20, 60)]
    rows += [(f"v{i % 10}", 60 + i % 10, f"does {i}") for i in range(100)]
    selection = select_varied_mistakes(make_mistakes(*rows), 20)
    assert len(selection) == 20
    assert selection["action_id"].value_counts().max() == 4
    assert selection["video_id"].value_counts().max() == 4
    assert selection["score"].is_monotonic_decreasing


def test_few_videos_share_the_selection():
    rows = [(video, action, f"does {i}") for i in range(40) for video in "ab" for action in range(10)]
    selection = select_varied_mistakes(make_mistakes(*rows), 20)
    assert selection["video_id"].value_counts().tolist() == [10, 10]


def test_no_mistakes_are_none():
    assert select_varied_mistakes(make_mistakes(), 20).empty
