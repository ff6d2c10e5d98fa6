"""The model that `detect` takes by default, and what it says about a better one."""

import inspect

import pytest

import avalib
from avalib import zoo
from avalib.detection.detect_video import DEFAULT_MODEL, GPU_MODEL, describe_better_model
from avalib.zoo.entry import DEFAULT_LICENCE


def test_the_default_model_names_a_better_one_for_a_gpu():
    advice = describe_better_model("slowonly_r50", "published")
    assert "slowonly_r50 (published mAP 20.1 on AVA v2.1 val) is the default" in advice
    assert "on a GPU take slowonly_r50_16x4_ak_tricks (published mAP 31.29 on AVA v2.2 val)" in advice


def test_default_and_advice_have_no_weights_of_non_commercial_origin():
    assert inspect.signature(avalib.detect).parameters["model"].default == DEFAULT_MODEL
    for name in (DEFAULT_MODEL, GPU_MODEL):
        assert zoo.get(name).licence == DEFAULT_LICENCE


@pytest.mark.parametrize(("model", "checkpoint"), [("slowfast_r50", "published"), ("slowonly_r50", "mine.pth")])
def test_there_is_no_advice_for_another_choice(model, checkpoint):
    assert describe_better_model(model, checkpoint) == ""
