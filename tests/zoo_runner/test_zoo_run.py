"""Runs of the zoo: names, folders, notebooks, parameters."""

import pytest

from avalib import zoo
from avalib.zoo_runner.zoo_run import list_zoo_runs


def test_seeds_have_names_and_folders_of_their_own():
    zoo_runs = list_zoo_runs(["slowonly_r50", "slowfast_r50"], model_seeds={"slowfast_r50": [0, 1]}, tag="x")
    assert [zoo_run.name for zoo_run in zoo_runs] == ["slowonly_r50", "slowfast_r50", "slowfast_r50, seed 1"]
    assert [zoo_run.folder.name for zoo_run in zoo_runs] == [
        "slowonly_r50-x",
        "slowfast_r50-x",
        "slowfast_r50-x-seed1",
    ]


def test_without_names_the_first_seven_are_run():
    assert [zoo_run.model for zoo_run in list_zoo_runs()] == zoo.list_models()[:7]


def test_patterns_name_more_models():
    models = ["slowfast_r50", "slowfast_*_ava22", "slowfast_r50"]
    expected = ["slowfast_r50", *zoo.list_models("slowfast_*_ava22")]
    assert [zoo_run.model for zoo_run in list_zoo_runs(models)] == expected
    assert [zoo_run.model for zoo_run in list_zoo_runs(["*"])] == zoo.list_models()


def test_published_checkpoints_are_only_evaluated():
    zoo_run = list_zoo_runs(checkpoint="published", dataset="ava2.1")[0]
    assert zoo_run.notebooks == ["04_evaluate", "05_visualise"]
    assert zoo_run.folder_tag == "published"
    assert zoo_run.get_parameters("04_evaluate")["checkpoint"] == "published"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"models": ["slowonly_r5"]}, KeyError, "slowonly_r50"),
        ({"models": ["slowest*"]}, KeyError, "no model matches 'slowest\\*'"),
        ({"checkpoint": "weights.pth"}, ValueError, "to evaluate a file: notebook 04"),
        ({"notebook_parameters": {"03_trian": {}}}, ValueError, "03_train, 04_evaluate"),
        ({"models": ["slowonly_r50"], "model_seeds": {"slowfast_r50": [1]}}, ValueError, "not among the models"),
    ],
)
def test_what_cannot_be_run_is_named(options, error, message):
    with pytest.raises(error, match=message):
        list_zoo_runs(**options)
