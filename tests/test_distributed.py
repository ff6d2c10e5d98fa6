"""Two "machines" (torchrun's agents) on the loopback, a process each, against one process with the same global batch.

One start serves all tests here: gradients, scores, a training in which a process dies and torchrun starts them again.
"""

import os
import signal
import socket
import sys
import time
import traceback

import numpy as np
import pandas as pd
import pytest
import torch
import worker
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from avalib import history, parallel
from avalib.train import loop

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def agent(node, port, folder, data):
    """What torchrun does on one machine: it watches a process of its own. Runs in a fork, and so do its processes:
    torch is loaded already, and the same API that the command line calls is called."""
    os.setsid()
    said = os.open(folder / f"agent{node}.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)  # the parent's threads are not in a fork
    config = LaunchConfig(
        min_nodes=2, max_nodes=2, nproc_per_node=1, run_id="test", rdzv_backend="c10d", local_addr="127.0.0.1",
        rdzv_endpoint=f"127.0.0.1:{port}", max_restarts=1, monitor_interval=0.1, start_method="fork",
    )  # fmt: skip
    elastic_launch(config, worker.main)(folder, data)


def start(node, *arguments):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            agent(node, *arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


@pytest.fixture(scope="module")
def two(tiny, tmp_path_factory):
    """The folder in which two processes, each on a "machine" of its own, left what worker.py writes."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = {start(node, port, folder, tiny.root): node for node in range(2)}
    status, until = {}, time.monotonic() + 240
    while running and time.monotonic() < until:
        for child in list(running):
            ended, code = os.waitpid(child, os.WNOHANG)
            if ended:
                status[running.pop(child)] = os.waitstatus_to_exitcode(code)
        time.sleep(0.05)
    for child in running:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = "".join((folder / f"agent{node}.log").read_text()[-4000:] for node in range(2))
    assert status == {0: 0, 1: 0}, said
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """What is computed here is compared to the last bit with processes that have one thread each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("frozen", [True, False], ids=["batch norm in eval mode", "each share's own statistics"])
def test_gradients_are_those_of_one_process_with_the_same_global_batch(two, tiny, frozen):
    alone = worker.gradients(worker.setup_of(tiny, accumulate=2), parallel.ALONE, frozen)
    shared = [torch.load(two / f"rank{r}.pt")[f"gradients {frozen}"] for r in range(2)]
    for name, gradient in alone.items():
        assert torch.equal(shared[0][name], shared[1][name]), name
        scale = gradient.abs().max()
        assert (gradient - shared[0][name]).abs().max() <= 2e-5 * scale + 1e-9, name
    assert sum(g.abs().sum() for g in alone.values()) > 0


def test_scores_are_exactly_one_processs_in_dataset_order_on_every_process(two, tiny):
    alone = worker.scores(worker.setup_of(tiny), parallel.ALONE)
    for rank in range(2):
        shared = torch.load(two / f"rank{rank}.pt")["scores"]
        for mine, theirs in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(mine, theirs.numpy())


def test_a_process_that_died_is_started_again_and_the_run_is_as_if_nothing_had_been(two, tiny, tmp_path):
    assert [(two / f"done{rank}").read_text() for rank in range(2)] == ["1 2", "1 2"]
    shared = history.frame(history.read(two / "run" / "log.jsonl"))
    alone = loop.train(worker.setup_of(tiny, accumulate=2), tmp_path / "run", progress=False)
    assert list(shared.clips.dropna()) == list(alone.clips.dropna())
    for name in ("mode", "epoch", "iter", "iteration", "lr"):
        pd.testing.assert_series_equal(shared[name], alone[name])
    steps = alone["mode"] == "train"
    for name in ("loss_action_cls", "grad_norm", "recall@top3"):
        np.testing.assert_allclose(shared[name][steps], alone[name][steps], rtol=2e-3, err_msg=name)


def test_who_needs_no_launcher_talks_to_nobody():
    world, device = parallel.join(torch.device("cpu"))
    assert world == parallel.ALONE and sys.modules["torch.distributed"].is_initialized() is False
    assert world.gather(3) == [3] and world.broadcast("x") == "x" and world.total([1.5], device) == [1.5]
