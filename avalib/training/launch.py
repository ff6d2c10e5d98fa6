"""Train in several processes from a notebook: start torchrun, follow the run's log, stop it with the cell."""

import logging
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from avalib import zoo
from avalib.training.existing_run import lock_run
from avalib.training.logger import build_log_table, read_log
from avalib.training.session import run_training
from avalib.training.train_config import TrainConfig
from avalib.utils.errors import AvalibError
from avalib.utils.interrupts import Stopped

logger = logging.getLogger(__name__)

SHOWN_LINES = 40  # of torchrun's output, in the message of a LaunchError


class LaunchError(AvalibError, RuntimeError):
    """torchrun failed; the message has the last lines of its output."""


def launch_training(
    config: TrainConfig,
    folder: str | Path,
    processes: int = 1,
    *,
    plan_only: bool = False,
    overfit: bool = False,
    on_log: Callable[[list[dict]], None] | None = None,
    dataset: str = "",
    data_seed: int = 0,
    output_dir: str | Path = "outputs/runs",
    tag: str = "",
    save_minutes: float = 5,
    tensorboard: bool = False,
    existing: str = "stop",
) -> pd.DataFrame:
    """Train in this process, or by `processes` of them on this machine.

    Parameters
    ----------
    config : TrainConfig
    folder : str or Path
        The folder of the training.
    processes : int
        One for each GPU; on a CPU they share its cores.
    plan_only, overfit : bool
        See `run_training`; both need one process only.
    on_log : function, optional
        Called with the log's entries so far.
    dataset, data_seed, output_dir, tag
        What `folder` and the config's layout come from, for the other processes.
    save_minutes, tensorboard, existing
        See `train_model`.

    Returns
    -------
    DataFrame
        The log.

    Raises
    ------
    LaunchError
        A process failed.
    """
    saving = {"save_minutes": save_minutes, "tensorboard": tensorboard, "existing": existing}
    if processes <= 1 or plan_only or overfit:
        return run_training(config, folder, plan_only=plan_only, overfit=overfit, on_log=on_log, **saving)
    # fail here if a training runs, before its torchrun.log is overwritten
    with lock_run(folder):
        pass
    options = to_command_line(config, dataset=dataset, data_seed=data_seed, output_dir=output_dir, tag=tag, **saving)
    arguments = ["--standalone", "--nproc-per-node", str(processes), "-m", "avalib", "train", "--quiet", *options]
    logger.info(f"torchrun {shlex.join(arguments)}")
    return stream_log(build_torchrun_command(arguments), Path(folder) / "log.jsonl", on_log)


def build_torchrun_command(arguments: list[str]) -> list[str]:
    """The command that runs PyTorch's launcher with this Python."""
    return [sys.executable, "-m", "torch.distributed.run", *arguments]


def to_command_line(
    config: TrainConfig, *, dataset: str, tensorboard: bool = False, **run_options: object
) -> list[str]:
    """The options of `avalib train` that give this config again.

    Parameters
    ----------
    config : TrainConfig
    dataset : str
        The name of its data set.
    tensorboard : bool
        See `train_model`.
    **run_options
        More options of the command, such as tag="trial".

    Raises
    ------
    ValueError
        The config's entry was changed: other processes load it from the zoo.
    """
    entry = config.entry
    if entry != zoo.get(entry.alias):
        changes = zoo.compare_fields(zoo.get(entry.alias), entry)
        raise ValueError(f"{entry.alias} was changed ({changes}): train it with gpus=1")
    # options with a value
    options = {
        "model": entry.alias,
        "dataset": dataset,
        "device": config.device.type,
        "precision": str(config.dtype).removeprefix("torch."),
        "checkpoint": config.checkpoint or "random",
        "workers": config.workers,
        "accumulate": config.accumulate,
        **run_options,
    }
    if config.minutes is not None:
        options["fitted_minutes"] = config.minutes
    # flags, where they are on
    flag_names = ("channels_last", "recompute", "compile", "deterministic", "resize_on_device")
    flags = {name: getattr(config, name) for name in flag_names}
    flags["tensorboard"] = tensorboard
    options |= {name: True for name, is_on in flags.items() if is_on}
    # of the recipe, what differs from the data set's own
    for name, (_, value) in zoo.compare_fields(zoo.get_recipe(entry, dataset), config.recipe).items():
        options[name] = value
    return [word for name, value in options.items() for word in _format_option(name, value)]


def _format_option(name, value):
    """An option as words: --lr 0.1, --milestones 5 8, --compile or --no-compile."""
    if isinstance(value, bool):
        return [to_option_name(name if value else f"no_{name}")]
    values = value if isinstance(value, tuple) else (value,)
    return [to_option_name(name), *map(str, values)]


def to_option_name(name):
    """The option of a field: "--weight-decay" for "weight_decay"."""
    return "--" + name.replace("_", "-")


def stream_log(
    command: list[str],
    path: str | Path,
    on_log: Callable[[list[dict]], None] | None = None,
    interval_s: float = 2.0,
) -> pd.DataFrame:
    """Run a command that trains until it ends; meanwhile show its output and pass its log on.

    Interrupted (Ctrl-C, the notebook's stop button), it asks the processes to save and stop, and waits for that.

    Parameters
    ----------
    command : list of str
    path : str or Path
        The log.jsonl that the command writes. torchrun.log, beside it, gets the output.
    on_log : function, optional
        Called with the log's entries so far.
    interval_s : float
        Seconds between two readings of output and log.

    Returns
    -------
    DataFrame
        The log.

    Raises
    ------
    LaunchError
        The command failed.
    """
    # the output goes to a file, which outlives the notebook's cell; it is read from there as it grows
    output_path = Path(path).with_name("torchrun.log")
    output_path.parent.mkdir(parents=True, exist_ok=True)
    last_lines = deque(maxlen=SHOWN_LINES)
    with (
        open(output_path, "w", encoding="utf-8") as file,
        open(output_path, encoding="utf-8", errors="replace") as reader,
    ):
        # a session of its own: the notebook's Ctrl-C must not reach the processes twice
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while (status := process.poll()) is None:
                time.sleep(interval_s)
                _show_new_lines(reader, last_lines)
                rows = read_log(path)
                if on_log and rows:
                    on_log(rows)
        except KeyboardInterrupt:
            _stop_and_wait(process)
            _show_new_lines(reader, last_lines)
            raise Stopped(f"stopped; the processes' output is in {output_path}: call again to resume") from None
        _show_new_lines(reader, last_lines)
    if status:
        raise LaunchError(
            f"torchrun ended with status {status}; its output is in {output_path}, which ends with:\n"
            f"{''.join(last_lines)}"
        )
    return build_log_table(read_log(path))


def _stop_and_wait(process):
    """Send torchrun SIGTERM, which it passes on, and wait until every process has saved between two steps."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt:
        raise Stopped(f"stopped at once; torchrun, process {process.pid}, may still be saving") from None


def _show_new_lines(reader, last_lines):
    for line in reader:
        last_lines.append(line)
        logger.info(line.rstrip("\n"))
