"""From a notebook to several processes: start torchrun, follow the run's log, stop it with the cell."""

import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from avalib.training.command_line import to_command_line
from avalib.training.existing_run import lock_run
from avalib.training.logger import build_log_table, read_log
from avalib.training.session import run_training
from avalib.utils.interrupts import Stopped


class LaunchError(RuntimeError):
    """torchrun ended badly; the message has the end of what it said."""


def launch_training(setup, folder, processes=1, plan_only=False, overfit=False, on_log=None, where=None, **options):
    """`train.start` in this process, or the same training by `processes` of them on this machine. -> the log.

    processes: one a GPU (on a CPU they share its cores); where: {dataset, data_seed, output_dir, tag}, which `folder`
    was made from; options: save_minutes, tensorboard, existing.
    """
    if processes <= 1 or plan_only or overfit:
        small = {} if plan_only or overfit else options
        return run_training(setup, folder, plan_only, overfit, on_log=on_log, progress=True, **small)
    with lock_run(folder):
        pass  # refused here, before torchrun.log of a training that runs is written over
    words = [
        "--nproc-per-node",
        str(processes),
        "-m",
        "avalib",
        "train",
        "--quiet",
        *to_command_line(setup, **where, **options),
    ]
    print("torchrun --standalone", shlex.join(words))
    return stream_log(build_torchrun_command(["--standalone", *words]), Path(folder) / "log.jsonl", on_log)


def build_torchrun_command(words):
    """The command of PyTorch's launcher in this very Python."""
    return [sys.executable, "-m", "torch.distributed.run", *words]


def stream_log(command, path, on_log=None, seconds=2.0):
    """Run a command until it ends; meanwhile show what it says, and give `on_log` the rows of the log at `path`.

    Interrupted (Ctrl-C, the notebook's stop button), it asks the processes to save and leave, and waits for that.
    Raises LaunchFailed. -> the log as a DataFrame.
    """
    said, output = deque(maxlen=40), Path(path).with_name("torchrun.log")
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "w", encoding="utf-8") as file, open(output, encoding="utf-8", errors="replace") as reader:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while (status := process.poll()) is None:
                time.sleep(seconds)
                _show(reader, said)
                rows = read_log(path)
                if on_log and rows:
                    on_log(rows)
        except KeyboardInterrupt:
            _stop(process)
            _show(reader, said)
            raise Stopped(f"stopped; what the processes said last is in {output}: call again to go on") from None
        _show(reader, said)
    if status:
        raise LaunchError(f"torchrun ended with {status}; all it said is in {output}, the end of it:\n{''.join(said)}")
    return build_log_table(read_log(path))


def _stop(process):
    """Ask torchrun to stop, and wait: it passes SIGTERM on, and every process saves between two steps."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt:
        raise Stopped(f"stopped at once; torchrun, process {process.pid}, may still be saving") from None


def _show(reader, said):
    """Print what is new; the lines stay in `said`."""
    for line in reader:
        said.append(line)
        print(line, end="")
