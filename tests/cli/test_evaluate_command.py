"""`avalib evaluate GROUND_TRUTH DETECTIONS`: report, interval, comparison of protocols, errors."""

import json
import subprocess
import sys

import pytest
from evaluation_tables import LABELS, make_tables

from avalib.cli.app import main
from avalib.data.ava_csv import write_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.label_map import write_label_map


@pytest.fixture
def files(tmp_path):
    """The words of the command for two files."""
    gt, det = make_tables(11)
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "det.csv")
    return ["evaluate", str(tmp_path / "gt.csv"), str(tmp_path / "det.csv")]


def test_options_reach_the_report(files, tmp_path, capsys):
    gt, _ = make_tables(11)
    write_exclusions(gt[["video_id", "timestamp"]][:1], tmp_path / "excluded.csv")
    write_label_map(LABELS, tmp_path / "labels.pbtxt")
    maps = ["--label-map", str(tmp_path / "labels.pbtxt"), "--exclusions", str(tmp_path / "excluded.csv")]
    assert main([*files, *maps, "--protocol", "pyslowfast", "--iou", "0.5", "0.75"]) == 0
    report = json.loads((tmp_path / "det.pyslowfast.json").read_text(encoding="utf-8"))
    shown = capsys.readouterr().out
    assert report["iou"] == [0.5, 0.75]
    assert [row["action"] for row in report["per_class"]] == list(LABELS.values())
    assert any("excluded seconds" in note for note in report["notes"])
    assert f"{report['mAP']:.4f}" in shown
    assert "protocol pyslowfast" in shown


def test_an_interval_is_shown(files, capsys):
    assert main([*files, "--bootstrap", "50"]) == 0
    assert "95% interval" in capsys.readouterr().out


def test_the_report_is_written_where_an_interval_is_not_possible(tmp_path, capsys):
    gt, det = make_tables(11, videos=1)
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "det.csv")
    assert main(["evaluate", str(tmp_path / "gt.csv"), str(tmp_path / "det.csv"), "--bootstrap", "50"]) != 0
    assert "needs at least 2" in capsys.readouterr().err
    assert json.loads((tmp_path / "det.mmaction.json").read_text(encoding="utf-8"))["mAP"] > 0


def test_the_comparison_begins_at_the_chosen_protocol(tmp_path, capsys):
    gt, det = (table.assign(timestamp=table["timestamp"] + 0.5) for table in make_tables(11, videos=2))
    write_ava_csv(gt, tmp_path / "gt.csv")
    write_ava_csv(det, tmp_path / "det.csv")
    paths = [str(tmp_path / "gt.csv"), str(tmp_path / "det.csv")]
    assert main(["evaluate", *paths, "--protocol", "activitynet", "--compare-protocols"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    reasons = {words[0]: words[1] for words in lines if len(words) == 2}
    assert "the base" in reasons["activitynet"]
    assert "refused: " in reasons["mmaction"]


def test_a_wrong_value_is_named(files, tmp_path, capsys):
    (tmp_path / "det.csv").write_text("v0,902,0.1,oops,0.2,0.3,12,0.5\n", encoding="utf-8")
    assert main(files) != 0
    assert "det.csv, line 1, column y1, value 'oops'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"), [("missing.csv", "missing.csv: no such file"), ("", "a folder; expected")]
)
def test_a_wrong_path_is_named(files, tmp_path, capsys, name, message):
    assert main([*files[:2], str(tmp_path / name)]) != 0
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_two_files_are_evaluated_without_torch(files, tmp_path):
    code = (
        "import sys\nfrom avalib.cli import main\n"
        f"assert main({files!r}) == 0\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8").stdout
    assert "mAP@0.5" in shown
    assert (tmp_path / "det.mmaction.json").exists()
