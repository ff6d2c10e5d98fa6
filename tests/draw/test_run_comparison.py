"""Curves of several trainings in one figure."""

import json

import pytest
from figures import read_text

from avalib import draw


def write_log(folder, scores, clips=4):
    """A training of three steps an epoch, validated after each with these scores."""
    lines = []
    for epoch, score in enumerate(scores, 1):
        for step in (1, 2, 3):
            iteration = 3 * (epoch - 1) + step
            lines.append(
                {"mode": "train", "epoch": epoch, "iter": step, "iteration": iteration, "lr": 0.1, "clips": clips}
                | {"loss_action_cls": 1 / iteration, "time": 1.0}
            )
        lines.append({"mode": "val", "epoch": epoch, "iter": 3, "iteration": 3 * epoch, "mAP@0.5IOU": score})
    path = folder / "train" / "log.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_runs_are_compared_over_the_clips_that_they_have_seen(tmp_path):
    first = write_log(tmp_path / "slowonly_r50", [0.1, 0.3])
    second = write_log(tmp_path / "slowfast_r50", [0.2], clips=8)
    figure = draw.plot_run_comparison([first, second / "train" / "log.jsonl"])
    losses, scores = figure.axes
    assert losses.lines[0].get_xdata().tolist() == [4, 8, 12, 16, 20, 24]
    assert scores.lines[0].get_xdata().tolist() == [12, 24]
    assert scores.lines[1].get_xdata().tolist() == [24]
    text = read_text(figure)
    assert "slowonly_r50: best 0.3000" in text
    assert "slowfast_r50: best 0.2000" in text


def test_runs_may_have_names(tmp_path):
    figure = draw.plot_run_comparison({"ours": write_log(tmp_path / "a", [0.1])})
    assert "ours: best 0.1000" in read_text(figure)


def test_a_folder_without_a_training_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="train there first"):
        draw.plot_run_comparison([tmp_path])
