"""What outputs/ shows to others: executed runs put in, refused where their record is not whole; and verified again.

python -m avalib.utils.experiment publish outputs/runs/mini/zoo
python -m avalib.utils.experiment verify outputs/runs/mini/slowonly_r50 outputs/results
"""

import argparse
import gzip
import json
import re
import subprocess
from pathlib import Path

import pandas as pd

from avalib.data.catalog import find_dataset
from avalib.evaluation.evaluator import evaluate
from avalib.utils.experiment import list_changed_files
from avalib.utils.files import (
    clear_abandoned_parts,
    compute_sha256,
    copy_file,
    write_bytes,
    write_json,
    write_table,
    write_text,
)
from avalib.utils.run_folder import require_file
from avalib.zoo_runner.compact import compact_notebook, redact_paths_in
from avalib.zoo_runner.leaderboard import (
    JITTER,
    build_leaderboard,
    check_result,
    gather_results,
    load_results,
    render_leaderboard,
)

STORED = 1_500_000  # bytes of packed detections that go into outputs/
NOTEBOOKS = ("03_train", "04_evaluate", "05_visualise")
SHOWN = (".png", ".gif", ".csv")
FIGURES = ("train/curves.png", "evaluate/per_class.png")
MARKS = "<!-- scoreboard -->", "<!-- /scoreboard -->"


class PublishError(ValueError):
    """What can't be published, and what to do."""


# --- publish ----------------------------------------------------------------------------------------------------------


def publish_runs(folders, into="outputs", name=None, label="", note="", readme="README.md"):
    """Put executed runs into `into`: results/*.json, published/<name>/ and the scoreboard. -> what was written.

    folders: of runs (run.folder; seeds of a row become one result) or of notebook 06, which stands for all of its rows;
    name: the result's, default <data set>_<model>[_tag]; label: how a score of less than all keyframes is called.
    Raises Refused for changes that aren't committed, a record that is missing or of such a state, files that aren't the
    recorded ones, and partial coverage without a label; nothing is written then.
    """
    into, folders = Path(into), [Path(folder) for folder in folders]
    clear_abandoned_parts(Path(readme).parent, into, *(folder for folder in into.rglob("*") if folder.is_dir()))
    own = f"{into.as_posix()}/", Path(readme).as_posix()  # what an earlier call has written
    try:
        changed = [path for path in list_changed_files() if not path.startswith(own)]
    except (OSError, subprocess.CalledProcessError) as error:
        raise PublishError(
            f"git does not say whether everything is committed: {error}; run it inside of a clone"
        ) from error
    if changed:
        raise PublishError(
            f"{len(changed)} changed files are not committed: {', '.join(changed[:5])}; commit them first"
        )
    zoos = [folder for folder in folders if (folder / "06_zoo.ipynb").exists() or (folder / "zoo.json").exists()]
    rows = [f for f in folders if f not in zoos] + [f for zoo in zoos for f in list_published_runs(zoo)]
    groups = _groups(rows)
    if name and len(groups) > 1:
        raise PublishError(f"name={name!r}: these folders are {len(groups)} results: {', '.join(groups)}")
    results = [(_accepted(name or key, of, label, note), of) for key, of in groups.items()]
    for folder in zoos:
        _accepted_record(folder / "run.json", "notebook 06")
    _around_table(Path(readme))
    written = [path for result, of in results for path in _put(result, of, into)]
    for folder in zoos:
        written += _put_zoo(folder, into)
    return written + update_tables(into, readme)


def list_published_runs(zoo):
    """The folders of a zoo's rows that have an evaluation; those without are said."""
    rows = json.loads((Path(zoo) / "zoo.json").read_text(encoding="utf-8"))["rows"]
    there = [Path(row["folder"]) for row in rows if (Path(row["folder"]) / "evaluate" / "run.json").exists()]
    if len(there) < len(rows):
        print(f"{len(there)} of {len(rows)} runs of {zoo} have an evaluation; the others are left out")
    return there


def _groups(folders):
    """{name of the result: its folders}: the seeds of a row together."""
    groups = {}
    for folder in folders:
        try:
            told = json.loads(
                require_file(folder / "evaluate" / "run.json", "notebook 04").read_text(encoding="utf-8")
            )["parameters"]
        except FileNotFoundError as error:
            raise PublishError(str(error)) from error
        words = [word for word in told["tag"].split("-") if word and not re.fullmatch(r"seed\d+", word)]
        groups.setdefault("_".join([told["dataset"], told["model"], *words]), []).append(folder)
    return groups


def _accepted(name, folders, label, note):
    """The result of these folders, if all of it may be published."""
    try:
        result = gather_results(folders, name, label, note)
    except FileNotFoundError as error:
        raise PublishError(str(error)) from error
    for folder, one in zip(sorted(folders, key=_seed), result["runs"], strict=True):
        for part in ("train", "evaluate"):
            if one[part]:
                _accepted_record(folder / part / "run.json", part)
        share = one["evaluate"]["coverage"]["share"]
        if share < 1 and not label:
            raise PublishError(f"{folder}: only {share:.1%} of the keyframes; say so: --label 'what is missing'")
        checks = verify_run(folder, score=False)
        bad = [f"{c['file']}: {c['verdict']}" for c in checks if c["verdict"].startswith("differs")]
        if bad:
            raise PublishError(f"{folder}: not what was recorded: {'; '.join(bad)}; run the notebook again")
    check_result(result, name)
    return redact_paths_in(result)


def _seed(folder):
    path = next(p for p in (folder / "train/run.json", folder / "evaluate/run.json") if p.exists())
    return json.loads(path.read_text(encoding="utf-8"))["parameters"]["seed"]


def _accepted_record(path, maker):
    if not path.exists():
        raise PublishError(f"{path} is missing: run {maker} to its end first")
    git = json.loads(path.read_text(encoding="utf-8"))["git"]
    if git is None or git["dirty"]:
        state = "outside of a git repository" if git is None else "with changes that were not committed"
        raise PublishError(f"{path}: made {state}; commit, and run it again")


def _put(result, folders, into):
    """Write, of a result's first seed, the executed notebooks, figures and packed detections; then the result.

    Each file is whole or not there, and the result is last: a kill leaves nothing of half a result in the scoreboard.
    """
    first, place = min(folders, key=_seed), into / "published" / result["name"]
    written = _put_notebooks({n: first / "notebooks" / f"{n}.ipynb" for n in NOTEBOOKS}, place)
    written += [copy_file(first / name, place / Path(name).name) for name in FIGURES if (first / name).exists()]
    packed = gzip.compress((first / "evaluate" / "detections.csv").read_bytes(), 9, mtime=0)
    if len(packed) <= STORED:
        written.append(write_bytes(place / "detections.csv.gz", packed))
    else:
        print(f"{first}: its detections are {len(packed):,} bytes packed, too many to be kept")
    return [write_json(into / "results" / f"{result['name']}.json", result), *written]


def _put_notebooks(paths, place):
    written = []
    for name, path in paths.items():
        if path.exists():
            written.append(write_text(place / f"{name}.ipynb", compact_notebook(path)))
        else:
            print(f"{path}: not there, so not published")
    return written


def _put_zoo(folder, into):
    """Notebook 06 as executed, its figures and tables, the GIF of all rows."""
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))["parameters"]
    place = into / "published" / f"{told['dataset']}_{folder.name.replace('-', '_')}"
    written = _put_notebooks({"06_zoo": folder / "06_zoo.ipynb"}, place)
    shown = [path for path in sorted(folder.iterdir()) if path.suffix in SHOWN and path.name[0] != "."]
    written += [copy_file(path, place / path.name) for path in shown]
    if (folder / "jitter.json").exists() and told["dataset"] != "tiny":  # three keyframes give no tolerance
        jitter = into / "benchmarks" / Path(JITTER).name
        written.append(copy_file(folder / "jitter.json", jitter))
    return written


def update_tables(into="outputs", readme="README.md"):
    """Write scoreboard.csv and README's table from results/*.json. -> the files."""
    results, readme = load_results(Path(into) / "results"), Path(readme)
    before, after = _around_table(readme)
    path = write_table(build_leaderboard(results), Path(into) / "scoreboard.csv")
    write_text(readme, f"{before}{MARKS[0]}\n{render_leaderboard(results)}\n{MARKS[1]}{after}")
    return [path, readme]


def _around_table(readme):
    """README's text before and after the table. Raises Refused where it does not say where the table stands."""
    text = readme.read_text(encoding="utf-8")
    before, first, rest = text.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not (first and last):
        lacking = MARKS[1] if first else MARKS[0]
        raise PublishError(
            f"{readme} ({len(text):,} letters): no line {lacking}, so no place for the table. "
            f"Put it in, or bring the file back: git checkout {readme}"
        )
    return before, after


# --- verify -----------------------------------------------------------------------------------------------------------


def verify_records(paths):
    """Recompute what is recorded under these paths: folders with run.json, and results (*.json or their folder).

    -> DataFrame record, file, verdict: "same", "differs: …", "not here"; the mAP from the stored detections where the
    data are here. Raises FileNotFoundError where there is nothing to verify.
    """
    checks = []
    for path in map(Path, paths):
        records = [path] if path.name == "run.json" else sorted(path.rglob("run.json")) if path.is_dir() else []
        for record in records:
            checks += verify_run(record.parent.parent, [record])
        results = [path] if path.is_file() and not records else []
        for file in results or (sorted(path.glob("[!.]*.json")) if path.is_dir() else []):
            if "runs" in (content := json.loads(file.read_text(encoding="utf-8"))):
                checks += verify_result(content, file)
    if not checks:
        raise FileNotFoundError(f"{', '.join(map(str, paths))}: no run.json and no result there")
    return pd.DataFrame(checks, columns=["record", "file", "verdict"])


def verify_run(folder, records=None, score=True):
    """The hashes in the records of a run's folder, and its score: a list of {"record", "file", "verdict"}."""
    checks = []
    for path in records or [p for p in (folder / "train/run.json", folder / "evaluate/run.json") if p.exists()]:
        record = json.loads(path.read_text(encoding="utf-8"))
        layout = _layout(record)
        for name, digest in record["hashes"].items():
            verdict = _hash(_find(name, path.parent, layout), digest)
            checks.append({"record": str(path), "file": name, "verdict": verdict})
        if score and "mAP" in record:
            verdict = _score(record, path.parent / "detections.csv", layout)
            checks.append({"record": str(path), "file": "mAP from detections.csv", "verdict": verdict})
    return checks


def verify_result(result, path):
    """A result: its schema, the hashes of the data, each mAP from its classes, the first one from kept detections."""
    check_result(result, path.name)
    checks = []
    for i, one in enumerate(result["runs"]):
        record, told = one["evaluate"], f"{path} run {i}"
        layout = _layout(record)
        for part in filter(None, (one["train"], record)):
            for name, digest in part["hashes"].items():
                if (found := _find(name, None, layout)) is not None:
                    checks.append({"record": told, "file": Path(name).name, "verdict": _hash(found, digest)})
        if one["per_class"]:
            mean = pd.Series([c["AP"] for c in one["per_class"]], dtype=float).mean()
            checks.append({"record": told, "file": "mAP from its classes", "verdict": _equal(mean, record["mAP"])})
    kept = path.parents[1] / "published" / result["name"] / "detections.csv.gz"
    first = result["runs"][0]["evaluate"]
    verdict = _score(first, kept, _layout(first))
    return [*checks, {"record": str(path), "file": "mAP from detections.csv.gz", "verdict": verdict}]


def _layout(record):
    """The data set's layout, if a record names one that is here."""
    told = record["parameters"]
    try:
        layout = find_dataset(told["dataset"], seed=told.get("data_seed", 0))
    except (KeyError, ValueError):
        return None
    return layout if layout.get_csv_path("val").exists() else None


def _find(name, folder, layout):
    """Where a recorded file is: in the record's `folder` or beside it, at its own path, in the data; None: not here."""
    base = Path(name).name
    places = [folder / base, *sorted(folder.parent.glob(f"*/{base}")), Path(name)] if folder else []
    if layout:
        of_data = [f(split) for split in ("train", "val") for f in (layout.get_csv_path, layout.get_proposals_path)]
        places += [path for path in of_data if path.name == base]
    return next((place for place in places if place.is_file()), None)


def _hash(path, digest):
    if path is None:
        return "not here"
    found = compute_sha256(path)
    return "same" if found == digest else f"differs: {found[:12]}… now, {digest[:12]}… recorded"


def _equal(found, recorded, allowed=1e-9):
    return "same" if abs(found - recorded) <= allowed else f"differs: {found:.6f} now, {recorded:.6f} recorded"


def _score(record, detections, layout):
    """The verdict on a record's mAP, evaluated again."""
    if layout is None or not detections.exists():
        return f"not here: {'the data set' if layout is None else detections.name}"
    rules = dict(
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path("val"),
        protocol=record["protocol"],
    )
    return _equal(evaluate(layout.get_csv_path("val"), detections, **rules).mAP, record["mAP"])


# --- the commands -----------------------------------------------------------------------------------------------------


def main(words=None):
    """`python -m avalib.utils.experiment publish …` and `… verify …`. -> exit status: 1 where something was refused or differs."""
    parser = argparse.ArgumentParser(prog="python -m avalib.utils.experiment", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("publish", help="put executed runs into outputs/")
    one.add_argument("folders", nargs="+", help="folders of runs, or of notebook 06: all of its rows")
    one.add_argument("--name", help="of the result; default <data set>_<model>[_tag]")
    one.add_argument("--label", default="", help="how a score of less than all keyframes is called")
    one.add_argument("--note", default="", help="anything else to say of it")
    one.add_argument("--into", default="outputs")
    other = commands.add_parser("verify", help="recompute hashes and scores of runs and results")
    other.add_argument("paths", nargs="+", help="folders of runs, run.json files, outputs/results or one of its files")
    given = parser.parse_args(words)
    try:
        if given.command == "publish":
            written = publish_runs(given.folders, given.into, given.name, given.label, given.note)
            print("written:", *written, sep="\n  ")
            return 0
        found = verify_records(given.paths)
    except (PublishError, OSError, ValueError) as error:
        print(f"{given.command}: {error}")
        return 1
    print(found.to_string(index=False))
    words = found.verdict.str.split(":").str[0]
    counts = {word: int((words == word).sum()) for word in ("same", "differs", "not here")}
    print(", ".join(f"{word}: {count}" for word, count in counts.items()))
    return int(counts["differs"] > 0 or counts["same"] == 0)
