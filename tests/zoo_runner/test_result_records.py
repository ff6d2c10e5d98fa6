"""Results as they are committed: gathered, checked, loaded."""

from pathlib import Path

import pytest
from made_results import copy_result

from avalib.zoo_runner.result_records import check_result, get_mAPs, load_results

RESULTS_FOLDER = Path(__file__).parents[2] / "outputs" / "results"


def test_the_committed_results_fit_the_schema():
    assert load_results(RESULTS_FOLDER), "no results"


def test_a_result_from_before_the_schema_keeps_its_number():
    by_name = {result["name"]: result for result in load_results(RESULTS_FOLDER)}
    assert round(get_mAPs(by_name["mini_slowonly_r50_demo_bfloat16"])[0], 2) == 39.84


def test_a_made_result_fits_the_schema():
    check_result(copy_result("slowonly_r50", [0.2]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: result.pop("label"), "label: expected"),
        (lambda result: result.update(model="resnet"), "model 'resnet': not in the zoo"),
        (lambda result: result.update(runs=[]), "no runs"),
        (lambda result: result["runs"][0].update(seed="0"), "run 0: seed: expected"),
        (lambda result: result["runs"][0]["evaluate"].pop("protocol"), "the record of evaluate has no protocol"),
        (lambda result: result["runs"][0]["train"].pop("git"), "the record of train has no git"),
        (
            lambda result: result["runs"][0]["evaluate"]["coverage"].update(share=0.5),
            "coverage 0.500 and no label",
        ),
    ],
)
def test_the_check_names_what_is_wrong(change, message):
    result = copy_result("slowonly_r50", [0.2])
    change(result)
    with pytest.raises(ValueError, match=f"x.json: .*{message}"):
        check_result(result, "x.json")


def test_a_torn_file_is_named(tmp_path):
    (tmp_path / "torn.json").write_text('{"schema"', encoding="utf-8")
    with pytest.raises(ValueError, match="torn.json: not a whole result"):
        load_results(tmp_path)
