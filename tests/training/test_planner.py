"""The budget before training, and the one-batch check."""

import shutil
from dataclasses import replace

import pytest
from tiny_model import ENTRY, RECIPE

from avalib.data.layout import DatasetLayout
from avalib.training import planner
from avalib.training.checkpointing import CheckpointSaver
from avalib.training.engine import train_model
from avalib.training.logger import read_log
from avalib.training.one_batch_check import OverfitError, find_reached_recall, overfit_one_batch
from avalib.training.planner import (
    _activations,
    _packed_bytes,
    advise_batch_size,
    build_blank_state,
    estimate_cost,
    limit_epochs,
    measure_memory,
)
from avalib.training.session import configure_training
from avalib.utils.distributed import DistributedContext
from avalib.video.frame_cache import write_frame_cache
from avalib.video.reader import Video


def setup_of(layout, **options):
    return configure_training(ENTRY, RECIPE, layout, "cpu", "float32", workers=0, **options)


def test_the_plan_counts_times_and_weighs(tiny):
    setup = setup_of(tiny, accumulate=2)
    plan = estimate_cost(setup, timed_steps=1, context=DistributedContext(size=2))
    assert plan["clips a step"] == 8 and plan["made of"] == "2 processes x 2 shares x 2 clips"
    assert plan["steps"] == 2 * -(-plan["training clips"] // 8)
    assert plan["learning rate"] == pytest.approx(RECIPE.lr * 8 / 12)
    assert plan["clips a second"] == pytest.approx(8 / plan["seconds a step"], rel=0.02)
    assert plan["minutes of training, about"] == pytest.approx(plan["seconds a step"] * plan["steps"] / 60, abs=0.1)
    weights = 4 * sum(p.numel() for p in build_blank_state(setup).model.parameters()) / 1e9
    assert plan["GB a process, about"] > 3 * weights and plan["clips that fit a process"] > 2
    assert plan["GB of checkpoints, at most"] == pytest.approx(7 * weights, abs=0.01)
    assert plan["GB of packed frames to come"] == 0


def test_a_step_too_large_is_told_with_what_would_fit(tiny, monkeypatch):
    setup = setup_of(tiny)
    setup = replace(setup, recipe=replace(RECIPE, videos_per_gpu=12))
    state = build_blank_state(setup)
    small, large = (_activations(build_blank_state(s), s) for s in (setup, wider(setup)))
    assert large == pytest.approx(4 * small, rel=0.2), "four times the pixels"
    fixed = 3 * 4 * sum(p.numel() for p in state.model.parameters())  # weights, gradients, momentum
    monkeypatch.setattr(planner, "get_free_memory", lambda device: fixed + 5.5 * small)
    found = measure_memory(setup, state)
    assert found["clips that fit a process"] == 5
    assert found["to fit"].startswith("batch_size=4, accumulate=3: the same clips a step")
    assert "not even one clip" in advise_batch_size(setup, 0)


def wider(setup):
    return replace(setup, recipe=replace(setup.recipe, crop=64))


def test_packed_frames_to_come_are_estimated(tiny, tmp_path):
    setup = setup_of(tiny)
    setup = replace(setup, recipe=replace(RECIPE, cache_short_side=48))
    names = [p.stem for p in tiny.videos.iterdir()]
    estimate = _packed_bytes(setup, names)
    real = 0
    for name in names:
        with Video(tiny.find_video(name)) as reader:
            real += write_frame_cache(reader, tmp_path / name, 48).stat().st_size
    assert estimate == pytest.approx(real, rel=0.3)


def test_one_batch_is_learnt_by_heart_and_what_cannot_be_is_said(tiny, tmp_path, capsys):
    log = overfit_one_batch(setup_of(tiny), tmp_path / "overfit", progress=False)
    last = log.iloc[-1]
    assert find_reached_recall(last) and last.loss_action_cls < 0.05 < log.loss_action_cls[0]
    said = capsys.readouterr().out
    assert "expected end: loss below 0.05" in said and f"reached after {len(log)} steps" in said
    assert len(read_log(tmp_path / "overfit" / "log.jsonl")) == len(log)
    with pytest.raises(OverfitError, match="not reached in 2 steps.*Likely reasons"):
        overfit_one_batch(setup_of(tiny), tmp_path / "again", steps=2, progress=False)


def test_epochs_are_fitted_to_minutes_and_a_begun_run_keeps_its_own(tiny, tmp_path, capsys):
    setup = setup_of(tiny)
    setup = replace(setup, recipe=replace(setup.recipe, epochs=8))
    assert limit_epochs(setup, {}, None, tmp_path) is setup
    plan = {"minutes of training, about": 16.0}  # 2 an epoch
    assert [limit_epochs(setup, plan, m, tmp_path).recipe.epochs for m in (0.5, 7, 100)] == [1, 3, 8]
    assert "minutes=7: 3 of the recipe's 8 epochs (2.0 minutes each here)" in capsys.readouterr().out
    fitted = limit_epochs(setup, plan, 7, tmp_path)
    begun = build_blank_state(fitted)
    CheckpointSaver(begun, fitted, tmp_path, minutes=1).save()
    assert limit_epochs(setup, plan, 100, tmp_path).recipe.epochs == 3, "it goes on, whatever is timed now"
    other = replace(setup, recipe=replace(setup.recipe, lr=1.0))
    assert limit_epochs(other, plan, 100, tmp_path).recipe.epochs == 8, "another run's epochs are no measure"


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_keyframes_stops_the_plan_and_the_training(tiny, tmp_path, split):
    layout = DatasetLayout(shutil.copytree(tiny.root, tmp_path / "data", symlinks=True), "mini")
    layout.get_csv_path(split).write_text("", encoding="utf-8")
    made = setup_of(layout)
    for begin in (estimate_cost, lambda made: train_model(made, tmp_path / "train", progress=False)):
        with pytest.raises(ValueError, match=rf"ava_{split}_mini\.csv: no keyframes with boxes"):
            begin(made)
