"""The zoo's rows headless: notebooks 03, 04 and 05 for every row and seed, through papermill's Python API.

Every notebook runs in a process of its own (papermill's kernel), those of a row one after the other; rows one at a time
on a CPU, and as many at once as there are GPUs. What is done is not done again unless something that it reads has
changed (told by hashes: its parameters, its code, the annotations, the checkpoint) or what it makes is gone.

From random weights the OmniSource rows are the networks of the Kinetics-400 rows: trained once, the run is both rows'.
"""

import json
import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

import papermill
from jupyter_client.manager import AsyncKernelManager
from tqdm.auto import tqdm

from avalib import run, zoo

MAKES = {  # what each notebook leaves in the run's folder
    "03_train": ("train/run.json", "train/best.pth"),
    "04_evaluate": ("evaluate/run.json", "evaluate/detections.csv"),
    "05_visualise": ("visualise/run.json",),
}
CHECKPOINTS = ("", "best", "final", "published")
COLUMNS = ("row", "notebook", "status", "why", "minutes", "error", "file")  # of the summary
NOT_INPUTS = ("device", "output_dir")  # the result doesn't hang on them


@dataclass(frozen=True)
class Row:
    """One row of the zoo with one seed on one data set. checkpoint: "" trains it, the others evaluate only."""

    model: str
    seed: int = 0
    dataset: str = "mini"
    data_seed: int = 0
    checkpoint: str = ""
    minutes: float | None = None
    tag: str = ""
    output_dir: str = "outputs/runs"
    more: dict = field(default_factory=dict)  # {notebook: {parameter: value}}

    @property
    def name(self):
        """What it is called in tables: the alias, and the seed where it isn't 0."""
        return f"{self.model}, seed {self.seed}" if self.seed else self.model

    @property
    def run_tag(self):
        """The tag of its folder: seed 0 has none of its own; published weights are not mixed with trained ones."""
        words = [self.tag, f"seed{self.seed}" if self.seed else "", "published" * (self.checkpoint == "published")]
        return "-".join(filter(None, words))

    @property
    def folder(self):
        return run.folder(self.output_dir, self.dataset, self.model, self.run_tag)

    def parameters(self, notebook):
        """What the notebook is called with."""
        common = dict(model=self.model, dataset=self.dataset, data_seed=self.data_seed, tag=self.run_tag)
        common |= {"output_dir": str(self.output_dir)}
        own = {
            "03_train": dict(seed=self.seed, minutes=self.minutes),
            "04_evaluate": dict(seed=self.seed, checkpoint=self.checkpoint or "best"),
            "05_visualise": {},
        }[notebook]
        return common | own | self.more.get(notebook, {})

    def notebooks(self):
        """Those that it takes, in their order."""
        return list(MAKES)[1:] if self.checkpoint else list(MAKES)


def rows(models=(), seeds=(0,), row_seeds=None, more=None, **options):
    """The Rows of these models (all seven if there are none), a seed after the other, options: Row's fields.

    row_seeds {model: [seeds]} takes the place of `seeds` for some. Raises KeyError for a name that isn't in the zoo,
    ValueError for another checkpoint than the known words, a notebook in `more` that isn't run, seeds of no chosen row.
    """
    chosen = list(dict.fromkeys(zoo.get(name).alias for name in models)) or zoo.names()
    own = {zoo.get(name).alias: given for name, given in (row_seeds or {}).items()}
    if options.get("checkpoint", "") not in CHECKPOINTS:
        raise ValueError(f"checkpoint={options['checkpoint']!r}: one of {CHECKPOINTS}; for a file: notebook 04")
    if unknown := [name for name in more or {} if name not in MAKES]:
        raise ValueError(f"parameters for {unknown}: the notebooks that are run are {', '.join(MAKES)}")
    if unknown := [name for name in own if name not in chosen]:
        raise ValueError(f"row_seeds for {', '.join(unknown)}: not among the rows {', '.join(chosen)}")
    depth = max(len(own.get(model, seeds)) for model in chosen)
    pairs = [(m, own.get(m, seeds)[i]) for i in range(depth) for m in chosen if i < len(own.get(m, seeds))]
    return [Row(model, seed, more=more or {}, **options) for model, seed in pairs]


# --- what is done already ---------------------------------------------------------------------------------------------


def inputs(row, notebook, layout, source):
    """What a notebook's result hangs on: {"parameters", "code", "files"}; files by name, those of the data and the run.

    layout: the data set's annotations.Layout; source: the notebook's path.
    """
    code = [c["source"] for c in json.loads(Path(source).read_text())["cells"] if c["cell_type"] == "code"]
    reads = [layout.csv("val"), layout.proposals("val")]
    if notebook == "03_train":
        reads = [layout.csv("train"), layout.proposals("train"), *reads]
    if notebook == "04_evaluate" and row.checkpoint != "published":
        reads.append(row.folder / "train" / f"{row.checkpoint or 'best'}.pth")
    if notebook == "05_visualise":
        reads.append(row.folder / "evaluate" / "detections.csv")
    files = {path.name: run.sha256(path) if path.exists() else None for path in reads}
    if row.checkpoint == "published":
        files["published checkpoint"] = zoo.get(row.model).checkpoint_sha256
    parameters = {k: v for k, v in row.parameters(notebook).items() if k not in NOT_INPUTS}
    code = sha256(json.dumps(["".join(cell) for cell in code]).encode()).hexdigest()
    return {"parameters": json.loads(json.dumps(parameters)), "code": code, "files": files}


def record_path(row, notebook):
    """Where the inputs of a notebook that has run are kept."""
    return row.folder / "notebooks" / f"{notebook}.inputs.json"


def why(row, notebook, found):
    """Why a notebook has to run, in words; "" where it is done. found: its `inputs` now."""
    path = record_path(row, notebook)
    if not path.exists():
        return "not run yet"
    before = json.loads(path.read_text())
    reasons = [f"{name} is gone" for name in MAKES[notebook] if not (row.folder / name).exists()]
    for part in ("parameters", "files"):
        names = [n for n in before[part] | found[part] if before[part].get(n, ...) != found[part].get(n, ...)]
        reasons += [f"{name} changed" for name in names]
    return ", ".join(reasons + ["its code changed"] * (before["code"] != found["code"]))


# --- running ----------------------------------------------------------------------------------------------------------


class Kernel(AsyncKernelManager):
    """papermill's kernel, known here while it lives so that it can be interrupted; what it says beside the notebook
    goes into the file `said`."""

    alive, said = set(), None

    async def start_kernel(self, **options):
        await super().start_kernel(**options, stdout=self.said, stderr=self.said)
        self.alive.add(self)

    async def shutdown_kernel(self, *given, **options):
        self.alive.discard(self)
        await super().shutdown_kernel(*given, **options)


def execute(row, notebook, source, device):
    """Run one notebook; -> what went wrong, in words, "" if nothing did.

    It is written as *.failed.ipynb while it runs, and stays that, traceback inside, when it fails; beside it *.log has
    what its process said outside of any cell.
    """
    done = row.folder / "notebooks" / f"{notebook}.ipynb"
    failed = done.with_suffix(".failed.ipynb")
    done.parent.mkdir(parents=True, exist_ok=True)
    parameters = row.parameters(notebook) | ({} if notebook == "05_visualise" else {"device": device})
    log = failed.with_suffix(".log")
    try:
        with open(log, "w") as file:
            options = dict(kernel_manager_class=type("Kernel", (Kernel,), {"said": file}), progress_bar=False)
            papermill.execute_notebook(str(Path(source).absolute()), str(failed.absolute()), parameters, **options)
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {_plain_text(error.evalue)}"
    except Exception as error:  # of any kind: the other rows go on, and the summary tells
        return f"{type(error).__name__}: {_plain_text(str(error))}"
    failed.replace(done)
    log.unlink()
    return ""


def originals(rows):
    """{name of a row: the earlier row of the same seed whose training from random weights is the same}."""
    found = {}
    for i, row in enumerate(rows):
        for other in rows[:i]:
            alike = replace(row, model=other.model) == other and other.name not in found
            given = row.more.get("03_train", {}).get("checkpoint") or "random"
            if alike and not row.checkpoint and given == "random":
                if zoo.same_from_scratch(zoo.get(row.model), zoo.get(other.model), row.dataset):
                    found[row.name] = other
    return found


def take_over(row, first):
    """Copy the training of another row, but for what it would go on from. -> what went wrong, in words, or ""."""
    if not all((first.folder / name).exists() for name in MAKES["03_train"]):
        return f"{first.name}, whose run this is, has not been trained"
    if (row.folder / "train").exists():
        run.put_aside(row.folder / "train")
    ignore = shutil.ignore_patterns("last.pth", "final.pth")
    shutil.copytree(first.folder / "train", row.folder / "train", ignore=ignore)
    path = row.folder / "train" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"run_of": first.name}, indent=1) + "\n")
    (row.folder / "notebooks").mkdir(exist_ok=True)
    shutil.copy(first.folder / "notebooks" / "03_train.ipynb", row.folder / "notebooks")
    return ""


def _plain_text(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def devices(device="auto", at_once=None):
    """The devices that rows are run on at the same time: every GPU for "auto", else the one; at_once: so many of it."""
    import torch

    if device == "auto" and torch.cuda.is_available():
        every = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return [every[i % len(every)] for i in range(at_once or len(every))]
    return [device] * (at_once or 1)


class Zoo:
    """Rows being run. `summary` is a list of dicts of COLUMNS.

    status: "done", "done before", "failed", "stopped" (interrupted), "not run" (the one before it has failed).
    """

    def __init__(self, rows, layout, notebooks="notebooks", on=("auto",), path=None):
        self.rows, self.layout, self.path = list(rows), layout, path and Path(path)
        self.sources = {name: Path(notebooks) / f"{name}.ipynb" for name in MAKES}
        self.free, self.lock, self.stopping = SimpleQueue(), threading.Lock(), threading.Event()
        self.at_once, self.done = len(on), []
        self.original = originals(self.rows)
        for device in on:
            self.free.put(device)

    def plan(self):
        """What there is to do: a list of {"row", "notebook", "to do"}; only the first of a row is sure."""
        told = []
        for row in self.rows:
            before = ""
            for notebook in row.notebooks():
                reason = why(row, notebook, self._inputs(row, notebook))
                before = before or reason
                told.append({"row": row.name, "notebook": notebook, "to do": reason or (before and "if need be")})
        return told

    def run(self):
        """Run what has to be run. -> the summary, which is also written to `path` after every notebook.

        Ctrl-C interrupts what is running (a training saves first), then raises; the next call goes on.
        """
        total = sum(len(row.notebooks()) for row in self.rows)
        with tqdm(total=total, desc="zoo", unit="notebook") as bar, ThreadPoolExecutor(self.at_once) as pool:
            waiting = [pool.submit(self._rows, row, bar) for row in self.rows if row.name not in self.original]
            try:
                for future in as_completed(waiting):
                    future.result()
            except BaseException:
                while not all(future.done() for future in waiting):  # again, for a kernel that was only starting
                    self.stop()
                    time.sleep(2)
                raise
        return self.summary

    def stop(self):
        """Interrupt the notebooks that are running, start no more."""
        self.stopping.set()
        for kernel in list(Kernel.alive):
            os.kill(kernel.provisioner.pid, signal.SIGINT)

    @property
    def summary(self):
        """What has been done, in the rows' order."""
        order = {row.name: i for i, row in enumerate(self.rows)}
        return sorted(self.done, key=lambda entry: (order[entry["row"]], entry["notebook"]))

    def _inputs(self, row, notebook):
        found = inputs(row, notebook, self.layout, self.sources[notebook])
        if notebook == "03_train" and row.name in self.original:
            first = self.original[row.name]
            path = first.folder / "train" / "best.pth"
            found["files"][f"best.pth of {first.name}"] = run.sha256(path) if path.exists() else None
        return found

    def _rows(self, row, bar):
        """A row, then those whose training it is."""
        self._row(row, bar)
        for other in self.rows:
            if self.original.get(other.name) == row:
                self._row(other, bar)

    def _row(self, row, bar):
        device, ended = self.free.get(), ""
        for notebook in row.notebooks():
            if not self.stopping.is_set() or ended:
                entry = {"row": row.name, "notebook": notebook, "status": "not run", "why": f"{ended} before it"}
                if not ended:
                    bar.set_postfix_str(f"{row.name} {notebook}")
                    entry = self._notebook(row, notebook, device)
                    ended = entry["status"] if entry["status"] in ("failed", "stopped") else ""
                self._note(entry)
            bar.update()
        self.free.put(device)

    def _notebook(self, row, notebook, device):
        source, started, found = self.sources[notebook], time.time(), self._inputs(row, notebook)
        first = self.original.get(row.name) if notebook == "03_train" else None
        entry = {"row": row.name, "notebook": notebook, "why": why(row, notebook, found)}
        if not entry["why"]:
            return entry | {"status": "done before", "file": str(row.folder / "notebooks" / f"{notebook}.ipynb")}
        record_path(row, notebook).unlink(missing_ok=True)
        error = take_over(row, first) if first else execute(row, notebook, source, device)
        entry["why"] += f"; from random weights it is the run of {first.name}" if first else ""
        if not error:
            record_path(row, notebook).write_text(json.dumps(found, indent=1) + "\n")
        status = "done" if not error else "stopped" if self.stopping.is_set() else "failed"
        file = row.folder / "notebooks" / f"{notebook}{'.failed' if error else ''}.ipynb"
        return entry | {
            "status": status, "minutes": round((time.time() - started) / 60, 2), "error": error, "file": str(file),
        }  # fmt: skip

    def _note(self, entry):
        with self.lock:
            self.done.append(dict.fromkeys(COLUMNS) | {"why": "", "error": "", "file": ""} | entry)
            words = f"{entry['status']}{', ' + entry['why'] if entry['why'] else ''}"
            took = f", {entry['minutes']} min" if entry.get("minutes") else ""
            error = entry.get("error", "")[:200]
            print(f"{entry['row']:<28} {entry['notebook']:<13} {words}{took} {error}", flush=True)
            if self.path:
                content = {"rows": [asdict(row) | {"folder": str(row.folder)} for row in self.rows]}
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(json.dumps(content | {"summary": self.summary}, indent=1) + "\n")


def evaluated(rows):
    """The rows whose evaluation is there."""
    return [row for row in rows if all((row.folder / name).exists() for name in MAKES["04_evaluate"])]


def check(summary):
    """Raise RuntimeError that lists what failed, was stopped or not run; nothing where all is done."""
    bad = [entry for entry in summary if entry["status"] not in ("done", "done before")]
    if bad:
        lines = [f"  {e['row']}, {e['notebook']}: {e['status']} {e['error'] or e['why']} {e['file']}" for e in bad]
        raise RuntimeError(f"{len(bad)} of {len(summary)} notebooks are not done:\n" + "\n".join(lines))
