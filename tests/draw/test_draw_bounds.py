"""Pictures of far too much: what is drawn is bounded, and what is not drawn is counted where the reader sees it."""

import types

import numpy as np
import pandas as pd
import pytest

from avalib.draw import annotate, label_layout
from avalib.draw.annotate import MAX_LABELLED, _surest, annotate_frame
from avalib.draw.colors import GROUP_COLORS
from avalib.draw.label_layout import _place, arrange_stacks, paint_stack
from avalib.draw.people import Person
from avalib.draw.plots import MAX_BARS, plot_per_class
from avalib.utils.tracker import Tracker

FRAME = np.zeros((240, 320, 3), np.uint8)


def crowd(count):
    """People side by side in lines; the surest is the last."""
    low = np.stack(np.divmod(np.arange(count), 100), axis=1) / 101
    return [Person(np.r_[x, x + 0.02], ((12, n / count),), n) for n, x in enumerate(low)]


def test_only_the_surest_people_of_a_crowd_are_labelled_and_the_others_counted(monkeypatch):
    painted, placed, paint, arrange = [], [], paint_stack, arrange_stacks
    monkeypatch.setattr(
        label_layout,
        "paint_stack",
        lambda image, place, lines, *a: (painted.append(lines), paint(image, place, lines, *a)),
    )
    monkeypatch.setattr(
        label_layout, "arrange_stacks", lambda stacks, *a: (placed.append(len(stacks)), arrange(stacks, *a))[1]
    )
    picture = annotate_frame(FRAME, crowd(5000), "person", "1.0 s")
    assert max(placed) == MAX_LABELLED
    texts = [text for lines in painted for text, _ in lines]
    labels = [text for text in texts if "stand" in text]
    assert f"+{5000 - len(labels)} labels" in texts[-1]
    assert all(int(text.split(":")[0]) >= 5000 - MAX_LABELLED for text in labels)
    assert picture.any()


def test_boxes_of_a_crowd_are_all_drawn():
    people = [Person(np.array([x, 0.5, x + 0.002, 0.6]), ()) for x in np.linspace(0, 0.99, 300)]
    assert (annotate_frame(FRAME, people)[120:144] > 0).any(axis=(0, 2)).mean() > 0.9


def test_annotated_people_are_labelled_before_detected_ones(monkeypatch):
    monkeypatch.setattr(annotate, "MAX_LABELLED", 2)
    people = [Person(np.array([0, 0, 1, 1.0]), ((1, score),)) for score in (0.2, None, 0.9, 0.95)]
    assert _surest(people) == [1, 3]


def test_a_stack_of_thousands_of_labels_is_tried_only_as_high_as_the_picture(monkeypatch):
    tried, place = [], _place
    monkeypatch.setattr(label_layout, "_place", lambda *a: (tried.append(1), place(*a))[1])
    person = Person(np.array([0.1, 0.1, 0.3, 0.5]), tuple((1 + n % 80, 0.5) for n in range(10_000)))
    annotate_frame(FRAME, [person])
    assert 0 < len(tried) < 100


def test_a_plot_of_ten_thousand_classes_shows_the_best_and_says_how_many_more():
    n = 9_999
    table = pd.DataFrame({"action_id": range(1, n + 1), "action": [f"class {i}" for i in range(n)], "group": "own"})
    table = table.assign(AP=np.linspace(1, 0, n), ground_truth=5, detections=5, recall=1.0)
    table["group"] = next(iter(GROUP_COLORS))
    figure = plot_per_class(types.SimpleNamespace(per_class=table, mAP=0.5))
    assert len(figure.axes[0].patches) == MAX_BARS
    assert f"({n - MAX_BARS} more actions not shown)" in figure.get_suptitle()


def test_more_people_than_can_be_followed_are_refused():
    with pytest.raises(ValueError, match=r"5,001 people at 2 s; at most 5,000 \(MAX_PEOPLE\)"):
        Tracker().update(2.0, np.zeros((5001, 4)))
