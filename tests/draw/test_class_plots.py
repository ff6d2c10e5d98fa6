"""Bars and curves carry the numbers of the report and of the tables."""

import types

import matplotlib
import numpy as np
import pandas as pd
import pytest
from figures import read_text

from avalib import draw
from avalib.draw.class_plots import MAX_BARS
from avalib.draw.colors import GROUP_COLORS
from avalib.evaluation.evaluator import evaluate


def test_bars_are_the_average_precisions_and_the_boxes(report):
    figure = draw.plot_per_class(report, baseline=report)
    left, right = figure.axes
    table = report.per_class.dropna(subset=["AP"]).sort_values("AP", ascending=False, kind="stable")
    assert [bar.get_width() for bar in left.patches] == table["AP"].tolist()
    assert [bar.get_width() for bar in right.patches] == table["ground_truth"].tolist()
    assert [label.get_text() for label in left.get_yticklabels()] == [a.split(" (")[0] for a in table["action"]]
    assert left.patches[0].get_facecolor() == matplotlib.colors.to_rgba(GROUP_COLORS[table["group"].iloc[0]])


def test_a_class_of_one_box_has_a_visible_bar(report):
    rare = report.per_class.assign(ground_truth=1)
    figure = draw.plot_per_class(types.SimpleNamespace(per_class=rare, mAP=report.mAP))
    left, right = figure.axes[1].get_xlim()
    assert left < 1 < right


def test_no_mark_covers_a_bars_value(report):
    higher = report.per_class.assign(AP=report.per_class["AP"] + 0.02)
    figure = draw.plot_per_class(report, types.SimpleNamespace(per_class=higher, mAP=report.mAP + 0.02))
    axis = figure.axes[0]
    marks = axis.lines[-1].get_xydata()
    texts = [text.get_window_extent() for text in axis.texts]
    assert len(texts) == len(marks)
    assert not any(text.contains(*axis.transData.transform(mark)) for text, mark in zip(texts, marks, strict=True))


def test_the_bars_figure_says_the_map_and_what_is_left_out(report):
    text = read_text(draw.plot_per_class(report))
    assert f"mAP {report.mAP:.3f}" in text
    assert "1 action without boxes" in text


@pytest.mark.slow
def test_a_plot_of_ten_thousand_classes_shows_the_best_and_says_how_many_more():
    n = 9_999
    table = pd.DataFrame({"action_id": range(1, n + 1), "action": [f"class {i}" for i in range(n)], "group": "other"})
    table = table.assign(AP=np.linspace(1, 0, n), ground_truth=5, detections=5, recall=1.0)
    figure = draw.plot_per_class(types.SimpleNamespace(per_class=table, mAP=0.5))
    assert len(figure.axes[0].patches) == MAX_BARS
    assert f"({n - MAX_BARS} more actions not shown)" in figure.get_suptitle()


def test_actions_stand_at_their_boxes_and_precision(report):
    per_class = report.per_class[["action", "group", "AP"]].dropna().head(6)
    table = per_class.assign(training_boxes=[0, 3, 3, 40, 40, 900][: len(per_class)])
    axis = draw.plot_ap_by_training(table).axes[0]
    points = axis.collections[0].get_offsets().data
    np.testing.assert_allclose(points[:, 0], table["training_boxes"].clip(lower=1))
    np.testing.assert_allclose(points[:, 1], table["AP"])


def test_names_of_actions_do_not_overlap(report):
    per_class = report.per_class[["action", "group", "AP"]].dropna().head(6)
    axis = draw.plot_ap_by_training(per_class.assign(training_boxes=[0, 3, 3, 40, 40, 900][: len(per_class)])).axes[0]
    extents = [text.get_window_extent() for text in axis.texts]
    assert extents
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])


def test_precision_recall_curves_by_id_and_name(report):
    figure = draw.plot_pr_curves(report, [12, "watch (a person)"])
    assert "stand: AP 1.00, 5 boxes" in read_text(figure)
    assert len(figure.axes[0].lines) == 4


def test_an_action_without_detections_has_a_curve_of_one_point(square):
    detections = square.detections[square.detections.action_id != 12]
    label_map = {12: "stand", 80: "watch (a person)"}
    figure = draw.plot_pr_curves(evaluate(square.truth, detections, label_map=label_map), [12])
    envelope, _ = figure.axes[0].lines
    assert envelope.get_xydata().tolist() == [[0, 0]] and "stand: AP 0.00, 5 boxes" in read_text(figure)


def test_class_counts_of_train_and_val(square):
    figure = draw.plot_class_counts(square.truth, square.truth[square.truth.timestamp < 903])
    axis = figure.axes[0]
    assert axis.collections[1].get_offsets()[:, 0].tolist() == [5, 5]
    assert axis.lines[0].get_xdata().tolist() == [2, 2]
    assert [text.get_text() for text in axis.texts[:2]] == ["5 | 2", "5 | 2"]
    assert axis.get_title() == "1 of 2 actions have 50% of the boxes to learn from"
    assert "78 of 80 actions do not occur" in read_text(figure)
