"""Training on the tiny data set: the schedule, resuming, what is kept; small pictures, real steps."""

import json
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import avalib
from avalib import infer, metrics, state, train, zoo

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(zoo.customise(zoo.mini_recipe(ENTRY), short_side=32, batch_size=4, epochs=2), cache_short_side=None)


def setup_of(layout, **changes):
    return train.setup(ENTRY, replace(RECIPE, **changes), layout, "cpu", "float32", workers=0)


def test_published_schedule():
    recipe = zoo.published_recipe(ENTRY)
    at = [train.lr_at(recipe, 0.2, i, 10) for i in (0, 25, 49, 50, 99, 100, 149, 150)]
    assert at == pytest.approx([0.02, 0.2 * 0.55, 0.2 * (0.1 + 0.9 * 0.98), 0.2, 0.2, 0.02, 0.02, 0.002])


def test_cosine_ends_near_zero_after_the_warm_up():
    at = [train.lr_at(replace(RECIPE, warmup_epochs=0.5), 1.0, i, 10) for i in range(20)]
    assert at[0] == pytest.approx(0.1) and max(at) > 0.8 and at[-1] < 0.02


def test_a_run_learns_and_its_second_call_does_nothing(tiny, tmp_path, capsys):
    log = train.train(setup_of(tiny), tmp_path / "run", progress=False)
    steps = log[log["mode"] == "train"]
    assert len(steps) == 2 * steps[steps.epoch == 1].shape[0] and steps.loss_action_cls.notna().all()
    assert {"recall@thr=0.5", "prec@top3", "grad_norm", "lr", "data_time"} <= set(log.columns)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"log.jsonl", "last.pth", "best.pth", "final.pth"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == len(log) and lines[-1]["mode"] == "val"
    again = train.train(setup_of(tiny), tmp_path / "run", progress=False)
    assert "finished already" in capsys.readouterr().out and len(again) == len(log)
    # the weights kept are the ones that were scored, and carry their recipe
    model, recipe = infer.load(None, tmp_path / "run" / "final.pth", "tiny")
    assert recipe == RECIPE
    table, _ = infer.detect_dataset(model, tiny, "val", recipe, "cpu", "float32", progress=False)
    report = metrics.evaluate(tiny.csv("val"), table, label_map=tiny.evaluated_map, exclusions=tiny.excluded("val"))
    assert report.mAP == pytest.approx(lines[-1]["mAP@0.5IOU"], abs=1e-6)


def test_interrupted_and_continued_is_bit_for_bit_the_unbroken_run(tiny, tmp_path):
    whole = train.train(setup_of(tiny), tmp_path / "whole", progress=False)

    def interrupt(log):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(setup_of(tiny), tmp_path / "broken", progress=False, save_minutes=0, on_log=interrupt)
    rest = train.train(setup_of(tiny), tmp_path / "broken", progress=False)
    for name in ("loss_action_cls", "mAP@0.5IOU", "lr", "grad_norm"):
        np.testing.assert_array_equal(whole[name], rest[name])
    a, b = (torch.load(tmp_path / n / "last.pth", weights_only=True)["model"] for n in ("whole", "broken"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_sigterm_saves_then_leaves(tiny, tmp_path):
    def terminate():
        while not (tmp_path / "run").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    with pytest.raises(KeyboardInterrupt, match="call again to go on"):
        train.train(setup_of(tiny, epochs=50, validate_every=50), tmp_path / "run", progress=False)
    saved = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert saved["step"] + saved["epoch"] > 0 and len(saved["log"]) > 0


def test_a_run_with_other_settings_is_kept(tiny, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    first = setup_of(tiny)
    torch.save({"fingerprint": first.fingerprint()}, tmp_path / "run" / "last.pth")
    state.keep_other_run(tmp_path / "run", first)
    assert (tmp_path / "run").exists()
    state.keep_other_run(tmp_path / "run", setup_of(tiny, epochs=3))
    assert not (tmp_path / "run").exists() and (tmp_path / "run.1" / "last.pth").exists()
    assert "recipe.epochs" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_stops_and_names_the_keyframes(tiny, tmp_path):
    with pytest.raises(FloatingPointError, match="on keyframes"):
        train.train(setup_of(tiny, lr=1e30, grad_clip=1e30, optimizer="sgd", warmup_epochs=0), tmp_path, progress=False)


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pth"
    path.write_text("old")

    def full(to):
        to.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="last.pth.*No space left"):
        state._replace(path, full)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_plan_counts_and_times(tiny):
    plan = train.plan(setup_of(tiny), timed_steps=1)
    assert plan["steps"] == plan["epochs"] * -(-plan["training clips"] // plan["clips a step"])
    assert plan["clips a second"] > 0 and plan["learning rate"] == pytest.approx(RECIPE.lr * 4 / 12)


def test_public_door():
    assert avalib.train.train is train.train
