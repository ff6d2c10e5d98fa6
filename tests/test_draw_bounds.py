"""Pictures of far too much: what is drawn is bounded, and what is not drawn is counted where the reader sees it."""

import types

import numpy as np
import pandas as pd
import pytest

from avalib import tracks
from avalib.draw import pictures, plots, tags
from avalib.draw.people import Person
from avalib.draw.pictures import overlay

FRAME = np.zeros((240, 320, 3), np.uint8)


def crowd(count):
    """People side by side in lines; the surest is the last."""
    low = np.stack(np.divmod(np.arange(count), 100), axis=1) / 101
    return [Person(np.r_[x, x + 0.02], ((12, n / count),), n) for n, x in enumerate(low)]


def test_only_the_surest_people_of_a_crowd_are_labelled_and_the_others_counted(monkeypatch):
    painted, placed, paint, arrange = [], [], tags.paint, tags.arrange
    monkeypatch.setattr(
        tags, "paint", lambda image, place, lines, *a: (painted.append(lines), paint(image, place, lines, *a))
    )
    monkeypatch.setattr(tags, "arrange", lambda stacks, *a: (placed.append(len(stacks)), arrange(stacks, *a))[1])
    picture = overlay(FRAME, crowd(5000), "person", "1.0 s")
    assert max(placed) == pictures.MAX_LABELLED
    texts = [text for lines in painted for text, _ in lines]
    labels = [text for text in texts if "stand" in text]
    assert f"+{5000 - len(labels)} labels" in texts[-1]
    assert all(int(text.split(":")[0]) >= 5000 - pictures.MAX_LABELLED for text in labels)
    assert picture.any()


def test_boxes_of_a_crowd_are_all_drawn():
    people = [Person(np.array([x, 0.5, x + 0.002, 0.6]), ()) for x in np.linspace(0, 0.99, 300)]
    assert (overlay(FRAME, people)[120:144] > 0).any(axis=(0, 2)).mean() > 0.9


def test_annotated_people_are_labelled_before_detected_ones(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_LABELLED", 2)
    people = [Person(np.array([0, 0, 1, 1.0]), ((1, score),)) for score in (0.2, None, 0.9, 0.95)]
    assert pictures._surest(people) == [1, 3]


def test_a_stack_of_thousands_of_labels_is_tried_only_as_high_as_the_picture(monkeypatch):
    tried, place = [], tags._place
    monkeypatch.setattr(tags, "_place", lambda *a: (tried.append(1), place(*a))[1])
    person = Person(np.array([0.1, 0.1, 0.3, 0.5]), tuple((1 + n % 80, 0.5) for n in range(10_000)))
    overlay(FRAME, [person])
    assert 0 < len(tried) < 100


def test_a_plot_of_ten_thousand_classes_shows_the_best_and_says_how_many_more():
    n = 9_999
    table = pd.DataFrame({"action_id": range(1, n + 1), "action": [f"class {i}" for i in range(n)], "group": "own"})
    table = table.assign(AP=np.linspace(1, 0, n), ground_truth=5, detections=5, recall=1.0)
    table["group"] = next(iter(plots.GROUP_COLOURS))
    figure = plots.per_class_bars(types.SimpleNamespace(per_class=table, mAP=0.5))
    assert len(figure.axes[0].patches) == plots.MAX_BARS
    assert f"({n - plots.MAX_BARS} more actions not shown)" in figure.get_suptitle()


def test_more_people_than_can_be_followed_are_refused():
    with pytest.raises(ValueError, match=r"5,001 people at 2 s; at most 5,000 \(MAX_PEOPLE\)"):
        tracks.Tracker().update(2.0, np.zeros((5001, 4)))
