"""Measured numbers are compared with the published ones, within their tolerance."""

import pytest
from made_results import copy_result

from avalib.zoo_runner.published_comparison import compare_with_published, get_tolerance

JITTER = {"dataset": "mini", "rows": [{"model": "slowonly_r50", "std": 0.002, "mAP": [0.2, 0.21, 0.22]}]}


def test_the_tolerance_is_that_of_a_model_with_the_same_clip():
    assert get_tolerance("slowonly_omnisource_r50", JITTER).points == pytest.approx(0.05 + 0.6)


def test_a_published_checkpoint_passes_or_fails():
    close = copy_result("slowonly_r50", [0.2035], "ava2.1", "published")
    far = copy_result("slowonly_r50", [0.194], "ava2.1", "published")
    table = compare_with_published([close, far], JITTER)
    assert list(table.verdict) == ["pass", "FAIL"]
    assert table.difference[0] == 0.25
    assert table.tolerance[0] == 0.65
    assert "3 seeds" in table.reason[0]


@pytest.mark.parametrize(
    ("result", "jitter", "verdict"),
    [
        (copy_result("slowonly_r50", [0.2], "ava2.1"), JITTER, "none: not the published checkpoint"),
        (
            copy_result("slowonly_r50", [0.2], "ava2.1", "published", share=0.9, label="part"),
            JITTER,
            "none: not all keyframes",
        ),
        (
            copy_result("slowonly_r50", [0.2], "mini", "published"),
            JITTER,
            "none: published on ava2.1 under protocol mmaction",
        ),
        (copy_result("slowonly_r50", [0.2], "ava2.1", "published"), None, "none: no tolerance"),
    ],
)
def test_what_cannot_be_compared_has_no_verdict(result, jitter, verdict):
    assert list(compare_with_published([result], jitter).verdict) == [verdict]


def test_a_number_of_another_data_set_does_not_stand_beside_the_published_one():
    row = compare_with_published([copy_result("slowonly_r50", [0.2], "mini", "published")], JITTER).iloc[0]
    assert row[["expected", "difference", "tolerance", "reason"]].isna().all()
