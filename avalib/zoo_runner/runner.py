"""Execute each model's notebooks, in sequence or in parallel; up-to-date results are kept.

notebook_kernel executes one notebook; headless is what `avalib zoo` calls.
"""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from avalib.data.layout import DatasetLayout
from avalib.utils.files import compute_sha256, write_json
from avalib.utils.interrupts import Stopped
from avalib.utils.locks import hold_lock
from avalib.utils.progress import show_progress
from avalib.zoo_runner.notebook_kernel import describe_error, execute_notebook, signal_kernels
from avalib.zoo_runner.notebook_result import NotebookResult
from avalib.zoo_runner.run_inputs import compute_inputs, explain_rerun, get_inputs_path
from avalib.zoo_runner.shared_training import copy_training, find_shared_runs, has_own_training
from avalib.zoo_runner.zoo_record import write_zoo_record
from avalib.zoo_runner.zoo_run import NOTEBOOKS, ZooRun

logger = logging.getLogger(__name__)

INTERRUPT_TIMEOUT_S = 10  # a kernel that still runs so long after an interrupt is terminated


def list_devices(device: str = "auto", max_parallel: int | None = None) -> list[str]:
    """List the devices of the runs that are executed in parallel, one for each.

    Parameters
    ----------
    device : str
        "auto" (all GPUs, or the CPU), "cpu", "cuda:0", …
    max_parallel : int, optional
        The number of runs in parallel; None: one per GPU, one on the CPU. With another number than that of the GPUs,
        GPUs repeat or are left out.

    Returns
    -------
    list of str
    """
    import torch

    # GPUs repeat if there are more runs than GPUs: cuda:0, cuda:1, cuda:0, …
    if device == "auto" and torch.cuda.is_available():
        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return [gpus[i % len(gpus)] for i in range(max_parallel or len(gpus))]
    return [device] * (max_parallel or 1)


class ZooRunner:
    """Executes the notebooks of several runs of the zoo (models with a seed), each run on one device.

    Parameters
    ----------
    zoo_runs : list of ZooRun
    layout : DatasetLayout
        The data set's.
    notebooks : str or Path
        Folder of the notebooks.
    devices : sequence of str
        One for each run that is executed in parallel, see `list_devices`.
    path : str or Path, optional
        Json file of the runs and the summary, written after every notebook.
    show_output : bool
        Log what the notebooks print.
    """

    def __init__(
        self,
        zoo_runs: Sequence[ZooRun],
        layout: DatasetLayout,
        notebooks: str | Path = "notebooks",
        devices: Sequence[str] = ("auto",),
        path: str | Path | None = None,
        show_output: bool = False,
    ):
        self.zoo_runs = list(zoo_runs)
        self.layout = layout
        self.notebook_paths = {name: Path(notebooks) / f"{name}.ipynb" for name in NOTEBOOKS}
        self.path = Path(path) if path else None
        self.show_output = show_output
        self.training_sources = find_shared_runs(self.zoo_runs)  # {name of a run: the ZooRun whose training it copies}
        # Shared by the threads: devices that no run uses, results so far, and the wish to stop.
        self._n_devices = len(devices)
        self._free_devices = SimpleQueue()
        for device in devices:
            self._free_devices.put(device)
        self._results = []
        self._results_lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def summary(self) -> list[NotebookResult]:
        """The NotebookResults so far, in the order of the runs."""
        order = {zoo_run.name: i for i, zoo_run in enumerate(self.zoo_runs)}
        return sorted(self._results, key=lambda result: (order[result.run], result.notebook))

    def plan(self) -> list[dict]:
        """List what has to be done: dicts with run, notebook, "to do" (the reason, "" if it is up to date).

        Whether the notebooks after an outdated one have to be executed depends on its result: "if need be".
        """
        lines = []
        for zoo_run in self.zoo_runs:
            is_outdated = False
            for notebook in zoo_run.notebooks:
                reason = explain_rerun(zoo_run, notebook, self._compute_inputs(zoo_run, notebook))
                # An earlier notebook will run: this one runs too, if that changes its inputs.
                if not reason and is_outdated:
                    reason = "if need be"
                is_outdated = is_outdated or bool(reason)
                lines.append({"run": zoo_run.name, "notebook": notebook, "to do": reason})
        return lines

    def run_all(self) -> list[NotebookResult]:
        """Execute the notebooks whose results are missing or outdated. Returns the summary.

        Ctrl-C interrupts the running notebooks (a training saves first) and raises Stopped; the next call resumes.
        """
        total = sum(len(zoo_run.notebooks) for zoo_run in self.zoo_runs)
        with (
            show_progress(total=total, desc="zoo", unit="notebook") as bar,
            ThreadPoolExecutor(self._n_devices) as pool,
        ):
            # A run that copies a training has to wait for it, so it follows in the same thread.
            training_runs = [zoo_run for zoo_run in self.zoo_runs if zoo_run.name not in self.training_sources]
            futures = [pool.submit(self._run_with_copies, zoo_run, bar) for zoo_run in training_runs]
            # An error, or Ctrl-C, in any of them ends all of them.
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException as error:
                self._wait_until_stopped(futures)
                if type(error) is KeyboardInterrupt:
                    raise Stopped("stopped; finished notebooks and trainings are saved: call again to resume") from None
                raise
        return self.summary

    def stop(self, number: int = signal.SIGINT) -> None:
        """Interrupt the notebooks that run, and start no others."""
        self._stopping.set()
        signal_kernels(number)

    def _wait_until_stopped(self, futures):
        """Stop, and wait until nothing runs.

        A second Ctrl-C stops trainings without saving. A kernel that did not receive the first one, because it was
        starting or between two cells, is terminated after a while (a training takes that as one request).
        """
        self.stop()
        interrupted_at = time.monotonic()
        while not all(future.done() for future in futures):
            try:
                time.sleep(0.2)
                if time.monotonic() - interrupted_at > INTERRUPT_TIMEOUT_S:
                    self.stop(signal.SIGTERM)
                    interrupted_at = time.monotonic()
            except KeyboardInterrupt:
                self.stop()

    # --- in the threads of the pool ---

    def _run_with_copies(self, zoo_run, bar):
        """Execute a run's notebooks, then those of the runs that copy its training."""
        self._run_notebooks(zoo_run, bar)
        for other in self.zoo_runs:
            if self.training_sources.get(other.name) == zoo_run:
                self._run_notebooks(other, bar)

    def _run_notebooks(self, zoo_run, bar):
        """Execute the notebooks of one run in sequence; a failure skips the rest."""
        with self._borrow_device() as device:
            failed_status = ""
            for notebook in zoo_run.notebooks:
                if failed_status:
                    reason = f"{failed_status} before it"
                    self._add_result(NotebookResult(zoo_run.name, notebook, "not run", reason))
                elif not self._stopping.is_set():
                    bar.set_postfix_str(f"{zoo_run.name} {notebook}")
                    result = self._try_notebook(zoo_run, notebook, device)
                    failed_status = "" if result.is_done else result.status
                    self._add_result(result)
                bar.update()

    @contextlib.contextmanager
    def _borrow_device(self):
        """Wait for a free device, and give it back whatever happens."""
        device = self._free_devices.get()
        try:
            yield device
        finally:
            self._free_devices.put(device)

    def _try_notebook(self, zoo_run, notebook, device):
        """The result of a notebook; an error becomes a result, so that the other runs continue."""
        try:
            with hold_lock(zoo_run.folder / ".notebooks.lock", f"notebook {notebook}"):
                return self._run_notebook(zoo_run, notebook, device)
        except Exception as error:
            return NotebookResult(zoo_run.name, notebook, "failed", error=describe_error(error))

    def _run_notebook(self, zoo_run, notebook, device):
        """Execute a notebook unless its result is up to date."""
        executed = zoo_run.get_executed_path(notebook)
        inputs = self._compute_inputs(zoo_run, notebook)
        reason = explain_rerun(zoo_run, notebook, inputs)
        if not reason:
            return NotebookResult(zoo_run.name, notebook, "done before", file=str(executed))

        # Without the stored inputs an interrupted notebook counts as not run.
        inputs_path = get_inputs_path(zoo_run, notebook)
        inputs_path.unlink(missing_ok=True)
        started = time.monotonic()
        training_source = self._get_training_source(zoo_run, notebook)
        if training_source:
            reason += f"; from random weights it is the run of {training_source.name}"
            error = copy_training(zoo_run, training_source)
        else:
            error = execute_notebook(zoo_run, notebook, self.notebook_paths[notebook], device, self.show_output)
        minutes = round((time.monotonic() - started) / 60, 2)
        # A failed notebook stays as *.failed.ipynb. Without stored inputs the next call runs it again.
        if error:
            status = "stopped" if self._stopping.is_set() else "failed"
            failed = str(executed.with_suffix(".failed.ipynb"))
            return NotebookResult(zoo_run.name, notebook, status, reason, minutes, error, failed)

        if notebook == "01_prepare_data":
            inputs = self._compute_inputs(zoo_run, notebook)  # the data set's files did not exist before
        write_json(inputs_path, inputs)
        return NotebookResult(zoo_run.name, notebook, "done", reason, minutes, file=str(executed))

    def _compute_inputs(self, zoo_run, notebook):
        """The inputs of a notebook, with those of a training that is copied."""
        inputs = compute_inputs(zoo_run, notebook, self.layout, self.notebook_paths[notebook])
        # A copy is out of date when the training that it copies has changed.
        training_source = self._get_training_source(zoo_run, notebook)
        if training_source:
            best = training_source.folder / "train" / "best.pth"
            inputs["files"][f"best.pth of {training_source.name}"] = compute_sha256(best) if best.exists() else None
        return inputs

    def _get_training_source(self, zoo_run, notebook):
        """The run whose training this one copies; None for other notebooks, or if it has a training of its own."""
        training_source = self.training_sources.get(zoo_run.name) if notebook == "03_train" else None
        return None if training_source is None or has_own_training(zoo_run) else training_source

    def _add_result(self, result):
        """Log a result and write the summary."""
        with self._results_lock:
            self._results.append(result)
            # A line for the log if something ran, then the record of all results so far.
            if self.show_output or result.status != "done before":
                text = f"{result.run:<28} {result.notebook:<13} {result.status}"
                text += f", {result.reason}" if result.reason else ""
                text += f", {result.minutes} min" if result.minutes else ""
                logger.info("%s %s", text, result.error[:200])
            if self.path:
                write_zoo_record(self.path, self.zoo_runs, self.summary)


def select_evaluated(zoo_runs: Sequence[ZooRun]) -> list[ZooRun]:
    """The runs that have been evaluated."""
    return [zoo_run for zoo_run in zoo_runs if zoo_run.has_outputs("04_evaluate")]
