"""The recall of the boxes is what MMAction2 v0.10.0 measures."""

import pytest
from evaluation_tables import CASES, write_case

from avalib.evaluation.evaluator import evaluate

RECORDED = [name for name, case in CASES.items() if "stable" in case["expected"]["recall"]]
EXCLUDED = [name for name in RECORDED if "stable_exclusions_applied" in CASES[name]["expected"]["recall"]]


@pytest.mark.parametrize("name", RECORDED)
def test_recall_equals_the_evaluators(name, tmp_path):
    report = evaluate(*write_case(CASES[name], tmp_path))
    assert report.recall == pytest.approx(CASES[name]["expected"]["recall"]["stable"], abs=1e-9)


@pytest.mark.parametrize("name", RECORDED)
def test_recall_equals_the_evaluators_if_missing_frames_are_misses(name, tmp_path):
    report = evaluate(*write_case(CASES[name], tmp_path), missing="miss")
    expected = CASES[name]["expected"]["recall"]["stable_missing_is_miss"]
    assert report.recall == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", EXCLUDED)
def test_recall_equals_the_evaluators_without_excluded_seconds(name, tmp_path):
    report = evaluate(*write_case(CASES[name], tmp_path))
    expected = CASES[name]["expected"]["recall"]["stable_exclusions_applied"]
    assert report.measure_recall(exclude=True) == pytest.approx(expected, abs=1e-9)
