"""Executed runs are published into outputs/, or refused before anything is written."""

import itertools
import json
import os
import shutil
from pathlib import Path

import publish_results
import pytest
from forks import fork
from publish_results import PublishError, main, publish_runs
from recorded_runs import CLEAN_GIT, change_json, write_run

from avalib import zoo
from avalib.utils import experiment
from avalib.utils.experiment import ExperimentRecord, list_changed_files
from avalib.utils.markdown import PageError
from avalib.zoo_runner.leaderboard import AVA_CSV, OTHER_CSV
from avalib.zoo_runner.result_records import check_result

BEGIN_MARK = "<!-- leaderboard -->"
END_MARK = "<!-- /leaderboard -->"

RUN = Path("outputs/runs/tiny/slowonly_r50")
RESULT = Path("outputs/results/tiny_slowonly_r50.json")
PUBLISHED = Path("outputs/published/tiny_slowonly_r50")
PAGE = Path("docs/results.md")


@pytest.fixture
def repository(tiny, tmp_path, monkeypatch):
    """The current folder: a clean repository with the tiny data set, a page for the leaderboard, and a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "get_git_state", lambda: dict(CLEAN_GIT))
    monkeypatch.setattr(publish_results, "list_changed_files", lambda: ["outputs/results/other.json"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny-seed0").symlink_to(tiny.root)
    monkeypatch.setenv("AVALIB_DATA", "data")
    PAGE.parent.mkdir()
    PAGE.write_text(f"before\n{BEGIN_MARK}\n{END_MARK}\nafter\n", encoding="utf-8")
    write_run(tiny, tmp_path)
    return tmp_path


def read(path):
    return Path(path).read_text(encoding="utf-8")


# --- what is written --------------------------------------------------------------------------------------------------


def test_the_seeds_of_a_model_become_one_result(tiny, repository):
    second = write_run(tiny, repository, seed=1)
    assert main([str(RUN), str(second), "--note", "a note"]) == 0
    result = json.loads(read(RESULT))
    check_result(result)
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    assert result["note"] == "a note"
    assert result["runs"][0]["validation"] == [{"epoch": 1, "mAP": 0.5}]
    assert 0.5 < result["runs"][0]["evaluate"]["mAP"] <= 1


def test_notebooks_and_detections_are_published_and_missing_ones_are_named(repository, capsys):
    assert main([str(RUN), "--notebooks"]) == 0
    assert {path.name for path in PUBLISHED.iterdir()} == {"04_evaluate.ipynb", "detections.csv.gz"}
    assert "03_train.ipynb: does not exist, so it is not published" in capsys.readouterr().out


def test_notebooks_are_published_on_request_only(repository):
    publish_runs([RUN], name="tiny_slowonly_r50_long")
    assert {path.name for path in PUBLISHED.with_name("tiny_slowonly_r50_long").iterdir()} == {"detections.csv.gz"}


def test_no_path_of_the_machine_is_published(repository):
    publish_runs([RUN], notebooks=True)
    for path in (RESULT, PUBLISHED / "04_evaluate.ipynb"):
        assert str(repository) not in read(path)


def test_the_leaderboard_is_updated(repository):
    publish_runs([RUN])
    page = read(PAGE)
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "| `slowonly_r50` |  | tiny |" in page
    assert len(read(f"outputs/{OTHER_CSV}").splitlines()) == 2
    assert len(read(f"outputs/{AVA_CSV}").splitlines()) == 1 + len(zoo.list_models()), "a header and all models"


def test_a_zoo_stands_for_its_runs(repository):
    zoo_folder = Path("outputs/runs/tiny/zoo")
    zoo_folder.mkdir()
    runs = [{"folder": "../slowonly_r50"}, {"folder": "../slowfast_r50"}]
    (zoo_folder / "zoo.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")
    assert_refused("zoo/run.json is missing: run notebook 06", zoo_folder)
    ExperimentRecord("06_zoo", {"dataset": "mini"}).finish(zoo_folder / "run.json")
    (zoo_folder / "06_zoo.ipynb").write_text('{"cells": [], "metadata": {}}', encoding="utf-8")
    (zoo_folder / "order.png").write_text("x", encoding="utf-8")
    (zoo_folder / "jitter.json").write_text("{}", encoding="utf-8")
    assert {path.as_posix() for path in publish_runs([zoo_folder])} >= {
        "outputs/results/tiny_slowonly_r50.json",
        "outputs/published/mini_zoo/06_zoo.ipynb",
        "outputs/published/mini_zoo/order.png",
        "outputs/benchmarks/test_jitter.json",
    }


def test_the_record_of_an_older_zoo_is_read(repository):
    zoo_folder = Path("outputs/runs/tiny/zoo")
    ExperimentRecord("06_zoo", {"dataset": "mini"}).finish(zoo_folder / "run.json")
    (zoo_folder / "zoo.json").write_text(json.dumps({"rows": [{"folder": str(RUN)}]}), encoding="utf-8")
    assert RESULT in publish_runs([zoo_folder])


# --- what is refused --------------------------------------------------------------------------------------------------


def assert_refused(message, *folders, error=PublishError, **options):
    with pytest.raises(error, match=message):
        publish_runs(folders or [RUN], **options)
    assert not Path("outputs/results").exists(), "something was written"
    assert not Path("outputs/published").exists(), "something was written"


def test_uncommitted_changes_are_refused(repository, monkeypatch):
    monkeypatch.setattr(publish_results, "list_changed_files", lambda: ["avalib/run.py"])
    assert_refused("1 changed files are not committed: avalib/run.py")


def test_outside_of_a_repository_publishing_is_refused(repository, monkeypatch):
    monkeypatch.setattr(publish_results, "list_changed_files", list_changed_files)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    assert_refused("git cannot say whether everything is committed")


def test_a_record_of_uncommitted_code_is_refused(repository):
    change_json(RUN / "train" / "run.json", git=CLEAN_GIT | {"dirty": True})
    assert_refused("train/run.json: made with changes")


def test_a_record_from_outside_of_a_repository_is_refused(repository):
    change_json(RUN / "train" / "run.json", git=None)
    assert_refused("outside of a git repository")


def test_a_missing_record_is_refused_with_the_notebook_that_makes_it(repository):
    (RUN / "train" / "run.json").unlink()
    assert_refused("train/run.json does not exist: run notebook 03")


def test_a_run_that_was_not_evaluated_is_refused(repository):
    assert_refused("run notebook 04", "outputs/runs/tiny/slowfast_r50")


def test_files_that_are_not_the_recorded_ones_are_refused(repository):
    (RUN / "train" / "best.pth").write_text("others", encoding="utf-8")
    assert_refused("best.pth: differs: .*run the notebook again")


def test_partial_coverage_needs_a_label(repository, capsys):
    change_json(RUN / "evaluate" / "run.json", coverage={"keyframes": 5, "share": 0.5})
    assert_refused("only 50.0% of the keyframes; say so: --label")
    assert main([str(RUN)]) == 1
    assert "publish: " in capsys.readouterr().out
    publish_runs([RUN], label="half of it")
    assert "half of it" in read(PAGE)


@pytest.mark.parametrize(("text", "missing"), [("", BEGIN_MARK), (f"a\n{BEGIN_MARK}\nb\n", END_MARK)])
def test_a_page_without_a_place_for_the_leaderboard_is_refused(repository, text, missing):
    PAGE.write_text(text, encoding="utf-8")
    assert_refused(f"results.md .*no line {missing}.*git checkout", error=PageError)
    assert read(PAGE) == text


# --- interruptions ----------------------------------------------------------------------------------------------------


def read_published_files(repository):
    """{path: content} of everything that publishing writes."""
    outputs = [path for path in (repository / "outputs").rglob("*") if path.is_file() and "runs" not in path.parts]
    return {path.relative_to(repository): path.read_bytes() for path in [*outputs, repository / PAGE]}


def publish_until_event(event, folder):
    """Publish in a process that exits right before or after a rename, counted. Returns whether it came to that."""
    process = fork()
    if process == 0:
        events = itertools.count(1)
        replace = os.replace

        def counted_replace(source, target):
            if next(events) == event:
                os._exit(9)
            replace(source, target)
            if next(events) == event:
                os._exit(9)

        os.replace = counted_replace
        publish_runs([folder])
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed at a certain write")
def test_killed_at_any_write_it_is_repaired_by_calling_again(repository, capsys):
    page = read(PAGE)
    publish_runs([RUN])
    undisturbed = read_published_files(repository)
    for event in itertools.count(1):
        for folder in ("results", "published"):
            shutil.rmtree(repository / "outputs" / folder)
        for name in (AVA_CSV, OTHER_CSV):
            (repository / "outputs" / name).unlink(missing_ok=True)
        PAGE.write_text(page, encoding="utf-8")
        if not publish_until_event(event, RUN):
            break
        for path, content in read_published_files(repository).items():
            if ".part" not in path.name:
                before = page.encode() if path == PAGE else None
                assert content in (before, undisturbed[path]), f"{path} after event {event}"
        publish_runs([RUN])
        assert read_published_files(repository) == undisturbed, f"after event {event}"
        assert "removed 1 unfinished file " in capsys.readouterr().out or event % 2 == 0
    assert event == 2 * len(undisturbed) + 1, "every file was written once, by a rename"
