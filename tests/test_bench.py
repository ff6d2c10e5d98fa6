"""The benchmarks run with this package, and their figures come from what they say."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import check_gpu
import common
import estimate
import gpu_report
import table

PAGE = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_the_page_has_what_the_records_say():
    for marks, text in ((table.MARKS, table.format_table()), (estimate.MARKS, estimate.format_table())):
        (found,) = marks.finditer(PAGE)
        assert found[0] == found[1] + text + found[2], "make bench-table"


@pytest.mark.parametrize("folder", ["benchmarks", "tools"])
def test_all_that_the_scripts_import_is_there(folder):
    missing = []
    for path in sorted(Path(__file__).parents[1].joinpath(folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [(alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module, alias.name) for alias in node.names]
            else:
                continue
            for module, name in names:
                if module.split(".")[0] == "avalib" and not exists(module, name):
                    missing.append(f"{path.name}:{node.lineno}: {module} {name}")
    assert missing == []


def exists(module, name):
    """Whether `import module`, or `from module import name`, works."""
    try:
        loaded = importlib.import_module(module)
        if name is not None and not hasattr(loaded, name):
            importlib.import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


def test_alternating_takes_the_median_of_each():
    calls = []
    clock = iter(range(1000)).__next__
    work = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert common.time_alternately(work, 3, clock=clock) == {"a": 1, "b": 1}
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"


def test_a_row_says_what_was_missed():
    rows = [
        common.compare("x", 2.0, 3.0, "s", aim=1.6),
        common.compare("x", 30, 15, "clips/s", aim=1.5, more=True),
        common.compare("x", 0.4, None, "s", aim=0.3, note="cold"),
        common.compare("x", None, 3.0, "s", aim=3, note="no bfloat16"),
    ]
    assert [common.format_row(row)[1:] for row in rows] == [
        ["2 s", "3 s", "1.50x", "1.6x, missed"],
        ["30 clips/s", "15 clips/s", "2.00x", "1.5x"],
        ["0.4 s (cold)", "", "", "under 0.3 s, missed"],
        ["not measured: no bfloat16", "", "", "3x"],
    ]


@pytest.mark.slow
def test_the_check_of_a_gpu_goes_through_with_small_networks_on_a_cpu(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "check_gpu.py"
    path = tmp_path / "check.json"
    command = [sys.executable, str(script), "--device", "cpu", "--small", "--repeats", "1", "--minutes", "8"]
    done = subprocess.run([*command, "--json", str(path)], capture_output=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
    assert [check for check in checks if check["status"] != "passed"] == []
    assert {check["section"] for check in checks} == set("abcde")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA GPU")
def test_without_a_gpu_its_check_says_so(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["check_gpu.py"])
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(SystemExit, match="nothing was measured. device='cuda': this machine .* has no CUDA"):
        check_gpu.main()


def test_a_row_that_misses_a_required_aim_fails_its_check(tmp_path):
    report = gpu_report.Report(tmp_path / "check.json", small=True)
    entry = report.start("a", "numbers", 60)
    report.add_row(entry, gpu_report.require("difference", 1e-6, 1e-4))
    report.add_row(entry, gpu_report.require("another difference", float("nan"), 1e-4))
    report.finish(entry, 1.0)
    report.start("a", "a crash", -1)
    again = gpu_report.Report(tmp_path / "check.json")
    assert again.is_overdue(0)
    assert again.close_dead_checks() == {("a", "numbers"), ("a", "a crash")}
    assert not again.is_overdue(0)
    assert [check["status"] for check in again.list_failures()] == ["failed", "died"]
    assert "another difference: nan, expected at most 0.0001" in again.summarize()


@pytest.mark.slow
def test_a_short_soak_prints_the_slope_and_meets_every_fault(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "soak_live.py"
    path = tmp_path / "soak.json"
    command = [sys.executable, str(script), "--minutes", "0.4", "--stretch", "2", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    assert "growth of memory in an hour" in done.stdout
    rows = {row["what"]: row["ours"] for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    assert rows["frames detected"] > 5
    assert rows["new connections"] >= 1
    assert rows["changes of size"] >= 1
