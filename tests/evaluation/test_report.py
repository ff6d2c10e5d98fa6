"""What a report says: tables, curves, text, JSON, comparisons, intervals."""

import json

import numpy as np
import pandas as pd
import pytest
from evaluation_tables import LABELS, make_tables

from avalib.evaluation.evaluator import evaluate


@pytest.fixture(scope="module")
def tables():
    return make_tables(4)


@pytest.fixture(scope="module")
def report(tables):
    return evaluate(*tables, LABELS)


def test_per_class_has_a_row_for_each_action(report, tables):
    table = report.per_class
    assert list(table) == ["action_id", "action", "group", "AP", "ground_truth", "detections", "recall"]
    assert table["action_id"].tolist() == list(LABELS)
    assert table["group"].tolist() == ["pose", "pose", "object", "person"]
    assert table["ground_truth"].tolist() == [(tables[0]["action_id"] == action).sum() for action in LABELS]


def test_the_map_is_the_mean_over_actions(report):
    assert report.mAP == pytest.approx(report.per_class["AP"].mean())


def test_the_map_of_a_group_is_the_mean_over_its_actions(report):
    assert report.mAP_by_group["pose"] == pytest.approx(report.per_class["AP"][:2].mean())


def test_a_curve_is_sorted_by_score(report):
    curve = report.compute_pr_curve("stand")
    assert curve["score"].is_monotonic_decreasing
    assert curve["recall"].is_monotonic_increasing


def test_a_curve_ends_at_the_recall(report):
    assert report.compute_pr_curve("stand")["recall"].iloc[-1] == pytest.approx(report.per_class["recall"][1])


def test_the_area_under_the_envelope_is_the_ap(report):
    curve = report.compute_pr_curve("stand")
    widths = curve["recall"].diff().fillna(curve["recall"])
    assert (widths * curve["envelope"]).sum() == pytest.approx(report.per_class["AP"][1])


def test_an_action_is_named_by_its_id_or_its_name(report):
    assert report.compute_pr_curve(12).equals(report.compute_pr_curve("stand"))


def test_an_unknown_action_is_an_error(report):
    with pytest.raises(KeyError, match="action 'stnd': not in the label map"):
        report.compute_pr_curve("stnd")


def test_an_unknown_threshold_is_an_error(report):
    with pytest.raises(ValueError, match="threshold 0.75"):
        report.compute_pr_curve(12, 0.75)


def test_the_summary_begins_with_the_map(report):
    expected = f"mAP@0.5 = {report.mAP:.4f} over 4 actions (protocol mmaction)"
    assert report.summary().splitlines()[0] == expected


def test_the_representation_is_one_short_line(report):
    assert repr(report).startswith(f"<Report: mAP@0.5 = {report.mAP:.4f} over 4 actions")
    assert len(repr(report)) < 120


def test_a_notebook_shows_actions_and_the_map(report):
    shown = report._repr_html_()
    assert "bend/bow" in shown
    assert f"{report.mAP:.4f}" in shown


def test_json_has_the_results(report):
    content = json.loads(report.to_json())
    assert content["mAP"] == report.mAP
    assert content["per_class"][3]["action"] == "watch"
    assert content["counts"]["videos"] == 6
    assert content["counts"]["keyframes"] == 48


def test_json_has_no_nan(tmp_path, tables):
    report = evaluate(*tables, {**LABELS, 64: "talk"})
    report.to_json(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    talk = content["per_class"][-2]
    assert talk["action"] == "talk"
    assert talk["AP"] is None


def test_comparing_two_reports_finds_the_action_that_changed():
    gt, det = make_tables(5)
    inverted = det.assign(score=np.where(det["action_id"] == 12, -det["score"], det["score"]))
    report, other = evaluate(gt, det, LABELS), evaluate(gt, inverted, LABELS)
    table = report.compare(other)
    assert table["action"][0] == "stand"
    assert table["difference"][0] < -0.05
    assert np.allclose(table["difference"][1:], 0)
    assert table.attrs["mAP_difference"] == pytest.approx(other.mAP - report.mAP)


# --- bootstrap --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["stable", "grouped"])
def test_a_bootstrap_sample_is_the_map_of_the_drawn_videos(ties):
    gt, det = make_tables(6, digits=1 if ties == "grouped" else None)
    samples = evaluate(gt, det, LABELS, ties=ties).bootstrap(20, seed=3)["samples"]
    draws = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=20)
    for draw, sample in zip(draws[:5], samples[:5], strict=True):
        names = [(f"v{v}", f"v{v} copy {i}") for v, count in enumerate(draw) for i in range(count)]
        drawn_gt, drawn_det = (
            pd.concat([table[table["video_id"] == name].assign(video_id=copy) for name, copy in names])
            for table in (gt, det)
        )
        assert evaluate(drawn_gt, drawn_det, LABELS, ties=ties).mAP == pytest.approx(sample, abs=1e-12)


def test_the_interval_is_around_the_median(report):
    interval = report.bootstrap(20, seed=3)
    assert interval["low"] <= np.median(interval["samples"]) <= interval["high"]
    assert interval["std"] > 0


def test_an_interval_needs_two_videos(tables):
    gt, det = (table[table["video_id"] == "v0"] for table in tables)
    with pytest.raises(ValueError, match="at least 2"):
        evaluate(gt, det, LABELS).bootstrap()


@pytest.mark.parametrize(("options", "message"), [({"n": 10**9}, "MAX_DRAWS"), ({"level": 95}, "level 95")])
def test_wrong_numbers_for_an_interval_are_named(report, options, message):
    with pytest.raises(ValueError, match=message):
        report.bootstrap(**options)


@pytest.mark.parametrize("ties", ["stable", "grouped"])
def test_bootstrap_by_video_equals_bootstrap_by_detection(monkeypatch, ties):
    report = evaluate(*make_tables(6, digits=1), LABELS, ties=ties)
    by_video = report.bootstrap(20, seed=3)["samples"]
    monkeypatch.setattr("avalib.evaluation.average_precision._MAX_CELLS", 8)
    assert np.allclose(report.bootstrap(20, seed=3)["samples"], by_video, rtol=0, atol=1e-12)
