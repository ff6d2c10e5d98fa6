"""The ViTs' entries and recipes against the published facts (tests/golden/zoo2.json)."""

import json
from pathlib import Path

import pytest

from avalib import zoo

FACTS = {
    facts["alias"]: facts
    for facts in json.loads((Path(__file__).parents[1] / "golden" / "zoo2.json").read_text(encoding="utf-8"))["models"]
    if facts["alias"] in zoo.list_models("*vit*")
}
SAME_NAMES = (
    *("name", "modality", "clip_len", "frame_interval", "resolution", "published_mAP", "videos_per_gpu", "lr"),
    *("checkpoint_url", "log_url"),
)


@pytest.fixture(params=FACTS)
def facts(request):
    return FACTS[request.param]


@pytest.fixture
def entry(facts):
    return zoo.get(facts["alias"])


def test_there_are_four():
    assert (
        list(FACTS) == zoo.list_models("*vit*") == ["videomae_vit_b_ak", "videomae_vit_l_ak", "umt_vit_b", "umt_vit_l"]
    )


def test_every_published_fact(facts, entry):
    for name in SAME_NAMES:
        assert getattr(entry, name) == facts[name], name
    assert f"{entry.network}/16" == facts["backbone"]
    assert entry.checkpoint_sha256 == facts["sha256_prefix"]
    assert list(entry.mean) == facts["mean"] and list(entry.std) == facts["std"]
    assert facts["published_gpus"] in (None, entry.published_gpus)


def test_every_fact_of_the_network(facts, entry):
    vit, roi, head = facts["vit"], facts["roi"], facts["head"]
    assert (entry.depth, entry.tubelet, entry.drop_path) == (vit["depth"], vit["tubelet"], vit["drop_path"])
    assert (entry.roi_size, entry.roi_aligned) == (roi["output_size"], roi["aligned"])
    assert list(entry.box_extension or []) == roi.get("test_box_extension", [])
    assert entry.temporal_pool == roi["temporal_pool"] and not entry.context
    assert entry.reserved_column == head["background_column"]


def test_every_fact_of_the_test(facts, entry):
    assert entry.score_threshold == facts["action_thr"]
    assert entry.person_score == facts["person_det_score_thr"]
    assert entry.score_by_person == facts["test_scores"].startswith("sigmoid times")
    assert entry.test_dataset == "ava2.2"


def test_every_number_of_the_training(facts, entry):
    recipe = zoo.build_published_recipe(entry)
    assert recipe.optimizer == "adamw" and recipe.weight_decay == 0.05 and not recipe.decay_1d
    assert recipe.epochs == facts["epochs"]
    assert (recipe.schedule, recipe.warmup_epochs, recipe.warmup_by) == ("warmup_cosine", 5, "iteration")
    assert recipe.layer_decay == facts["vit"]["layer_decay"]
    assert recipe.drop_path == facts["vit"]["drop_path"]
    assert recipe.dropout == facts["head"]["dropout"]
    assert recipe.person_score == facts["person_det_score_thr"]
    assert recipe.numbering == entry.numbering and not recipe.jitter_at_test


def test_videomaes_training_is_that_of_mmaction_1x():
    recipe = zoo.build_published_recipe(zoo.get("videomae_vit_b_ak"))
    assert (recipe.clips_per_step, recipe.lr) == (64, 1.25e-4)
    assert (recipe.train_short_side, recipe.crop, recipe.flip_shift, recipe.grad_clip) == ((256, 320), 256, 0, 40)
    assert (recipe.warmup_ratio, recipe.final_ratio) == (0.1, 0)


@pytest.mark.parametrize("alias", ["umt_vit_b", "umt_vit_l"])
def test_umts_learning_rate_is_for_256_clips(alias):
    recipe = zoo.build_published_recipe(zoo.get(alias))
    assert (recipe.clips_per_step, recipe.lr) == (256, 2.5e-4)
    assert recipe.lr * recipe.warmup_ratio == recipe.lr * recipe.final_ratio == pytest.approx(1e-6)
    assert (recipe.train_short_side, recipe.crop) == ((256, 256), 224)


@pytest.mark.parametrize("alias", FACTS)
def test_the_minis_recipe_starts_from_random_weights_on_small_pictures(alias):
    recipe = zoo.build_mini_recipe(zoo.get(alias))
    assert (recipe.initial, recipe.crop % 16, recipe.layer_decay, recipe.drop_path) == ("random", 0, 1, 0)
    assert not recipe.decay_1d
