"""Executed runs into outputs/, and verified again."""

import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest
from forks import fork

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.evaluation import evaluator
from avalib.utils import experiment
from avalib.utils.experiment import ExperimentRecord, list_changed_files
from avalib.utils.run_folder import get_run_folder
from avalib.zoo_runner.leaderboard import check_result
from avalib.zoo_runner.publish import MARKS, PublishError, main, publish_runs, update_tables, verify_records

REAL_CHANGED_FILES = list_changed_files
CLEAN = {"commit": "0" * 40, "dirty": False}


@pytest.fixture
def place(tiny, tmp_path, monkeypatch):
    """A repository's folder with the tiny data set, a README, and a run of slowonly_r50 in outputs/runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "get_git_state", lambda: dict(CLEAN))
    monkeypatch.setattr(experiment, "list_changed_files", lambda: ["outputs/results/other.json"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny-seed0").symlink_to(tiny.root)
    monkeypatch.setenv("AVALIB_DATA", "data")
    (tmp_path / "README.md").write_text(f"before\n{MARKS[0]}\n{MARKS[1]}\nafter\n", encoding="utf-8")
    make_run(tiny, tmp_path)
    return tmp_path


def make_run(tiny, place, seed=0, share=1.0):
    """What notebooks 03 and 04 leave behind, with the annotated boxes as detections; -> the folder."""
    tag = f"seed{seed}" if seed else ""
    folder = get_run_folder("outputs/runs", "tiny", "slowonly_r50", tag)
    told = {"model": "slowonly_r50", "dataset": "tiny", "data_seed": 0, "seed": seed, "tag": tag}
    told |= {"checkpoint": "best", "output_dir": str(place / "outputs/runs")}
    for part in ("train", "evaluate", "notebooks"):
        (folder / part).mkdir(parents=True)
    (folder / "train" / "best.pth").write_text("weights", encoding="utf-8")
    row = {"mode": "val", "epoch": 1, "mAP@0.5IOU": 0.5}
    (folder / "train" / "log.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    train = ExperimentRecord("03_train", told)
    train.hash(tiny.get_csv_path("train"), folder / "train" / "best.pth")
    train.finish(folder / "train" / "run.json", minutes=1, clips_per_s=2.0, processes=1, plan={"epochs": 1}, changed={})
    truth = read_ava_csv(tiny.get_csv_path("val"), "ground_truth")
    write_ava_csv(truth.assign(score=0.5).drop(columns="person_id"), folder / "evaluate" / "detections.csv")
    rules = dict(
        label_map=tiny.evaluated_label_map_path, exclusions=tiny.get_exclusions_path("val"), protocol="mmaction"
    )
    report = evaluator.evaluate(tiny.get_csv_path("val"), folder / "evaluate" / "detections.csv", **rules)
    report.to_json(folder / "evaluate" / "report.json")
    evaluate = ExperimentRecord("04_evaluate", told)
    evaluate.hash(tiny.get_csv_path("val"), folder / "evaluate" / "detections.csv")
    facts = dict(model="slowonly_r50", mAP=report.mAP, baseline_mAP=0.1, protocol="mmaction")
    evaluate.finish(folder / "evaluate" / "run.json", coverage={"keyframes": 9, "share": share}, **facts)
    (folder / "notebooks" / "04_evaluate.ipynb").write_text(
        json.dumps({"cells": [], "metadata": {"papermill": {"output_path": f"{place}/x.ipynb"}}}), encoding="utf-8"
    )
    return folder


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_a_run_goes_in_and_is_verified(tiny, place, capsys):
    folder, second = get_run_folder("outputs/runs", "tiny", "slowonly_r50"), make_run(tiny, place, seed=1)
    assert main(["publish", str(folder), str(second), "--note", "why"]) == 0
    result = json.loads((place / "outputs/results/tiny_slowonly_r50.json").read_text(encoding="utf-8"))
    check_result(result)
    assert [one["seed"] for one in result["runs"]] == [0, 1] and result["note"] == "why"
    assert result["runs"][0]["validation"] == [{"epoch": 1, "mAP": 0.5}]
    assert 0.5 < result["runs"][0]["evaluate"]["mAP"] <= 1
    published = place / "outputs/published/tiny_slowonly_r50"
    assert {p.name for p in published.iterdir()} == {"04_evaluate.ipynb", "detections.csv.gz"}
    assert "03_train.ipynb: not there, so not published" in capsys.readouterr().out
    for path in (place / "outputs/results/tiny_slowonly_r50.json", published / "04_evaluate.ipynb"):
        assert str(place) not in path.read_text(encoding="utf-8"), "a path of this machine"
    readme = (place / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("before\n") and readme.endswith("after\n") and "| `slowonly_r50` |" in readme
    assert len((place / "outputs/scoreboard.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(
        zoo.list_models()
    )
    for path in ("outputs/runs", "outputs/results", "outputs/results/tiny_slowonly_r50.json"):
        found = verify_records([path])
        assert set(found.verdict) == {"same"} and found.file.str.contains("mAP from detections").any()
    assert main(["verify", str(folder)]) == 0


def written_in(place):
    """{path: content} of all that publishing writes."""
    paths = [path for path in (place / "outputs").rglob("*") if path.is_file() and "runs" not in path.parts]
    return {path.relative_to(place): path.read_bytes() for path in [*paths, place / "README.md"]}


def published_until(event, folder):
    """Publish in a process that ends itself, as if killed, before or behind a rename. -> whether it came to that."""
    process = fork()
    if process == 0:
        events, replace = itertools.count(1), os.replace

        def counted(source, target):
            if next(events) == event:
                os._exit(9)
            replace(source, target)
            if next(events) == event:
                os._exit(9)

        os.replace = counted
        publish_runs([folder])
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed at a certain write")
def test_killed_at_any_write_it_is_repaired_by_calling_again(place, capsys):
    folder, readme = (
        get_run_folder("outputs/runs", "tiny", "slowonly_r50"),
        (place / "README.md").read_text(encoding="utf-8"),
    )
    publish_runs([folder])
    undisturbed, event = written_in(place), 0
    while True:
        for old in ("results", "published"):
            shutil.rmtree(place / "outputs" / old)
        (place / "outputs/scoreboard.csv").unlink(missing_ok=True)
        (place / "README.md").write_text(readme, encoding="utf-8")
        event += 1
        if not published_until(event, folder):
            break
        whole = {path: content for path, content in written_in(place).items() if ".part" not in path.name}
        before = {experiment.Path("README.md"): readme.encode()}
        for path, content in whole.items():
            assert content in (before.get(path), undisturbed[path]), f"{path} after event {event}"
        publish_runs([folder])
        assert written_in(place) == undisturbed, f"after event {event}"
        assert "removed 1 unfinished files" in capsys.readouterr().out or event % 2 == 0
    assert event == 2 * len(undisturbed) + 1, "every file was written once, by a rename"


@pytest.mark.parametrize(("text", "lacking"), [("", MARKS[0]), (f"a\n{MARKS[0]}\nb\n", MARKS[1])])
def test_a_readme_without_a_place_for_the_table_is_refused_before_anything_is_written(place, text, lacking):
    (place / "README.md").write_text(text, encoding="utf-8")
    refused(f"README.md .*no line {lacking}.*git checkout")
    assert (place / "README.md").read_text(encoding="utf-8") == text


def test_a_result_of_an_older_version_that_was_torn_is_named(place):
    publish_runs([get_run_folder("outputs/runs", "tiny", "slowonly_r50")])
    (place / "outputs/results/torn.json").write_text('{"schema"', encoding="utf-8")
    with pytest.raises(ValueError, match="torn.json: not a whole result"):
        update_tables()


def test_what_differs_is_found(place, capsys):
    folder = get_run_folder("outputs/runs", "tiny", "slowonly_r50")
    publish_runs([folder])
    lines = (folder / "evaluate" / "detections.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "evaluate" / "detections.csv").write_text("".join(lines[::2]), encoding="utf-8")
    found = verify_records([folder]).set_index("file").verdict
    assert found["mAP from detections.csv"].startswith("differs: ")
    assert found[(folder / "evaluate" / "detections.csv").as_posix()].startswith("differs: ")
    assert main(["verify", str(folder)]) == 1 and "differs: 2" in capsys.readouterr().out
    assert set(verify_records(["outputs/results"]).verdict) == {"same"}, "the published copy is another file"
    path = place / "outputs/results/tiny_slowonly_r50.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["runs"][0]["evaluate"]["mAP"] += 0.01
    path.write_text(json.dumps(result), encoding="utf-8")
    assert verify_records([path]).verdict.str.startswith("differs").sum() == 2
    (place / "data" / "tiny-seed0").unlink()
    assert verify_records([folder]).verdict.str.startswith("not here").any()
    with pytest.raises(FileNotFoundError, match="no run.json and no result"):
        verify_records(["data"])


def refused(words, *given, **options):
    with pytest.raises(PublishError, match=words):
        publish_runs(given or ["outputs/runs/tiny/slowonly_r50"], **options)
    written = experiment.Path("outputs/results"), experiment.Path("outputs/published")
    assert not any(path.exists() for path in written), "something was written"


def test_what_is_not_whole_is_refused(tiny, place, monkeypatch, capsys):
    folder = get_run_folder("outputs/runs", "tiny", "slowonly_r50")
    train, evaluate = folder / "train" / "run.json", folder / "evaluate" / "run.json"
    before = train.read_text(encoding="utf-8"), evaluate.read_text(encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "list_changed_files", lambda: ["avalib/run.py"])
        refused("1 changed files are not committed: avalib/run.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "list_changed_files", REAL_CHANGED_FILES)
        patch.chdir("/")
        refused("git does not say whether everything is committed")
    change(train, git=CLEAN | {"dirty": True})
    refused("train/run.json: made with changes")
    change(train, git=None)
    refused("outside of a git repository")
    train.unlink()
    refused("train/run.json is not there: run notebook 03")
    train.write_text(before[0], encoding="utf-8")
    (folder / "train" / "best.pth").write_text("others", encoding="utf-8")
    refused("best.pth: differs: .*run the notebook again")
    (folder / "train" / "best.pth").write_text("weights", encoding="utf-8")
    change(evaluate, coverage={"keyframes": 5, "share": 0.5})
    refused("only 50.0% of the keyframes; say so: --label")
    assert main(["publish", str(folder)]) == 1 and "publish: " in capsys.readouterr().out
    refused("run notebook 04", "outputs/runs/tiny/slowfast_r50")
    publish_runs([folder], label="half of it")
    assert "half of it" in (place / "README.md").read_text(encoding="utf-8")


def test_a_zoo_stands_for_its_rows(tiny, place):
    folder, zoo_folder = get_run_folder("outputs/runs", "tiny", "slowonly_r50"), place / "outputs/runs/tiny/zoo"
    zoo_folder.mkdir()
    rows = [{"folder": str(folder)}, {"folder": "outputs/runs/tiny/slowfast_r50"}]
    (zoo_folder / "zoo.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    refused("zoo/run.json is missing: run notebook 06", zoo_folder)
    ExperimentRecord("06_zoo", {"dataset": "mini"}).finish(zoo_folder / "run.json")
    for name, text in {"06_zoo.ipynb": '{"cells": [], "metadata": {}}', "order.png": "x", "jitter.json": "{}"}.items():
        (zoo_folder / name).write_text(text, encoding="utf-8")
    written = {path.as_posix() for path in publish_runs([zoo_folder])}
    assert written >= {
        "outputs/results/tiny_slowonly_r50.json",
        "outputs/published/mini_zoo/06_zoo.ipynb",
        "outputs/published/mini_zoo/order.png",
        "outputs/benchmarks/test_jitter.json",
    }


@pytest.mark.slow
def test_the_command_is_avalib_run(tmp_path):
    command = [sys.executable, "-m", "avalib.utils.experiment", "verify", "nowhere"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert ended.returncode == 1 and "verify: nowhere: no run.json and no result there" in ended.stdout
