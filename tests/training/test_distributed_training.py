"""Two "machines" (torchrun's agents) on the loopback, a process each, against one process with the same global batch.

One start serves all tests here: gradients, scores, a training in which a process dies and torchrun starts them again.
"""

import os
import socket
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
import torch
from distributed_worker import __file__ as WORKER
from distributed_worker import compute_gradients, compute_scores
from tiny_model import make_config

from avalib.training.engine import train_model
from avalib.training.launch import build_torchrun_command
from avalib.training.logger import build_log_table, read_log
from avalib.utils.distributed import SINGLE_PROCESS

pytestmark = pytest.mark.slow  # processes are started, killed and started again


def start_agent(node, port, folder, data):
    """Start the command that somebody types on one of two machines: torchrun, which watches a process of its own."""
    options = "--nnodes 2 --nproc-per-node 1 --max-restarts 1 --monitor-interval 0.1 --rdzv-backend c10d".split()
    options += f"--rdzv-id test --local-addr 127.0.0.1 --rdzv-endpoint 127.0.0.1:{port}".split()
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    with open(folder / f"agent{node}.log", "w", encoding="utf-8") as output:
        return subprocess.Popen(
            build_torchrun_command([*options, WORKER, str(folder), str(data)]),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def worker_folder(tiny, tmp_path_factory):
    """The folder in which two processes, each on a "machine" of its own, left what distributed_worker.py writes."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agents = [start_agent(node, port, folder, tiny.root) for node in range(2)]
    until = time.monotonic() + 400
    try:
        status = [a.wait(timeout=until - time.monotonic()) for a in agents]
    except subprocess.TimeoutExpired:
        status = [a.poll() for a in agents]
    finally:
        for a in agents:
            a.terminate()  # passed on to the workers, which are in groups of their own
        for a in agents:
            a.wait(timeout=60)
    output = "".join((folder / f"agent{node}.log").read_text(encoding="utf-8")[-4000:] for node in range(2))
    assert status == [0, 0], output
    return folder


@pytest.mark.parametrize("freeze", [True, False], ids=["batch norm in eval mode", "each micro-batch's own statistics"])
def test_gradients_are_those_of_one_process_with_the_same_global_batch(worker_folder, tiny, freeze):
    alone = compute_gradients(make_config(tiny, accumulate=2), SINGLE_PROCESS, freeze)
    shared = [torch.load(worker_folder / f"rank{r}.pt")[f"gradients {freeze}"] for r in range(2)]
    for name, gradient in alone.items():
        assert torch.equal(shared[0][name], shared[1][name]), name
        scale = gradient.abs().max()
        assert (gradient - shared[0][name]).abs().max() <= 2e-5 * scale + 1e-9, name
    assert sum(g.abs().sum() for g in alone.values()) > 0


def test_scores_are_exactly_one_processs_in_dataset_order_on_every_process(worker_folder, tiny):
    alone = compute_scores(make_config(tiny), SINGLE_PROCESS)
    for rank in range(2):
        shared = torch.load(worker_folder / f"rank{rank}.pt")["scores"]
        for mine, theirs in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(mine, theirs.numpy())


def test_a_process_that_died_is_restarted_and_the_run_is_the_uninterrupted_one(worker_folder, tiny, tmp_path):
    assert [(worker_folder / f"done{rank}").read_text(encoding="utf-8") for rank in range(2)] == ["1 2", "1 2"]
    shared = build_log_table(read_log(worker_folder / "run" / "log.jsonl"))
    alone = train_model(make_config(tiny, accumulate=2), tmp_path / "run", progress=False)
    assert list(shared.clips.dropna()) == list(alone.clips.dropna())
    for name in ("mode", "epoch", "iter", "iteration", "lr"):
        pd.testing.assert_series_equal(shared[name], alone[name])
    steps = alone["mode"] == "train"
    for name in ("loss_action_cls", "grad_norm", "recall@top3"):
        np.testing.assert_allclose(shared[name][steps], alone[name][steps], rtol=2e-3, err_msg=name)
