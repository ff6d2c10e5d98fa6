"""Execute a notebook in a process of its own, which can be interrupted."""

import contextlib
import os
import re
import signal
from pathlib import Path

import papermill
from jupyter_client.manager import AsyncKernelManager

from avalib.zoo_runner.zoo_run import ZooRun

DEVICE_NOTEBOOKS = ("03_train", "04_evaluate")  # the notebooks with a parameter `device`


class NotebookKernel(AsyncKernelManager):
    """papermill's kernel manager. It registers its kernel while that runs, so that it can be interrupted.

    alive: all kernels that run. output_file: where the process's own output goes, beside that of the cells.
    """

    alive = set()
    output_file = None

    async def start_kernel(self, **options):
        await super().start_kernel(**options, stdout=self.output_file, stderr=self.output_file)
        self.alive.add(self)

    async def shutdown_kernel(self, *arguments, **options):
        self.alive.discard(self)
        await super().shutdown_kernel(*arguments, **options)


def signal_kernels(number: int = signal.SIGINT) -> None:
    """Send a signal to the main process of every kernel that runs."""
    # A kernel may end in the meantime: then it has no process, or no provisioner.
    for kernel in list(NotebookKernel.alive):
        with contextlib.suppress(ProcessLookupError, AttributeError):
            _send_signal(kernel.provisioner, number)


def _send_signal(provisioner, number):
    """Send a signal to a kernel's process; on Windows its interrupt event stands for SIGINT."""
    if os.name == "nt" and number == signal.SIGINT:
        from jupyter_client.win_interrupt import send_interrupt

        send_interrupt(provisioner.process.win32_interrupt_event)
        return
    os.kill(provisioner.pid, number)


def execute_notebook(zoo_run: ZooRun, notebook: str, source: Path, device: str, show_output: bool = False) -> str:
    """Execute a notebook of a run.

    Parameters
    ----------
    zoo_run : ZooRun
    notebook : str
        Its name, one of `zoo_run.NOTEBOOKS`.
    source : Path
        The notebook's file.
    device : str
        For the notebooks that have this parameter.
    show_output : bool
        Log what the cells print.

    Returns
    -------
    str
        The error message, "" if there was no error. While it runs, and if it fails, the executed notebook is
        *.failed.ipynb, with the traceback in it; what its process printed outside of cells is beside it in *.log.
    """
    executed = zoo_run.get_executed_path(notebook)
    executed.parent.mkdir(parents=True, exist_ok=True)
    failed = executed.with_suffix(".failed.ipynb")
    log = failed.with_suffix(".log")
    parameters = zoo_run.get_parameters(notebook)
    if notebook in DEVICE_NOTEBOOKS:
        parameters["device"] = device
    # papermill makes the kernel manager itself: a class of its own for this notebook carries the log file.
    try:
        with open(log, "w", encoding="utf-8") as file:
            papermill.execute_notebook(
                str(source.absolute()),
                str(failed.absolute()),
                parameters,
                kernel_manager_class=type("Kernel", (NotebookKernel,), {"output_file": file}),
                progress_bar=False,
                log_output=show_output,
            )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {strip_escapes(error.evalue)}"
    except Exception as error:  # of any kind: other runs continue, and the summary has the message
        return describe_error(error)
    # It ran to its end: the final name, and the log is not needed.
    failed.replace(executed)
    log.unlink()
    return ""


def describe_error(error: Exception) -> str:
    """An exception's type and message."""
    return f"{type(error).__name__}: {strip_escapes(str(error))}"


def strip_escapes(text: str) -> str:
    """A text without the escape sequences of terminal colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
