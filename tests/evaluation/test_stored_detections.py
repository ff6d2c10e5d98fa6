"""Detections are computed again only where something that they depend on has changed."""

from dataclasses import replace

import pandas as pd
import pytest
import tiny_model
import torch

from avalib.evaluation import stored_detections
from avalib.evaluation.inference import detect_dataset
from avalib.evaluation.stored_detections import detect_dataset_once
from avalib.models.build import build_model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(tiny_model.ENTRY)


@pytest.fixture(scope="module")
def written(model, tiny, tmp_path_factory):
    """A csv file that was just written, and its table."""
    path = tmp_path_factory.mktemp("detections") / "detections.csv"
    table, _ = detect_dataset_once(model, tiny, "val", tiny_model.RECIPE, path)
    return path, table


@pytest.fixture
def computations(monkeypatch):
    """Counts the calls of `detect_dataset`: its length."""
    calls = []

    def count(*arguments, **options):
        calls.append(arguments)
        return detect_dataset(*arguments, **options)

    monkeypatch.setattr(stored_detections, "detect_dataset", count)
    return calls


def test_the_same_is_not_computed_again(model, tiny, written, computations):
    path, table = written
    again, keyframes = detect_dataset_once(model, tiny, "val", tiny_model.RECIPE, path)
    assert not computations
    pd.testing.assert_frame_equal(again, table)
    assert len(keyframes) == 3


@pytest.mark.slow
@pytest.mark.parametrize("change", ["weights", "recipe", "decimals", "file"])
def test_a_change_is_computed(model, tiny, written, computations, tmp_path, change):
    path = tmp_path / "detections.csv"
    for suffix in (".csv", ".inputs.json"):
        path.with_suffix(suffix).write_bytes(written[0].with_suffix(suffix).read_bytes())
    network, recipe, decimals = model, tiny_model.RECIPE, 3
    if change == "weights":
        torch.manual_seed(1)
        network = build_model(tiny_model.ENTRY)
    elif change == "recipe":
        recipe = replace(recipe, person_score=0.5)
    elif change == "decimals":
        decimals = 4
    else:
        path.write_text(path.read_text(encoding="utf-8").replace("0.5", "0.6"), encoding="utf-8")
    detect_dataset_once(network, tiny, "val", recipe, path, decimals)
    assert len(computations) == 1
    # now it is stored
    detect_dataset_once(network, tiny, "val", recipe, path, decimals)
    assert len(computations) == 1
