"""The evaluator against the answers of the four evaluators in use, and what stands around it."""

import functools
import gzip
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.label_map import write_label_map
from avalib.data.labels import get_action_names
from avalib.evaluation.error_analysis import analyze_errors
from avalib.evaluation.evaluator import compare_protocols, compute_frequency_baseline, evaluate, score_main
from avalib.evaluation.matching import expand_pairs, keep_top_per_frame, select_heap_order
from avalib.evaluation.protocols import PROTOCOLS

CASES = json.loads(gzip.decompress((Path(__file__).parents[1] / "evaluator_cases/cases.json.gz").read_bytes()))
LABELS = {3: "bend/bow", 12: "stand", 20: "cook", 80: "watch"}


def arguments(case, folder):
    """The files of a case -> (gt, pred, label map, exclusions), detections as an open file."""
    for name in ("gt.csv", "excluded.csv", "labelmap.pbtxt"):
        (folder / name).write_bytes(case[name].encode())
    prediction = io.BytesIO(case["pred.csv"].encode())
    return folder / "gt.csv", prediction, folder / "labelmap.pbtxt", folder / "excluded.csv"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", CASES)
def test_equals_the_evaluators(name, protocol, tmp_path):
    expected = CASES[name]["expected"]["protocols"][protocol]
    files = arguments(CASES[name], tmp_path)
    if expected["error"]:
        with pytest.raises(ValueError, match="csv, line [0-9]|no score"):
            evaluate(*files, protocol=protocol)
        return
    report = evaluate(*files, protocol=protocol)
    found = dict(zip(report.per_class["action_id"], report.per_class["AP"], strict=True))
    for action, ap in found.items():
        wanted = expected["per_class_ap"].get(str(action))
        assert (np.isnan(ap) and wanted is None) or abs(ap - wanted) < 1e-9, (action, ap, wanted)
    assert (np.isnan(report.mAP) and expected["mAP"] is None) or abs(report.mAP - expected["mAP"]) < 1e-9


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "stable" in case["expected"]["recall"]])
def test_recall_equals_the_evaluators(name, tmp_path):
    expected = CASES[name]["expected"]["recall"]
    report = evaluate(*arguments(CASES[name], tmp_path))
    assert report.recall == pytest.approx(expected["stable"], abs=1e-9)
    assert report.measure_recall(missing="miss") == pytest.approx(expected["stable_missing_is_miss"], abs=1e-9)
    if "stable_exclusions_applied" in expected:
        assert report.measure_recall(exclude=True) == pytest.approx(expected["stable_exclusions_applied"], abs=1e-9)


# --- data of our own --------------------------------------------------------------------------------------------------


def made_up(seed=0, videos=6, digits=None):
    """(ground truth, detections) tables: people with jittered boxes, scores with or without ties."""
    rng = np.random.default_rng(seed)
    gt, det = [], []
    for v in range(videos):
        for second in range(902, 902 + 8):
            for person in range(rng.integers(1, 4)):
                x, y = rng.random(2) * 0.5
                box = np.array([x, y, x + 0.2 + 0.2 * rng.random(), y + 0.3 + 0.2 * rng.random()])
                own = rng.choice(list(LABELS), rng.integers(1, 3), replace=False)
                gt += [(f"v{v}", float(second), *box, a, person) for a in own]
                if rng.random() < 0.9:
                    near = box + rng.normal(0, 0.03, 4)
                    det += [(f"v{v}", float(second), *near, a, rng.random() + 0.4 * (a in own)) for a in LABELS]
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
    det = pd.DataFrame(det, columns=[*columns, "score"])
    det["score"] = det["score"] if digits is None else det["score"].round(digits)
    return pd.DataFrame(gt, columns=[*columns, "person_id"]), det


def slow_ap(gt, det, action, threshold, grouped=False):
    """AP of one action, box by box, for the mmaction protocol without ties (or grouped)."""
    gt, det = gt[gt["action_id"] == action], det[det["action_id"] == action].sort_values("score", ascending=False)
    free, hits = set(gt.index), []
    for row in det.itertuples():
        best, found = 0.0, None
        for other in gt[(gt["video_id"] == row.video_id) & (gt["timestamp"] == row.timestamp)].itertuples():
            width = max(0, min(row.x2, other.x2) - max(row.x1, other.x1))
            height = max(0, min(row.y2, other.y2) - max(row.y1, other.y1))
            area = (row.x2 - row.x1) * (row.y2 - row.y1) + (other.x2 - other.x1) * (other.y2 - other.y1)
            if (iou := width * height / (area - width * height)) > best:
                best, found = iou, other.Index
        hits.append(best >= threshold and found in free)
        free -= {found} if hits[-1] else set()
    points = [(0.0, 1.0)]
    for end in range(1, len(hits) + 1):
        if not grouped or end == len(hits) or det["score"].iloc[end] != det["score"].iloc[end - 1]:
            points.append((sum(hits[:end]) / len(gt), sum(hits[:end]) / end))
    return sum((r - points[i][0]) * max(p for _, p in points[i + 1 :]) for i, (r, _) in enumerate(points[1:]))


@pytest.mark.slow
@pytest.mark.parametrize(("digits", "ties"), [(None, "stable"), (None, "grouped"), (1, "grouped")])
def test_any_iou_and_grouped_ties_equal_a_slow_reading(digits, ties):
    gt, det = made_up(1, digits=digits)
    report = evaluate(gt, det, LABELS, iou=[0.3, 0.5, 0.75], ties=ties)
    for row in report.per_class.itertuples():
        slow = [slow_ap(gt, det, row.action_id, t, ties == "grouped") for t in report.thresholds]
        fast = report.per_class.set_index("action_id").loc[row.action_id, ["AP@0.30", "AP@0.50", "AP@0.75"]]
        assert np.allclose(fast.astype(float), slow, atol=1e-12) and row.AP == pytest.approx(np.mean(slow))
    assert report.mAP == pytest.approx(np.mean(list(report.mAP_by_iou.values())))
    assert report.mAP_by_iou[0.3] > report.mAP_by_iou[0.75]


def test_grouped_ties_do_not_depend_on_the_order_of_rows():
    gt, det = made_up(2, digits=1)
    shuffled = det.sample(frac=1, random_state=0)
    same = [evaluate(gt, rows, LABELS, ties="grouped").mAP for rows in (det, shuffled)]
    moved = [evaluate(gt, rows, LABELS, ties="stable").mAP for rows in (det, shuffled)]
    assert same[0] == pytest.approx(same[1], abs=1e-12) and abs(moved[0] - moved[1]) > 1e-4


def test_the_cap_in_closed_form_is_the_heap():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, cap = rng.integers(1, 40), int(rng.integers(1, 12))
        frame, n_frames = rng.integers(0, 3, n), 3
        score, keys = rng.integers(0, 4, n) / 4, [rng.integers(0, 3, n) for _ in range(5)]
        keep = keep_top_per_frame(frame, n_frames, score, keys, cap)
        rows = list(zip(score, *keys, strict=True))
        for f in range(n_frames):
            members = np.flatnonzero(frame == f)
            held = select_heap_order([rows[i] for i in members], cap)
            assert sorted(held) == sorted(rows[i] for i in members if keep[i])


def test_every_source_gives_the_same_report(tmp_path):
    gt, det = made_up(3, digits=3)
    boxes = ["x1", "y1", "x2", "y2"]
    gt[boxes], det[boxes] = gt[boxes].round(3), det[boxes].round(3)
    for name in ("det.csv", "det.csv.gz"):
        write_ava_csv(det, tmp_path / name)
    write_ava_csv(gt, tmp_path / "gt.csv")
    expected = evaluate(gt, det, LABELS)
    sources = [
        tmp_path / "det.csv",
        str(tmp_path / "det.csv.gz"),
        open(tmp_path / "det.csv", encoding="utf-8"),
        read_ava_csv(det, "detections"),
    ]
    for source in sources:
        report = evaluate(tmp_path / "gt.csv", source, LABELS)
        assert report.mAP == expected.mAP and report.recall == expected.recall
    sources[2].close()
    as_text = det.assign(timestamp=det["timestamp"].map("{:04.0f}".format), action_id=det["action_id"].astype(str))
    assert evaluate(gt, as_text, LABELS).mAP == expected.mAP


# --- what it says -----------------------------------------------------------------------------------------------------


def test_the_report():
    gt, det = made_up(4)
    report = evaluate(gt, det, LABELS)
    table = report.per_class
    assert list(table) == ["action_id", "action", "group", "AP", "ground_truth", "detections", "recall"]
    assert table["group"].tolist() == ["pose", "pose", "object", "person"]
    assert table["ground_truth"].tolist() == [(gt["action_id"] == a).sum() for a in LABELS]
    assert report.mAP_by_group["pose"] == pytest.approx(table["AP"][:2].mean()) and report.mAP == pytest.approx(
        table["AP"].mean()
    )
    curve = report.compute_pr_curve("stand")
    assert curve["score"].is_monotonic_decreasing and curve["recall"].is_monotonic_increasing
    assert curve["recall"].iloc[-1] == pytest.approx(table["recall"][1])
    assert (curve["recall"].diff().fillna(curve["recall"]) * curve["envelope"]).sum() == pytest.approx(table["AP"][1])
    assert report.compute_pr_curve(12).equals(curve)
    with pytest.raises(KeyError, match="action 'stnd': not in the label map"):
        report.compute_pr_curve("stnd")
    assert f"mAP@0.5 = {report.mAP:.4f} over 4 actions (protocol mmaction)" in report.summary()
    assert repr(report).startswith(f"<Report: mAP@0.5 = {report.mAP:.4f} over 4 actions") and len(repr(report)) < 120
    assert "bend/bow" in report._repr_html_() and f"{report.mAP:.4f}" in report._repr_html_()
    plain = json.loads(report.to_json())
    assert plain["mAP"] == report.mAP and plain["per_class"][3]["action"] == "watch"
    assert plain["counts"]["videos"] == 6 and plain["counts"]["keyframes"] == 48


def test_json_has_no_nan(tmp_path):
    gt, det = made_up(4)
    report = evaluate(gt, det, {**LABELS, 64: "talk"})
    report.to_json(tmp_path / "r.json")
    talk = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)["per_class"][-2]
    assert talk["action"] == "talk" and talk["AP"] is None


def test_comparing_two_reports():
    gt, det = made_up(5)
    worse = det.assign(score=np.where(det["action_id"] == 12, -det["score"], det["score"]))
    table = evaluate(gt, det, LABELS).compare(report := evaluate(gt, worse, LABELS))
    assert table["action"][0] == "stand" and table["difference"][0] < -0.05
    assert np.allclose(table["difference"][1:], 0)
    assert table.attrs["mAP_difference"] == pytest.approx(report.mAP - evaluate(gt, det, LABELS).mAP)


@pytest.mark.parametrize("ties", ["stable", "grouped"])
def test_bootstrap_is_scoring_the_drawn_videos(ties):
    gt, det = made_up(6, digits=1 if ties == "grouped" else None)
    found = evaluate(gt, det, LABELS, ties=ties).bootstrap(20, seed=3)
    draws = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=20)
    for draw, sample in zip(draws[:5], found["samples"], strict=False):
        copies = [(f"v{v}", f"v{v} copy {i}") for v, times in enumerate(draw) for i in range(times)]
        drawn = [
            pd.concat([table[table["video_id"] == old].assign(video_id=new) for old, new in copies])
            for table in (gt, det)
        ]
        assert evaluate(*drawn, LABELS, ties=ties).mAP == pytest.approx(sample, abs=1e-12)
    assert found["low"] <= np.median(found["samples"]) <= found["high"] and found["std"] > 0
    one = [table[table["video_id"] == "v0"] for table in (gt, det)]
    with pytest.raises(ValueError, match="at least 2"):
        evaluate(*one, LABELS).bootstrap()


def test_eighty_actions_are_noticed_and_said():
    gt, det = made_up(7)
    with pytest.warns(UserWarning, match="all 80 actions.*60"):
        report = evaluate(gt, det, get_action_names())
    assert "all 80" in report.summary()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(gt, det)
    assert len(report.per_class) == 60 and not report.notes
    report = evaluate(gt, det, {12: "stand"})
    left_out = (det["action_id"] != 12).sum()
    assert f"{left_out:,} detection rows of actions outside the label map left out" in report.notes


def test_what_is_left_out_is_counted():
    gt, det = made_up(8)
    excluded = pd.DataFrame({"video_id": ["v0"], "timestamp": [902.0]})
    out = (det["video_id"] == "v0") & (det["timestamp"] == 902)
    lost = det.iloc[:8].assign(video_id="elsewhere")
    flat = det.iloc[-2:].assign(x2=det["x1"])
    rows = pd.concat([det, lost, flat], ignore_index=True)
    notes = " / ".join(evaluate(gt, rows, LABELS, excluded).notes)
    assert f"{out.sum()} detections left out" in notes
    assert "8 detections in frames without ground truth: false positives" in notes
    assert "2 detections with an empty or inverted box dropped" in notes
    notes = " / ".join(evaluate(gt, rows, LABELS, excluded, "activitynet").notes)
    assert "8 detections in frames without ground truth: ignored" in notes


# --- wrong inputs -----------------------------------------------------------------------------------------------------


def test_files_without_a_common_keyframe():
    gt, det = made_up(9)
    with pytest.raises(ValueError, match="share no keyframe: the first has 'v0,902', the second 'v0.mp4,90"):
        evaluate(gt, det.assign(video_id=det["video_id"] + ".mp4"), LABELS)
    with pytest.raises(ValueError, match="share no keyframe"):
        evaluate(gt, det.assign(timestamp=det["timestamp"] - 900), LABELS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocol": "coco"}, "protocol 'coco': expected one of activitynet, mmaction, mmaction1x, pyslowfast"),
        ({"ties": "random"}, "ties 'random'"),
        ({"iou": 50}, "iou 50"),
        ({"iou": []}, "iou"),
        ({"label_map": {}}, "label map"),
        ({"label_map": {0: "nothing"}}, "whole ids from 1"),
        ({"exclusions": pd.DataFrame({"video_id": ["v0"], "timestamp": [902.5]})}, "excluded second 902.5"),
    ],
)
def test_wrong_options(options, said):
    gt, det = made_up(9, videos=1)
    with pytest.raises(ValueError, match=said):
        evaluate(gt, det, **({"label_map": LABELS} | options))


def test_numbers_that_are_none():
    gt, det = made_up(9, videos=1)
    for column in ("score", "x1"):
        broken = det.copy()
        broken.loc[3, column] = np.nan
        with pytest.raises(ValueError, match=f"row 3, column {column}, value nan"):
            evaluate(gt, broken, LABELS)
    with pytest.raises(ValueError, match="csv, line 1, column score, value 'nan'"):
        evaluate(gt, io.StringIO("v0,902,0.1,0.1,0.2,0.2,12,nan\n"), LABELS)
    with pytest.raises(ValueError, match=r"ground_truth table, row 0, box .* in ground truth"):
        evaluate(gt.assign(x2=gt["x1"] - 0.1), det, LABELS)
    with pytest.raises(ValueError, match="value '902.5'"):
        evaluate(gt, det.assign(timestamp=902.5), LABELS)


# the files of a public report: ids counted from 0, whose first class was dropped in silence
FROM_0_GT = "clipA,0902,0.1,0.1,0.5,0.9,0,0\nclipA,0902,0.6,0.1,0.9,0.9,1,1\nclipB,0902,0.1,0.1,0.5,0.9,0,0\n"
FROM_0_DET = "clipA,902,0.1,0.1,0.5,0.9,0,0.9\nclipA,902,0.6,0.1,0.9,0.9,1,0.8\nclipB,902,0.1,0.1,0.5,0.9,0,0.7\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ids_counted_from_0_are_an_error(tmp_path, protocol):
    (tmp_path / "z_gt.csv").write_text(FROM_0_GT, encoding="utf-8")
    with pytest.raises(ValueError, match=r"z_gt\.csv, line 1: action_id 0; are ids counted from 0\?"):
        evaluate(tmp_path / "z_gt.csv", io.StringIO(FROM_0_DET), {1: "walk", 2: "fall"}, protocol=protocol)


def test_a_label_map_may_come_from_json(tmp_path):
    gt, det = made_up(9, videos=2)
    expected = evaluate(gt, det, {12: "stand"}).mAP
    (tmp_path / "labels.json").write_text('{"12": "stand"}', encoding="utf-8")
    for label_map in (
        {"12": "stand"},
        tmp_path / "labels.json",
        pd.DataFrame({"action_id": [12], "action": ["stand"]}),
    ):
        assert evaluate(gt, det, label_map).mAP == expected


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_exclusions_with_a_byte_order_mark_leave_the_same_out(tmp_path, mark):
    gt = "clipA,0902,0.1,0.1,0.5,0.9,12,0\nclipA,0902,0.6,0.1,0.9,0.9,14,1\nclipA,0903,0.1,0.1,0.5,0.9,12,0\n"
    det = "clipA,902,0.1,0.1,0.5,0.9,12,0.9\nclipA,902,0.6,0.1,0.9,0.9,14,0.8\nclipA,903,0.1,0.1,0.5,0.9,12,0.7\n"
    (tmp_path / "ex.csv").write_text(mark + "clipA,0902\n", encoding="utf-8")
    report = evaluate(io.StringIO(gt), io.StringIO(det), exclusions=tmp_path / "ex.csv")
    assert "excluded seconds: 2 detections left out, 2 ground-truth rows left out" in report.notes


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda gt, det: evaluate(gt, det, protocol=["mmaction"]), "protocol"),
        (lambda gt, det: evaluate(gt, det, iou="half"), "iou 'half'"),
        (lambda gt, det: evaluate(gt, det, missing="none"), "missing 'none'"),
        (lambda gt, det: evaluate(None, det), "NoneType 'None': expected a path"),
        (
            lambda gt, det: evaluate(gt, det, exclusions=pd.DataFrame({"video": ["a"]})),
            "exclusions table: no col",
        ),
        (lambda gt, det: evaluate(gt, det, exclusions=io.StringIO("v0;902\n")), "line 1, value 'v0;902'"),
        (lambda gt, det: evaluate(gt, det.assign(timestamp=2e13)), "table, row 0, column timestamp, value 2e"),
        (lambda gt, det: evaluate(gt, det).bootstrap(10**9), "MAX_DRAWS"),
        (lambda gt, det: evaluate(gt, det).bootstrap(level=95), "level 95"),
        (lambda gt, det: evaluate(gt, det).compute_pr_curve(12, 0.75), "threshold 0.75"),
        (lambda gt, det: compute_frequency_baseline(gt, det[["x1"]]), "proposals table: no column"),
        (lambda gt, det: analyze_errors(gt, det, iou=[0.5, 0.7]), "expected one threshold"),
    ],
)
def test_wrong_parameters_are_named(call, said):
    gt, det = made_up(9, videos=2)
    with pytest.raises(ValueError, match=said):
        call(gt, det)


# --- bounded memory ---------------------------------------------------------------------------------------------------


def test_matching_in_parts_is_matching_at_once(monkeypatch):
    gt, det = made_up(12)
    whole = evaluate(gt, det, LABELS, iou=[0.3, 0.5])
    parts = {name: functools.partial(expand_pairs, part=3) for name in ("matching", "recall")}
    monkeypatch.setattr("avalib.evaluation.matching.expand_pairs", parts["matching"])
    monkeypatch.setattr("avalib.evaluation.matching.expand_pairs", parts["recall"])
    monkeypatch.setattr("avalib.evaluation.evaluator._LARGEST_TABLE", 0)
    pieces = evaluate(gt, det, LABELS, iou=[0.3, 0.5])
    pd.testing.assert_frame_equal(pieces.per_class, whole.per_class)
    assert pieces.recall == whole.recall


def test_pairs_beyond_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr("avalib.evaluation.matching.MAX_PAIRS", 100)
    with pytest.raises(ValueError, match=r"pairs of boxes to compare, the limit \(MAX_PAIRS\) is 100: up to"):
        evaluate(*made_up(12), LABELS)


@pytest.mark.slow
def test_ten_thousand_people_in_a_frame_take_bounded_memory():
    code = (
        "import numpy as np, pandas as pd\n"
        "from avalib import metrics\n"
        "rng, n = np.random.default_rng(0), 10_000\n"
        "low = rng.random((n, 2)) * 0.9\n"
        "gt = pd.DataFrame(np.c_[low, low + 0.05], columns=['x1', 'y1', 'x2', 'y2'])\n"
        "gt = gt.assign(video_id='a', timestamp=902.0)\n"
        "det = gt.assign(action_id=12, score=rng.random(n))\n"
        "report = metrics.evaluate(gt.assign(action_id=12), det)\n"
        "assert report.mAP == 1 and 0 < report.recall['AR@100'] <= 0.01\n"
        "lines = dict(line.split(':', 1) for line in open('/proc/self/status', encoding='utf-8'))\n"
        "print(int(lines['VmHWM'].split()[0]) / 2**20)\n"  # getrusage counts what the parent of this process had
    )
    peak_gb = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8").stdout
    assert float(peak_gb) < 1


@pytest.mark.parametrize("ties", ["stable", "grouped"])
def test_bootstrap_is_the_same_by_video_and_by_detection(monkeypatch, ties):
    report = evaluate(*made_up(6, digits=1), LABELS, ties=ties)
    by_video = report.bootstrap(20, seed=3)["samples"]
    monkeypatch.setattr("avalib.evaluation.report._CELLS", 8)
    assert np.allclose(report.bootstrap(20, seed=3)["samples"], by_video, rtol=0, atol=1e-12)


# --- what stands around it --------------------------------------------------------------------------------------------


def test_the_ledger_explains_every_difference(tmp_path):
    files = arguments(CASES["fuzz_003"], tmp_path)
    expected = CASES["fuzz_003"]["expected"]["protocols"]
    tables = [read_ava_csv(files[0], "ground_truth"), read_ava_csv(files[1], "detections"), *files[2:]]
    ledger = compare_protocols(*tables).set_index("protocol")
    for name, row in ledger.iterrows():
        assert row["mAP"] == pytest.approx(expected[name]["mAP"], abs=1e-9)
        changes = [float(part.rsplit(" ", 1)[1]) for part in row["reason"].split("; ") if part[-1].isdigit()]
        assert sum(changes) == pytest.approx(row["difference"], abs=5e-4)
    assert ledger.loc["mmaction", "reason"] == "the base"
    assert "excluded seconds left out of detections" in ledger.loc["mmaction1x", "reason"]
    files = arguments(CASES["h11_invalid_boxes"], tmp_path)
    tables = [read_ava_csv(files[0], "ground_truth"), read_ava_csv(files[1], "detections"), *files[2:]]
    refused = compare_protocols(*tables).set_index("protocol").loc["mmaction1x"]
    assert np.isnan(refused["mAP"]) and "refused: " in refused["reason"] and "x2 < x1" in refused["reason"]


def test_frequency_baseline():
    gt, det = made_up(10)
    proposals = det.drop(columns="action_id").drop_duplicates(["video_id", "timestamp", "x1"]).reset_index(drop=True)
    table = compute_frequency_baseline(gt, proposals)
    n_boxes = len(gt.drop_duplicates(["video_id", "timestamp", "x1"]))
    assert len(table) == 4 * len(proposals)
    share = table.groupby("action_id")["score"].first()
    assert share.to_dict() == {a: pytest.approx((gt["action_id"] == a).sum() / n_boxes) for a in LABELS}
    first = table[(table["video_id"] == "v0") & (table["timestamp"] == 902)]
    assert first["action_id"].is_monotonic_increasing  # frame, action, proposal: as detections are written
    informed, trivial = evaluate(gt, det, LABELS).mAP, evaluate(gt, table, LABELS).mAP
    assert 0 < trivial < informed
    with pytest.raises(ValueError, match="no boxes"):
        compute_frequency_baseline(gt[:0], proposals)


def test_the_command(tmp_path, capsys):
    gt, det = made_up(11)
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "found.csv")
    write_exclusions(gt[["video_id", "timestamp"]][:1], tmp_path / "excluded.csv")
    write_label_map(LABELS, tmp_path / "labels.pbtxt")
    options = ["--label-map", str(tmp_path / "labels.pbtxt"), "--exclude", str(tmp_path / "excluded.csv"), "--ledger"]
    files = [str(tmp_path / "gt.csv"), str(tmp_path / "found.csv")]
    assert score_main([*files, *options, "--protocol", "pyslowfast", "--bootstrap", "50", "--iou", "0.5", "0.75"]) == 0
    said = capsys.readouterr().out
    assert "protocol pyslowfast" in said and "95% interval" in said and "mmaction1x" in said
    report = json.loads((tmp_path / "found.pyslowfast.json").read_text(encoding="utf-8"))
    assert f"{report['mAP']:.4f}" in said and report["iou"] == [0.5, 0.75]
    (tmp_path / "found.csv").write_text("v0,902,0.1,oops,0.2,0.3,12,0.5\n", encoding="utf-8")
    assert score_main(files) == 2
    assert "found.csv, line 1, column y1, value 'oops'" in capsys.readouterr().err
    assert score_main([files[0], str(tmp_path / "missing.csv")]) == 2
    assert "missing.csv: no such file" in capsys.readouterr().err
    assert score_main([files[0], str(tmp_path)]) == 2
    assert "a folder; expected a file" in capsys.readouterr().err


def test_the_command_keeps_the_report_where_an_interval_is_not_possible(tmp_path, capsys):
    gt, det = made_up(11, videos=1)
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "found.csv")
    assert score_main([str(tmp_path / "gt.csv"), str(tmp_path / "found.csv"), "--bootstrap", "50"]) == 2
    assert "needs at least 2" in capsys.readouterr().err
    assert json.loads((tmp_path / "found.mmaction.json").read_text(encoding="utf-8"))["mAP"] > 0


def test_the_commands_ledger_begins_at_the_protocol_that_was_chosen(tmp_path, capsys):
    gt, det = (table.assign(timestamp=table["timestamp"] + 0.5) for table in made_up(11, videos=2))
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "found.csv")
    files = [str(tmp_path / "gt.csv"), str(tmp_path / "found.csv")]
    assert score_main([*files, "--protocol", "activitynet", "--ledger"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith(("act", "mma"))}
    assert "the base" in lines["activitynet"] and "refused: " in lines["mmaction"]


def test_the_command_runs_without_torch(tmp_path):
    gt, det = made_up(11, videos=1)
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "found.csv")
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['metrics', {str(tmp_path / 'gt.csv')!r}, {str(tmp_path / 'found.csv')!r}]\n"
        "try:\n    runpy.run_module('avalib.evaluation', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8").stdout
    assert "mAP@0.5" in said and (tmp_path / "found.mmaction.json").exists()
