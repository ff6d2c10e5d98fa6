"""A small ViT trains on the tiny data set: its recipe, drop path, recomputation, resuming, what it needs."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_vit
import torch

from avalib import zoo
from avalib.evaluation.inference import load_trained_model
from avalib.models.vit import Block
from avalib.training import engine
from avalib.training.engine import train_model
from avalib.training.profiling import build_noise_batch, build_untrained_state, measure_activation_bytes
from avalib.training.reproducibility import seed_everything
from avalib.training.sanity_checks import overfit_one_batch
from avalib.training.step import run_forward, train_step
from avalib.utils.interrupts import Stopped

DEEP_ENTRY = replace(tiny_vit.ENTRY, depth=tiny_vit.DEEP)
RECIPE_OF_LAYERS = {"decay_1d": False, "layer_decay": 0.7, "drop_path": 0.3, "schedule": "warmup_cosine"}


def run_steps(config, count=2):
    """The state after some steps on the same noise, from the same weights, and their metrics."""
    seed_everything(0)
    state = build_untrained_state(config)
    seed_everything(1)
    batch = build_noise_batch(config, state.model, 2)
    return state, [train_step(state, [batch], config, 0.01, i).metrics for i in range(count)]


def assert_same_weights(first, second, **tolerance):
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name, **tolerance)


def test_drop_path_is_the_recipes():
    state = build_untrained_state(tiny_vit.make_config(drop_path=0.3))
    assert [block.drop_path_rate for block in state.model.backbone.blocks] == [0, 0.3]


def test_recomputed_blocks_train_the_same():
    """With the same branches dropped in the second forward pass."""
    states = [run_steps(tiny_vit.make_config(drop_path=0.5, recompute=recompute))[0] for recompute in (False, True)]
    assert_same_weights(*(state.model for state in states), rtol=0, atol=0)


def test_recomputed_blocks_store_less():
    plain, recomputed = (
        measure_activation_bytes(config, build_untrained_state(config))
        for config in (tiny_vit.make_config(entry=DEEP_ENTRY), tiny_vit.make_config(entry=DEEP_ENTRY, recompute=True))
    )
    assert plain / 12 < recomputed < plain / 3, "the inputs of twelve blocks, and what one stores"


@pytest.mark.parametrize("entry", [tiny_vit.ENTRY, tiny_vit.UMT_ENTRY])
def test_bfloat16_is_near_float32(entry):
    losses = []
    for precision in ("float32", "bfloat16"):
        config = tiny_vit.make_config(entry=entry, precision=precision, drop_path=0.0)
        seed_everything(0)
        model = build_untrained_state(config).model
        loss, _ = run_forward(model, build_noise_batch(config, model, 2), config)
        loss.backward()
        assert all(p.grad.isfinite().all() and p.dtype == torch.float32 for p in model.parameters())
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


@pytest.mark.slow
def test_a_run_interrupted_in_mid_epoch_is_bit_for_bit_the_unbroken_one(tiny, tmp_path, monkeypatch):
    config = tiny_vit.make_config(tiny, **RECIPE_OF_LAYERS)
    train_model(config, tmp_path / "unbroken", progress=False)

    def train_step_then_stop(state, *arguments, **options):
        result = train_step(state, *arguments, **options)
        return replace(result, stop_signal=signal.SIGTERM) if state.position == (0, 2) else result

    with monkeypatch.context() as patch:
        patch.setattr(engine, "train_step", train_step_then_stop)
        with pytest.raises(Stopped):
            train_model(config, tmp_path / "broken", progress=False)
    train_model(config, tmp_path / "broken", progress=False)
    models = [load_trained_model(None, tmp_path / run / "final.pth", "tiny")[0] for run in ("unbroken", "broken")]
    assert_same_weights(*models, rtol=0, atol=0)
    assert models[0].entry == tiny_vit.ENTRY
    assert isinstance(models[0].backbone.blocks[0], Block)


@pytest.mark.slow
def test_a_small_vit_learns_one_batch_by_heart(tiny, tmp_path):
    log = overfit_one_batch(tiny_vit.make_config(tiny, videos_per_gpu=4), tmp_path, steps=200, progress=False)
    assert log["loss"].iloc[-1] < 0.05


@pytest.mark.parametrize("alias", ["videomae_vit_b_ak", "umt_vit_b"])
def test_the_published_recipes_fit_their_models(alias):
    """Every group gets its rate, of a model without memory behind it."""
    entry = zoo.get(alias)
    recipe = zoo.build_published_recipe(entry)
    config = replace(tiny_vit.make_config(), entry=entry, recipe=recipe)
    with torch.device("meta"):
        state = build_untrained_state(replace(config, device=torch.device("meta")))
    scales = {group["lr_scale"] for group in state.optimizer.param_groups}
    assert len(scales) == entry.depth + 2
    assert min(scales) == pytest.approx(recipe.layer_decay ** (entry.depth + 1))


def test_the_planner_counts_what_a_vits_blocks_store():
    """At 64x64 and two slices in time: tokens, 4x4 patches."""
    config = tiny_vit.make_config(crop=64)
    state = build_untrained_state(config)
    n_tokens, width, n_blocks = 2 * 16, 64, 2
    # of each block at least: the inputs of four linear maps (1+1+1+4), q, k, v (3), the GELU's input (4)
    least_bytes = 4 * n_tokens * width * n_blocks * 14
    assert least_bytes < measure_activation_bytes(config, state) < 3 * least_bytes


@pytest.mark.slow
def test_the_planners_memory_is_what_a_step_takes():
    script = Path(__file__).parents[1] / "helpers" / "measure_training_peak.py"
    command = [sys.executable, str(script), "videomae_vit_b_ak", "96", "4"]
    output = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    estimate_gb, measured_gb = map(float, output.split())
    assert estimate_gb == pytest.approx(measured_gb, rel=0.25)
