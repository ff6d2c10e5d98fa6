"""Training on the tiny data set: resuming after any interruption, files, errors; small frames, real steps."""

import json
import os
import re
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from forks import fork
from saved_runs import leave_run
from tiny_model import RECIPE, make_config

from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.inference import detect_dataset, load_trained_model
from avalib.training import checkpointing, epoch_validation, step
from avalib.training.checkpointing import CheckpointSaver, describe_position
from avalib.training.engine import train_model
from avalib.training.existing_run import RunExistsError, load_checkpoint_to_resume
from avalib.training.initial_state import build_initial_model, initialize_state
from avalib.training.logger import read_log
from avalib.training.step import LossNotFiniteError, run_forward
from avalib.utils import disk_space
from avalib.utils.disk_space import DiskFullError
from avalib.utils.interrupts import Stopped


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """(log, folder) of a whole run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    return train_model(make_config(tiny), folder, progress=False), folder


LOGGED = {"mode", "epoch", "iter", "lr", "memory", "data_time", "time", "loss_action_cls", "loss", "grad_norm"}
LOGGED |= {f"{kind}@{name}" for kind in ("recall", "prec") for name in ("thr=0.5", "top3", "top5")}


def test_every_step_and_validation_is_logged(uninterrupted):
    log, _ = uninterrupted
    steps, validations = log[log["mode"] == "train"], log[log["mode"] == "val"]
    assert list(steps.iter) == [1, 2, 3, 4, 5] * 2
    assert list(steps.iteration) == list(range(1, 11))
    assert list(validations.epoch) == [1, 2]
    assert list(validations.iter) == [5, 5]


def test_the_log_has_the_keys_that_plot_scripts_read(uninterrupted):
    rows = read_log(uninterrupted[1] / "log.jsonl")
    assert set(rows[0]) >= LOGGED
    assert set(rows[-1]) >= {"mode", "epoch", "iter", "lr", "mAP@0.5IOU"}


def test_a_run_leaves_its_log_and_three_checkpoints(uninterrupted):
    assert {path.name for path in uninterrupted[1].iterdir()} == {"log.jsonl", "last.pth", "best.pth", "final.pth"}


def test_the_saved_weights_are_the_ones_that_were_scored(uninterrupted, tiny):
    model, recipe = load_trained_model(None, uninterrupted[1] / "final.pth", "tiny")
    assert recipe == RECIPE, "a checkpoint carries its recipe"
    table, _ = detect_dataset(model, tiny, "val", recipe, "cpu", "float32", progress=False)
    report = evaluate(
        tiny.get_csv_path("val"),
        table,
        label_map=tiny.evaluated_label_map_path,
        exclusions=tiny.get_exclusions_path("val"),
    )
    assert report.mAP == pytest.approx(read_log(uninterrupted[1] / "log.jsonl")[-1]["mAP@0.5IOU"], abs=1e-6)


def test_a_second_call_only_writes_missing_files(uninterrupted, tiny, capsys):
    log, folder = uninterrupted
    before = (folder / "last.pth").stat().st_mtime_ns
    (folder / "final.pth").unlink()
    again = train_model(make_config(tiny), folder, progress=False)
    assert "finished already" in capsys.readouterr().out
    assert len(again) == len(log)
    assert (folder / "final.pth").exists()
    assert (folder / "last.pth").stat().st_mtime_ns == before


def run_in_fork(work):
    """Run `work()` in a fork of this process. Returns its exit status; minus the signal's number if one killed it."""
    child = fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_in(monkeypatch, place, count):
    """Make the count-th call of `place` (module, name) write a little, if it is a writer, and be killed."""
    original, calls = getattr(*place), []

    def deadly(*args, **options):
        calls.append(1)
        if len(calls) < count:
            return original(*args, **options)
        if place[1] == "save":
            args[1].write_bytes(b"half a checkpoint")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(*place, deadly)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_instant_a_run_ends_bit_for_bit_the_same(uninterrupted, tiny, tmp_path, monkeypatch, capsys):
    """Killed in a step, while last.pth is written, in a validation, while best.pth is written; then left alone."""

    def work():
        np.random.rand(7), torch.rand(7)  # the generators' history is another one each time
        train_model(make_config(tiny), tmp_path / "run", progress=False, save_minutes=0)

    instants = [
        ((torch.nn.utils, "clip_grad_norm_"), 3),
        ((torch, "save"), 2),
        ((epoch_validation, "score_keyframes"), 1),
        ((epoch_validation, "save_weights"), 1),
    ]
    for place, count in instants:
        with monkeypatch.context() as patched:
            kill_in(patched, place, count)
            assert run_in_fork(work) == -signal.SIGKILL, place
    capsys.readouterr()
    rest = train_model(make_config(tiny), tmp_path / "run", progress=False)
    assert "resuming after 1 epoch\n" in capsys.readouterr().out
    whole, folder = uninterrupted
    for name in ("mode", "epoch", "iter", "lr", "loss_action_cls", "grad_norm", "mAP@0.5IOU", "recall@top3"):
        np.testing.assert_array_equal(whole[name], rest[name], err_msg=name)
    assert len(read_log(tmp_path / "run" / "log.jsonl")) == len(whole)
    a, b = (torch.load(f / "last.pth", weights_only=True) for f in (folder, tmp_path / "run"))
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
    momenta = zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True)
    assert all(torch.equal(x["momentum_buffer"], y["momentum_buffer"]) for x, y in momenta)
    assert (a["best_mAP"], a["best_epoch"]) == (b["best_mAP"], b["best_epoch"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_then_leaves(number, tiny, tmp_path):
    def send_signal():
        while not read_log(tmp_path / "run" / "log.jsonl"):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=send_signal).start()
    with pytest.raises(Stopped, match="call again to resume") as stopped:
        train_model(make_config(tiny, epochs=50, validate_every=50), tmp_path / "run", progress=False)
    saved = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert stopped.value.signal == number and isinstance(stopped.value, KeyboardInterrupt)
    assert saved["step"] + 5 * saved["epoch"] == len(saved["log"]) > 0


@pytest.mark.parametrize(("old", "new"), [({"accumulate": 2}, {}), ({"videos_per_gpu": 4}, {"videos_per_gpu": 2})])
def test_an_unfinished_run_resumes_at_the_same_clip_with_another_global_batch_size(old, new, tiny, tmp_path, capsys):
    state = initialize_state(make_config(tiny, **old), load_keyframes(tiny, "train"))
    state.step = 3
    checkpoint = state.build_checkpoint({}, make_config(tiny, **old).count_clips_per_step(), None)
    state.load_checkpoint(checkpoint, make_config(tiny, **new).count_clips_per_step())
    assert state.step == 6
    assert "clips in a step: 4 so far, 2 from now on" in capsys.readouterr().out


def test_an_unfinished_run_with_another_global_batch_size_is_the_same_run(tiny, tmp_path):
    leave_run(tmp_path / "run", make_config(tiny, accumulate=2), epoch=1, step=3)
    assert load_checkpoint_to_resume(tmp_path / "run", make_config(tiny))["step"] == 3


def test_a_finished_run_with_another_global_batch_size_is_another_run(tiny, tmp_path):
    leave_run(tmp_path / "run", make_config(tiny, accumulate=2), epoch=2, step=0)
    with pytest.raises(RunExistsError, match="a finished run.*clips in a step 4 in that run, 2 in this one"):
        load_checkpoint_to_resume(tmp_path / "run", make_config(tiny))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_its_keyframes_are_in_a_file(tiny, tmp_path):
    with pytest.raises(LossNotFiniteError, match="on keyframes.*bad_batch.json"):
        train_model(make_config(tiny, lr=1e30, grad_clip=1e30, warmup_epochs=0), tmp_path / "run", progress=False)
    content = json.loads((tmp_path / "run" / "bad_batch.json").read_text(encoding="utf-8"))
    (batch,) = content["micro_batches"]
    assert batch["loss"] in ("nan", "inf")
    assert set(batch["keyframes"][0]) == {"video_id", "timestamp"}
    assert content["iter"] == len(read_log(tmp_path / "run" / "log.jsonl")) + 1


def limit_file_size():
    """Let this process write at most 100 kB into a file."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_disk_that_gets_full_is_reported_and_nothing_incomplete_stays(tiny, tmp_path):
    def train():
        limit_file_size()
        try:
            train_model(make_config(tiny), tmp_path / "run", progress=False, save_minutes=0)
        except Exception as error:
            (tmp_path / "message").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")

    assert run_in_fork(train) == 0
    assert re.match(r"DiskFullError: .*last\.pth.*MB are free", (tmp_path / "message").read_text(encoding="utf-8"))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"log.jsonl"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_disk_that_gets_full_leaves_the_old_checkpoint(tiny, tmp_path):
    path = leave_run(tmp_path / "run", make_config(tiny)) / "last.pth"
    before = path.read_bytes()
    state = initialize_state(make_config(tiny), load_keyframes(tiny, "train"))

    def save():
        limit_file_size()
        CheckpointSaver(state, make_config(tiny), tmp_path / "run", 5).save()

    assert run_in_fork(save) == 1
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_training_whose_checkpoints_do_not_fit_does_not_begin(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_space, "get_free_bytes", lambda path: 20_000_000)
    with pytest.raises(DiskFullError, match=r"two checkpoints of .* MB are needed|MB are needed .*two checkpoints"):
        train_model(make_config(tiny), tmp_path / "run", progress=False)


def test_a_split_without_keyframes_is_named(tiny, tmp_path):
    for folder in ("annotations", "proposals", "videos"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    layout = DatasetLayout(tmp_path, "mini")
    layout.get_csv_path("train").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="train.*csv: no keyframes with boxes, so there is nothing to train on"):
        train_model(make_config(layout), tmp_path / "run", progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["forward", "backward", "update"])
def test_a_signal_in_mid_step_stops_there_and_the_rest_is_bit_for_bit_the_unbroken_run(
    phase, uninterrupted, tiny, tmp_path, monkeypatch
):
    forward, clip, calls = run_forward, torch.nn.utils.clip_grad_norm_, []

    def interrupt(gradient=None):
        signal.raise_signal(signal.SIGINT)

    def interrupted(*args):
        loss, numbers = forward(*args)  # running statistics have changed
        calls.append(1)
        if len(calls) == 4:
            interrupt() if phase == "forward" else loss.register_hook(interrupt)
        return loss, numbers

    def interrupted_update(*args):
        calls.append(1)
        if len(calls) == 4:
            interrupt()
        return clip(*args)

    with monkeypatch.context() as patched:
        if phase == "update":
            patched.setattr(torch.nn.utils, "clip_grad_norm_", interrupted_update)
        else:
            patched.setattr(step, "run_forward", interrupted)
        with pytest.raises(Stopped):
            train_model(make_config(tiny), tmp_path / "run", progress=False)
    saved = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert saved["step"] == (4 if phase == "update" else 3)  # a step whose update has begun is finished
    train_model(make_config(tiny), tmp_path / "run", progress=False)
    a, b = (torch.load(f / "last.pth", weights_only=True) for f in (uninterrupted[1], tmp_path / "run"))
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_while_it_saves_after_ctrl_c_everything_is_saved_all_the_same(tiny, tmp_path, monkeypatch):
    """papermill and Jupyter give a kernel five seconds, whatever the disk."""
    write, forward, calls = torch.save, run_forward, []

    def slow(content, path):
        path.write_bytes(b"half")
        (tmp_path / "begun").touch()
        time.sleep(1)
        write(content, path)

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return forward(*args)

    def work():
        threading.Thread(target=kill_when_saving, daemon=True).start()
        train_model(make_config(tiny), tmp_path / "run", progress=False)

    def kill_when_saving():
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", slow)
        patched.setattr(step, "run_forward", interrupted)
        assert run_in_fork(work) == -signal.SIGKILL
    assert load_checkpoint_to_resume(tmp_path / "run", make_config(tiny))["step"] == 2  # waits for the copy that saves


@pytest.fixture
def interrupt_saving(tiny, tmp_path, monkeypatch):
    """Stop a run by Ctrl-C, with another signal (a number) while last.pth is written; last.pth was there before."""
    monkeypatch.setattr(checkpointing, "SAME_INTERRUPT_S", 0.0)
    state = initialize_state(make_config(tiny), load_keyframes(tiny, "train"))
    CheckpointSaver(state, make_config(tiny), tmp_path, 5).save()
    write, main_pid = torch.save, os.getpid()

    def stop(number):
        def write_interrupted(content, path):
            path.write_bytes(b"half")
            os.kill(main_pid, number)
            time.sleep(0.5)
            write(content, path)

        monkeypatch.setattr(torch, "save", write_interrupted)
        with CheckpointSaver(state, make_config(tiny), tmp_path, 5) as saver:
            state.step += 1
            signal.raise_signal(signal.SIGINT)
            saver.save_if_due()

    return stop


@pytest.mark.parametrize(
    ("position", "text"),
    [((0, 0), "nothing yet"), ((0, 1), "1 step"), ((3, 0), "3 epochs"), ((1, 12), "1 epoch and 12 steps")],
)
def test_a_position_counts_finished_epochs_and_the_steps_after_them(position, text):
    assert describe_position(position) == text


def test_a_second_ctrl_c_stops_without_saving(interrupt_saving, tmp_path):
    before = (tmp_path / "last.pth").read_bytes()
    with pytest.raises(Stopped, match="without saving; saved before: nothing yet"):
        interrupt_saving(signal.SIGINT)
    assert (tmp_path / "last.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


@pytest.mark.slow
def test_a_sigterm_after_ctrl_c_does_not_interrupt_saving(interrupt_saving, tmp_path):
    with pytest.raises(Stopped, match="saved after 1 step: call again to resume"):
        interrupt_saving(signal.SIGTERM)
    assert torch.load(tmp_path / "last.pth", weights_only=True)["step"] == 1


def test_a_model_from_a_checkpoint_has_its_weights_and_the_recipes_dropout(uninterrupted, tiny):
    config = make_config(tiny, dropout=0.25, prior_bias=True, checkpoint=str(uninterrupted[1] / "final.pth"))
    model = build_initial_model(config, torch.zeros(81))
    saved = torch.load(uninterrupted[1] / "final.pth", weights_only=True)["state_dict"]
    assert model.roi_head.bbox_head.dropout.p == 0.25
    assert torch.equal(model.roi_head.bbox_head.fc_cls.bias, saved["roi_head.bbox_head.fc_cls.bias"])
