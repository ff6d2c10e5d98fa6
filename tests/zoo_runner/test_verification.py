"""Records are verified: hashes and scores are recomputed from the files."""

import json
from pathlib import Path

import pandas as pd
import publish_results
import pytest
from publish_results import publish_runs
from recorded_runs import CLEAN_GIT, write_run

from avalib.utils import experiment
from avalib.zoo_runner.verification import count_verdicts, verify_records

RUN = Path("outputs/runs/tiny/slowonly_r50")
RESULT = Path("outputs/results/tiny_slowonly_r50.json")


@pytest.fixture
def repository(tiny, tmp_path, monkeypatch):
    """The current folder, with the tiny data set, a run and its published result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "get_git_state", lambda: dict(CLEAN_GIT))
    monkeypatch.setattr(publish_results, "list_changed_files", lambda: [])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny-seed0").symlink_to(tiny.root)
    monkeypatch.setenv("AVALIB_DATA", "data")
    (tmp_path / "page.md").write_text("<!-- leaderboard -->\n<!-- /leaderboard -->\n", encoding="utf-8")
    write_run(tiny, tmp_path)
    publish_runs([RUN], page="page.md")
    return tmp_path


@pytest.mark.parametrize("path", ["outputs/runs", "outputs/results", str(RESULT), str(RUN / "evaluate" / "run.json")])
def test_what_was_not_changed_is_the_same(repository, path):
    checks = verify_records([path])
    assert set(checks.verdict) == {"same"}
    assert checks.file.str.contains("mAP from detections").any()


def test_changed_detections_differ_in_hash_and_score(repository):
    detections = RUN / "evaluate" / "detections.csv"
    lines = detections.read_text(encoding="utf-8").splitlines(keepends=True)
    detections.write_text("".join(lines[::2]), encoding="utf-8")
    verdicts = verify_records([RUN]).set_index("file").verdict
    assert verdicts["mAP from detections.csv"].startswith("differs: ")
    assert verdicts[detections.as_posix()].startswith("differs: ")
    assert set(verify_records(["outputs/results"]).verdict) == {"same"}, "the published copy is another file"


def test_a_changed_score_differs_from_its_classes_and_from_its_detections(repository):
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    result["runs"][0]["evaluate"]["mAP"] += 0.01
    RESULT.write_text(json.dumps(result), encoding="utf-8")
    checks = verify_records([RESULT])
    different = checks.file[checks.verdict.str.startswith("differs")]
    assert sorted(different) == ["mAP from detections.csv.gz", "mAP from its classes"]


def test_without_the_data_set_its_files_are_not_here(repository):
    (repository / "data" / "tiny-seed0").unlink()
    verdicts = verify_records([RUN]).set_index("file").verdict
    assert verdicts["mAP from detections.csv"] == "not here: the data set"


def test_a_record_whose_parameters_are_the_networks_can_be_verified(repository):
    folder = RUN / "build"
    folder.mkdir()
    record = {"name": "02_build_model", "parameters": 31_800_465, "hashes": {}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert "same" in set(verify_records([RUN]).verdict)


def test_verdicts_are_counted():
    checks = pd.DataFrame({"verdict": ["same", "same", "differs: 1 now, 2 recorded", "not here: the data set"]})
    assert count_verdicts(checks) == {"same": 2, "differs": 1, "not here": 1}


def test_a_path_with_nothing_to_verify_is_named(repository):
    with pytest.raises(FileNotFoundError, match="data: no run.json and no result"):
        verify_records(["data"])
