"""Where the mAP goes: mistakes told apart, shares that add up, oracles, confusions, the worst."""

import numpy as np
import pandas as pd
import pytest

from avalib.evaluation.error_analysis import KINDS, analyze_errors
from avalib.evaluation.evaluator import evaluate

LABELS = {12: "stand", 14: "walk", 80: "watch"}
COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
HERE, THERE = (0.1, 0.1, 0.3, 0.9), (0.6, 0.1, 0.8, 0.9)


def gt(*rows):
    """Ground truth of (second, box, actions)."""
    rows = [("a", float(s), *box, action, 0) for s, box, actions in rows for action in actions]
    return pd.DataFrame(rows, columns=[*COLUMNS, "person_id"])


def det(*rows):
    """Detections of (second, box, {action: score})."""
    rows = [("a", float(s), *box, action, score) for s, box, scores in rows for action, score in scores.items()]
    return pd.DataFrame(rows, columns=[*COLUMNS, "score"])


def moved(box, by):
    return (box[0] + by, box[1], box[2] + by, box[3])


def shares(truth, found, action=12, **options):
    losses = analyze_errors(truth, found, LABELS, **options).compute_loss_breakdown().set_index("action_id").loc[action]
    assert losses[["AP", *KINDS[1:]]].sum() == pytest.approx(1)
    return {kind: float(losses[kind]) for kind in ("AP", *KINDS[1:]) if losses[kind] > 1e-12}


def test_each_kind_of_loss_alone():
    truth = gt((902, HERE, [12]), (903, HERE, [12]))
    good = [(902, HERE, {12: 0.5, 14: 0.1}), (903, HERE, {12: 0.5, 14: 0.1})]
    assert shares(truth, det(*good)) == {"AP": 1.0}
    assert shares(truth, det(good[0])) == {"AP": 0.5, "missed": 0.5}
    far, off = moved(HERE, 0.6), moved(HERE, 0.1)
    assert shares(truth, det(good[0], (903, off, {12: 0.1}))) == {"AP": 0.5, "localization": 0.5}
    assert shares(truth, det(good[0], (903, HERE, {14: 0.9}))) == {"AP": 0.5, "classification": 0.5}  # never scored
    assert shares(truth, det(*good, (902, far, {12: 0.9}))) == pytest.approx({"AP": 2 / 3, "background": 1 / 3})
    assert shares(truth, det(*good, (904, HERE, {12: 0.9}))) == pytest.approx({"AP": 2 / 3, "background": 1 / 3})
    assert shares(truth, det(*good, (902, off, {12: 0.9}))) == pytest.approx({"AP": 2 / 3, "localization": 1 / 3})
    twice = (902, moved(HERE, 0.01), {12: 0.9}), (902, HERE, {12: 0.6})  # the second finds nobody free
    assert shares(truth, det(*twice, good[1])) == pytest.approx({"AP": 5 / 6, "localization": 1 / 6})


def test_classification_and_ranking_on_a_right_box():
    truth = gt((902, HERE, [12]), (902, THERE, [14]))
    right = (902, HERE, {12: 0.5})
    assert shares(truth, det(right, (902, THERE, {12: 0.9, 14: 0.8}))) == {"AP": 0.5, "classification": 0.5}
    assert shares(truth, det(right, (902, THERE, {12: 0.7, 14: 0.8}))) == {"AP": 0.5, "ranking": 0.5}


def made_up(seed=0):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for second in range(902, 982):
        for box in (HERE, THERE):
            own = rng.choice(list(LABELS), rng.integers(1, 3), replace=False).tolist()
            truth.append((second, box, own))
            if rng.random() < 0.9:
                near = tuple(np.array(box) + rng.normal(0, 0.03, 4))
                found.append((second, near, {a: rng.random() + 0.3 * (a in own) for a in LABELS}))
        if rng.random() < 0.3:
            found.append((second, (0.4, 0.5, 0.5, 0.7), {a: rng.random() for a in LABELS}))
    return gt(*truth), det(*found)


@pytest.mark.parametrize("protocol", ["mmaction", "activitynet", "mmaction1x", "pyslowfast"])
def test_shares_add_up_and_ap_is_the_metrics(protocol):
    truth, found = made_up()
    excluded = pd.DataFrame({"video_id": "a", "timestamp": [902.0, 903.0]})
    found_report = evaluate(truth, found, LABELS, excluded, protocol)
    analysis = analyze_errors(truth, found, LABELS, excluded, protocol)
    losses = analysis.compute_loss_breakdown()
    assert losses["AP"].tolist() == pytest.approx(found_report.per_class["AP"].tolist(), abs=1e-12)
    assert losses[["AP", *KINDS[1:]]].sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert (losses[list(KINDS[1:])] >= 0).all(axis=None) and (losses[list(KINDS[1:])] > 0).any(axis=None)


def test_oracles():
    truth, found = made_up()
    table = analyze_errors(truth, found, LABELS).compute_oracle_map()
    assert list(table) == ["action_id", "action", "AP", "perfect_boxes", "perfect_actions"]
    assert table.attrs["AP"] == evaluate(truth, found, LABELS).mAP
    assert (
        table.attrs["AP"] < table.attrs["perfect_boxes"] < 1 and table.attrs["AP"] < table.attrs["perfect_actions"] < 1
    )
    one = gt((902, HERE, [12]), (902, THERE, [14]))
    off = det((902, moved(HERE, 0.1), {12: 0.9, 14: 0.1}), (902, moved(THERE, 0.1), {12: 0.1, 14: 0.9}))
    assert {**analyze_errors(one, off, LABELS).compute_oracle_map().attrs} == {
        "AP": 0,
        "perfect_boxes": 1,
        "perfect_actions": 0,
    }
    turned = det((902, HERE, {12: 0.1, 14: 0.9}), (902, THERE, {12: 0.9, 14: 0.1}))
    assert {**analyze_errors(one, turned, LABELS).compute_oracle_map().attrs} == {
        "AP": 0.5,
        "perfect_boxes": 0.5,
        "perfect_actions": 1,
    }


def test_confusions():
    truth = gt(*[(s, HERE, [12]) for s in range(902, 912)])
    found = det(
        *[(s, HERE, {12: 0.5, 14: 0.8 if s < 909 else 0.2, 80: 0.9 if s < 904 else 0.1}) for s in range(902, 912)]
    )
    table = analyze_errors(truth, found, LABELS).find_confusions()
    assert table[["does", "taken_for", "people"]].values.tolist() == [["stand", "walk", 7], ["stand", "watch", 2]]
    assert table["share"].tolist() == pytest.approx([0.7, 0.2])
    assert table["mean_score"].tolist() == pytest.approx([0.8, 0.9])


def test_worst_mistakes_come_ready_to_draw():
    truth = gt((902, HERE, [12, 80]), (903, HERE, [12]))
    found = det(
        (902, HERE, {12: 0.5, 14: 0.9}),
        (903, THERE, {12: 0.95}),
        (903, HERE, {12: 0.4}),
        (903, moved(HERE, 0.1), {12: 0.7}),
    )
    table = analyze_errors(truth, found, LABELS).find_top_mistakes(3)
    assert table["kind"].tolist() == ["background", "classification", "localization"]
    assert table["score"].tolist() == [0.95, 0.9, 0.7] and table["action"].tolist() == ["stand", "walk", "stand"]
    assert table["does"].tolist() == ["", "stand, watch", "stand"]
    assert table["gt_x1"].isna().tolist() == [True, False, False]
    assert table[["gt_x1", "gt_y1", "gt_x2", "gt_y2"]].iloc[1].tolist() == list(HERE)
    assert table["timestamp"].tolist() == [903, 902, 903] and table["iou"].tolist() == pytest.approx([0, 1, 1 / 3])


def test_worst_shows_a_person_once_per_action():
    truth, found = made_up(1)
    analysis = analyze_errors(truth, found, LABELS)
    table = analysis.find_top_mistakes(20)
    assert len(table) == 20 and table["score"].is_monotonic_decreasing
    assert not table.duplicated(["timestamp", "gt_x1", "action_id", "x1"]).any()
    assert (table["kind"] != "true").all()


def test_against_training():
    truth, found = made_up()
    table = analyze_errors(truth, found, LABELS).compare_with_training(truth)
    assert table["training_boxes"].tolist() == [(truth["action_id"] == a).sum() for a in LABELS]
    assert list(table) == ["action_id", "action", "group", "AP", "training_boxes"]


def test_nothing_found_is_all_missed():
    truth, found = made_up()
    analysis = analyze_errors(truth, found[:0], LABELS)
    assert analysis.compute_loss_breakdown()["missed"].tolist() == [1, 1, 1]
    assert analysis.compute_oracle_map().attrs["perfect_actions"] == 0
    assert analysis.find_confusions().empty and analysis.find_top_mistakes().empty
