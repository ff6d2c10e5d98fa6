"""One run's record: its parameters checked, seed, versions, git, hardware, hashes, times -> run.json.

A notebook calls `begin` in the cell behind its parameters and `finish` in its last one.
"""

import ast
import difflib
import hashlib
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from avalib.utils import files
from avalib.utils.console import allow_any_text
from avalib.utils.errors import AvalibError
from avalib.utils.process import count_cores, peak_memory_bytes, total_memory_bytes

_current = None  # the run that `begin` started last in this process
PACKAGES = ("avalib", "torch", "torchvision", "numpy", "pandas", "av", "pillow", "matplotlib", "papermill")


@dataclass
class Run:
    """What is known of a run; `facts` is free for results (mAP, coverage, protocol, …). See `finish`."""

    name: str
    parameters: dict
    started: float = field(default_factory=time.time)
    facts: dict = field(default_factory=dict)
    hashes: dict = field(default_factory=dict)
    git: dict | None = field(default_factory=lambda: git_state())

    def hash(self, *paths):
        """Note the sha256 of files that the run reads or makes."""
        for path in paths:
            self.hashes[public_path(path)] = sha256(path)

    def finish(self, path, written=(), **facts):
        """Write the record to `path` (a run.json), print it and the other files in `written`, a line each."""
        self.facts |= facts
        path = files.write_json(path, self.record(), default=_plain)
        files.clear_abandoned_parts(path.parent)
        print("written:")
        for file in (*written, path):
            if not Path(file).name.startswith("."):  # what another process is writing
                print(f"  {file}")

    def record(self):
        """The record as a dict that json can take, without a path of this machine."""
        return {
            "name": self.name,
            "date": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "parameters": _public(self.parameters),
            **self.facts,
            "hashes": self.hashes,
            "git": self.git,
            "versions": versions(),
            "hardware": hardware(),
            "wall_s": round(time.time() - self.started, 1),
            "peak_memory_GB": round(peak / 1e9, 2) if (peak := peak_memory_bytes()) else None,
        }


def begin(name, namespace):
    """Start a notebook's record: check what papermill injected, go to the repository's root. -> Run.

    namespace: the notebook's globals(). JupyterLab starts a notebook in its own folder, papermill in the caller's;
    from here on both are in the folder that holds pyproject.toml, where there is one.
    Raises NameError for an injected name that the parameters cell does not have (papermill itself only warns), and
    TypeError for a value of another kind than the cell's.
    """
    cells = [source for source in namespace.get("In", []) if source.strip()]
    injected_at = next((i for i, source in enumerate(cells) if source.lstrip().startswith("# Parameters")), None)
    declared = {}
    for source in cells[:injected_at]:
        declared |= literals(source)
    if injected_at is not None:
        check_parameters(declared, literals(cells[injected_at]))
    root = repository_root()
    if root != Path.cwd():
        os.chdir(root)
    if "get_ipython" in namespace:
        _show_interruptions_as_a_line(namespace["get_ipython"]())
    global _current
    _current = Run(name, {key: namespace[key] for key in declared if key in namespace})
    return _current


def _show_interruptions_as_a_line(shell):
    """Have a notebook show Ctrl-C and its stop button as one line, instead of the frames that it happened to be in."""

    def show(shell, kind, error, trace, tb_offset=None):
        lines = [f"{kind.__name__}: {error if str(error) else 'stopped; run the cell again to go on'}"]
        shell._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((KeyboardInterrupt,), show)


def line():
    """The run that `begin` started last, for the corner of its figures; "" where none was started.

    "03_train: slowonly_r50 on mini, seed 0, commit 98b77fb"
    """
    if _current is None:
        return ""
    told, git = _current.parameters, _current.git or {}
    words = " on ".join(str(told[key]) for key in ("model", "dataset") if told.get(key))
    words = [words, *(f"{key} {told[key]}" for key in ("tag", "seed") if told.get(key) not in (None, ""))]
    words += [f"commit {git['commit'][:7]}{' with changes' if git['dirty'] else ''}"] if git else []
    return f"{_current.name}: {', '.join(filter(None, words))}"


def literals(source):
    """{name: value} of the plain `name = literal` lines of a cell."""
    found = {}
    for node in ast.parse(_without_magics(source)).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # computed, so not a parameter
    return found


def check_parameters(declared, given):
    """Hold given parameters to the declared ones: names must be there, kinds must agree (None takes any kind)."""
    for name, value in given.items():
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise NameError(f"this notebook has no parameter {name!r}.{hint} It has: {', '.join(declared)}")
        default = declared[name]
        number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
        if default is not None and value is not None and type(value) is not type(default) and not number:
            kind = type(default).__name__
            raise TypeError(f"parameter {name}={value!r}: expected {kind}, as in its default {default!r}")


def repository_root():
    """The nearest folder upwards with a pyproject.toml and a notebooks/ in it, else the current folder."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return here


def public_path(path):
    """A path as it may be published: relative to the current folder, or its last part alone."""
    path = Path(path)
    if not path.is_absolute():
        return path.as_posix()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def put_aside(folder):
    """Give a folder another name, see `free_name`; -> its path."""
    kept = free_name(folder)
    folder.rename(kept)
    return kept


def free_name(folder):
    """The first path of folder.1, folder.2, … that is free."""
    numbers = itertools.count(1)
    return next(p for p in (folder.with_name(f"{folder.name}.{i}") for i in numbers) if not p.exists())


def sha256(path):
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_state():
    """{"commit": …, "dirty": bool} of the repository around the current folder; None outside of one.

    Records under outputs/ don't make it dirty: a benchmark that has written its own changes no code for the next.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--", ":/", ":(top,exclude)outputs"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def changed_files():
    """Files of the repository around the current folder that differ from the last commit or are not in it.

    Raises OSError or subprocess.CalledProcessError where there is no git or no repository.
    """
    return [line.split(maxsplit=1)[1] for line in _git("status", "--porcelain", "-uall").splitlines()]


def _git(*words):
    return subprocess.run(["git", *words], capture_output=True, encoding="utf-8", check=True).stdout.strip()


def versions():
    """{package: version} of Python and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def hardware():
    """Processor, cores, memory, and the GPUs that a loaded torch sees."""
    memory = total_memory_bytes()
    found = {"system": platform.system(), "processor": processor_name(), "cores": count_cores()}
    found["memory_GB"] = memory and round(memory / 1e9)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def processor_name():
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _public(value):
    """A parameter without a path of this machine, whether it is one or holds some."""
    if isinstance(value, dict):
        return {name: _public(item) for name, item in value.items()}
    return public_path(value) if _is_path(value) else value


def _is_path(value):
    return isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute())


def _plain(value):
    if isinstance(value, Path):
        return public_path(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't go into run.json")


def _without_magics(source):
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def folder(output_dir, dataset, model, tag=""):
    """Where a row's runs on a data set are kept: output_dir/dataset/model[-tag]/, with train/, evaluate/ and more."""
    return Path(output_dir) / dataset / (f"{model}-{tag}" if tag else model)


def checkpoint(path, name):
    """The weights that a notebook's `checkpoint` parameter names: "best" and "final" are the run's own (folder `path`).

    Raises FileNotFoundError that says which notebook makes them.
    """
    if name not in ("best", "final"):
        return name
    return existing(
        Path(path) / "train" / f"{name}.pth", "notebook 03 with the same model, dataset, tag and output_dir"
    )


def existing(path, maker):
    """`path`, if it is there; else FileNotFoundError that names what makes it."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is not there: run {maker} first")
    return Path(path)


class DamagedRecordError(AvalibError, ValueError):
    """A json that a run left can't be read; the message names it and says which run makes it again."""


def read_json(path, maker, keys=()):
    """The dict in a json file that a run left.

    maker: what makes it again, for the message; keys: what has to be in it. Raises DamagedRecordError.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        wrong = "" if isinstance(content, dict) else f"holds {type(content).__name__} instead of an object"
    except (ValueError, RecursionError) as error:
        content, wrong = {}, f"not json ({error})"
    missing = [key for key in keys if key not in content] if not wrong else []
    if wrong or missing:
        wrong = wrong or f"it has no {', '.join(missing)}"
        raise DamagedRecordError(f"{path}: {wrong}. Remove it; {maker} makes it again.")
    return content


def report(path):
    """Print what the runs under `path` (see `folder`) gave and where their files are."""
    path = Path(path)
    records = sorted(path.glob("*/run.json"))
    if not records:
        raise SystemExit(f"{path}: no run.json in any folder of it; run the notebooks first (make demo)")
    print(f"\n{path}")
    for record in records:
        headline = read_json(record, f"the notebook of {record.parent.name}/").get("headline")
        for name, value in headline.items() if isinstance(headline, dict) else ():
            print(f"  {name:<44} {value!s}")
    print("files:")
    for pattern in ("notebooks/*.ipynb", "train/*.png", "evaluate/*", "visualise/*"):
        for file in sorted(path.glob(pattern)):
            print(f"  {file}")


if __name__ == "__main__":
    allow_any_text()
    if len(sys.argv) == 3 and sys.argv[1] == "report":
        try:
            report(sys.argv[2])
        except AvalibError as error:
            raise SystemExit(str(error)) from None
    elif len(sys.argv) > 1 and sys.argv[1] in ("publish", "verify"):
        raise SystemExit(importlib.import_module("avalib.publish").main(sys.argv[1:]))  # a floor above this one
    else:
        raise SystemExit("usage: python -m avalib.run {report FOLDER | publish FOLDER … | verify PATH …}")
