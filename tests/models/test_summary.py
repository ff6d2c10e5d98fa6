"""Tables about networks."""

import pytest

from avalib import zoo
from avalib.models.summary import compare_models

ALIASES = ("slowonly_r50", "slowfast_context_r50")


@pytest.fixture(scope="module")
def table():
    return compare_models(*(zoo.get(alias) for alias in ALIASES)).set_index("stage")


def test_two_models_stand_beside_each_other(table):
    assert list(table.columns) == [f"{alias} {what}" for alias in ALIASES for what in ("output", "parameters")]
    assert table.loc["layer4"].tolist() == ["2048x4x16x22", 20_207_616, "2048x4x16x22", 21_125_120]
    assert table.loc["RoIAlign", "slowfast_context_r50 output"] == "4608x8x8"


def test_a_stage_that_one_model_lacks_is_empty(table):
    assert table.loc["fast_path.layer4"].isna().tolist() == [True, True, False, False]


def test_all_parameters_are_in_the_table(table):
    assert table["slowonly_r50 parameters"].sum() == 31_800_465
    assert table["slowfast_context_r50 parameters"].sum() == 33_930_617
