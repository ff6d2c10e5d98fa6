"""Results as they are committed, what is computed from them, and the tables that are generated from them."""

import copy
import json
from pathlib import Path

import pytest

from avalib import draw, zoo
from avalib.data.synthetic.action_ids import TIME_ACTIONS
from avalib.zoo_runner.leaderboard import (
    build_leaderboard,
    check_result,
    compare_order,
    compare_with_published,
    get_mAPs,
    get_tolerance,
    list_pairs,
    load_results,
    load_speed_table,
    render_leaderboard,
)
from avalib.zoo_runner.publish import MARKS

ROOT = Path(__file__).parents[2]
RESULTS = load_results(ROOT / "outputs" / "results")


def result(model, mAPs, dataset="mini", checkpoint="best", share=1.0, aps=None, label=""):
    """A result with a run for each mAP (0..1); aps: the AP of every action that needs time, a run each."""
    base = copy.deepcopy(next(r for r in RESULTS if r["runs"][0]["per_class"]))
    run = base["runs"][0]
    runs = []
    for seed, mAP in enumerate(mAPs):
        one = copy.deepcopy(run) | {"seed": seed}
        one["train"] |= {"changed": {"epochs": [9, 4]}}
        one["evaluate"] |= {"mAP": mAP, "model": model, "coverage": {"keyframes": 10, "share": share}}
        one["evaluate"]["parameters"] |= {"dataset": dataset, "checkpoint": checkpoint}
        for row in one["per_class"]:
            if aps and row["action_id"] in TIME_ACTIONS:
                row["AP"] = aps[seed]
        runs.append(one if checkpoint == "best" else one | {"train": None})
    return base | {"name": f"{dataset}_{model}", "model": model, "dataset": dataset, "label": label, "runs": runs}


def test_the_committed_tables_are_the_results():
    assert RESULTS, "no results"
    frame = build_leaderboard(RESULTS)
    assert (ROOT / "outputs" / "scoreboard.csv").read_text(encoding="utf-8") == frame.to_csv(index=False)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    between = readme.split(MARKS[0])[1].split(MARKS[1])[0].strip()
    assert between == render_leaderboard(RESULTS)


def test_the_number_of_the_first_run_is_kept():
    by = {r["name"]: get_mAPs(r)[0] for r in RESULTS}
    assert round(by["mini_slowonly_r50_demo_bfloat16"], 2) == 39.84  # its record was written before there was a schema


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.pop("label"), "label: expected"),
        (lambda r: r.update(model="resnet"), "model 'resnet': not in the zoo"),
        (lambda r: r.update(runs=[]), "no runs"),
        (lambda r: r["runs"][0].update(seed="0"), "run 0: seed: expected"),
        (lambda r: r["runs"][0]["evaluate"].pop("protocol"), "the record of evaluate has no protocol"),
        (lambda r: r["runs"][0]["train"].pop("git"), "the record of train has no git"),
        (lambda r: r["runs"][0]["evaluate"]["coverage"].update(share=0.5), "coverage 0.500 and no label"),
    ],
)
def test_the_schema_names_what_is_wrong(change, words):
    good = result("slowonly_r50", [0.2])
    check_result(good)
    change(good)
    with pytest.raises(ValueError, match=f"x.json: .*{words}"):
        check_result(good, "x.json")


def test_a_line_of_the_table():
    two = result("slowonly_r50", [0.20, 0.22])
    ava = result("slowfast_r50", [0.241], "ava2.1", "published", share=0.9, label="58 of 64 videos")
    frame = build_leaderboard([two, ava]).set_index("model")
    line = frame.loc["slowonly_r50"]
    assert line["measured mAP"] == 21.0 and line["spread"] == 1.4 and line["seeds"] == "0, 1" and line["epochs"] == 4
    assert line["difference"] is None and line["GPU-hours"] is None, "not measured is empty"
    line = frame.loc["slowfast_r50"]
    assert line["difference"] == -0.3 and line["coverage"] == "58 of 64 videos" and line["epochs"] is None
    assert list(frame.index) == zoo.list_models() and frame["measured mAP"].notna().sum() == 2
    assert render_leaderboard([two]).count("\n") == 8


def test_a_published_number_passes_or_fails_within_its_tolerance():
    jitter = {"dataset": "mini", "rows": [{"model": "slowonly_r50", "std": 0.002, "mAP": [0.2, 0.21, 0.22]}]}
    assert get_tolerance("slowonly_omnisource_r50", jitter)[0] == pytest.approx(0.05 + 0.6)  # the same clip
    close, far = (result("slowonly_r50", [m], "ava2.1", "published") for m in (0.2035, 0.194))
    own = result("slowonly_r50", [0.201], "ava2.1")
    part = result("slowonly_r50", [0.201], "ava2.1", "published", share=0.9, label="part")
    other = result("slowonly_r50", [0.201], "mini", "published")
    found = compare_with_published([close, far, own, part, other], jitter)
    assert list(found.verdict.str.split(":").str[0]) == ["pass", "FAIL", "none", "none", "none"]
    assert list(found.verdict[2:].str.split(": ").str[1].str.split().str[0]) == ["not", "not", "published"]
    assert found.difference[0] == 0.25 and found.tolerance[0] == 0.65 and "3 seeds" in found.why[0]
    assert compare_with_published([close]).verdict[0] == "none: no tolerance"


def test_whether_the_published_order_appears():
    rows = [
        result("slowonly_r50", [0.2] * 3, aps=[0.10, 0.11, 0.12]),
        result("slowfast_r50", [0.2], aps=[0.30]),
        result("slowonly_r101", [0.2], aps=[0.12]),
        result("slowfast_context_r50", [0.2], aps=[0.20]),
    ]
    found = compare_order(rows).set_index("question")
    assert dict(found.appears) == {
        "slowfast over slowonly": "yes",
        "101 over 50": "can't tell",
        "101 over 50, OmniSource": "not measured",
        "context over none": "no, reversed",
    }
    assert found.loc["slowfast over slowonly", "found"] == 19.0  # 30 against 11
    assert found.loc["slowfast over slowonly", "noise"] == 2.3  # 2 x 1.0 x sqrt(1/1 + 1/3)
    assert set(compare_order(rows[1:]).appears) == {"can't tell", "not measured"}, "one seed each tells nothing"
    shared = result("slowonly_omnisource_r50", [0.2] * 2, aps=[0.10, 0.40])
    for one in shared["runs"]:
        one["train"]["run_of"] = "slowonly_r50"
    again = compare_order([*rows, shared]).set_index("question")
    assert again.loc["slowfast over slowonly", "noise"] == 2.3, "another row's runs count once"
    for _, better, worse in list_pairs():
        assert better.published_mAP > worse.published_mAP


def test_speeds_of_every_machine_in_one_table(tmp_path):
    assert list(load_speed_table(tmp_path)) == ["model", "published mAP"]
    row = {"model": "slowfast_r50", "seconds": 0.5, "flops": 40e9, "parameters": 33_600_000}
    for name in ("cpu", "cuda"):
        (tmp_path / f"zoo_{name}.json").write_text(
            json.dumps({"machine": name.upper(), "rows": [row]}), encoding="utf-8"
        )
    found = load_speed_table(tmp_path).set_index("model")
    assert dict(found.loc["slowfast_r50"]) == {
        "parameters M": 33.6, "GFLOP": 40.0, "ms on CPU": 500.0, "ms on CUDA": 500.0, "published mAP": 24.4,
    }  # fmt: skip
    assert found["ms on CPU"].notna().sum() == 1
    figure = draw.plot_speed_accuracy(found.reset_index())
    assert [len(axis.collections) for axis in figure.axes] == [1, 1, 1]
    with pytest.raises(ValueError, match="make bench-zoo"):
        draw.plot_speed_accuracy(load_speed_table(tmp_path / "none"))
    figure = draw.plot_published_order({"slowonly_r50": [10.0, 12.0], "slowfast_r50": []})
    assert "6 rows not measured" in figure.axes[0].get_title()
