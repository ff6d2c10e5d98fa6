"""Runs through papermill: what is done stays, failures are reported, interrupted runs resume."""

import json
import os
import signal
import threading
import time

import nbformat
import pytest

from avalib.utils.locks import hold_lock
from avalib.zoo_runner.notebook_kernel import NotebookKernel
from avalib.zoo_runner.notebook_result import raise_on_failure
from avalib.zoo_runner.runner import ZooRunner, list_devices
from avalib.zoo_runner.zoo_run import list_zoo_runs


def build_runner(notebooks, layout, models, **options):
    """A runner with one device for all models, which writes zoo.json beside the notebooks."""
    zoo_runs = list_zoo_runs(models, dataset="tiny", output_dir=str(notebooks.parent / "runs"), **options)
    return ZooRunner(zoo_runs, layout, notebooks, devices=("cpu",), path=notebooks.parent / "zoo.json")


def get_statuses(summary):
    """{(run, "03"): status}"""
    return {(result.run, result.notebook[:2]): result.status for result in summary}


def test_a_device_that_is_named_is_used_for_all():
    assert list_devices("cpu") == ["cpu"]
    assert list_devices("cpu", 2) == ["cpu", "cpu"]


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def failed_runner(toy_notebooks, tiny):
    """A runner whose first model has failed in training, after its run."""
    (toy_notebooks.parent / "runs" / "fail-slowonly_r50").touch()
    runner = build_runner(toy_notebooks, tiny, ["slowonly_r50", "slowfast_r50"])
    runner.run_all()
    return runner


@pytest.mark.slow
def test_after_a_failure_the_other_models_are_run(failed_runner):
    statuses = get_statuses(failed_runner.summary)
    assert [statuses["slowonly_r50", number] for number in ("03", "04", "05")] == ["failed", "not run", "not run"]
    assert [statuses["slowfast_r50", number] for number in ("03", "04", "05")] == ["done"] * 3


@pytest.mark.slow
def test_a_failed_notebook_has_its_traceback(failed_runner):
    path = failed_runner.zoo_runs[0].folder / "notebooks" / "03_train.failed.ipynb"
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    assert any("asked to fail" in str(output.get("traceback")) for output in outputs)


@pytest.mark.slow
def test_failures_are_listed_and_the_summary_is_written(failed_runner):
    with pytest.raises(RuntimeError, match="3 of 6 notebooks are not done:\n.*failed ValueError: asked to fail"):
        raise_on_failure(failed_runner.summary)
    summary = json.loads(failed_runner.path.read_text(encoding="utf-8"))["summary"]
    assert [entry["status"] for entry in summary] == [result.status for result in failed_runner.summary]


@pytest.mark.slow
def test_the_next_call_does_only_the_rest(failed_runner, toy_notebooks, tiny):
    (toy_notebooks.parent / "runs" / "fail-slowonly_r50").unlink()
    statuses = get_statuses(build_runner(toy_notebooks, tiny, ["slowonly_r50", "slowfast_r50"]).run_all())
    assert [statuses["slowonly_r50", number] for number in ("03", "04", "05")] == ["done"] * 3
    assert [statuses["slowfast_r50", number] for number in ("03", "04", "05")] == ["done before"] * 3


def test_a_run_that_cannot_even_start_gives_its_device_back(toy_notebooks, tiny):
    (toy_notebooks / "03_train.ipynb").write_text("{ torn", encoding="utf-8")
    statuses = get_statuses(build_runner(toy_notebooks, tiny, ["slowonly_r50", "slowfast_r50"]).run_all())
    assert statuses["slowonly_r50", "03"] == "failed"
    assert statuses["slowfast_r50", "03"] == "failed", "it got the only device"
    assert statuses["slowfast_r50", "05"] == "not run"


def test_a_run_that_another_process_executes_is_refused_with_its_name(toy_notebooks, tiny):
    runner = build_runner(toy_notebooks, tiny, ["slowonly_r50"])
    with hold_lock(runner.zoo_runs[0].folder / ".notebooks.lock", "notebook 03_train"):
        summary = runner.run_all()
    assert summary[0].status == "failed"
    assert f"notebook 03_train, process {os.getpid()}" in summary[0].error


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sigint_as_in_a_terminal():
    """SIGINT also reaches tests that run in the background, whose processes a shell lets ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_an_interrupted_run_resumes(toy_notebooks, tiny, sigint_as_in_a_terminal):
    wait = toy_notebooks.parent / "runs" / "wait-slowonly_r50"
    wait.touch()
    runner = build_runner(toy_notebooks, tiny, ["slowonly_r50"])

    def interrupt_training():
        end = time.monotonic() + 120
        while not (runner.zoo_runs[0].folder / "waiting").exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_training, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        runner.run_all()
    assert not NotebookKernel.alive
    assert get_statuses(runner.summary)["slowonly_r50", "03"] == "stopped"
    wait.unlink()
    again = build_runner(toy_notebooks, tiny, ["slowonly_r50"])
    assert set(get_statuses(again.run_all()).values()) == {"done"}
    assert [line["to do"] for line in again.plan()] == ["", "", ""]
