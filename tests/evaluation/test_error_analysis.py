"""Where the mAP goes: kinds of mistakes, shares that add up, oracles, confusions, the top mistakes."""

import numpy as np
import pandas as pd
import pytest

from avalib.evaluation.error_analysis import analyze_errors
from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.mistake_kinds import MISTAKES

LABELS = {12: "stand", 14: "walk", 80: "watch"}
COLUMNS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
LEFT = (0.1, 0.1, 0.3, 0.9)
RIGHT = (0.6, 0.1, 0.8, 0.9)


def make_gt(*rows):
    """Ground truth of (second, box, actions) …"""
    rows = [("a", float(second), *box, action, 0) for second, box, actions in rows for action in actions]
    return pd.DataFrame(rows, columns=[*COLUMNS, "person_id"])


def make_det(*rows):
    """Detections of (second, box, {action: score}) …"""
    rows = [("a", float(second), *box, *item) for second, box, scores in rows for item in scores.items()]
    return pd.DataFrame(rows, columns=[*COLUMNS, "score"])


def shift(box, distance):
    return (box[0] + distance, box[1], box[2] + distance, box[3])


def break_down(gt, det, action=12):
    """{"AP" or mistake: share}, without those that are 0."""
    losses = analyze_errors(gt, det, LABELS).compute_loss_breakdown().set_index("action_id").loc[action]
    shares = losses[["AP", *MISTAKES]].astype(float)
    assert shares.sum() == pytest.approx(1)
    return {name: share for name, share in shares.items() if share > 1e-12}


def make_random_tables(seed=0):
    """80 keyframes of two people with random scores, some of them missed, some boxes on the background."""
    rng = np.random.default_rng(seed)
    gt_rows = []
    det_rows = []
    for second in range(902, 982):
        for box in (LEFT, RIGHT):
            actions = rng.choice(list(LABELS), rng.integers(1, 3), replace=False).tolist()
            gt_rows.append((second, box, actions))
            if rng.random() < 0.9:
                near = tuple(np.array(box) + rng.normal(0, 0.03, 4))
                det_rows.append((second, near, {a: rng.random() + 0.3 * (a in actions) for a in LABELS}))
        if rng.random() < 0.3:
            det_rows.append((second, (0.4, 0.5, 0.5, 0.7), {a: rng.random() for a in LABELS}))
    return make_gt(*gt_rows), make_det(*det_rows)


# --- the cost of each kind of mistake ---------------------------------------------------------------------------------

TWO_PEOPLE = make_gt((902, LEFT, [12]), (903, LEFT, [12]))
FIRST = (902, LEFT, {12: 0.5, 14: 0.1})  # the correct detections
SECOND = (903, LEFT, {12: 0.5, 14: 0.1})


@pytest.mark.parametrize(
    ("detections", "shares"),
    [
        pytest.param([FIRST, SECOND], {"AP": 1.0}, id="no mistake"),
        pytest.param([FIRST], {"AP": 0.5, "missed": 0.5}, id="no box"),
        pytest.param(
            [FIRST, (903, shift(LEFT, 0.1), {12: 0.1})], {"AP": 0.5, "localization": 0.5}, id="only a shifted box"
        ),
        pytest.param([FIRST, (903, LEFT, {14: 0.9})], {"AP": 0.5, "classification": 0.5}, id="no score"),
        pytest.param(
            [FIRST, SECOND, (902, shift(LEFT, 0.6), {12: 0.9})],
            {"AP": 2 / 3, "background": 1 / 3},
            id="a box on the background",
        ),
        pytest.param(
            [FIRST, SECOND, (904, LEFT, {12: 0.9})],
            {"AP": 2 / 3, "background": 1 / 3},
            id="a box in a second without people",
        ),
        pytest.param(
            [FIRST, SECOND, (902, shift(LEFT, 0.1), {12: 0.9})],
            {"AP": 2 / 3, "localization": 1 / 3},
            id="a shifted box too",
        ),
        pytest.param(
            [(902, shift(LEFT, 0.01), {12: 0.9}), (902, LEFT, {12: 0.6}), SECOND],
            {"AP": 5 / 6, "localization": 1 / 6},
            id="two boxes on one person",
        ),
    ],
)
def test_each_kind_of_loss(detections, shares):
    assert break_down(TWO_PEOPLE, make_det(*detections)) == pytest.approx(shares)


@pytest.mark.parametrize(("score", "kind"), [(0.9, "classification"), (0.7, "ranking")])
def test_a_wrong_action_scored_above_the_correct_one_is_a_classification_mistake(score, kind):
    gt = make_gt((902, LEFT, [12]), (902, RIGHT, [14]))
    det = make_det((902, LEFT, {12: 0.5}), (902, RIGHT, {12: score, 14: 0.8}))
    assert break_down(gt, det) == pytest.approx({"AP": 0.5, kind: 0.5})


@pytest.mark.parametrize("protocol", ["mmaction", "activitynet", "mmaction1x", "pyslowfast"])
def test_the_shares_add_up_and_the_ap_is_the_evaluators(protocol):
    gt, det = make_random_tables()
    excluded = pd.DataFrame({"video_id": "a", "timestamp": [902.0, 903.0]})
    report = evaluate(gt, det, LABELS, excluded, protocol)
    losses = analyze_errors(gt, det, LABELS, excluded, protocol).compute_loss_breakdown()
    assert losses["AP"].tolist() == pytest.approx(report.per_class["AP"].tolist(), abs=1e-12)
    assert losses[["AP", *MISTAKES]].sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert (losses[list(MISTAKES)] >= 0).all(axis=None)
    assert (losses[list(MISTAKES)] > 0).any(axis=None)


def test_without_detections_everything_is_missed():
    gt, det = make_random_tables()
    analysis = analyze_errors(gt, det[:0], LABELS)
    assert analysis.compute_loss_breakdown()["missed"].tolist() == [1, 1, 1]
    assert analysis.compute_oracle_map().attrs["perfect_actions"] == 0
    assert analysis.find_confusions().empty
    assert analysis.find_top_mistakes().empty


# --- perfect parts ----------------------------------------------------------------------------------------------------


def test_the_oracle_table():
    gt, det = make_random_tables()
    table = analyze_errors(gt, det, LABELS).compute_oracle_map()
    assert list(table) == ["action_id", "action", "AP", "perfect_boxes", "perfect_actions"]
    assert table.attrs["AP"] == evaluate(gt, det, LABELS).mAP
    assert table.attrs["AP"] < table.attrs["perfect_boxes"] < 1
    assert table.attrs["AP"] < table.attrs["perfect_actions"] < 1


def test_perfect_boxes_repair_shifted_boxes():
    gt = make_gt((902, LEFT, [12]), (902, RIGHT, [14]))
    det = make_det(
        (902, shift(LEFT, 0.1), {12: 0.9, 14: 0.1}),
        (902, shift(RIGHT, 0.1), {12: 0.1, 14: 0.9}),
    )
    mAPs = analyze_errors(gt, det, LABELS).compute_oracle_map().attrs
    assert mAPs == {"AP": 0, "perfect_boxes": 1, "perfect_actions": 0}


def test_perfect_actions_repair_wrong_scores():
    gt = make_gt((902, LEFT, [12]), (902, RIGHT, [14]))
    det = make_det((902, LEFT, {12: 0.1, 14: 0.9}), (902, RIGHT, {12: 0.9, 14: 0.1}))
    mAPs = analyze_errors(gt, det, LABELS).compute_oracle_map().attrs
    assert mAPs == {"AP": 0.5, "perfect_boxes": 0.5, "perfect_actions": 1}


# --- actions and examples ---------------------------------------------------------------------------------------------


def test_confusions_are_counted():
    seconds = range(902, 912)
    gt = make_gt(*[(second, LEFT, [12]) for second in seconds])
    rows = []
    for second in seconds:
        scores = {12: 0.5, 14: 0.8 if second < 909 else 0.2, 80: 0.9 if second < 904 else 0.1}
        rows.append((second, LEFT, scores))
    table = analyze_errors(gt, make_det(*rows), LABELS).find_confusions()
    assert table[["does", "taken_for", "people"]].values.tolist() == [["stand", "walk", 7], ["stand", "watch", 2]]
    assert table["share"].tolist() == pytest.approx([0.7, 0.2])
    assert table["mean_score"].tolist() == pytest.approx([0.8, 0.9])


@pytest.fixture(scope="module")
def top_mistakes():
    gt = make_gt((902, LEFT, [12, 80]), (903, LEFT, [12]))
    det = make_det(
        (902, LEFT, {12: 0.5, 14: 0.9}),
        (903, RIGHT, {12: 0.95}),
        (903, LEFT, {12: 0.4}),
        (903, shift(LEFT, 0.1), {12: 0.7}),
    )
    return analyze_errors(gt, det, LABELS).find_top_mistakes(3)


def test_the_top_mistakes_are_sorted_by_score(top_mistakes):
    assert top_mistakes["score"].tolist() == [0.95, 0.9, 0.7]
    assert top_mistakes["timestamp"].tolist() == [903, 902, 903]


def test_the_top_mistakes_have_a_kind(top_mistakes):
    assert top_mistakes["kind"].tolist() == ["background", "classification", "localization"]


def test_the_top_mistakes_name_the_detected_and_the_annotated_actions(top_mistakes):
    assert top_mistakes["action"].tolist() == ["stand", "walk", "stand"]
    assert top_mistakes["does"].tolist() == ["", "stand, watch", "stand"]


def test_the_top_mistakes_have_the_persons_box(top_mistakes):
    assert top_mistakes["gt_x1"].isna().tolist() == [True, False, False]
    assert top_mistakes[["gt_x1", "gt_y1", "gt_x2", "gt_y2"]].iloc[1].tolist() == list(LEFT)
    assert top_mistakes["iou"].tolist() == pytest.approx([0, 1, 1 / 3])


def test_a_person_is_once_per_action_in_the_top_mistakes():
    table = analyze_errors(*make_random_tables(1), LABELS).find_top_mistakes(20)
    assert len(table) == 20
    assert table["score"].is_monotonic_decreasing
    assert not table.duplicated(["timestamp", "gt_x1", "action_id", "x1"]).any()
    assert (table["kind"] != "true_positive").all()


def test_ap_beside_the_training_boxes():
    gt, det = make_random_tables()
    table = analyze_errors(gt, det, LABELS).compare_with_training(gt)
    assert list(table) == ["action_id", "action", "group", "AP", "training_boxes"]
    assert table["training_boxes"].tolist() == [(gt["action_id"] == action).sum() for action in LABELS]
