"""Tables about networks."""

import pytest
import torch

from avalib import zoo
from avalib.models.detector import Detector
from avalib.models.summary import build_stage_table, compare_models

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


@pytest.mark.parametrize("alias", ["videomae_vit_b_ak", "umt_vit_l"])
def test_a_vits_blocks_are_four_stages(alias):
    entry = zoo.get(alias)
    with torch.device("meta"):
        model = Detector(entry)
        table = build_stage_table(model)
    n_blocks, channels = entry.depth // 4, model.backbone.out_channels
    assert table.stage.tolist()[:3] == ["clips", "patch_embed", f"blocks 0-{n_blocks - 1}"]
    assert table.stage.tolist()[-3:] == ["norm", "RoIAlign", "logits"]
    assert (table.output[1:7] == f"{channels}x8x16x21").all()
    assert table.what[2] == f"{n_blocks} blocks, attention of {channels // 64} heads, MLP {4 * channels}"
    assert table.parameters.sum() == sum(p.numel() for p in model.parameters())


def test_a_classifier_of_two_layers_is_described():
    with torch.device("meta"):
        table = build_stage_table(Detector(zoo.get("slowonly_r50_8x8_ak_nlhead")))
    assert table.what.iloc[-1] == "dropout, spatial max, linear 4096 -> 4096 -> 81"
    assert table.what.iloc[-2] == "one box: 8x8 of the maximum over time, 8x8 of the whole picture behind it"
