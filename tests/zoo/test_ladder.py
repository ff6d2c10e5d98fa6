"""The ladder of SlowOnly on AVA-Kinetics: each step changes one thing."""

import dataclasses
import itertools

import pytest

from avalib import zoo

ENTRIES = [zoo.get(model) for model in zoo.LADDER]
STEPS = list(itertools.pairwise(ENTRIES))


@pytest.mark.parametrize(("base", "other"), STEPS, ids=zoo.LADDER[1:])
def test_a_step_changes_exactly_one_thing(base, other):
    assert len(zoo.list_changes(base, other)) == 1


def test_the_changes_and_what_they_bring():
    table = zoo.build_ladder_table()
    assert list(table["change"]) == [
        "clips of 4x16",
        "clips of 8x8",
        "context: a feature of the whole picture",
        "max over time",
        "classifier of two layers",
        "focal loss (alpha 1, gamma 1)",
        "clips of 16x4",
    ]
    assert list(table["published mAP"]) == [25.87, 27.82, 28.31, 28.48, 29.83, 30.33, 31.29]
    assert list(table["gain"][1:]) == [1.95, 0.49, 0.17, 1.35, 0.5, 0.96]
    assert table["gain"].sum() == pytest.approx(31.29 - 25.87)


def test_all_steps_are_of_one_val_split_and_protocol():
    assert {(entry.test_dataset, entry.protocol, entry.dataset) for entry in ENTRIES} == {
        ("ava2.2", "mmaction1x", "ava_kinetics")
    }


def test_a_change_without_a_text_of_its_own_is_named_by_its_field():
    base = zoo.get("slowonly_r50_8x8_ak")
    other = dataclasses.replace(base, lr=0.2, context=True)
    assert zoo.list_changes(base, other) == ["context: a feature of the whole picture", "lr: 0.1 -> 0.2"]
    assert zoo.list_changes(base, dataclasses.replace(base, alias="other", published_mAP=1.0)) == []


def test_models_of_one_network():
    assert zoo.is_same_network(zoo.get("slowonly_r50"), zoo.get("slowonly_r50_4x16_ak"))
    assert not zoo.is_same_network(*STEPS[0])
