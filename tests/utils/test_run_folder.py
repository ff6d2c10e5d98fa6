"""Run folders: what is missing or damaged is named with the run that writes it."""

import json

import pytest

from avalib.utils.run_folder import (
    DamagedRecordError,
    archive_folder,
    choose_checkpoint,
    get_run_folder,
    print_run_report,
    read_record,
    resolve_checkpoint,
)


def test_a_tag_has_a_folder_of_its_own(tmp_path):
    assert get_run_folder(tmp_path, "mini", "slowonly_r50") == tmp_path / "mini" / "slowonly_r50"
    assert get_run_folder(tmp_path, "mini", "slowonly_r50", "long") == tmp_path / "mini" / "slowonly_r50-long"


def test_an_archived_folder_gets_the_first_free_name(tmp_path):
    (tmp_path / "train.1").mkdir()
    (tmp_path / "train").mkdir()
    assert archive_folder(tmp_path / "train") == tmp_path / "train.2"
    assert not (tmp_path / "train").exists()


def test_a_missing_checkpoint_is_named_with_its_notebook(tmp_path):
    with pytest.raises(FileNotFoundError, match="best.pth does not exist: run notebook 03"):
        resolve_checkpoint(tmp_path, "best")


def test_other_checkpoints_are_returned_as_they_are(tmp_path):
    assert resolve_checkpoint(tmp_path, "published") == "published"


def test_auto_is_the_best_checkpoint_if_there_is_one(tmp_path):
    assert choose_checkpoint(tmp_path, "auto") is None
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "best.pth").touch()
    assert choose_checkpoint(tmp_path, "auto") == tmp_path / "train" / "best.pth"
    assert choose_checkpoint(tmp_path, "random") is None


def test_a_checkpoint_by_name_has_to_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="run notebook 03"):
        choose_checkpoint(tmp_path, "best")


def test_a_report_needs_runs(tmp_path):
    with pytest.raises(SystemExit, match="no run.json"):
        print_run_report(tmp_path)


def test_a_report_lists_what_can_be_opened(tmp_path, capsys):
    for name in ("data/run.json", "data/sheet.png", "train/best.pth", "notebooks/a.ipynb", "notebooks/a.inputs.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}", encoding="utf-8")
    print_run_report(tmp_path)
    files = capsys.readouterr().out.split("files:\n")[1].split()
    assert files == [str(tmp_path / name) for name in ("data/run.json", "data/sheet.png", "notebooks/a.ipynb")]


def test_a_report_has_headlines_and_files(tmp_path, capsys):
    (tmp_path / "evaluate").mkdir()
    record = {"headline": {"mAP@0.5": 0.25, "best validation mAP@0.5": 0.18515617066093143}}
    (tmp_path / "evaluate" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    print_run_report(tmp_path)
    output = capsys.readouterr().out
    assert "mAP@0.5" in output
    assert "0.25" in output
    assert "0.1852\n" in output
    assert str(tmp_path / "evaluate" / "run.json") in output


@pytest.mark.parametrize("content", ["", "{", "[1]", "\udcff", "[" * 100_000])
def test_a_damaged_record_is_named_with_the_run_that_writes_it(content, tmp_path):
    path = tmp_path / "train" / "run.json"
    path.parent.mkdir()
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DamagedRecordError, match=r"train.run.json: .*train/ writes it again"):
        print_run_report(tmp_path)


def test_a_record_without_a_key_is_damaged(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(DamagedRecordError, match="it has no b. Remove it; notebook 03"):
        read_record(path, "notebook 03", keys=["a", "b"])
