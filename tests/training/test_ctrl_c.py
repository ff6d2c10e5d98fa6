"""Ctrl-C in a training, as a person presses it: the signal reaches the whole process group, workers included."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import process_groups
import pytest
import torch

from avalib.training.checkpointing import describe_position
from avalib.training.logger import read_log

pytestmark = pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")
MAIN = Path(__file__).parents[1] / "helpers" / "train_tiny_model.py"
LONG = ["--epochs", "50", "--validate-every", "50", "--workers", "2"]


@pytest.fixture
def run_folder(tiny, tmp_path, monkeypatch):
    """A folder to run in, with the tiny data set."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny-seed0").symlink_to(tiny.root)
    monkeypatch.setenv("AVALIB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs" / "runs" / "tiny" / "slowonly_r50" / "train"


def count_steps(folder):
    return len(read_log(folder / "log.jsonl"))


def count_saved_steps(folder):
    """Steps in last.pth, of 5 an epoch; its log has as many."""
    saved = torch.load(folder / "last.pth", weights_only=True)
    assert len(saved["log"]) == 5 * saved["epoch"] + saved["step"]
    return len(saved["log"])


@pytest.mark.slow
def test_a_terminals_ctrl_c_saves_the_last_step_and_the_next_call_resumes(run_folder):
    process = process_groups.start_python(MAIN, *LONG)
    process_groups.wait_until(lambda: count_steps(run_folder) >= 3, process)
    output = process_groups.interrupt(process)
    assert process.returncode == 130
    done = count_saved_steps(run_folder)
    assert done == count_steps(run_folder) >= 3
    expected = f"stopped, saved after {describe_position(divmod(done, 5))}: call again to resume"
    assert output.strip().splitlines()[-1] == expected
    assert "Traceback" not in output
    assert "DataLoader" not in output
    process_groups.wait_until(lambda: process_groups.list_members(process.pid) == [])
    assert {path.name for path in run_folder.iterdir()} == {"log.jsonl", "last.pth"}
    again = process_groups.start_python(MAIN, *LONG)
    process_groups.wait_until(lambda: count_steps(run_folder) > done, again)
    assert f"resuming after {describe_position(divmod(done, 5))}" in process_groups.interrupt(again)
    assert count_saved_steps(run_folder) > done


@pytest.mark.slow
def test_a_schedulers_sigterm_to_all_processes_of_a_job_saves_the_last_step(run_folder):
    process = process_groups.start_python(MAIN, *LONG)
    process_groups.wait_until(lambda: count_steps(run_folder) >= 3, process)
    output = process_groups.interrupt(process, signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert count_saved_steps(run_folder) == count_steps(run_folder) >= 3
    assert "Traceback" not in output
    assert "DataLoader" not in output
    process_groups.wait_until(lambda: process_groups.list_members(process.pid) == [])


@pytest.mark.slow
def test_a_killed_worker_is_named_and_what_was_trained_is_saved(run_folder):
    process = process_groups.start_python(MAIN, *LONG)
    process_groups.wait_until(lambda: count_steps(run_folder) >= 3, process)
    workers = subprocess.check_output(["pgrep", "-P", str(process.pid), "-f", "spawn_main"], encoding="utf-8")
    os.kill(int(workers.split()[-1]), signal.SIGKILL)
    output = process.communicate(timeout=process_groups.TIMEOUT_S)[0]
    assert "a process that reads frames has ended" in output
    assert count_saved_steps(run_folder) == count_steps(run_folder) >= 3


@pytest.mark.slow
def test_ctrl_c_typed_into_a_terminal_while_the_workers_are_starting_loses_nothing(run_folder):
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn(sys.executable, [str(MAIN), *LONG], timeout=process_groups.TIMEOUT_S, encoding="utf-8")
    child.expect("epoch 1/50")  # the bar is drawn, the two workers import their modules
    child.sendintr()
    child.expect("stopped before the first step; nothing is lost: call again to begin")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130 and "Traceback" not in child.before


@pytest.mark.slow
def test_ctrl_c_before_the_first_step_is_one_line(run_folder):
    process = process_groups.start_python(MAIN, *LONG)
    process_groups.wait_until(lambda: process.stdout.readline().startswith("changed (recipe, now)"), process)
    output = process_groups.interrupt(process)  # while the planner times steps
    assert process.returncode == 130 and "Traceback" not in output
    assert output.splitlines()[-1] == "interrupted; finished files stay, and the same command resumes"


TRAINING = """
import sys
sys.path.insert(0, {helpers!r})
import torch
from tiny_model import make_config
from avalib.data.layout import DatasetLayout
from avalib.training.engine import train_model
from avalib.utils.notebook_run import start_run
start_run("03_train", globals())
torch.set_num_threads(1)
config = make_config(DatasetLayout({data!r}, "mini"), epochs=50, validate_every=50, workers=2)
log = train_model(config, {folder!r}, progress=False)
"""


def cell(run_folder, tiny):
    return TRAINING.format(helpers=str(MAIN.parent), data=str(tiny.root), folder=str(run_folder))


@pytest.mark.slow
def test_a_kernels_interrupt_is_one_line_in_the_notebook_and_everything_is_saved(run_folder, tiny):
    manager = pytest.importorskip("jupyter_client.manager").KernelManager()
    manager.start_kernel(stderr=open(os.devnull, "w", encoding="utf-8"))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=process_groups.TIMEOUT_S)
        client.execute(cell(run_folder, tiny))
        process_groups.wait_until(lambda: count_steps(run_folder) >= 2)
        manager.interrupt_kernel()  # the stop button: SIGINT to the kernel's process group
        error = next(iter(iterate_errors(client)))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    done = count_saved_steps(run_folder)
    assert done >= 2 and error["ename"] == "Stopped"
    (line,) = error["traceback"]
    assert line == f"Stopped: stopped, saved after {describe_position(divmod(done, 5))}: call again to resume"


def iterate_errors(client):
    end = time.monotonic() + process_groups.TIMEOUT_S
    while time.monotonic() < end:
        message = client.get_iopub_msg(timeout=process_groups.TIMEOUT_S)
        if message["msg_type"] == "error":
            yield message["content"]


@pytest.mark.slow
def test_ctrl_c_in_papermill_saves(run_folder, tiny):
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell(run_folder, tiny))], metadata=kernel)
    nbformat.write(notebook, "in.ipynb")
    process = process_groups.start_python("-m", "papermill", "in.ipynb", "out.ipynb")
    process_groups.wait_until(lambda: count_steps(run_folder) >= 2, process)
    process_groups.interrupt(process)
    assert count_saved_steps(run_folder) == count_steps(run_folder) >= 2
    assert json.loads(Path("out.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.mark.slow
def test_a_second_training_in_a_folder_waits_for_no_running_one_and_resumes_a_killed_one(run_folder, tiny):
    first = process_groups.start_python(MAIN, *LONG, "--save-minutes", "0")
    process_groups.wait_until(lambda: count_steps(run_folder) >= 2, first)
    second = process_groups.start_python(MAIN, *LONG)
    output = second.communicate(timeout=process_groups.TIMEOUT_S)[0]
    assert second.returncode == 1 and "Traceback" not in output
    assert f"error: {run_folder.parent} is in use: a training, process {first.pid} on " in output
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    done = count_saved_steps(run_folder)
    third = process_groups.start_python(MAIN, *LONG)
    process_groups.wait_until(
        lambda: f"resuming after {describe_position(divmod(done, 5))}" in third.stdout.readline(), third
    )
    process_groups.interrupt(third)
    assert {path.name for path in run_folder.iterdir()} == {"log.jsonl", "last.pth"}
    assert {path.name for path in run_folder.parent.iterdir()} == {"train"}
