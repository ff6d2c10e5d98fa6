"""Speeds that were measured on several machines, in one table."""

import json

from avalib.zoo_runner.speed_table import load_speed_table


def test_the_speeds_of_every_machine_are_in_one_table(tmp_path):
    measurement = {"model": "slowfast_r50", "seconds": 0.5, "flops": 40e9, "parameters": 33_600_000}
    for machine in ("cpu", "cuda"):
        content = {"machine": machine.upper(), "rows": [measurement]}
        (tmp_path / f"zoo_{machine}.json").write_text(json.dumps(content), encoding="utf-8")
    table = load_speed_table(tmp_path).set_index("model")
    assert dict(table.loc["slowfast_r50"]) == {
        "parameters M": 33.6,
        "GFLOP": 40.0,
        "ms on CPU": 500.0,
        "ms on CUDA": 500.0,
        "published mAP": 24.4,
        "evaluated on": "AVA v2.1 val",
    }
    measured = list(table[table["ms on CPU"].notna()].index)
    assert measured == ["slowfast_r50", "slowfast_r50_4x16_v1x"], "one network; the others were not measured"


def test_without_measurements_the_models_are_left(tmp_path):
    assert list(load_speed_table(tmp_path)) == ["model", "published mAP", "evaluated on"]
