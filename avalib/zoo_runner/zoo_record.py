"""zoo.json, the record of notebook 06: its runs, and what became of each notebook. Paths are relative to its folder."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from avalib.utils.files import write_json
from avalib.zoo_runner.notebook_result import NotebookResult
from avalib.zoo_runner.zoo_run import ZooRun


def write_zoo_record(path: Path, zoo_runs: list[ZooRun], results: list[NotebookResult]) -> None:
    """Write zoo.json."""
    runs = []
    for zoo_run in zoo_runs:
        folders = {"output_dir": zoo_run.output_dir, "folder": zoo_run.folder}
        runs.append(asdict(zoo_run) | {name: _make_relative(folder, path) for name, folder in folders.items()})
    summary = [asdict(result) | {"file": _make_relative(result.file, path)} for result in results]
    write_json(path, {"runs": runs, "summary": summary})


def _make_relative(file, record_path):
    """A path as zoo.json stores it, with forward slashes; "" stays, and so does a path on another drive."""
    if not file:
        return ""
    try:
        return Path(os.path.relpath(file, record_path.parent)).as_posix()
    except ValueError:
        return Path(file).as_posix()


def list_run_folders(path: str | Path) -> list[Path]:
    """List the folders of the runs in a zoo.json.

    Earlier versions stored absolute paths or paths relative to the working directory, and had "rows" instead of "runs".
    """
    # Today's paths start at the record's folder; where that leads nowhere, the stored path is of an earlier version.
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    stored = [Path(run["folder"]) for run in content.get("runs") or content["rows"]]
    beside = [Path(os.path.normpath(Path(path).parent / folder)) for folder in stored]
    return [new if new.exists() else old for new, old in zip(beside, stored, strict=True)]
