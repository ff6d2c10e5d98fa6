"""The zoo: every field against the published facts, the lookup, the learning-rate rule, the README's table."""

import dataclasses
import json
from pathlib import Path

import pytest

from avalib import zoo

TESTS = Path(__file__).parents[1]
FACTS = json.loads((TESTS / "golden" / "zoo.json").read_text(encoding="utf-8"))
RENAMED = {"sha256_prefix": "checkpoint_sha256"}
SLOWFAST_ONLY = ("resample_rate", "speed_ratio", "channel_ratio", "fusion_kernel")


# the later ones that are left out: another data set and evaluator, a bank of features, or licensed non-commercially
LEFT_OUT = ("multisports", "_lfb_", "vmaead_")
LATER_FACTS = [
    facts
    for facts in json.loads((TESTS / "golden" / "zoo2.json").read_text(encoding="utf-8"))["models"]
    if not any(word in facts["alias"] for word in LEFT_OUT)
]
LATER_FIELDS = (
    "name",
    "modality",
    "pretrained",
    "backbone",
    "depth",
    "clip_len",
    "frame_interval",
    "published_gpus",
    "resolution",
    "published_mAP",
    "videos_per_gpu",
    "lr",
    "lr_for_gpus",
    "checkpoint_url",
    "log_url",
    "pretrained_url",
    "resample_rate",
    "speed_ratio",
    "channel_ratio",
    "fusion_kernel",
)
MMACTION_1X_FACTS = [f for f in LATER_FACTS if f["source"].startswith("mmaction2") and f["depth"]]


def test_the_seven_come_first_in_the_tables_order():
    assert zoo.list_models()[:7] == [facts["alias"] for facts in FACTS["models"]]


def test_every_model_has_a_name_of_its_own():
    names = zoo.list_models() + [entry.name for entry in zoo.ENTRIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("facts", MMACTION_1X_FACTS, ids=lambda f: f["alias"])
def test_every_published_fact_of_the_later_cnns(facts):
    entry = dataclasses.asdict(zoo.get(facts["alias"]))
    assert {key: entry[key] for key in LATER_FIELDS if key in facts} == {
        key: facts[key] for key in LATER_FIELDS if key in facts
    }


@pytest.mark.parametrize("facts", MMACTION_1X_FACTS, ids=lambda f: f["alias"])
def test_head_and_loss_of_the_later_cnns(facts):
    entry, head, roi = zoo.get(facts["alias"]), facts["head"], facts["roi"]
    assert (entry.focal_alpha, entry.focal_gamma) == (head["focal_alpha"], head["focal_gamma"])
    assert (entry.head_width is not None) == head["mlp"]
    assert (entry.context, entry.temporal_pool, entry.roi_size) == (
        roi["context"],
        roi["temporal_pool"],
        roi["output_size"],
    )
    assert entry.relation == (facts["shared_head"] is not None)
    assert entry.checkpoint_sha256 == facts["sha256_prefix"]


@pytest.mark.parametrize("facts", FACTS["models"], ids=lambda f: f["alias"])
def test_every_published_fact(facts):
    entry = dataclasses.asdict(zoo.get(facts["alias"]))
    for key, value in facts.items():
        if key != "note":
            assert entry[RENAMED.get(key, key)] == value, key
    if facts["backbone"] == "SlowOnly":
        assert all(entry[key] is None for key in SLOWFAST_ONLY)
    assert entry["context"] == facts.get("context", False)
    assert entry["checkpoint_url"].endswith(f"-{entry['checkpoint_sha256']}.pth")
    assert entry["pretrained_url"].endswith(f"-{entry['pretrained_sha256']}.pth")


@pytest.mark.parametrize("entry", zoo.ENTRIES[:7], ids=zoo.list_models()[:7])
def test_the_published_recipe(entry):
    recipe, common = zoo.build_published_recipe(entry), FACTS["common"]
    assert (
        f"SGD momentum {recipe.momentum}, weight decay {recipe.weight_decay:.0e}"
        == "SGD momentum 0.9, weight decay 1e-05"
    )
    assert (recipe.epochs, recipe.dropout, recipe.person_score) == (
        common["epochs"],
        common["dropout"],
        common["person_det_score_thr"],
    )
    assert recipe.milestones == (10, 15) and recipe.gamma == 0.1 and recipe.grad_clip == 40
    assert (recipe.warmup_epochs, recipe.warmup_ratio) == (5, 0.1)
    assert (recipe.train_short_side, recipe.crop, recipe.test_short_side, recipe.flip) == ((256, 320), 256, 256, 0.5)
    assert zoo.scale_lr(entry, 8, entry.videos_per_gpu) == pytest.approx(entry.lr)


def test_a_pattern_chooses_models_in_the_tables_order():
    assert zoo.list_models("slowfast*")[:3] == ["slowfast_r50", "slowfast_context_r50", "slowfast_r50_8x8"]
    assert zoo.list_models("nothing*") == []


def test_names_and_patterns_select_each_model_once():
    v22 = ["slowfast_r50_8x8_ava22", "slowfast_r50_8x8_tmax_ava22", "slowfast_r50_8x8_tmax_focal_ava22"]
    assert zoo.select_models([zoo.get(v22[1]).name, "slowfast_*_ava22"]) == [v22[1], v22[0], v22[2]]
    assert zoo.select_models(["*"]) == zoo.list_models()
    assert zoo.select_models([]) == []


@pytest.mark.parametrize("name", ["slowest*", "slowfast_r50_8x"])
def test_a_selection_without_models_lists_them(name):
    with pytest.raises(KeyError, match=rf"{name[:-1]}.*There are: slowonly_r50"):
        zoo.select_models(["slowonly_r50", name])


@pytest.mark.parametrize("entry", zoo.ENTRIES, ids=zoo.list_models())
def test_an_entry_has_two_names(entry):
    assert zoo.get(entry.alias) is entry
    assert zoo.get(entry.name) is entry


def test_a_misspelt_name_is_answered_with_the_nearest_and_all_others():
    with pytest.raises(KeyError, match="Did you mean 'slowfast_r50_8x8'.*slowonly_r50, .*slowfast_context_r50"):
        zoo.get("slowfast_r50_8x")


def test_an_unknown_name_is_answered_with_all_names():
    with pytest.raises(KeyError, match="There are: slowonly_r50"):
        zoo.get("zzz")


def test_the_linear_rule_on_the_readmes_own_examples():
    base = dataclasses.replace(zoo.get("slowonly_r50"), lr=0.01, lr_for_gpus=4, videos_per_gpu=2)
    assert zoo.scale_lr(base, gpus=4, videos_per_gpu=2) == pytest.approx(0.01)
    assert zoo.scale_lr(base, gpus=16, videos_per_gpu=4) == pytest.approx(0.08)
    assert zoo.scale_lr(zoo.get("slowonly_r50"), gpus=1, videos_per_gpu=8) == pytest.approx(0.0125)
    recipe = zoo.build_published_recipe(zoo.get("slowonly_r50"))
    assert zoo.scale_lr(recipe, gpus=2, videos_per_gpu=16) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="gpus=0"):
        zoo.scale_lr(base, 0, 2)


def test_the_difference_of_two_rows():
    found = zoo.compare_fields(zoo.get("slowfast_r50"), zoo.get("slowfast_r50_8x8"))
    assert found["fusion_kernel"] == (5, 7) and found["resample_rate"] == (8, 4) and "depth" not in found
    assert zoo.compare_fields(zoo.get("slowfast_r50"), zoo.get("slowfast_r50")) == {}


def test_entries_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        zoo.get("slowonly_r50").lr = 1.0
