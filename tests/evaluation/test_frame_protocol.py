"""The protocol of data sets of one's own: the published rules, at any time."""

import numpy as np
import pandas as pd
import pytest

from avalib.evaluation.evaluator import compare_protocols, evaluate

NAMES = {1: "juggle", 2: "run"}


@pytest.fixture(scope="module")
def tables():
    """(ground truth, detections) of ten whole seconds."""
    rng = np.random.default_rng(0)
    rows = {"video_id": ["a"] * 40, "timestamp": np.repeat(np.arange(10.0), 4), "action_id": np.tile([1, 2], 20)}
    corners = rng.uniform(0, 0.5, (40, 2)).round(3)
    ground_truth = pd.DataFrame(rows).assign(
        x1=corners[:, 0], y1=corners[:, 1], x2=corners[:, 0] + 0.3, y2=corners[:, 1] + 0.3
    )
    detections = ground_truth.assign(x1=ground_truth.x1 + rng.normal(0, 0.12, 40), score=rng.random(40).round(3))
    return ground_truth, detections


@pytest.fixture(scope="module")
def shifted(tables):
    """The same tables at times between whole seconds."""
    return [table.assign(timestamp=table.timestamp * 0.04 + 0.001) for table in tables]


def test_it_equals_mmactions_at_whole_seconds(tables):
    report = evaluate(*tables, NAMES, protocol="frame")
    assert 0 < report.mAP < 1
    assert report.mAP == evaluate(*tables, NAMES).mAP


def test_it_gives_the_same_at_any_time(tables, shifted):
    assert evaluate(*shifted, NAMES, protocol="frame").mAP == evaluate(*tables, NAMES, protocol="frame").mAP


def test_other_protocols_refuse_such_times(shifted):
    with pytest.raises(ValueError, match='use protocol "activitynet" or "frame"'):
        evaluate(*shifted, NAMES)


def test_own_classes_are_in_the_group_other(shifted):
    report = evaluate(*shifted, NAMES, protocol="frame")
    assert report.per_class["group"].tolist() == ["other", "other"]


def test_protocols_are_compared_with_it(shifted):
    comparison = compare_protocols(*shifted, NAMES, base="frame")
    assert comparison.protocol.tolist()[-1] == "frame"
    assert comparison.mAP.iloc[-1] == evaluate(*shifted, NAMES, protocol="frame").mAP
