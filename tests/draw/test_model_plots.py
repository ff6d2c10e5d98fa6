"""Plots of several models: the published order, speed against accuracy."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from avalib import draw, zoo
from avalib.draw.colors import FAMILY_COLORS

PUBLISHED = ["published mAP", "evaluated on"]


def build_speed_table(*models):
    """A speed table of some models, the same speed for all."""
    published = zoo.build_zoo_table().set_index("model").loc[list(models)].reset_index()
    speeds = {"parameters M": 33.6, "GFLOP": 40.0, "ms on CPU": 500.0, "ms on CUDA": 5.0}
    return published.assign(**speeds).rename(columns={"mAP": "published mAP"})


def test_speed_has_a_panel_for_each_machine_and_one_for_arithmetic():
    figure = draw.plot_speed_accuracy(build_speed_table("slowfast_r50"))
    assert [len(axis.collections) for axis in figure.axes] == [1, 1, 1]


def test_points_show_the_family_and_the_val_split():
    table = build_speed_table("slowfast_r50", "slowfast_r50_8x8_ava22", "slowonly_r50_8x8_ak")
    points = draw.plot_speed_accuracy(table[["model", "ms on CPU", "parameters M", *PUBLISHED]]).axes[0].collections
    edges = [to_hex(point.get_edgecolor()[0]).upper() for point in points]
    slowfast, slowonly_ak = FAMILY_COLORS["SlowFast"], FAMILY_COLORS["SlowOnly, AVA-Kinetics"]
    assert edges == [slowfast, slowfast, slowonly_ak]
    assert [len(point.get_facecolor()) for point in points] == [0, 1, 1], "hollow: AVA v2.1"


def test_the_best_models_of_each_val_split_are_named():
    models = ["slowonly_r50", "slowfast_r50", "slowonly_r101", "slowfast_r50_8x8_ava22", "slowonly_r50_8x8_ak"]
    table = build_speed_table(*models).assign(**{"ms on CPU": [300, 500, 900, 500, 400]})
    axis = draw.plot_speed_accuracy(table).axes[0]
    names = [text.get_text() for text in axis.texts]
    assert names == ["slowonly_r50", "slowfast_r50", "slowonly_r101", "slowonly_r50_8x8_ak"]


def test_without_speeds_the_benchmark_is_named():
    with pytest.raises(ValueError, match="make bench-zoo"):
        draw.plot_speed_accuracy(pd.DataFrame({"model": ["slowfast_r50"], "published mAP": [24.4]}))


def test_the_models_stand_in_their_published_order():
    scores = {"slowonly_r101": [12.0], "slowonly_r50": [10.0, 12.0], "slowfast_r50": [14.0]}
    (axis,) = draw.plot_published_order(scores).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["slowonly_r50", "slowfast_r50", "slowonly_r101"]


def test_models_of_another_val_split_stand_apart():
    scores = {"slowonly_r50_8x8_ak": [20.0], "slowfast_r50": [14.0], "slowonly_r50": [10.0]}
    (axis,) = draw.plot_published_order(scores).axes
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert names == ["slowonly_r50", "slowfast_r50", "slowonly_r50_8x8_ak"]
    assert list(axis.lines[-1].get_xdata()) == [1.5, 1.5]


def test_the_order_counts_the_models_that_were_not_measured():
    figure = draw.plot_published_order({"slowonly_r50": [10.0, 12.0], "slowfast_r50": []})
    assert "(models not measured: 1)" in figure.axes[0].get_title()
