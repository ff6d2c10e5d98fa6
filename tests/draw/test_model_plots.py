"""Plots of several models: the published order, speed against accuracy."""

import pandas as pd
import pytest

from avalib import draw, zoo


def test_speed_has_a_panel_for_each_machine_and_one_for_arithmetic():
    row = {"model": "slowfast_r50", "parameters M": 33.6, "GFLOP": 40.0, "ms on CPU": 500.0, "ms on CUDA": 5.0}
    figure = draw.plot_speed_accuracy(pd.DataFrame([row | {"published mAP": 24.4}]))
    assert [len(axis.collections) for axis in figure.axes] == [1, 1, 1]


def test_without_speeds_the_benchmark_is_named():
    with pytest.raises(ValueError, match="make bench-zoo"):
        draw.plot_speed_accuracy(pd.DataFrame({"model": ["slowfast_r50"], "published mAP": [24.4]}))


def test_the_models_stand_in_their_published_order():
    scores = {"slowonly_r101": [12.0], "slowonly_r50": [10.0, 12.0], "slowfast_r50": [14.0]}
    (axis,) = draw.plot_published_order(scores).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["slowonly_r50", "slowfast_r50", "slowonly_r101"]


def test_the_order_counts_the_models_that_were_not_measured():
    figure = draw.plot_published_order({"slowonly_r50": [10.0, 12.0], "slowfast_r50": []})
    assert f"{len(zoo.list_models()) - 1} models not measured" in figure.axes[0].get_title()
