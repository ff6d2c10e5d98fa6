"""One run's record: its parameters checked, seed, versions, git, hardware, hashes, times -> run.json.

A notebook calls `begin` in the cell behind its parameters and `finish` in its last one.
"""

import importlib
import importlib.metadata
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from avalib.utils.files import compute_sha256, write_json
from avalib.utils.process import count_cores, get_peak_memory_bytes, get_total_memory_bytes
from avalib.utils.temporary_files import clear_abandoned_parts

PACKAGES = ("avalib", "torch", "torchvision", "numpy", "pandas", "av", "pillow", "matplotlib", "papermill")


@dataclass
class ExperimentRecord:
    """What is known of a run; `facts` is free for results (mAP, coverage, protocol, …). See `finish`."""

    name: str
    parameters: dict
    started: float = field(default_factory=time.time)
    facts: dict = field(default_factory=dict)
    hashes: dict = field(default_factory=dict)
    git: dict | None = field(default_factory=lambda: get_git_state())

    def hash(self, *paths):
        """Note the sha256 of files that the run reads or makes."""
        for path in paths:
            self.hashes[to_public_path(path)] = compute_sha256(path)

    def finish(self, path, written=(), **facts):
        """Write the record to `path` (a run.json), print it and the other files in `written`, a line each."""
        self.facts |= facts
        path = write_json(path, self.record(), default=_plain)
        clear_abandoned_parts(path.parent)
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
            "versions": get_versions(),
            "hardware": describe_machine(),
            "wall_s": round(time.time() - self.started, 1),
            "peak_memory_GB": round(peak / 1e9, 2) if (peak := get_peak_memory_bytes()) else None,
        }


def to_public_path(path):
    """A path as it may be published: relative to the current folder, or its last part alone."""
    path = Path(path)
    if not path.is_absolute():
        return path.as_posix()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def get_git_state():
    """{"commit": …, "dirty": bool} of the repository around the current folder; None outside of one.

    Records under outputs/ don't make it dirty: a benchmark that has written its own changes no code for the next.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--", ":/", ":(top,exclude)outputs"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def list_changed_files():
    """Files of the repository around the current folder that differ from the last commit or are not in it.

    Raises OSError or subprocess.CalledProcessError where there is no git or no repository.
    """
    return [line.split(maxsplit=1)[1] for line in _git("status", "--porcelain", "-uall").splitlines()]


def _git(*words):
    return subprocess.run(["git", *words], capture_output=True, encoding="utf-8", check=True).stdout.strip()


def get_versions():
    """{package: version} of Python and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def describe_machine():
    """Processor, cores, memory, and the GPUs that a loaded torch sees."""
    memory = get_total_memory_bytes()
    found = {"system": platform.system(), "processor": get_processor_name(), "cores": count_cores()}
    found["memory_GB"] = memory and round(memory / 1e9)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def get_processor_name():
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
    return to_public_path(value) if _is_path(value) else value


def _is_path(value):
    return isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute())


def _plain(value):
    if isinstance(value, Path):
        return to_public_path(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't go into run.json")
