"""A training that makes no sense is noticed: an mAP of 0 although the loss falls, a batch that can't be learned."""

import re
import shutil

import pandas as pd
import pytest
from tiny_model import make_config

from avalib.data.ava_csv import read_ava_csv
from avalib.data.layout import DatasetLayout
from avalib.training.logger import read_log
from avalib.training.sanity_checks import OverfitError, diagnose_zero_map, is_batch_learned, overfit_one_batch


def make_rows(losses):
    return [{"mode": "train", "loss_action_cls": loss} for loss in losses]


FALLING = make_rows([0.6] * 10 + [0.1] * 10)


@pytest.fixture
def layout(tiny, tmp_path):
    """The tiny data set's annotations, to be changed."""
    for folder in ("annotations", "proposals"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    return DatasetLayout(tmp_path, tiny.version)


def make_perfect_detections(layout, shift=0):
    """Detections that are the annotations, with ids shifted."""
    truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth").dropna(subset=["action_id"])
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
    return truth[columns].assign(action_id=truth.action_id.astype(int) + shift, score=0.9)


def test_ids_off_by_one_are_found(layout):
    message = diagnose_zero_map(FALLING, 0.0, layout, make_perfect_detections(layout, shift=1))
    assert "fell from 0.600 to 0.100" in message
    assert "ids off by one: FOUND, with predicted ids shifted by -1 the mAP would be" in message
    assert "boxes in pixels instead of 0..1: checked, not found" in message


def test_boxes_in_pixels_are_found(layout):
    pixels = make_perfect_detections(layout)
    pixels[["x1", "y1", "x2", "y2"]] *= 320
    assert "boxes in pixels instead of 0..1: FOUND, predicted boxes reach" in diagnose_zero_map(
        FALLING, 0.0, layout, pixels
    )


def test_a_label_map_without_the_ids_is_found(layout):
    layout.evaluated_label_map_path.write_text('item {\n  name: "nothing"\n  id: 80\n}\n', encoding="utf-8")
    message = diagnose_zero_map(FALLING, 0.0, layout, make_perfect_detections(layout))
    assert re.search(r"label map without the annotated ids: FOUND, \d\d+% of the val labels", message)


def test_a_training_that_learns_is_not_questioned():
    assert diagnose_zero_map(FALLING, 0.2, None, pd.DataFrame()) is None


def test_a_loss_that_does_not_fall_is_not_explained():
    assert diagnose_zero_map(make_rows([0.6] * 20), 0.0, None, pd.DataFrame()) is None


def test_an_unexplained_zero_says_what_to_try(layout):
    detections = make_perfect_detections(layout).assign(action_id=80)
    assert "none of them" in diagnose_zero_map(FALLING, 0.0, layout, detections)


@pytest.fixture(scope="module")
def overfit_log(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("overfit")
    return overfit_one_batch(make_config(tiny), folder, progress=False), folder


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(overfit_log):
    log, folder = overfit_log
    assert is_batch_learned(log.iloc[-1])
    assert log.loss_action_cls.iloc[-1] < 0.05 < log.loss_action_cls[0]
    assert len(read_log(folder / "log.jsonl")) == len(log)


def test_a_batch_that_is_not_learned_is_an_error_with_likely_reasons(tiny, tmp_path):
    with pytest.raises(OverfitError, match="not reached in 2 steps.*Likely reasons"):
        overfit_one_batch(make_config(tiny), tmp_path / "again", steps=2, progress=False)


def test_the_goal_is_reported_before_the_check(tiny, tmp_path, capsys):
    with pytest.raises(OverfitError):
        overfit_one_batch(make_config(tiny), tmp_path / "again", steps=1, progress=False)
    assert "goal: loss below 0.05" in capsys.readouterr().out
