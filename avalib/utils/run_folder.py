"""The folders of runs: where a run's files are, and reading the records in them."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

from avalib.utils.errors import AvalibError

REPORTED_SUFFIXES = (".ipynb", ".png", ".gif", ".mp4", ".csv", ".json")  # of the files that a report lists


class DamagedRecordError(AvalibError, ValueError):
    """A run's json file cannot be read; the message names it and the run that writes it again."""


def get_run_folder(output_dir: str | Path, dataset: str, model: str, tag: str = "") -> Path:
    """The folder of a model's runs on a data set: output_dir/dataset/model[-tag], with train/, evaluate/ and more."""
    return Path(output_dir) / dataset / (f"{model}-{tag}" if tag else model)


def archive_folder(folder: Path) -> Path:
    """Rename a folder to the first free name of `find_free_name`; returns its new path."""
    archive = find_free_name(folder)
    folder.rename(archive)
    return archive


def find_free_name(folder: Path) -> Path:
    """The first path of folder.1, folder.2, … that does not exist."""
    candidates = (folder.with_name(f"{folder.name}.{number}") for number in itertools.count(1))
    return next(path for path in candidates if not path.exists())


def resolve_checkpoint(run_folder: str | Path, checkpoint: str) -> str | Path:
    """The checkpoint that a notebook's parameter of that name means.

    Parameters
    ----------
    run_folder : path
        See `get_run_folder`.
    checkpoint : str
        "best" or "final": the run's own. Anything else ("published", "mini", a path, a URL) is returned as it is.

    Raises
    ------
    FileNotFoundError
        The run has no such checkpoint; the message names the notebook that writes it.
    """
    if checkpoint not in ("best", "final"):
        return checkpoint
    path = Path(run_folder) / "train" / f"{checkpoint}.pth"
    return require_file(path, "notebook 03 with the same model, dataset, tag and output_dir")


def choose_checkpoint(run_folder: str | Path, checkpoint: str) -> str | Path | None:
    """The weights that a notebook shows: as `resolve_checkpoint`, and two more words.

    Parameters
    ----------
    run_folder : path
        See `get_run_folder`.
    checkpoint : str
        "auto": the run's best, if it was trained, else random weights. "random" or "": random weights.

    Returns
    -------
    str, Path or None
        None stands for random weights.
    """
    best = Path(run_folder) / "train" / "best.pth"
    if checkpoint == "auto":
        return best if best.exists() else None
    return None if checkpoint in ("random", "") else resolve_checkpoint(run_folder, checkpoint)


def require_file(path: str | Path, maker: str) -> Path:
    """`path`, if it exists. Raises FileNotFoundError with `maker`, the run that writes it, otherwise."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist: run {maker} first")
    return Path(path)


def read_record(path: str | Path, maker: str, keys: Iterable[str] = ()) -> dict:
    """Read a json file that a run has written.

    Parameters
    ----------
    path : path
    maker : str
        The run that writes it, for the message.
    keys : iterable of str
        What it has to hold.

    Raises
    ------
    DamagedRecordError
        The file is not json, not an object, or lacks a key.
    """
    content = {}
    problem = ""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        problem = f"not json ({error})"
    if not isinstance(content, dict):
        problem = f"holds {type(content).__name__} instead of an object"
    elif not problem and (missing := [key for key in keys if key not in content]):
        problem = f"it has no {', '.join(missing)}"
    if problem:
        raise DamagedRecordError(f"{path}: {problem}. Remove it; {maker} writes it again.")
    return content


def print_run_report(run_folder: str | Path) -> None:
    """Print the headline results of the runs in a folder (see `get_run_folder`) and where their files are.

    Raises SystemExit where no notebook has run.
    """
    run_folder = Path(run_folder)
    records = sorted(run_folder.glob("*/run.json"))
    if not records:
        raise SystemExit(f"{run_folder}: no run.json in any folder of it; run the notebooks first (make demo)")
    print(f"\n{run_folder}")
    # the headline of each run
    for path in records:
        headline = read_record(path, f"the notebook of {path.parent.name}/").get("headline")
        if isinstance(headline, dict):
            for name, value in headline.items():
                text = f"{value:.4g}" if isinstance(value, float) else str(value)
                print(f"  {path.parent.name + ': ' + name:<54} {text}")
    print("files:")
    for path in sorted(run_folder.glob("*/*")):
        if path.suffix in REPORTED_SUFFIXES and not path.name.endswith(".inputs.json"):
            print(f"  {path}")
