"""The published recipe, line by line: every number of ARCHITECTURE's sections on training, for each of the seven."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from avalib import zoo

# model: lr for 8 GPUs, clips a GPU (Source: v0.10.0 configs/detection/ava)
BATCHES = {
    "slowonly_r50": (0.2, 16),
    "slowonly_omnisource_r50": (0.2, 16),
    "slowonly_r101": (0.075, 6),
    "slowonly_omnisource_r101": (0.075, 6),
    "slowfast_r50": (0.1125, 9),
    "slowfast_context_r50": (0.1125, 9),
    "slowfast_r50_8x8": (0.075, 5),
}
COMMON = {
    "initial": "pretrained",  # load_from the Kinetics recogniser
    "epochs": 20,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 1e-5,
    "grad_clip": 40.0,
    "warmup_epochs": 5,
    "warmup_ratio": 0.1,
    "schedule": "step",
    "milestones": (10, 15),
    "gamma": 0.1,
    "train_short_side": (256, 320),
    "crop": 256,
    "crop_aspect": 1.0,
    "test_short_side": 256,
    "flip": 0.5,
    "color_jitter": 0.0,
    "person_score": 0.9,
    "rois_per_frame": 32,
    "assign_iou": 0.9,
    "dropout": 0.5,
    "shuffle_frames": False,
    "jitter_at_test": True,
    "zero_init_residual": True,
    "prior_bias": False,
    "cache_short_side": None,
    "validate_every": 1,
    "numbering": "v0.10.0",
    # the loss, optimizer and schedule of the later models
    "focal_alpha": 1.0,
    "focal_gamma": 0.0,
    "nesterov": False,
    "decay_1d": True,
    "layer_decay": 1.0,
    "drop_path": 0.0,
    "warmup_by": "iteration",
    "final_ratio": 0.0,
    "flip_shift": 1,
}
NAMED = {"name": "published", "dataset": "ava2.1", "seed": 0}


@pytest.mark.parametrize("alias", BATCHES)
def test_every_number(alias):
    lr, clips = BATCHES[alias]
    expected = COMMON | NAMED | {"lr": lr, "videos_per_gpu": clips, "clips_per_step": 8 * clips}
    recipe = zoo.build_published_recipe(zoo.get(alias))
    assert {f.name: getattr(recipe, f.name) for f in fields(recipe)} == expected
    assert zoo.get_recipe(zoo.get(alias), "ava2.1") == zoo.get_recipe(zoo.get(alias), "ava2.2") == recipe
    assert zoo.scale_lr(recipe, 16, clips) == pytest.approx(2 * lr)  # the README's 8x2 GPUs


LATER_ROWS = {
    row["alias"]: row
    for row in json.loads((Path(__file__).parents[1] / "golden" / "zoo2.json").read_text(encoding="utf-8"))["models"]
    if row["source"].startswith("mmaction2 1.x") and row["optimizer"]["type"] == "SGD" and "AVA" in row["dataset"]
    if row["alias"] in zoo.list_models()
}


@pytest.mark.parametrize("alias", LATER_ROWS)
def test_every_number_of_the_later_trainings(alias):
    row = LATER_ROWS[alias]
    entry = zoo.get(alias)
    recipe = zoo.build_published_recipe(entry)
    is_short = "cosine" in row["schedule"]
    is_kinetics = row["dataset"].startswith("AVA-Kinetics")
    version = "ava2.1" if row["dataset"] == "AVA v2.1" else "ava2.2"
    assert recipe.epochs == row["epochs"] == (10 if is_short else 20)
    expected = COMMON | {
        "dataset": "ava_kinetics" if is_kinetics else version,
        "lr": row["lr"],
        "videos_per_gpu": row["videos_per_gpu"],
        "clips_per_step": row["lr_for_gpus"] * row["videos_per_gpu"],
        "momentum": row["optimizer"]["momentum"],
        "weight_decay": row["optimizer"]["weight_decay"],
        "grad_clip": row["grad_clip"],
        "jitter_at_test": False,
        "flip_shift": 0,
        "numbering": "ava_kinetics" if is_kinetics else "v1.x",
        "person_score": row["person_det_score_thr"],
        "focal_alpha": row["head"]["focal_alpha"],
        "focal_gamma": row["head"]["focal_gamma"],
    }
    if is_short:
        expected |= {"epochs": 10, "warmup_epochs": 2, "schedule": "warmup_cosine", "milestones": ()}
    else:
        expected |= {"warmup_by": "epoch"}
    assert {name: getattr(recipe, name) for name in expected} == expected
    assert entry.test_dataset == version


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("epochs", -1), ("videos_per_gpu", 0), ("crop", 0), ("lr", float("nan")), ("dropout", 2.0)],
)
def test_a_number_that_no_training_can_have_is_named(name, value):
    recipe = zoo.get_recipe(zoo.get("slowonly_r50"), "mini")
    with pytest.raises(ValueError, match=f"{name}="):
        replace(recipe, **{name: value})


BASE = zoo.build_published_recipe(zoo.get("slowonly_r50"))


def test_a_short_side_moves_all_sizes():
    small = zoo.update_recipe(BASE, short_side=128)
    assert (small.crop, small.test_short_side, small.train_short_side) == (128, 128, (128, 160))
    assert set(zoo.compare_fields(BASE, small)) == {"crop", "test_short_side", "train_short_side"}


def test_a_short_side_moves_the_frame_cache_and_both_sides_of_the_crop():
    mini = zoo.build_mini_recipe(zoo.get("slowonly_r50"))
    large = zoo.update_recipe(mini, short_side=128)
    assert large.cache_short_side == 160
    assert (BASE.crop_shape, mini.crop_shape, large.crop_shape) == ((256, 256), (64, 85), (128, 170))


def test_a_batch_size_is_the_clips_of_one_device():
    assert zoo.compare_fields(BASE, zoo.update_recipe(BASE, batch_size=4)) == {"videos_per_gpu": (16, 4)}


def test_none_leaves_a_field_as_it_is():
    assert zoo.update_recipe(BASE, epochs=3, flip=None) == replace(BASE, epochs=3)
    assert zoo.update_recipe(BASE) == BASE


def test_overrides_come_last_and_none_is_a_value():
    mini = zoo.build_mini_recipe(zoo.get("slowonly_r50"))
    assert zoo.update_recipe(mini, {"cache_short_side": None}, short_side=32).cache_short_side is None


def test_a_field_may_have_its_earlier_name():
    assert zoo.update_recipe(BASE, {"colour": 0.3}) == replace(BASE, color_jitter=0.3)


def test_values_take_the_fields_type():
    changed = zoo.update_recipe(BASE, {"lr": 1, "milestones": [8, 11], "zero_init_residual": False})
    assert (changed.lr, changed.milestones, changed.zero_init_residual) == (1.0, (8, 11), False)


@pytest.mark.parametrize(
    "update", [lambda n: zoo.update_recipe(BASE, {n: 1}), lambda n: zoo.update_recipe(BASE, **{n: 1})]
)
def test_a_misspelt_field_is_answered_with_the_nearest(update):
    with pytest.raises(TypeError, match="no 'weight_deacy'. Did you mean 'weight_decay'"):
        update("weight_deacy")


@pytest.mark.parametrize(
    ("name", "value"),
    {"epochs": 1.5, "lr": "high", "milestones": 10, "train_short_side": [256], "flip": None}.items(),
)
def test_a_value_of_another_kind_is_refused(name, value):
    with pytest.raises(TypeError, match=f"{name}=.*expected"):
        zoo.update_recipe(BASE, {name: value})


def test_models_whose_training_is_the_same_from_random_weights():
    seven = zoo.ENTRIES[:7]
    pairs = [(a.alias, b.alias) for a in seven for b in seven if zoo.is_same_training(a, b, "mini")]
    assert [(a, b) for a, b in pairs if a < b] == [
        ("slowonly_omnisource_r50", "slowonly_r50"),
        ("slowonly_omnisource_r101", "slowonly_r101"),
    ]


def test_trainings_from_other_weights_are_not_the_same():
    assert not zoo.is_same_training(zoo.ENTRIES[0], zoo.ENTRIES[1], "ava2.1")
