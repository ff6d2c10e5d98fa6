"""Publish executed runs: results, executed notebooks and figures into outputs/, and the leaderboard.

    python tools/publish_results.py outputs/runs/mini/zoo

Records, figures and detections of each run; with --notebooks also its executed notebooks 03 to 05, which are large.
Runs with uncommitted changes, missing records, files that are not the recorded ones, or a part of the keyframes without
a label are refused.
"""

import argparse
import gzip
import json
import logging
import re
import subprocess
from pathlib import Path

from compact_notebook import compact_notebook, redact_paths_in

from avalib.utils.console import allow_any_text, show_log_messages
from avalib.utils.errors import AvalibError
from avalib.utils.experiment import list_changed_files
from avalib.utils.files import copy_file, write_bytes, write_json, write_text
from avalib.utils.markdown import split_at_marks
from avalib.utils.run_folder import require_file
from avalib.utils.temporary_files import clear_abandoned_parts
from avalib.zoo_runner.leaderboard import MARK, update_leaderboard
from avalib.zoo_runner.published_comparison import JITTER_FILE
from avalib.zoo_runner.result_records import check_result, gather_results
from avalib.zoo_runner.verification import RUN_RECORDS, verify_run
from avalib.zoo_runner.zoo_record import list_run_folders

logger = logging.getLogger("avalib.publish_results")

MAX_DETECTIONS_BYTES = 1_500_000  # of packed detections that go into outputs/
NOTEBOOKS = ("03_train", "04_evaluate", "05_visualise")
ZOO_SUFFIXES = (".png", ".gif", ".csv")  # files of notebook 06 that are published
FIGURES = ("train/curves.png", "evaluate/per_class.png")


class PublishError(AvalibError, ValueError):
    """Runs that cannot be published, and what to do."""


def publish_runs(folders, outputs="outputs", name=None, label="", note="", page="docs/results.md", notebooks=False):
    """Publish executed runs: write results/*.json, published/<name>/ and the leaderboard.

    Parameters
    ----------
    folders : list of str or Path
        Folders of runs (the seeds of a model become one result), or of notebook 06, which stands for all of its runs.
    outputs : str or Path
        Where everything goes.
    name : str, optional
        Name of the result; None: "<data set>_<model>[_tag]".
    label : str
        What to call a score of less than all keyframes.
    note : str
        Anything else to say about the result.
    page : str or Path
        The page of the documentation with the leaderboard, see `update_leaderboard`.
    notebooks : bool
        Also publish the executed notebooks 03 to 05 and the movie of notebook 05.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    PublishError
        Uncommitted changes, a missing record or one of uncommitted code, files that are not the recorded ones, or
        partial coverage without a label. Nothing is written then.
    PageError
        The page has no place for the leaderboard. Nothing is written then.
    """
    outputs = Path(outputs)
    page = Path(page)
    folders = [Path(folder) for folder in folders]
    output_folders = [folder for folder in outputs.rglob("*") if folder.is_dir()]
    clear_abandoned_parts(page.parent, outputs, *output_folders)
    _check_committed(outputs, page)

    # A folder of notebook 06 stands for its runs; the runs of one model and tag are one result.
    zoo_folders = [folder for folder in folders if _is_zoo_folder(folder)]
    run_folders = [folder for folder in folders if folder not in zoo_folders]
    for zoo_folder in zoo_folders:
        run_folders += list_evaluated_runs(zoo_folder)
    groups = _group_by_result(run_folders)
    if name and len(groups) > 1:
        raise PublishError(f"name={name!r}: these folders are {len(groups)} results: {', '.join(groups)}")

    # Check everything before the first file is written.
    results = [_gather_checked(name or default, group, label, note) for default, group in groups.items()]
    for zoo_folder in zoo_folders:
        _check_record(zoo_folder / "run.json", "notebook 06")
    split_at_marks(page, MARK)

    written = []
    for result, group in zip(results, groups.values(), strict=True):
        written += _write_result(result, group, outputs, notebooks)
    for zoo_folder in zoo_folders:
        written += _write_zoo(zoo_folder, outputs)
    return written + update_leaderboard(outputs, page)


# --- checks -----------------------------------------------------------------------------------------------------------


def _check_committed(outputs, page):
    """Raise PublishError if there are changes that are not committed, except in what an earlier call has written."""
    try:
        files = list_changed_files()
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"git cannot say whether everything is committed: {error}; run this inside a clone"
        raise PublishError(message) from error
    written_before = (f"{outputs.as_posix()}/", page.as_posix())
    changed = [file for file in files if not file.startswith(written_before)]
    if changed:
        files = ", ".join(changed[:5])
        raise PublishError(f"{len(changed)} changed files are not committed: {files}; commit them first")


def _is_zoo_folder(folder):
    """Whether a folder is notebook 06's."""
    return (folder / "06_zoo.ipynb").exists() or (folder / "zoo.json").exists()


def list_evaluated_runs(zoo_folder):
    """List the folders of a zoo's runs that have an evaluation; the number of the others is logged."""
    folders = list_run_folders(Path(zoo_folder) / "zoo.json")
    evaluated = [folder for folder in folders if (folder / "evaluate" / "run.json").exists()]
    if len(evaluated) < len(folders):
        counts = f"{len(evaluated)} of {len(folders)} runs of {zoo_folder}"
        logger.info("%s have an evaluation; the others are left out", counts)
    return evaluated


def _group_by_result(folders):
    """{name of the result: its folders}: the seeds of a model are one result."""
    groups = {}
    for folder in folders:
        try:
            path = require_file(folder / "evaluate" / "run.json", "notebook 04")
        except FileNotFoundError as error:
            raise PublishError(str(error)) from error
        parameters = json.loads(path.read_text(encoding="utf-8"))["parameters"]
        # A tag without its seed, which is what the runs of one result differ in.
        tags = [tag for tag in parameters["tag"].split("-") if tag and not re.fullmatch(r"seed\d+", tag)]
        groups.setdefault("_".join([parameters["dataset"], parameters["model"], *tags]), []).append(folder)
    return groups


def _gather_checked(name, folders, label, note):
    """The result of some folders, if all of it may be published."""
    try:
        result = gather_results(folders, name, label, note)
    except FileNotFoundError as error:
        raise PublishError(str(error)) from error
    for folder, run in zip(sorted(folders, key=_get_seed), result["runs"], strict=True):
        _check_run_folder(folder, run, label)
    check_result(result, name)
    return redact_paths_in(result)


def _check_run_folder(folder, run, label):
    """Raise PublishError if a run may not be published."""
    for part in ("train", "evaluate"):
        if run[part]:
            _check_record(folder / part / "run.json", part)
    # A score of less than all keyframes needs a label; files must be those that were recorded.
    share = run["evaluate"]["coverage"]["share"]
    if share < 1 and not label:
        raise PublishError(f"{folder}: only {share:.1%} of the keyframes; say so: --label 'what is missing'")
    checks = verify_run(folder, score=False)
    different = [f"{check['file']}: {check['verdict']}" for check in checks if check["verdict"].startswith("differs")]
    if different:
        raise PublishError(f"{folder}: not what was recorded: {'; '.join(different)}; run the notebook again")


def _get_seed(folder):
    path = next(folder / name for name in RUN_RECORDS if (folder / name).exists())
    return json.loads(path.read_text(encoding="utf-8"))["parameters"]["seed"]


def _check_record(path, maker):
    """Raise PublishError if a record is missing or was made with uncommitted code."""
    if not path.exists():
        raise PublishError(f"{path} is missing: run {maker} to its end first")
    git = json.loads(path.read_text(encoding="utf-8"))["git"]
    if git is None:
        raise PublishError(f"{path}: made outside of a git repository; commit, and run it again")
    if git["dirty"]:
        raise PublishError(f"{path}: made with changes that were not committed; commit, and run it again")


# --- writing ----------------------------------------------------------------------------------------------------------


def _write_result(result, folders, outputs, notebooks):
    """Write the executed notebooks, figures and packed detections of a result's first seed, then the result.

    Each file is written atomically and the result last, so that an interruption leaves no half result in the tables.
    """
    first = min(folders, key=_get_seed)
    published = outputs / "published" / result["name"]
    written = []
    if notebooks:
        written += _write_notebooks([first / "notebooks" / f"{name}.ipynb" for name in NOTEBOOKS], published)
        written += [copy_file(movie, published / movie.name) for movie in sorted(first.glob("visualise/*.mp4"))]
    for figure in FIGURES:
        if (first / figure).exists():
            written.append(copy_file(first / figure, published / Path(figure).name))
    # Without a time in the gzip header, so that the same detections give the same file.
    packed = gzip.compress((first / "evaluate" / "detections.csv").read_bytes(), 9, mtime=0)
    if len(packed) <= MAX_DETECTIONS_BYTES:
        written.append(write_bytes(published / "detections.csv.gz", packed))
    else:
        logger.info("%s: its detections have %s bytes packed, too many to publish", first, f"{len(packed):,}")
    return [write_json(outputs / "results" / f"{result['name']}.json", result), *written]


def _write_notebooks(paths, folder):
    """Write compact copies of executed notebooks into a folder; missing ones are logged."""
    written = []
    for path in paths:
        if path.exists():
            written.append(write_text(folder / path.name, compact_notebook(path)))
        else:
            logger.info("%s: does not exist, so it is not published", path)
    return written


def _write_zoo(zoo_folder, outputs):
    """Write notebook 06 as executed, its figures and tables, and the GIF of all models."""
    parameters = json.loads((zoo_folder / "run.json").read_text(encoding="utf-8"))["parameters"]
    published = outputs / "published" / f"{parameters['dataset']}_{zoo_folder.name.replace('-', '_')}"
    written = _write_notebooks([zoo_folder / "06_zoo.ipynb"], published)
    for path in sorted(zoo_folder.iterdir()):
        if path.suffix in ZOO_SUFFIXES and not path.name.startswith("."):
            written.append(copy_file(path, published / path.name))
    jitter = zoo_folder / "jitter.json"
    if jitter.exists() and parameters["dataset"] != "tiny":  # its three keyframes give no tolerance
        written.append(copy_file(jitter, outputs / "benchmarks" / Path(JITTER_FILE).name))
    return written


# --- the command ------------------------------------------------------------------------------------------------------


def main(arguments=None):
    """Publish the runs that the command line names. Returns the exit status: 1 if they were refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="folders of runs, or of notebook 06: all of its runs")
    parser.add_argument("--name", help="of the result; default: <data set>_<model>[_tag]")
    parser.add_argument("--label", default="", help="what to call a score of less than all keyframes")
    parser.add_argument("--note", default="", help="anything else to say about the result")
    parser.add_argument("--outputs", default="outputs", help="where everything goes (default: %(default)s)")
    parser.add_argument("--page", default="docs/results.md", help="page with the leaderboard (default: %(default)s)")
    parser.add_argument("--notebooks", action="store_true", help="also publish the executed notebooks 03 to 05")
    options = vars(parser.parse_args(arguments))
    try:
        written = publish_runs(**options)
    except (AvalibError, OSError, ValueError) as error:
        print(f"publish: {error}")
        return 1
    print("written:", *written, sep="\n  ")
    return 0


if __name__ == "__main__":
    allow_any_text()
    show_log_messages()
    raise SystemExit(main())
