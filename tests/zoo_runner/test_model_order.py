"""Does the published order of the models appear? Judged by the noise between seeds."""

from made_results import copy_result

from avalib.zoo_runner.model_order import compare_order, list_pairs

SEVERAL_SEEDS = copy_result("slowonly_r50", [0.2] * 3, time_action_APs=[0.10, 0.11, 0.12])
SINGLE_SEEDS = [
    copy_result("slowfast_r50", [0.2], time_action_APs=[0.30]),
    copy_result("slowonly_r101", [0.2], time_action_APs=[0.12]),
    copy_result("slowfast_context_r50", [0.2], time_action_APs=[0.20]),
]


def test_a_difference_counts_only_beyond_the_noise():
    table = compare_order([SEVERAL_SEEDS, *SINGLE_SEEDS]).set_index("question")
    assert dict(table.appears) == {
        "slowfast over slowonly": "yes",
        "101 over 50": "can't tell",
        "101 over 50, OmniSource": "not measured",
        "context over none": "no, reversed",
    }


def test_the_difference_and_its_noise():
    row = compare_order([SEVERAL_SEEDS, *SINGLE_SEEDS]).set_index("question").loc["slowfast over slowonly"]
    assert row["measured difference"] == 19.0  # 30 against 11
    assert row["noise"] == 2.3  # 2 x 1.0 x sqrt(1/1 + 1/3)


def test_single_seeds_tell_nothing():
    assert set(compare_order(SINGLE_SEEDS).appears) == {"can't tell", "not measured"}


def test_runs_that_two_models_share_count_once():
    shared = copy_result("slowonly_omnisource_r50", [0.2] * 2, time_action_APs=[0.10, 0.40])
    for run in shared["runs"]:
        run["train"]["run_of"] = "slowonly_r50"
    table = compare_order([SEVERAL_SEEDS, *SINGLE_SEEDS, shared]).set_index("question")
    assert table.loc["slowfast over slowonly", "noise"] == 2.3


def test_the_better_model_of_a_pair_has_the_higher_published_mAP():
    assert all(pair.better.published_mAP > pair.worse.published_mAP for pair in list_pairs())
