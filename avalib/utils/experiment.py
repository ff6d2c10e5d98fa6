"""The record of one run, run.json: parameters, results, hashes of files, versions, git, hardware, times."""

import importlib.metadata
import json
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from avalib.utils.files import compute_sha256, write_json
from avalib.utils.process import count_cores, get_peak_memory_bytes, get_total_memory_bytes
from avalib.utils.temporary_files import clear_abandoned_parts

logger = logging.getLogger(__name__)

PACKAGES = ("avalib", "torch", "torchvision", "numpy", "pandas", "av", "pillow", "matplotlib", "papermill")
CPU_INFO = Path("/proc/cpuinfo")
# what every record has beside its facts
OWN_ENTRIES = frozenset(
    ("name", "date", "parameters", "hashes", "git", "versions", "hardware", "wall_s", "peak_memory_GB")
)


def get_git_state() -> dict | None:
    """Get the state of the repository around the current folder.

    Files under outputs/ do not count as changes: the record of one benchmark must not mark the next one's as dirty. Nor
    do notebooks whose code is unchanged: JupyterLab writes outputs into them.

    Returns
    -------
    dict or None
        {"commit": hash, "dirty": whether files differ from it}; None outside a repository or without git.
    """
    try:
        commit = _run_git("rev-parse", "HEAD")
        is_dirty = any(not path.startswith("outputs/") for path in list_changed_files())
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": is_dirty}


@dataclass
class ExperimentRecord:
    """The record of a run. Creating it starts the clock; `finish` writes it.

    Parameters
    ----------
    name : str
        The notebook or command.
    parameters : dict
        Its parameters.
    started : float
        The time of the start, in seconds since 1970.
    facts : dict
        Results, such as mAP, coverage, protocol.
    hashes : dict
        {path: sha256} of files that the run reads or writes; see `hash`.
    git : dict or None
        See `get_git_state`.
    """

    name: str
    parameters: dict
    started: float = field(default_factory=time.time)
    facts: dict = field(default_factory=dict)
    hashes: dict = field(default_factory=dict)
    # a lambda, so that tests can replace the function
    git: dict | None = field(default_factory=lambda: get_git_state())

    def hash(self, *paths: str | Path) -> None:
        """Record the sha256 of files."""
        for path in paths:
            self.hashes[to_public_path(path)] = compute_sha256(path)

    def finish(self, path: str | Path, written: Iterable[str | Path] = (), **facts: object) -> None:
        """Write the record, and log the paths of all files of the run, one per line.

        Parameters
        ----------
        path : str or Path
            Where to write the record: a run.json.
        written : iterable of path
            The files that the run wrote before.
        **facts
            More results for the record.

        Raises
        ------
        TypeError
            A fact is not serializable as json. Then no file is written.
        ValueError
            A fact has the name of one of the record's own entries, and would replace it.
        """
        self.facts |= facts
        if reserved := OWN_ENTRIES & self.facts.keys():
            raise ValueError(f"facts {', '.join(sorted(reserved))}: the record's own entries; choose other names")
        path = write_json(path, self.to_dict(), default=_to_json)
        clear_abandoned_parts(path.parent)
        # hidden files are not listed
        visible_files = [file for file in written if not Path(file).name.startswith(".")]
        # the record of an earlier run may be among them
        names = dict.fromkeys(map(str, (*visible_files, path)))
        logger.info("\n".join(["written:", *(f"  {name}" for name in names)]))

    def to_dict(self) -> dict:
        """Convert the record to a dict for json, without paths of this machine."""
        peak_memory = get_peak_memory_bytes()
        return {
            "name": self.name,
            "date": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "parameters": _remove_machine_paths(self.parameters),
            **self.facts,
            "hashes": self.hashes,
            "git": self.git,
            "versions": get_versions(),
            "hardware": describe_machine(),
            "wall_s": round(time.time() - self.started, 1),
            "peak_memory_GB": round(peak_memory / 1e9, 2) if peak_memory else None,
        }


def to_public_path(path: str | Path) -> str:
    """Convert a path for publication: relative to the current folder, or its last part alone."""
    path = Path(path)
    if not path.is_absolute():
        return path.as_posix()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def list_changed_files() -> list[str]:
    """List the files that differ from the last commit or are not in it, in the repository around the current folder.

    Notebooks whose code cells are those of the last commit are left out.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        There is no git, or no repository.
    """
    root = Path(_run_git("rev-parse", "--show-toplevel"))
    # each line: the kind of change, the path from the root
    changes = _run_git("status", "--porcelain", "-uall").splitlines()
    paths = [change.split(maxsplit=1)[1] for change in changes]
    return [path for path in paths if not _has_committed_code(root, path)]


def _has_committed_code(root, path):
    """Whether a file is a notebook with the code cells of the last commit."""
    if not path.endswith(".ipynb"):
        return False
    try:
        committed = _run_git("show", f"HEAD:{path}")
        return _read_code(committed) == _read_code((root / path).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, subprocess.CalledProcessError):
        return False  # new, removed, or no notebook


def _read_code(text):
    """The sources of a notebook's code cells, from its file's text."""
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


def _run_git(*arguments):
    """Run a git command. Returns its output."""
    return subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=True).stdout.strip()


def get_versions() -> dict:
    """Get {package: version or None if not installed} of Python and the packages that results depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def describe_machine() -> dict:
    """Describe the machine: {"system", "processor", "cores", "memory_GB", "gpus" (only if torch is loaded)}."""
    machine = {
        "system": platform.system(),
        "processor": get_processor_name(),
        "cores": count_cores(),
        "memory_GB": round(get_total_memory_bytes() / 1e9),
    }
    # a run without torch should not import it for this
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        machine["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return machine


def get_processor_name() -> str:
    """Get the processor's name, as detailed as the system reports it."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _remove_machine_paths(value):
    """Replace the paths of this machine in a parameter, also inside a dict, by public ones."""
    if isinstance(value, dict):
        return {name: _remove_machine_paths(item) for name, item in value.items()}
    is_path = isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute())
    return to_public_path(value) if is_path else value


def _to_json(value):
    """Convert a path, or a number of numpy or torch, for json."""
    if isinstance(value, Path):
        return to_public_path(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't go into run.json")
