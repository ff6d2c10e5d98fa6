"""Configs: defaults that depend on recipe and device, options that exclude each other."""

import pytest
import torch
from tiny_model import ENTRY, NO_DATASET, make_config

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.training.train_config import configure_training


@pytest.mark.parametrize(
    ("build_recipe", "checkpoint", "expected"),
    [
        (zoo.build_published_recipe, None, "pretrained"),
        (zoo.build_published_recipe, "random", None),
        (zoo.build_mini_recipe, None, None),
        (zoo.build_mini_recipe, "weights.pth", "weights.pth"),
    ],
)
def test_the_checkpoint_is_the_recipes_unless_one_is_named(build_recipe, checkpoint, expected):
    entry = zoo.get("slowonly_r50")
    config = configure_training(entry, build_recipe(entry), NO_DATASET, "cpu", checkpoint=checkpoint)
    assert config.checkpoint == expected


@pytest.mark.parametrize(("version", "checkpoint", "warns"), [("own", None, 1), ("own", "a.pth", 0), ("mini", None, 0)])
def test_random_weights_and_small_pictures_for_ones_own_videos_are_a_warning(version, checkpoint, warns, caplog):
    entry = zoo.get("slowonly_r50")
    layout = DatasetLayout("data/gym", version)
    configure_training(entry, zoo.get_recipe(entry, "gym"), layout, "cpu", checkpoint=checkpoint)
    assert caplog.text.count("random weights, a short side of 64 pixels") == warns


def fail_to_compile(*args, **options):
    raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found in ('g++',)\nmore")


def test_without_a_compiler_compiling_is_off_with_the_reason(monkeypatch, capsys):
    monkeypatch.setattr(torch, "compile", fail_to_compile)
    assert make_config(compile=True).compile is False
    assert "torch.compile is off: RuntimeError: InvalidCxxCompiler: No working C++" in capsys.readouterr().out


def test_compile_and_recompute_exclude_each_other():
    with pytest.raises(ValueError, match="don't go together"):
        make_config(compile=True, recompute=True)


def test_a_step_has_at_least_one_micro_batch():
    with pytest.raises(ValueError, match="accumulate=0: expected at least 1"):
        make_config(accumulate=0)


def test_the_learning_rate_follows_the_global_batch_size():
    single, accumulated = make_config(), make_config(accumulate=3)
    assert accumulated.count_clips_per_step() == 3 * single.count_clips_per_step()
    assert accumulated.compute_base_lr() == pytest.approx(3 * single.compute_base_lr())


def test_the_fingerprint_tells_data_and_settings_apart_but_not_machines(tiny):
    config = make_config(tiny)
    assert make_config(tiny, accumulate=2, recompute=True).compute_fingerprint() == config.compute_fingerprint()
    assert make_config(tiny, lr=1.0).compute_fingerprint() != config.compute_fingerprint()
    assert config.compute_fingerprint()["entry"]["depth"] == ENTRY.depth
