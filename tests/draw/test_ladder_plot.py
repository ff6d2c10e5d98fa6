"""The figure of the ladder: bars from step to step, and measured points beside them."""

import pandas as pd
import pytest

from avalib import draw, zoo


def test_each_bar_reaches_from_the_step_before_to_its_own():
    ladder = zoo.build_ladder_table()
    (axis,) = draw.plot_ladder(ladder).axes
    ends = [bar.get_x() + bar.get_width() for bar in axis.patches]
    assert ends == pytest.approx(list(ladder["published mAP"]))
    assert [bar.get_x() for bar in axis.patches[1:]] == pytest.approx(ends[:-1])
    assert [label.get_text() for label in axis.get_yticklabels()] == list(ladder["change"])


def test_measured_points_stand_at_their_step():
    measured = pd.Series({"slowonly_r50_8x8_ak": 27.6, "slowonly_r50": 20.0})
    (axis,) = draw.plot_ladder(zoo.build_ladder_table(), measured).axes
    (points,) = [line for line in axis.lines if line.get_label() == "measured here"]
    place = axis.patches[1].get_y() + axis.patches[1].get_height() / 2
    assert list(points.get_xdata()) == [27.6]
    assert list(points.get_ydata()) == pytest.approx([place])
