"""The pages have the tables that the entries and the measurements give."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import update_pages

from avalib import zoo
from avalib.utils.markdown import split_at_marks

ROOT = Path(__file__).parents[2]
HOW = "python tools/update_pages.py"


def test_the_readme_has_the_table():
    _, table, _ = split_at_marks(ROOT / "README.md", "zoo table")
    assert table.strip() == zoo.render_zoo_table(), HOW


@pytest.mark.parametrize("mark", ["all models", "files"])
def test_the_models_page_has_the_tables(mark, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, table, _ = split_at_marks("docs/models.md", mark)
    assert table.strip() == update_pages.render_models_page()[mark], HOW


def test_the_page_says_where_the_times_were_measured(tmp_path):
    record = {"machine": "AMD EPYC, 2 threads", "clip": "256x340", "rows": [{"all": [1, 2, 3]}], "git": None}
    path = tmp_path / "zoo_cpu.json"
    path.write_text(json.dumps(record | {"versions": {"torch": "2.14.1"}}), encoding="utf-8")
    expected = "`ms a clip`: AMD EPYC, 2 threads, 256x340; medians of 3; torch 2.14.1, commit `none`."
    assert update_pages.describe_measurement(path) == expected


def test_weights_are_counted_in_float32():
    assert update_pages.count_weight_bytes(zoo.get("slowonly_r50")) == pytest.approx(127.4e6, rel=1e-3)


def test_the_page_is_about_one_cpu(tmp_path):
    for machine, name in (("AMD EPYC, 2 threads", "zoo_cpu"), ("1 x NVIDIA H100", "zoo_cuda")):
        row = '{"model": "slowonly_r50", "seconds": 0.5, "flops": 1, "parameters": 31800465}'
        (tmp_path / f"{name}.json").write_text(f'{{"machine": "{machine}", "rows": [{row}]}}', encoding="utf-8")
    speeds = update_pages.load_cpu_speeds(tmp_path).set_index("model")
    assert list(speeds) == ["parameters M", "ms on AMD EPYC, 2 threads", "published mAP", "evaluated on"]
    assert pd.isna(speeds.loc["slowfast_r50", "ms on AMD EPYC, 2 threads"])


def test_every_model_was_measured(monkeypatch):
    monkeypatch.chdir(ROOT)
    times = update_pages.build_models_table().set_index("model")["ms a clip"]
    assert (times != "").all(), list(times.index[times == ""])


def test_acrn_has_a_cost_for_each_box(monkeypatch):
    monkeypatch.chdir(ROOT)
    times = update_pages.build_models_table().set_index("model")["ms a clip"]
    with_boxes = {name for name, text in times.items() if re.fullmatch(r"[\d,]+ \+ [\d.]+ a box above 3", text)}
    assert with_boxes == {f"`{entry.alias}`" for entry in zoo.ENTRIES if entry.relation}
