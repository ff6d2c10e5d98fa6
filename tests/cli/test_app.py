"""The `avalib` command as a person runs it: help, exit statuses, one-line errors, files."""

import os
import subprocess
import sys

import pytest

from avalib.cli import main
from avalib.cli.app import COMMANDS

GROUND_TRUTH = "video,0902,0.1,0.1,0.5,0.5,12,0\nvideo,0902,0.1,0.1,0.5,0.5,80,0\n"
DETECTIONS = "video,0902,0.1,0.1,0.5,0.5,12,0.9\nvideo,0902,0.1,0.1,0.5,0.5,80,0.8\n"


def run_avalib(*words, cwd=None, **environment):
    """`python -m avalib …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "avalib", *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def two_files(tmp_path):
    """A ground truth of two actions and the detections that find both."""
    (tmp_path / "gt.csv").write_text(GROUND_TRUTH, encoding="utf-8")
    (tmp_path / "det.csv").write_text(DETECTIONS, encoding="utf-8")
    return tmp_path


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []


def test_no_command_shows_the_help(capsys):
    assert main([]) == 0
    assert "usage: avalib COMMAND" in capsys.readouterr().out


def test_a_misspelt_command_is_suggested(capsys):
    assert main(["trian"]) == 2
    assert "no command 'trian'. Did you mean 'train'?" in capsys.readouterr().err


def test_a_misspelt_option_is_an_error(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--epoch", "3"])
    assert end.value.code == 2
    assert "--epochs" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_not_load_torch(command):
    code = f"""
import sys
from avalib.cli import main
try:
    main(["{command}", "--help"])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stderr.strip()) == (0, "False")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--model", "slowonly_r5"], "Did you mean 'slowonly_r50'?"),
        (["detect", "none.mp4"], "none.mp4: no such video"),
        (["evaluate", "none.csv", "none.csv"], "none.csv"),
        (["evaluate", "only_one.csv"], "expected two files"),
        (["prepare", "tiny", "--weights", "folder/none.pth"], "--weights folder/none.pth: no such file"),
        (["lint", "none.csv"], "none.csv"),
        (["evaluate", "--checkpoint", "none.pth"], "none.pth: no such file"),
        (["export", "model.onnx"], "best.pth"),
        (["report", "nowhere"], "nowhere: no such folder"),
        (["verify", "nowhere"], "nowhere"),
    ],
)
def test_what_is_missing_is_one_line_before_torch_is_loaded(words, message, tmp_path):
    code = f"""
import sys
from avalib.cli import main
status = main({words!r})
sys.exit(3 if "torch" in sys.modules else status)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.returncode == 1


@pytest.mark.slow
def test_evaluate_scores_two_files_and_writes_the_report(two_files):
    ended = run_avalib("evaluate", "gt.csv", "det.csv", cwd=two_files)
    assert ended.returncode == 0, ended.stderr
    assert "mAP" in ended.stdout
    assert (two_files / "det.mmaction.json").is_file()


def test_evaluate_compares_protocols(two_files, capsys):
    paths = [str(two_files / "gt.csv"), str(two_files / "det.csv")]
    assert main(["evaluate", *paths, "--compare-protocols"]) == 0
    assert "activitynet" in capsys.readouterr().out


def test_lint_exits_with_1_if_there_are_findings(two_files, capsys):
    (two_files / "bad.csv").write_text("video,0902,0.5,0.5,0.1,0.1,12,0.9\n", encoding="utf-8")
    assert main(["lint", str(two_files / "det.csv")]) == 0
    assert main(["lint", str(two_files / "bad.csv")]) == 1


def test_lint_names_the_first_lines_of_many(two_files, capsys):
    (two_files / "bad.csv").write_text("video,0902,0.5,0.5,0.1,0.1,12,0.9\n" * 99, encoding="utf-8")
    assert main(["lint", str(two_files / "bad.csv")]) == 1
    output = capsys.readouterr().out
    assert "rows: 99, line 1, 2, 3, 4, 5, 6, 7, 8, …\n" in output
    assert max(map(len, output.splitlines())) < 200


@pytest.mark.slow
def test_a_plan_has_no_curves(tiny, tmp_path):
    settings = {"AVALIB_DATA": str(tiny.root.parent)}
    words = ["train", "--dataset", "tiny", "--device", "cpu", "--short-side", 32, "--batch-size", 2, "--plan-only"]
    ended = run_avalib(*words, cwd=tmp_path, **settings)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "outputs/runs/tiny/slowonly_r50/plan/run.json").is_file()
    assert not list(tmp_path.rglob("curves.png"))


@pytest.mark.slow
def test_prepare_check_train_evaluate_report_and_export(tmp_path):
    settings = {"AVALIB_DATA": str(tmp_path / "data")}
    small = ["--dataset", "tiny", "--device", "cpu", "--precision", "float32"]
    for words in (
        ["prepare", "tiny"],
        ["check", "tiny", "--json", "check.json"],
        ["train", *small, "--epochs", 1, "--short-side", 32, "--batch-size", 4, "--quiet"],
        ["evaluate", *small],
        ["report"],
        ["verify", "outputs/runs"],
        ["export", "model.pt2", "--dataset", "tiny", "--size", 64, 80],
    ):
        ended = run_avalib(*words, cwd=tmp_path, **settings)
        assert ended.returncode == 0, (words, ended.stderr)
    run = tmp_path / "outputs" / "runs" / "tiny" / "slowonly_r50"
    made = ["train/best.pth", "train/run.json", "train/curves.png", "evaluate/detections.csv"]
    assert [name for name in made if not (run / name).is_file()] == []
    assert (tmp_path / "check.json").is_file() and (tmp_path / "model.pt2").is_file()


def test_a_pattern_without_models_stops_the_zoo_before_its_first_run(tmp_path, capsys):
    assert main(["zoo", "--models", "slowest*", "--output-dir", str(tmp_path / "runs")]) == 1
    assert "no model matches 'slowest*'. There are: slowonly_r50, " in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_report_does_not_replace_what_is_read(two_files, capsys, monkeypatch):
    monkeypatch.chdir(two_files)
    before = (two_files / "det.csv").read_bytes()
    assert main(["evaluate", "gt.csv", "det.csv", "--json", "det.csv"]) == 1
    assert "det.csv: this call reads that file" in capsys.readouterr().err
    assert (two_files / "det.csv").read_bytes() == before
