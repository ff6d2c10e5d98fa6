"""Training curves show the log, whatever it comes as."""

import json

import pandas as pd
import pytest
from figures import read_text
from matplotlib import pyplot as plt

from avalib import draw

STEPS = [{"mode": "train", "epoch": 1, "iteration": i + 1, "lr": 0.1, "loss_action_cls": 1 / (i + 1)} for i in range(9)]
VALIDATIONS = [
    {"mode": "val", "epoch": epoch, "iteration": 9, "mAP@0.5IOU": score}
    for epoch, score in ((1, 0.2), (2, 0.375), (3, 0.3))
]


def to_file(log, folder):
    path = folder / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    return path


def test_without_a_validation_the_curves_say_so():
    assert "no validation yet" in read_text(draw.plot_training_curves(STEPS))


@pytest.mark.parametrize("form", ["list", "table", "file"])
def test_training_curves_show_the_log(form, tmp_path):
    log = STEPS + VALIDATIONS
    given = {"list": log, "table": pd.DataFrame(log), "file": to_file(log, tmp_path)}[form]
    figure = draw.plot_training_curves(given)
    loss, _, score = figure.axes
    assert loss.lines[0].get_ydata().tolist() == [1 / (i + 1) for i in range(9)]
    assert score.lines[0].get_ydata().tolist() == [0.2, 0.375, 0.3]
    assert "best 0.375" in read_text(figure)


def test_one_validation_stands_at_its_epoch_on_an_axis_from_the_start():
    score = draw.plot_training_curves(STEPS + VALIDATIONS[:1]).axes[2]
    assert score.get_xlim() == pytest.approx((0, 1.1))


def test_every_axis_is_labeled():
    for axis in draw.plot_training_curves(STEPS + VALIDATIONS).axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.get_title()


def test_live_curves_draw_now_and_then(capsys):
    live = draw.LiveCurves(seconds=60)
    for n in range(1, 4):
        live(STEPS[:n])
    assert capsys.readouterr().out.count("Figure") == 1
    assert not plt.get_fignums()


def test_live_curves_draw_after_a_validation(capsys):
    live = draw.LiveCurves(seconds=60)
    live(STEPS)
    live(STEPS + VALIDATIONS[:1])
    assert capsys.readouterr().out.count("Figure") == 2


def test_the_end_of_a_training_is_drawn_in_the_place_of_its_curves(capsys):
    live = draw.LiveCurves(seconds=60)
    live(STEPS)
    figure = live.finish(STEPS + VALIDATIONS, title="finished")
    assert figure.get_suptitle() == "finished"
    assert capsys.readouterr().out.count("Figure") == 2
    assert not plt.get_fignums(), "the notebook would show it again"
