"""Training on the tiny data set: resuming after anything, what is kept, what stops it; small pictures, real steps."""

import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from forks import fork
from tiny_model import ENTRY, RECIPE

import avalib
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.evaluation import inference
from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.inference import detect_dataset, load_trained_model
from avalib.training import checkpointing, engine, step
from avalib.training.checkpointing import CheckpointSaver
from avalib.training.engine import build_initial_model, initialize_state, train_model
from avalib.training.existing_run import RunExistsError, read_run_state
from avalib.training.logger import read_log
from avalib.training.session import configure_training
from avalib.training.step import NonFiniteError, run_forward
from avalib.utils import files
from avalib.utils.files import DiskFullError
from avalib.utils.interrupts import Stopped


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bits depend on how many threads add up; and a forked process must not use its parent's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def setup_of(layout, accumulate=1, deterministic=False, **changes):
    recipe = replace(RECIPE, **changes)
    return configure_training(
        ENTRY, recipe, layout, "cpu", "float32", workers=0, accumulate=accumulate, deterministic=deterministic
    )


@pytest.fixture(scope="module")
def unbroken(tiny, tmp_path_factory):
    """(log, folder) of a whole run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    return train_model(setup_of(tiny), folder, progress=False), folder


def test_a_run_logs_what_plot_scripts_know_and_keeps_best_and_last(unbroken, tiny):
    log, folder = unbroken
    steps, validated = log[log["mode"] == "train"], log[log["mode"] == "val"]
    assert list(steps.iter) == [1, 2, 3, 4, 5] * 2 and list(steps.iteration) == list(range(1, 11))
    assert list(validated.epoch) == [1, 2] and list(validated.iter) == [5, 5]
    assert {p.name for p in folder.iterdir()} == {"log.jsonl", "last.pth", "best.pth", "final.pth"}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    known = {"mode", "epoch", "iter", "lr", "memory", "data_time", "time", "loss_action_cls", "loss", "grad_norm"}
    known |= {f"{kind}@{name}" for kind in ("recall", "prec") for name in ("thr=0.5", "top3", "top5")}
    assert known <= set(lines[0]) and {"mode", "epoch", "iter", "lr", "mAP@0.5IOU"} <= set(lines[-1])
    # the weights kept are the ones that were scored, and carry their recipe
    model, recipe = load_trained_model(None, folder / "final.pth", "tiny")
    assert recipe == RECIPE
    table, _ = detect_dataset(model, tiny, "val", recipe, "cpu", "float32", progress=False)
    report = evaluate(
        tiny.get_csv_path("val"),
        table,
        label_map=tiny.evaluated_label_map_path,
        exclusions=tiny.get_exclusions_path("val"),
    )
    assert report.mAP == pytest.approx(lines[-1]["mAP@0.5IOU"], abs=1e-6)


def test_a_second_call_does_nothing_but_make_what_is_missing(unbroken, tiny, capsys):
    log, folder = unbroken
    before = (folder / "last.pth").stat().st_mtime_ns
    (folder / "final.pth").unlink()
    again = train_model(setup_of(tiny), folder, progress=False)
    assert "finished already" in capsys.readouterr().out and len(again) == len(log)
    assert (folder / "final.pth").exists() and (folder / "last.pth").stat().st_mtime_ns == before


def in_a_process(work):
    """Run `work()` in a fork of this process. -> its exit status, minus the signal's number if one killed it."""
    child = fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_in(monkeypatch, where, count):
    """Make the count-th call of `where` (module, name) write a little, if it is a writer, and be killed."""
    original, calls = getattr(*where), []

    def deadly(*args, **options):
        calls.append(1)
        if len(calls) < count:
            return original(*args, **options)
        if where[1] == "save":
            args[1].write_bytes(b"half a checkpoint")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(*where, deadly)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_instant_the_run_is_bit_for_bit_the_unbroken_one(unbroken, tiny, tmp_path, monkeypatch, capsys):
    """Killed in a step, while last.pth is written, in a validation, while best.pth is written; then left alone."""

    def work():
        np.random.rand(7), torch.rand(7)  # the generators' history is another one each time
        train_model(setup_of(tiny), tmp_path / "run", progress=False, save_minutes=0)

    instants = [((torch.nn.utils, "clip_grad_norm_"), 3), ((torch, "save"), 2), ((inference, "score"), 1)]
    for where, count in [*instants, ((engine, "save_weights"), 1)]:
        with monkeypatch.context() as patched:
            killed_in(patched, where, count)
            assert in_a_process(work) == -signal.SIGKILL, where
    capsys.readouterr()
    rest = train_model(setup_of(tiny), tmp_path / "run", progress=False)
    assert "going on after epoch 1, step 0" in capsys.readouterr().out
    whole, folder = unbroken
    for name in ("mode", "epoch", "iter", "lr", "loss_action_cls", "grad_norm", "mAP@0.5IOU", "recall@top3"):
        np.testing.assert_array_equal(whole[name], rest[name], err_msg=name)
    assert len(read_log(tmp_path / "run" / "log.jsonl")) == len(whole)
    a, b = (torch.load(f / "last.pth", weights_only=True) for f in (folder, tmp_path / "run"))
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
    momenta = zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True)
    assert all(torch.equal(x["momentum_buffer"], y["momentum_buffer"]) for x, y in momenta)
    assert (a["best_mAP"], a["best_epoch"]) == (b["best_mAP"], b["best_epoch"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_then_leaves(number, tiny, tmp_path):
    def ask():
        while not read_log(tmp_path / "run" / "log.jsonl"):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=ask).start()
    with pytest.raises(Stopped, match="call again to go on") as stopped:
        train_model(setup_of(tiny, epochs=50, validate_every=50), tmp_path / "run", progress=False)
    saved = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert stopped.value.signal == number and isinstance(stopped.value, KeyboardInterrupt)
    assert saved["step"] + 5 * saved["epoch"] == len(saved["log"]) > 0


def left(folder, setup, **changes):
    folder.mkdir(parents=True)
    found = {"fingerprint": setup.fingerprint(), "clips_per_step": setup.clips_per_step(), "epoch": 1, "step": 3}
    torch.save(found | changes, folder / "last.pth")


def test_another_global_batch_goes_on_with_an_unfinished_run_and_keeps_a_finished_one(tiny, tmp_path, capsys):
    left(tmp_path / "run", setup_of(tiny, accumulate=2))  # 4 clips a step
    setup = setup_of(tiny)
    saved = read_run_state(tmp_path / "run", setup)
    begun = initialize_state(setup, load_keyframes(tiny, "train"))
    content = {"model": begun.model.state_dict(), "optimizer": begun.optimizer.state_dict(), "scaler": {}}
    begun.restore(saved | content | dict.fromkeys(("validated", "best_epoch", "best_mAP", "seconds"), 0), setup)
    assert begun.step == 6 and "4 clips a step until here, 2 from here on" in capsys.readouterr().out
    left(tmp_path / "done", setup_of(tiny, accumulate=2), epoch=2)
    with pytest.raises(RunExistsError, match="a finished run.*clips a step 4 there, 2 here"):
        read_run_state(tmp_path / "done", setup)
    assert read_run_state(tmp_path / "done", setup, existing="new") is None and (tmp_path / "done.1").exists()


def test_a_loss_that_is_not_finite_stops_and_its_keyframes_are_in_a_file(tiny, tmp_path):
    with pytest.raises(NonFiniteError, match="on keyframes.*bad_batch.json"):
        train_model(setup_of(tiny, lr=1e30, grad_clip=1e30, warmup_epochs=0), tmp_path / "run", progress=False)
    found = json.loads((tmp_path / "run" / "bad_batch.json").read_text(encoding="utf-8"))
    (share,) = found["shares"]
    assert share["loss"] in ("nan", "inf") and set(share["keyframes"][0]) == {"video_id", "timestamp"}
    assert found["iter"] == len(read_log(tmp_path / "run" / "log.jsonl")) + 1


def on_a_disk_that_gets_full(setup, folder):
    """Train in a process that may not write more than 100 kB into a file; -> what it raised, by a file."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        train_model(setup, folder, progress=False, save_minutes=0)
    except Exception as error:
        (folder.parent / "said").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_disk_that_gets_full_is_said_and_leaves_the_old_checkpoint(tiny, tmp_path):
    left(tmp_path / "run", setup_of(tiny))
    old = (tmp_path / "run" / "last.pth").read_bytes()
    assert in_a_process(lambda: on_a_disk_that_gets_full(setup_of(tiny), tmp_path / "full")) == 0
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert said.startswith("DiskFullError: ") and "last.pth" in said and "MB are free" in said
    assert {path.name for path in (tmp_path / "full").iterdir()} == {"log.jsonl"}
    state_of = initialize_state(setup_of(tiny), load_keyframes(tiny, "train"))

    def save():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        CheckpointSaver(state_of, setup_of(tiny), tmp_path / "run", 5).save()

    assert in_a_process(save) == 1
    assert (tmp_path / "run" / "last.pth").read_bytes() == old and len(list((tmp_path / "run").iterdir())) == 1


def test_a_training_whose_checkpoints_do_not_fit_does_not_begin(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "get_free_bytes", lambda path: 20_000_000)
    with pytest.raises(DiskFullError, match=r"two checkpoints of .* MB are needed|MB are needed .*two checkpoints"):
        train_model(setup_of(tiny), tmp_path / "run", progress=False)


def test_a_split_without_keyframes_is_named(tiny, tmp_path):
    for folder in ("annotations", "proposals", "videos"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    layout = DatasetLayout(tmp_path, "mini")
    layout.get_csv_path("train").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="train.*csv: no keyframes with boxes, so there is nothing to train on"):
        train_model(setup_of(layout), tmp_path / "run", progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["forward", "backward", "update"])
def test_a_signal_in_mid_step_stops_there_and_the_rest_is_bit_for_bit_the_unbroken_run(
    phase, unbroken, tiny, tmp_path, monkeypatch
):
    forward, clip, calls = run_forward, torch.nn.utils.clip_grad_norm_, []

    def ask(gradient=None):
        signal.raise_signal(signal.SIGINT)

    def interrupted(*given):
        loss, numbers = forward(*given)  # running statistics have changed
        calls.append(1)
        if len(calls) == 4:
            ask() if phase == "forward" else loss.register_hook(ask)
        return loss, numbers

    def interrupted_update(*given):
        calls.append(1)
        if len(calls) == 4:
            ask()
        return clip(*given)

    with monkeypatch.context() as patched:
        if phase == "update":
            patched.setattr(torch.nn.utils, "clip_grad_norm_", interrupted_update)
        else:
            patched.setattr(step, "run_forward", interrupted)
        with pytest.raises(Stopped):
            train_model(setup_of(tiny), tmp_path / "run", progress=False)
    saved = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert saved["step"] == (4 if phase == "update" else 3)  # a step whose update has begun is finished
    train_model(setup_of(tiny), tmp_path / "run", progress=False)
    a, b = (torch.load(f / "last.pth", weights_only=True) for f in (unbroken[1], tmp_path / "run"))
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

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return forward(*given)

    def work():
        threading.Thread(target=kill_when_saving, daemon=True).start()
        train_model(setup_of(tiny), tmp_path / "run", progress=False)

    def kill_when_saving():
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", slow)
        patched.setattr(step, "run_forward", interrupted)
        assert in_a_process(work) == -signal.SIGKILL
    assert read_run_state(tmp_path / "run", setup_of(tiny))["step"] == 2  # waits for the copy that saves


def test_a_second_ctrl_c_leaves_without_saving_and_a_sigterm_after_the_first_does_not(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointing, "SAME_PRESS_S", 0.0)
    now = initialize_state(setup_of(tiny), load_keyframes(tiny, "train"))
    saver = CheckpointSaver(now, setup_of(tiny), tmp_path, 5)
    saver.save()
    old = (tmp_path / "last.pth").read_bytes()
    write, main = torch.save, os.getpid()

    def interrupted(content, path, number):
        path.write_bytes(b"half")
        os.kill(main, number)
        time.sleep(0.5)
        write(content, path)

    def leave(number):
        monkeypatch.setattr(torch, "save", lambda content, path: interrupted(content, path, number))
        with CheckpointSaver(now, setup_of(tiny), tmp_path, 5) as saver:
            now.step += 1
            signal.raise_signal(signal.SIGINT)
            saver.tick(0)

    with pytest.raises(Stopped, match="without saving; no step yet is on the disk"):
        leave(signal.SIGINT)
    assert (tmp_path / "last.pth").read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["last.pth"]
    with pytest.raises(Stopped, match="epoch 0, step 2 is on the disk"):
        leave(signal.SIGTERM)
    assert torch.load(tmp_path / "last.pth", weights_only=True)["step"] == 2


def test_what_starts_from_a_checkpoint_has_the_recipes_dropout_and_its_weights(unbroken, tiny):
    setup = replace(setup_of(tiny, dropout=0.25, prior_bias=True), checkpoint=str(unbroken[1] / "final.pth"))
    model = build_initial_model(setup, torch.zeros(81))
    saved = torch.load(unbroken[1] / "final.pth", weights_only=True)["state_dict"]
    assert model.roi_head.bbox_head.dropout.p == 0.25
    assert torch.equal(model.roi_head.bbox_head.fc_cls.bias, saved["roi_head.bbox_head.fc_cls.bias"])


def test_public_door():
    assert avalib.training.engine.train_model is train_model
