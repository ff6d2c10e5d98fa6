"""The evaluator gives the results of the four evaluators in use, and names what is wrong with its input."""

import functools
import io
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from evaluation_tables import CASES, LABELS, make_tables, write_case

from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.labels import get_action_names
from avalib.evaluation.baselines import compute_frequency_baseline
from avalib.evaluation.error_analysis import analyze_errors
from avalib.evaluation.evaluator import compare_protocols, evaluate
from avalib.evaluation.matching import iter_pair_blocks
from avalib.evaluation.protocols import PROTOCOLS


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", CASES)
def test_equals_the_evaluators(name, protocol, tmp_path):
    expected = CASES[name]["expected"]["protocols"][protocol]
    files = write_case(CASES[name], tmp_path)
    if expected["error"]:
        with pytest.raises(ValueError, match="csv, line [0-9]|no score"):
            evaluate(*files, protocol=protocol)
        return
    report = evaluate(*files, protocol=protocol)
    expected_ap = {action: expected["per_class_ap"].get(str(action)) for action in report.label_map}
    expected_ap = np.array([np.nan if ap is None else ap for ap in expected_ap.values()], float)
    expected_mAP = np.nan if expected["mAP"] is None else expected["mAP"]
    assert report.per_class["AP"].to_numpy() == pytest.approx(expected_ap, abs=1e-9, rel=0, nan_ok=True)
    assert report.mAP == pytest.approx(expected_mAP, abs=1e-9, rel=0, nan_ok=True)


def compute_ap_slowly(gt, det, action, threshold, grouped=False):
    """AP of one action, box by box, for the mmaction protocol without ties (or grouped)."""
    gt = gt[gt["action_id"] == action]
    det = det[det["action_id"] == action].sort_values("score", ascending=False)
    free = set(gt.index)
    hits = []
    for row in det.itertuples():
        best_iou, best = 0.0, None
        for other in gt[(gt["video_id"] == row.video_id) & (gt["timestamp"] == row.timestamp)].itertuples():
            width = max(0, min(row.x2, other.x2) - max(row.x1, other.x1))
            height = max(0, min(row.y2, other.y2) - max(row.y1, other.y1))
            area = (row.x2 - row.x1) * (row.y2 - row.y1) + (other.x2 - other.x1) * (other.y2 - other.y1)
            iou = width * height / (area - width * height)
            if iou > best_iou:
                best_iou, best = iou, other.Index
        hits.append(best_iou >= threshold and best in free)
        if hits[-1]:
            free.remove(best)
    points = [(0.0, 1.0)]  # recall, precision
    for end in range(1, len(hits) + 1):
        if not grouped or end == len(hits) or det["score"].iloc[end] != det["score"].iloc[end - 1]:
            points.append((sum(hits[:end]) / len(gt), sum(hits[:end]) / end))
    area = 0
    for i in range(1, len(points)):
        area += (points[i][0] - points[i - 1][0]) * max(precision for _, precision in points[i:])
    return area


@pytest.mark.slow
@pytest.mark.parametrize(("digits", "ties"), [(None, "stable"), (None, "grouped"), (1, "grouped")])
def test_any_iou_and_grouped_ties_equal_a_slow_evaluation(digits, ties):
    gt, det = make_tables(1, digits=digits)
    report = evaluate(gt, det, LABELS, iou=[0.3, 0.5, 0.75], ties=ties)
    for row in report.per_class.itertuples():
        expected = [compute_ap_slowly(gt, det, row.action_id, iou, ties == "grouped") for iou in report.thresholds]
        ap = report.per_class.set_index("action_id").loc[row.action_id, ["AP@0.30", "AP@0.50", "AP@0.75"]]
        np.testing.assert_allclose(ap.astype(float), expected, atol=1e-12)
        assert row.AP == pytest.approx(np.mean(expected))


def test_the_map_of_several_ious_is_their_mean():
    report = evaluate(*make_tables(1), LABELS, iou=[0.3, 0.5, 0.75])
    assert report.mAP == pytest.approx(np.mean(list(report.mAP_by_iou.values())))
    assert report.mAP_by_iou[0.3] > report.mAP_by_iou[0.75]


def test_grouped_ties_do_not_depend_on_the_order_of_rows():
    gt, det = make_tables(2, digits=1)
    shuffled = det.sample(frac=1, random_state=0)
    grouped = [evaluate(gt, table, LABELS, ties="grouped").mAP for table in (det, shuffled)]
    stable = [evaluate(gt, table, LABELS, ties="stable").mAP for table in (det, shuffled)]
    assert grouped[0] == pytest.approx(grouped[1], abs=1e-12)
    assert abs(stable[0] - stable[1]) > 1e-4, "the order of rows matters for this input"


# --- sources of the tables --------------------------------------------------------------------------------------------


@pytest.fixture
def rounded_tables():
    """Tables whose numbers have 3 decimals, as files have."""
    boxes = ["x1", "y1", "x2", "y2"]
    gt, det = make_tables(3, digits=3)
    return gt.assign(**gt[boxes].round(3)), det.assign(**det[boxes].round(3))


@pytest.mark.parametrize("source", ["path", "gzip", "open file", "table"])
def test_every_source_gives_the_same_report(source, rounded_tables, tmp_path):
    gt, det = rounded_tables
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "det.csv")
    write_ava_csv(det, tmp_path / "det.csv.gz")
    expected = evaluate(gt, det, LABELS)
    with open(tmp_path / "det.csv", encoding="utf-8") as file:
        sources = {
            "path": tmp_path / "det.csv",
            "gzip": str(tmp_path / "det.csv.gz"),
            "open file": file,
            "table": read_ava_csv(det, "detections"),
        }
        report = evaluate(tmp_path / "gt.csv", sources[source], LABELS)
    assert report.mAP == expected.mAP
    assert report.recall == expected.recall


def test_numbers_may_be_text(rounded_tables):
    gt, det = rounded_tables
    text = det.assign(timestamp=det["timestamp"].map("{:04.0f}".format), action_id=det["action_id"].astype(str))
    assert evaluate(gt, text, LABELS).mAP == evaluate(gt, det, LABELS).mAP


@pytest.mark.parametrize("kind", ["dict of text", "json", "table"])
def test_a_label_map_has_several_forms(kind, tmp_path):
    gt, det = make_tables(9, videos=2)
    (tmp_path / "labels.json").write_text('{"12": "stand"}', encoding="utf-8")
    label_maps = {
        "dict of text": {"12": "stand"},
        "json": tmp_path / "labels.json",
        "table": pd.DataFrame({"action_id": [12], "action": ["stand"]}),
    }
    assert evaluate(gt, det, label_maps[kind]).mAP == evaluate(gt, det, {12: "stand"}).mAP


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_exclusions_may_have_a_byte_order_mark(tmp_path, mark):
    gt = "clipA,0902,0.1,0.1,0.5,0.9,12,0\nclipA,0902,0.6,0.1,0.9,0.9,14,1\nclipA,0903,0.1,0.1,0.5,0.9,12,0\n"
    det = "clipA,902,0.1,0.1,0.5,0.9,12,0.9\nclipA,902,0.6,0.1,0.9,0.9,14,0.8\nclipA,903,0.1,0.1,0.5,0.9,12,0.7\n"
    (tmp_path / "ex.csv").write_text(mark + "clipA,0902\n", encoding="utf-8")
    report = evaluate(io.StringIO(gt), io.StringIO(det), exclusions=tmp_path / "ex.csv")
    assert "excluded seconds: 2 detections left out, 2 ground-truth rows left out" in report.notes


# --- notes on what is left out ----------------------------------------------------------------------------------------


def test_a_label_map_of_80_actions_is_a_warning_and_a_note():
    with pytest.warns(UserWarning, match="all 80 actions.*60"):
        report = evaluate(*make_tables(7), get_action_names())
    assert "all 80" in report.summary()


def test_the_default_label_map_has_60_actions():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(*make_tables(7))
    assert len(report.per_class) == 60
    assert not report.notes


def test_rows_of_other_actions_are_counted_in_a_note():
    gt, det = make_tables(7)
    n_others = (det["action_id"] != 12).sum()
    notes = evaluate(gt, det, {12: "stand"}).notes
    assert f"{n_others:,} detection rows of actions outside the label map left out" in notes


def test_excluded_detections_are_counted_in_a_note():
    gt, det = make_tables(8)
    excluded = pd.DataFrame({"video_id": ["v0"], "timestamp": [902.0]})
    n_excluded = ((det["video_id"] == "v0") & (det["timestamp"] == 902)).sum()
    assert f"{n_excluded} detections left out" in " / ".join(evaluate(gt, det, LABELS, excluded).notes)


@pytest.mark.parametrize(("protocol", "rule"), [("mmaction", "false positives"), ("activitynet", "ignored")])
def test_detections_without_a_keyframe_are_counted_in_a_note(protocol, rule):
    gt, det = make_tables(8)
    elsewhere = det.iloc[:8].assign(video_id="elsewhere")
    report = evaluate(gt, pd.concat([det, elsewhere], ignore_index=True), LABELS, protocol=protocol)
    assert f"8 detections in frames without ground truth: {rule}" in report.notes


def test_empty_boxes_are_counted_in_a_note():
    gt, det = make_tables(8)
    flat = det.iloc[-2:].assign(x2=det["x1"])
    notes = " / ".join(evaluate(gt, pd.concat([det, flat], ignore_index=True), LABELS).notes)
    assert "2 detections with an empty or inverted box dropped" in notes


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_tables_of_other_videos_are_an_error():
    gt, det = make_tables(9)
    with pytest.raises(ValueError, match="share no keyframe: the first has 'v0,902', the second 'v0.mp4,90"):
        evaluate(gt, det.assign(video_id=det["video_id"] + ".mp4"), LABELS)


def test_tables_of_other_seconds_are_an_error():
    gt, det = make_tables(9)
    with pytest.raises(ValueError, match="share no keyframe"):
        evaluate(gt, det.assign(timestamp=det["timestamp"] - 900), LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "coco"}, "protocol 'coco': expected one of activitynet, mmaction, mmaction1x, pyslowfast"),
        ({"protocol": ["mmaction"]}, "protocol"),
        ({"ties": "random"}, "ties 'random'"),
        ({"missing": "none"}, "missing 'none'"),
        ({"iou": 50}, "iou 50"),
        ({"iou": []}, "iou"),
        ({"iou": "half"}, "iou 'half'"),
        ({"label_map": {}}, "label map"),
        ({"label_map": {0: "nothing"}}, "whole ids from 1"),
        ({"exclusions": pd.DataFrame({"video_id": ["v0"], "timestamp": [902.5]})}, "excluded second 902.5"),
        ({"exclusions": pd.DataFrame({"video": ["a"]})}, "exclusions table: no col"),
        ({"exclusions": io.StringIO("v0;902\n")}, "line 1, value 'v0;902'"),
    ],
)
def test_wrong_options_are_named(options, message):
    gt, det = make_tables(9, videos=1)
    with pytest.raises(ValueError, match=message):
        evaluate(gt, det, **({"label_map": LABELS} | options))


@pytest.mark.parametrize("column", ["score", "x1"])
def test_a_nan_in_a_table_is_named_by_row_and_column(column):
    gt, det = make_tables(9, videos=1)
    det.loc[3, column] = np.nan
    with pytest.raises(ValueError, match=f"row 3, column {column}, value nan"):
        evaluate(gt, det, LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": 902.5}, "value '902.5'"),
        ({"timestamp": 2e13}, "table, row 0, column timestamp, value 2e"),
    ],
)
def test_times_that_no_frame_has_are_named(change, message):
    gt, det = make_tables(9, videos=1)
    with pytest.raises(ValueError, match=message):
        evaluate(gt, det.assign(**change), LABELS)


def test_a_nan_in_a_file_is_named_by_line_and_column():
    gt, _ = make_tables(9, videos=1)
    with pytest.raises(ValueError, match="csv, line 1, column score, value 'nan'"):
        evaluate(gt, io.StringIO("v0,902,0.1,0.1,0.2,0.2,12,nan\n"), LABELS)


def test_an_inverted_ground_truth_box_is_named():
    gt, det = make_tables(9, videos=1)
    with pytest.raises(ValueError, match=r"ground_truth table, row 0, box .* in ground truth"):
        evaluate(gt.assign(x2=gt["x1"] - 0.1), det, LABELS)


def test_no_source_is_an_error():
    with pytest.raises(ValueError, match="NoneType 'None': expected a path"):
        evaluate(None, make_tables(9, videos=1)[1])


def test_an_analysis_takes_one_threshold():
    with pytest.raises(ValueError, match="expected one threshold"):
        analyze_errors(*make_tables(9, videos=1), iou=[0.5, 0.7])


# the files of a public report: ids counted from 0, whose first class was dropped without a message
FROM_0_GT = "clipA,0902,0.1,0.1,0.5,0.9,0,0\nclipA,0902,0.6,0.1,0.9,0.9,1,1\nclipB,0902,0.1,0.1,0.5,0.9,0,0\n"
FROM_0_DET = "clipA,902,0.1,0.1,0.5,0.9,0,0.9\nclipA,902,0.6,0.1,0.9,0.9,1,0.8\nclipB,902,0.1,0.1,0.5,0.9,0,0.7\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ids_counted_from_0_are_an_error(tmp_path, protocol):
    (tmp_path / "z_gt.csv").write_text(FROM_0_GT, encoding="utf-8")
    with pytest.raises(ValueError, match=r"z_gt\.csv, line 1: action_id 0; are ids counted from 0\?"):
        evaluate(tmp_path / "z_gt.csv", io.StringIO(FROM_0_DET), {1: "walk", 2: "fall"}, protocol=protocol)


# --- bounded memory ---------------------------------------------------------------------------------------------------


def test_matching_in_blocks_equals_matching_at_once(monkeypatch):
    gt, det = make_tables(12)
    expected = evaluate(gt, det, LABELS, iou=[0.3, 0.5])
    expected_recall = expected.recall
    small_blocks = functools.partial(iter_pair_blocks, block_size=3)
    monkeypatch.setattr("avalib.evaluation.matching.iter_pair_blocks", small_blocks)
    monkeypatch.setattr("avalib.evaluation.box_recall.iter_pair_blocks", small_blocks)
    monkeypatch.setattr("avalib.evaluation.row_groups._LARGEST_LOOKUP", 0)
    report = evaluate(gt, det, LABELS, iou=[0.3, 0.5])
    pd.testing.assert_frame_equal(report.per_class, expected.per_class)
    assert report.recall == expected_recall


def test_more_pairs_than_the_limit_are_an_error(monkeypatch):
    monkeypatch.setattr("avalib.evaluation.matching.MAX_PAIRS", 100)
    with pytest.raises(ValueError, match=r"pairs of boxes to compare, the limit \(MAX_PAIRS\) is 100: up to"):
        evaluate(*make_tables(12), LABELS)


@pytest.mark.slow
def test_ten_thousand_people_in_a_frame_take_bounded_memory():
    code = (
        "import numpy as np, pandas as pd\n"
        "import avalib\n"
        "rng, n = np.random.default_rng(0), 10_000\n"
        "low = rng.random((n, 2)) * 0.9\n"
        "gt = pd.DataFrame(np.c_[low, low + 0.05], columns=['x1', 'y1', 'x2', 'y2'])\n"
        "gt = gt.assign(video_id='a', timestamp=902.0)\n"
        "det = gt.assign(action_id=12, score=rng.random(n))\n"
        "report = avalib.evaluate(gt.assign(action_id=12), det)\n"
        "assert report.mAP == 1 and 0 < report.recall['AR@100'] <= 0.01\n"
        "lines = dict(line.split(':', 1) for line in open('/proc/self/status', encoding='utf-8'))\n"
        "print(int(lines['VmHWM'].split()[0]) / 2**20)\n"  # getrusage counts what the parent of this process had
    )
    peak_gb = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8").stdout
    assert float(peak_gb) < 1


@pytest.mark.slow
def test_evaluating_loads_neither_torch_nor_matplotlib():
    code = "import sys, avalib.evaluation\nassert not {'torch', 'matplotlib', 'scipy'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- comparing protocols ----------------------------------------------------------------------------------------------


def compare_case(name, folder):
    """`compare_protocols` of a recorded case, by protocol."""
    gt, det, *maps = write_case(CASES[name], folder)
    tables = read_ava_csv(gt, "ground_truth"), read_ava_csv(det, "detections")
    return compare_protocols(*tables, *maps).set_index("protocol")


def test_the_maps_of_all_protocols_are_the_evaluators(tmp_path):
    table = compare_case("fuzz_003", tmp_path)
    expected = CASES["fuzz_003"]["expected"]["protocols"]
    assert table["mAP"].to_dict() == pytest.approx({name: expected[name]["mAP"] for name in table.index}, abs=1e-9)


def test_the_reasons_add_up_to_the_difference(tmp_path):
    for row in compare_case("fuzz_003", tmp_path).itertuples():
        changes = [float(part.rsplit(" ", 1)[1]) for part in row.reason.split("; ") if part[-1].isdigit()]
        assert sum(changes) == pytest.approx(row.difference, abs=5e-4)


def test_the_reasons_name_the_rules(tmp_path):
    reasons = compare_case("fuzz_003", tmp_path)["reason"]
    assert reasons["mmaction"] == "the base"
    assert "excluded seconds left out of detections" in reasons["mmaction1x"]


def test_a_protocol_that_refuses_the_input_gives_its_error(tmp_path):
    row = compare_case("h11_invalid_boxes", tmp_path).loc["mmaction1x"]
    assert np.isnan(row["mAP"])
    assert "refused: " in row["reason"]
    assert "x2 < x1" in row["reason"]


# --- the trivial detector ---------------------------------------------------------------------------------------------


@pytest.fixture
def proposals():
    _, det = make_tables(10)
    return det.drop(columns="action_id").drop_duplicates(["video_id", "timestamp", "x1"]).reset_index(drop=True)


def test_the_baseline_scores_every_proposal_by_frequency(proposals):
    gt, _ = make_tables(10)
    table = compute_frequency_baseline(gt, proposals)
    n_boxes = len(gt.drop_duplicates(["video_id", "timestamp", "x1"]))
    expected = {action: (gt["action_id"] == action).sum() / n_boxes for action in LABELS}
    assert len(table) == len(LABELS) * len(proposals)
    assert table.groupby("action_id")["score"].first().to_dict() == pytest.approx(expected)


def test_the_baseline_is_sorted_by_action_in_each_frame(proposals):
    table = compute_frequency_baseline(make_tables(10)[0], proposals)
    first = table[(table["video_id"] == "v0") & (table["timestamp"] == 902)]
    assert first["action_id"].is_monotonic_increasing


def test_the_baseline_is_worse_than_an_informed_detector(proposals):
    gt, det = make_tables(10)
    baseline = compute_frequency_baseline(gt, proposals)
    assert 0 < evaluate(gt, baseline, LABELS).mAP < evaluate(gt, det, LABELS).mAP


def test_the_baseline_needs_training_boxes(proposals):
    with pytest.raises(ValueError, match="no boxes"):
        compute_frequency_baseline(make_tables(10)[0][:0], proposals)


def test_the_baseline_needs_boxes_of_proposals(proposals):
    with pytest.raises(ValueError, match="proposals table: no column"):
        compute_frequency_baseline(make_tables(10)[0], proposals[["x1"]])
