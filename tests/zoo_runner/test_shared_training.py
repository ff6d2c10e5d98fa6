"""Models that are the same network from random weights are trained once."""

import json

import pytest
from test_runner import build_runner, get_statuses

MODELS = ["slowonly_r50", "slowonly_omnisource_r50"]


@pytest.fixture
def shared(toy_notebooks, tiny):
    """A runner of two models that share a training, after its run."""
    runner = build_runner(toy_notebooks, tiny, MODELS)
    runner.run_all()
    return runner


def test_the_later_model_takes_the_training_of_the_earlier_one(toy_notebooks, tiny):
    training_sources = build_runner(toy_notebooks, tiny, MODELS).training_sources
    assert {name: zoo_run.name for name, zoo_run in training_sources.items()} == {
        "slowonly_omnisource_r50": "slowonly_r50"
    }


@pytest.mark.parametrize(
    "options", [{"notebook_parameters": {"03_train": {"checkpoint": "pretrained"}}}, {"checkpoint": "best"}]
)
def test_other_weights_are_not_shared(options, toy_notebooks, tiny):
    assert not build_runner(toy_notebooks, tiny, MODELS, **options).training_sources


@pytest.mark.slow
def test_the_training_is_copied_and_its_record_names_the_original(shared):
    assert set(get_statuses(shared.summary).values()) == {"done"}
    folder = shared.zoo_runs[1].folder
    assert (folder / "evaluate" / "detections.csv").read_text(encoding="utf-8") == "slowonly_r50 0"
    assert json.loads((folder / "train" / "run.json").read_text(encoding="utf-8")) == {"run_of": "slowonly_r50"}


@pytest.mark.slow
def test_a_copy_that_is_up_to_date_stays(shared, toy_notebooks, tiny):
    assert set(get_statuses(build_runner(toy_notebooks, tiny, MODELS).run_all()).values()) == {"done before"}


@pytest.mark.slow
def test_a_copy_follows_its_original_and_the_older_one_is_archived(shared, toy_notebooks, tiny):
    (shared.zoo_runs[0].folder / "train" / "best.pth").write_text("another", encoding="utf-8")
    statuses = get_statuses(build_runner(toy_notebooks, tiny, MODELS).run_all())
    assert statuses["slowonly_r50", "03"] == "done before"
    assert statuses["slowonly_omnisource_r50", "03"] == "done"
    folder = shared.zoo_runs[1].folder
    assert (folder / "evaluate" / "detections.csv").read_text(encoding="utf-8") == "another"
    assert (folder / "train.1").exists()


@pytest.mark.slow
def test_a_model_with_a_training_of_its_own_does_not_take_another(toy_notebooks, tiny):
    alone = build_runner(toy_notebooks, tiny, MODELS[1:])
    alone.run_all()
    statuses = get_statuses(build_runner(toy_notebooks, tiny, MODELS).run_all())
    assert set(statuses.values()) == {"done", "done before"}
    train = alone.zoo_runs[0].folder / "train"
    assert (train / "best.pth").read_text(encoding="utf-8") == "slowonly_omnisource_r50 0"
    assert not train.with_name("train.1").exists()
