"""Starting several processes: torchrun's output and the run's log are followed, failures are reported."""

import sys

import pytest

from avalib.training.launch import LaunchError, build_torchrun_command, launch_training, stream_log

WRITER = """
import sys, time
for i in range(3):
    print("line", i, flush=True)
    with open(sys.argv[1], "a") as file:
        file.write('{"mode": "train", "epoch": 1, "iteration": %d}\\n' % i)
    time.sleep(0.2)
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def log_path(tmp_path):
    return tmp_path / "run" / "log.jsonl"


def stream_writer(path, status, on_log=None):
    return stream_log([sys.executable, "-c", WRITER, str(path), str(status)], path, on_log, interval_s=0.05)


@pytest.mark.slow
def test_the_whole_log_is_returned(log_path):
    assert list(stream_writer(log_path, 0).iteration) == [0, 1, 2]


@pytest.mark.slow
def test_a_growing_log_is_passed_on(log_path):
    lengths = []
    stream_writer(log_path, 0, lambda rows: lengths.append(len(rows)))
    assert lengths == sorted(lengths)
    assert {1, 2} & set(lengths), "entries were passed on before the end"


@pytest.mark.slow
def test_output_is_shown(log_path, capsys):
    stream_writer(log_path, 0)
    assert "line 0\nline 1\nline 2\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_failure_names_the_output_file_and_has_its_end(log_path):
    with pytest.raises(LaunchError, match=r"(?s)status 7.*torchrun\.log.*line 2"):
        stream_writer(log_path, 7)


def test_the_launcher_runs_in_this_python():
    assert build_torchrun_command(["-m", "avalib"]) == [sys.executable, "-m", "torch.distributed.run", "-m", "avalib"]


def test_the_plan_alone_trains_nothing(tmp_path, capsys):
    log = launch_training(None, tmp_path / "plan", processes=2, plan_only=True)
    assert len(log) == 0
    assert "nothing is trained" in capsys.readouterr().out
