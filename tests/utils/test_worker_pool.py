"""Worker processes: interrupts reach the main process alone, an error ends them, results come back with their keys."""

import multiprocessing
import os
import time
from pathlib import Path

import process_groups
import pytest

from avalib.utils.interrupts import WorkerPool
from avalib.utils.workers import run_parallel

HELPERS = Path(process_groups.__file__).parent
on_posix = pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")

POOL = """
import os, signal, sys, time
from avalib.utils.interrupts import WorkerPool
from process_groups import double
if __name__ == "__main__":
    arrived = []
    signal.signal(signal.SIGINT, lambda *_: arrived.append(1))
    with WorkerPool(2) as pool:
        futures = [pool.submit(double, i) for i in range(6)]
        for _ in range(20):
            os.killpg(0, signal.SIGINT)
            time.sleep(0.05)
        print([f.result() for f in futures], len(arrived) > 0)
"""


@pytest.mark.slow
@on_posix
def test_pool_workers_survive_interrupts_from_their_first_moment_on(tmp_path):
    (tmp_path / "pool.py").write_text(POOL, encoding="utf-8")
    path = os.pathsep.join([str(HELPERS), str(HELPERS.parent)])
    process = process_groups.start_python(tmp_path / "pool.py", env=os.environ | {"PYTHONPATH": path})
    output = process.communicate(timeout=process_groups.TIMEOUT_S)[0]
    assert output == "[0, 2, 4, 6, 8, 10] True\n"


@on_posix
def test_after_an_error_a_pool_ends_its_workers():
    others = set(multiprocessing.active_children())  # an earlier test's may still be ending
    with pytest.raises(KeyboardInterrupt), WorkerPool(1) as pool:
        running = pool.submit(time.sleep, 600)
        process_groups.wait_until(running.running)
        (worker,) = set(multiprocessing.active_children()) - others
        raise KeyboardInterrupt
    assert not worker.is_alive()


def collect_results(workers, numbers):
    arguments = {f"key {number}": (number,) for number in numbers}
    return {key: get_result() for key, get_result in run_parallel(process_groups.double, workers, arguments)}


def test_one_worker_runs_in_this_process():
    assert collect_results(1, [1, 2]) == {"key 1": 2, "key 2": 4}


@pytest.mark.slow
def test_results_of_several_processes_have_their_keys():
    assert collect_results(2, [1, 2, 3]) == {"key 1": 2, "key 2": 4, "key 3": 6}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_is_raised_by_the_item_that_it_belongs_to(workers):
    results = dict(run_parallel(process_groups.double, workers, {"good": (1,), "bad": (None,)}))
    assert results["good"]() == 2
    with pytest.raises(TypeError):
        results["bad"]()
