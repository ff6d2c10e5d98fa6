"""Run folders: where a run's files lie, and reading the records in them."""

import itertools
import json
from pathlib import Path

from avalib.utils.errors import AvalibError


def archive_folder(folder):
    """Give a folder another name, see `free_name`; -> its path."""
    kept = find_free_name(folder)
    folder.rename(kept)
    return kept


def find_free_name(folder):
    """The first path of folder.1, folder.2, … that is free."""
    numbers = itertools.count(1)
    return next(p for p in (folder.with_name(f"{folder.name}.{i}") for i in numbers) if not p.exists())


def get_run_folder(output_dir, dataset, model, tag=""):
    """Where a row's runs on a data set are kept: output_dir/dataset/model[-tag]/, with train/, evaluate/ and more."""
    return Path(output_dir) / dataset / (f"{model}-{tag}" if tag else model)


def resolve_checkpoint(path, name):
    """The weights that a notebook's `checkpoint` parameter names: "best" and "final" are the run's own (folder `path`).

    Raises FileNotFoundError that says which notebook makes them.
    """
    if name not in ("best", "final"):
        return name
    return require_file(
        Path(path) / "train" / f"{name}.pth", "notebook 03 with the same model, dataset, tag and output_dir"
    )


def require_file(path, maker):
    """`path`, if it is there; else FileNotFoundError that names what makes it."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is not there: run {maker} first")
    return Path(path)


class DamagedRecordError(AvalibError, ValueError):
    """A json that a run left can't be read; the message names it and says which run makes it again."""


def read_record(path, maker, keys=()):
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


def print_run_report(path):
    """Print what the runs under `path` (see `folder`) gave and where their files are."""
    path = Path(path)
    records = sorted(path.glob("*/run.json"))
    if not records:
        raise SystemExit(f"{path}: no run.json in any folder of it; run the notebooks first (make demo)")
    print(f"\n{path}")
    for record in records:
        headline = read_record(record, f"the notebook of {record.parent.name}/").get("headline")
        for name, value in headline.items() if isinstance(headline, dict) else ():
            print(f"  {name:<44} {value!s}")
    print("files:")
    for pattern in ("notebooks/*.ipynb", "train/*.png", "evaluate/*", "visualise/*"):
        for file in sorted(path.glob(pattern)):
            print(f"  {file}")
