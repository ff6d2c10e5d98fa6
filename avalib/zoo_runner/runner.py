"""Notebooks through papermill: rows one after the other or side by side, what is done left as it is."""

import contextlib
import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue

import papermill
from jupyter_client.manager import AsyncKernelManager
from tqdm.auto import tqdm

from avalib import zoo
from avalib.utils.files import atomic_path, compute_sha256, part_name, write_json
from avalib.utils.interrupts import Stopped
from avalib.utils.locks import hold
from avalib.utils.run_folder import archive_folder, read_record
from avalib.zoo_runner.run_inputs import compute_inputs, explain_rerun, get_inputs_path
from avalib.zoo_runner.zoo_run import NOTEBOOKS

COLUMNS = ("row", "notebook", "status", "why", "minutes", "error", "file")  # of the summary
ON_A_DEVICE = ("03_train", "04_evaluate")  # the notebooks with a parameter `device`
DEAF_S = 10  # a kernel that was interrupted so long ago and still runs is ended


class NotebookKernel(AsyncKernelManager):
    """papermill's kernel, known here while it lives so that it can be interrupted; what it says beside the notebook
    goes into the file `said`."""

    alive, said = set(), None

    async def start_kernel(self, **options):
        await super().start_kernel(**options, stdout=self.said, stderr=self.said)
        self.alive.add(self)

    async def shutdown_kernel(self, *given, **options):
        self.alive.discard(self)
        await super().shutdown_kernel(*given, **options)


def execute_notebook(row, notebook, source, device, show=False):
    """Run one notebook; -> what went wrong, in words, "" if nothing did. show: log what its cells print.

    It is written as *.failed.ipynb while it runs, and stays that, traceback inside, when it fails; beside it *.log has
    what its process said outside of any cell.
    """
    done = row.folder / "notebooks" / f"{notebook}.ipynb"
    failed = done.with_suffix(".failed.ipynb")
    done.parent.mkdir(parents=True, exist_ok=True)
    parameters = row.parameters(notebook) | ({"device": device} if notebook in ON_A_DEVICE else {})
    log = failed.with_suffix(".log")
    try:
        with open(log, "w", encoding="utf-8") as file:
            options = dict(kernel_manager_class=type("Kernel", (NotebookKernel,), {"said": file}), progress_bar=False)
            options |= dict(log_output=show)
            papermill.execute_notebook(str(Path(source).absolute()), str(failed.absolute()), parameters, **options)
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {_plain_text(error.evalue)}"
    except Exception as error:  # of any kind: the other rows go on, and the summary tells
        return f"{type(error).__name__}: {_plain_text(str(error))}"
    failed.replace(done)
    log.unlink()
    return ""


def find_shared_runs(rows):
    """{name of a row: the earlier row of the same seed whose training from random weights is the same}."""
    found = {}
    for i, row in enumerate(rows):
        for other in rows[:i]:
            alike = replace(row, model=other.model) == other and other.name not in found
            given = row.more.get("03_train", {}).get("checkpoint") or "random"
            if alike and not row.checkpoint and given == "random":
                if zoo.find_equal_network(zoo.get(row.model), zoo.get(other.model), row.dataset):
                    found[row.name] = other
    return found


def has_own_training(row):
    """Whether a row's folder holds a training of its own, not a copy by `take_over`."""
    record = row.folder / "train" / "run.json"
    if not record.exists():
        return any((row.folder / "train" / name).exists() for name in ("last.pth", "best.pth"))
    return "run_of" not in read_record(record, "notebook 03")


def copy_training(row, first):
    """Copy the training of another row, but for what it would go on from. -> what went wrong, in words, or ""."""
    if not all(path.exists() for path in first.makes("03_train")):
        return f"{first.name}, whose run this is, has not been trained"
    train, notebooks = row.folder / "train", row.folder / "notebooks"
    copy = part_name(train)
    ignore = shutil.ignore_patterns("last.pth", "final.pth", ".*")
    try:
        shutil.copytree(first.folder / "train", copy, ignore=ignore)
        record = read_record(copy / "run.json", "notebook 03")
        write_json(copy / "run.json", record | {"run_of": first.name})
        notebooks.mkdir(exist_ok=True)
        with atomic_path(notebooks / "03_train.ipynb") as part:
            shutil.copy(first.folder / "notebooks" / "03_train.ipynb", part)
        if train.exists():
            kept = archive_folder(train)
            print(f"{train} held an older copy of the run of {first.name}; it is kept as {kept.name}")
        copy.rename(train)  # last: a copy that was broken off is no training
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return ""


def _plain_text(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def _signal(provisioner, number):
    """Send a kernel's main process a signal; on Windows its interrupt event stands for SIGINT."""
    if os.name == "nt" and number == signal.SIGINT:
        from jupyter_client.win_interrupt import send_interrupt

        send_interrupt(provisioner.process.win32_interrupt_event)
        return
    os.kill(provisioner.pid, number)


def list_devices(device="auto", at_once=None):
    """The devices that rows are run on at the same time: every GPU for "auto", else the one; at_once: so many of it."""
    import torch

    if device == "auto" and torch.cuda.is_available():
        every = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return [every[i % len(every)] for i in range(at_once or len(every))]
    return [device] * (at_once or 1)


class ZooRunner:
    """Rows being run. `summary` is a list of dicts of COLUMNS.

    status: "done", "done before", "failed", "stopped" (interrupted), "not run" (the one before it has failed).
    """

    def __init__(self, rows, layout, notebooks="notebooks", on=("auto",), path=None, show=False):
        self.rows, self.layout, self.path, self.show = list(rows), layout, path and Path(path), show
        self.sources = {name: Path(notebooks) / f"{name}.ipynb" for name in NOTEBOOKS}
        self.free, self.lock, self.stopping = SimpleQueue(), threading.Lock(), threading.Event()
        self.at_once, self.done = len(on), []
        self.original = find_shared_runs(self.rows)
        for device in on:
            self.free.put(device)

    def plan(self):
        """What there is to do: a list of {"row", "notebook", "to do"}; only the first of a row is sure."""
        told = []
        for row in self.rows:
            before = ""
            for notebook in row.notebooks():
                reason = explain_rerun(row, notebook, self._inputs(row, notebook))
                before = before or reason
                told.append({"row": row.name, "notebook": notebook, "to do": reason or (before and "if need be")})
        return told

    def run(self):
        """Run what has to be run. -> the summary, which is also written to `path` after every notebook.

        Ctrl-C interrupts what is running (a training saves first), then raises Stopped; the next call goes on.
        """
        total = sum(len(row.notebooks()) for row in self.rows)
        with tqdm(total=total, desc="zoo", unit="notebook") as bar, ThreadPoolExecutor(self.at_once) as pool:
            waiting = [pool.submit(self._rows, row, bar) for row in self.rows if row.name not in self.original]
            try:
                for future in as_completed(waiting):
                    future.result()
            except BaseException as error:
                self._wait_stopped(waiting)
                if type(error) is KeyboardInterrupt:
                    raise Stopped(
                        "stopped; what is done stays, and trainings have saved: call again to go on"
                    ) from None
                raise
        return self.summary

    def stop(self, number=signal.SIGINT):
        """Interrupt the notebooks that are running, start no more."""
        self.stopping.set()
        for kernel in list(NotebookKernel.alive):
            with contextlib.suppress(ProcessLookupError, AttributeError):  # ended in the meantime
                _signal(kernel.provisioner, number)

    def _wait_stopped(self, waiting):
        """Stop, and wait for it. A second Ctrl-C stops trainings without saving; a kernel that did not hear the first,
        as it was starting or between two cells, is ended after a while (a training takes that as one request)."""
        self.stop()
        asked = time.monotonic()
        while not all(future.done() for future in waiting):
            try:
                time.sleep(0.2)
                if time.monotonic() - asked > DEAF_S:
                    self.stop(signal.SIGTERM)
                    asked = time.monotonic()
            except KeyboardInterrupt:
                self.stop()

    @property
    def summary(self):
        """What has been done, in the rows' order."""
        order = {row.name: i for i, row in enumerate(self.rows)}
        return sorted(self.done, key=lambda entry: (order[entry["row"]], entry["notebook"]))

    def _inputs(self, row, notebook):
        found = compute_inputs(row, notebook, self.layout, self.sources[notebook])
        if first := self._first(row, notebook):
            path = first.folder / "train" / "best.pth"
            found["files"][f"best.pth of {first.name}"] = compute_sha256(path) if path.exists() else None
        return found

    def _first(self, row, notebook):
        """The row whose training is this one's as well, unless it has one of its own; or None."""
        first = self.original.get(row.name) if notebook == "03_train" else None
        return first if first and not has_own_training(row) else None

    def _rows(self, row, bar):
        """A row, then those whose training it is."""
        self._row(row, bar)
        for other in self.rows:
            if self.original.get(other.name) == row:
                self._row(other, bar)

    def _row(self, row, bar):
        device, ended = self.free.get(), ""
        try:
            for notebook in row.notebooks():
                if not self.stopping.is_set() or ended:
                    entry = {"row": row.name, "notebook": notebook, "status": "not run", "why": f"{ended} before it"}
                    if not ended:
                        bar.set_postfix_str(f"{row.name} {notebook}")
                        entry = self._attempt(row, notebook, device)
                        ended = entry["status"] if entry["status"] in ("failed", "stopped") else ""
                    self._note(entry)
                bar.update()
        finally:
            self.free.put(device)  # the next row waits for it

    def _attempt(self, row, notebook, device):
        """The entry of a notebook, whatever goes wrong with it: the other rows go on."""
        try:
            with hold(row.folder / ".notebooks.lock", f"notebook {notebook}"):
                return self._notebook(row, notebook, device)
        except Exception as error:
            error = f"{type(error).__name__}: {_plain_text(str(error))}"
            return {"row": row.name, "notebook": notebook, "status": "failed", "error": error}

    def _notebook(self, row, notebook, device):
        source, started, found = self.sources[notebook], time.time(), self._inputs(row, notebook)
        first = self._first(row, notebook)
        entry = {"row": row.name, "notebook": notebook, "why": explain_rerun(row, notebook, found)}
        if not entry["why"]:
            return entry | {"status": "done before", "file": str(row.folder / "notebooks" / f"{notebook}.ipynb")}
        get_inputs_path(row, notebook).unlink(missing_ok=True)
        error = copy_training(row, first) if first else execute_notebook(row, notebook, source, device, self.show)
        entry["why"] += f"; from random weights it is the run of {first.name}" if first else ""
        if not error:
            made_here = notebook == "01_prepare_data"  # what it stands on is there only now
            found = self._inputs(row, notebook) if made_here else found
            write_json(get_inputs_path(row, notebook), found)
        status = "done" if not error else "stopped" if self.stopping.is_set() else "failed"
        file = row.folder / "notebooks" / f"{notebook}{'.failed' if error else ''}.ipynb"
        return entry | {
            "status": status, "minutes": round((time.time() - started) / 60, 2), "error": error, "file": str(file),
        }  # fmt: skip

    def _note(self, entry):
        entry = dict.fromkeys(COLUMNS) | {"why": "", "error": "", "file": ""} | entry
        with self.lock:
            self.done.append(entry)
            words = f"{entry['status']}{', ' + entry['why'] if entry['why'] else ''}"
            took = f", {entry['minutes']} min" if entry["minutes"] else ""
            error = entry["error"][:200]
            print(f"{entry['row']:<28} {entry['notebook']:<13} {words}{took} {error}", flush=True)
            if self.path:
                content = {"rows": [asdict(row) | {"folder": str(row.folder)} for row in self.rows]}
                write_json(self.path, content | {"summary": self.summary})


def select_evaluated(rows):
    """The rows whose evaluation is there."""
    return [row for row in rows if all(path.exists() for path in row.makes("04_evaluate"))]


def raise_on_failure(summary):
    """Raise RuntimeError that lists what failed, was stopped or not run; nothing where all is done."""
    bad = [entry for entry in summary if entry["status"] not in ("done", "done before")]
    if bad:
        lines = [f"  {e['row']}, {e['notebook']}: {e['status']} {e['error'] or e['why']} {e['file']}" for e in bad]
        raise RuntimeError(f"{len(bad)} of {len(summary)} notebooks are not done:\n" + "\n".join(lines))
