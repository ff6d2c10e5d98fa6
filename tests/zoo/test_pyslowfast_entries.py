"""The entries of PySlowFast and PyTorchVideo: every published fact, and the recipe behind them."""

import dataclasses
import json
from pathlib import Path

import pytest

from avalib import zoo

TABLE = json.loads((Path(__file__).parents[1] / "golden" / "zoo2.json").read_text(encoding="utf-8"))
FACTS = [facts for facts in TABLE["models"] if facts["alias"].startswith(("psf_", "ptv_"))]
# field of the entry: the fact's key
SAME = {
    "modality": "modality",
    "pretrained": "pretrained",
    "depth": "depth",
    "clip_len": "clip_len",
    "frame_interval": "frame_interval",
    "resolution": "resolution",
    "published_mAP": "published_mAP",
    "checkpoint_url": "checkpoint_url",
    "checkpoint_sha256": "sha256_prefix",
    "log_url": "log_url",
    "pretrained_url": "pretrained_url",
    "last_stage_dilation": "stage5_dilation",
}
SLOWFAST = ("resample_rate", "speed_ratio", "channel_ratio", "fusion_kernel")
by_alias = pytest.mark.parametrize("facts", FACTS, ids=lambda facts: facts["alias"])


def test_all_six_are_there():
    assert zoo.list_models("p[st][fv]_*") == [facts["alias"] for facts in FACTS]


@by_alias
def test_published_facts(facts):
    entry = dataclasses.asdict(zoo.get(facts["alias"]))
    assert {field: entry[field] for field in SAME} == {field: facts[key] for field, key in SAME.items()}
    assert entry["name"] == facts["name"].partition(".pkl")[0]
    assert entry["dataset"] == facts["dataset"].lower().replace(" v", "")
    assert entry["licence"] == facts["licence"].partition(" ")[0]


@by_alias
def test_pathways(facts):
    entry = zoo.get(facts["alias"])
    assert {name: getattr(entry, name) for name in SLOWFAST} == {name: facts.get(name) for name in SLOWFAST}
    is_slowfast = facts["backbone"] == "SlowFast"
    assert entry.backbone == ("SlowFast" if is_slowfast else "SlowOnly")
    assert entry.lateral_norm == is_slowfast == (entry.slow_frames == "linspace")


@by_alias
def test_non_local_blocks_and_kernels_over_time(facts):
    entry = zoo.get(facts["alias"])
    published = facts.get("nonlocal_")
    # the published stage 4 is the third behind the stem
    blocks = tuple(f"{published['stage'] - 1}.{i}" for i in published["after_blocks"]) if published else ()
    assert entry.non_local_blocks == blocks
    assert entry.non_local == (published["kind"].replace(" ", "_") if published else None)
    assert entry.inflated_blocks == (6 if "first 6" in facts.get("temporal_kernel_note", "") else None)


@by_alias
def test_head_and_roi_features(facts):
    entry, roi, head = zoo.get(facts["alias"]), facts["roi"], facts["head"]
    assert (entry.roi_size, entry.roi_aligned) == (roi["output_size"], roi["aligned"])
    assert (entry.temporal_pool, entry.context) == (roi["temporal_pool"], roi["context"])
    assert (entry.reserved_column, entry.dropout_first) == (head["background_column"], head["dropout_before_pool"])
    assert (entry.focal_alpha, entry.focal_gamma) == (head["focal_alpha"], head["focal_gamma"])


@by_alias
def test_preprocessing_and_evaluation(facts):
    entry = zoo.get(facts["alias"])
    assert entry.mean == pytest.approx([255 * value for value in facts["mean"]])
    assert entry.std == pytest.approx([255 * value for value in facts["std"]])
    assert entry.protocol == facts["protocol"].partition(",")[0].partition(" ")[0]
    assert entry.numbering == "pyslowfast" and not entry.score_by_person and entry.score_threshold == 0
    if isinstance(facts["person_det_score_thr"], float):
        assert entry.person_score == facts["person_det_score_thr"]


@by_alias
def test_the_batch(facts):
    entry = zoo.get(facts["alias"])
    # what is not stated is PySlowFast's R50 training
    assert entry.videos_per_gpu == (facts["videos_per_gpu"] or 8)
    assert entry.published_gpus == (facts["published_gpus"] or "not stated")
    assert zoo.scale_lr(entry, gpus=8, videos_per_gpu=8) == pytest.approx(0.1)


@by_alias
def test_the_published_recipe(facts):
    recipe = zoo.build_published_recipe(zoo.get(facts["alias"]))
    assert facts["optimizer"] == "SGD nesterov, momentum 0.9, weight decay 1e-7 (BN 0)"
    assert (recipe.optimizer, recipe.nesterov, recipe.momentum) == ("sgd", True, 0.9)
    assert (recipe.weight_decay, recipe.decay_1d) == (1e-7, False)
    # "20 epochs, lr 0.1 for 64 clips, warm-up 5 epochs from 0.000125, x0.1 at 10 and 15"
    assert (recipe.epochs, recipe.warmup_epochs, recipe.schedule) == (20, 5, "step")
    assert (recipe.milestones, recipe.gamma) == ((10, 15), 0.1)
    assert recipe.warmup_ratio * 0.1 == pytest.approx(0.000125)
    assert (recipe.train_short_side, recipe.crop, recipe.test_short_side) == ((256, 320), 224, 256)
    assert (recipe.flip, recipe.flip_shift, recipe.jitter_at_test) == (0.5, 1, False)
    assert (recipe.numbering, recipe.dataset) == ("pyslowfast", zoo.get(facts["alias"]).dataset)
