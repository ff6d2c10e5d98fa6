"""The log on disk, what it says in the end, and when it is doubted."""

import json
import math
import re
import shutil
import sys

import pandas as pd
import pytest

from avalib.data.ava_csv import read_ava_csv
from avalib.data.layout import DatasetLayout
from avalib.training.logger import (
    DamagedLogError,
    TrainingLog,
    build_epoch_table,
    build_log_table,
    read_log,
    summarize_log,
)
from avalib.training.sanity_checks import diagnose_zero_map
from avalib.utils.files import DiskFullError

ROW = {
    "mode": "train",
    "epoch": 1,
    "iter": 1,
    "iteration": 1,
    "lr": 0.1,
    "loss_action_cls": 0.5,
    "time": 2.0,
    "clips": 4,
}


def rows(losses, maps=()):
    steps = [ROW | {"iteration": i + 1, "loss_action_cls": loss, "recall@top3": 0.5} for i, loss in enumerate(losses)]
    return steps + [{"mode": "val", "epoch": e, "iteration": 9, "mAP@0.5IOU": m} for e, m in enumerate(maps, 1)]


def test_each_row_is_on_disk_at_once_and_a_resumed_log_is_cut(tmp_path):
    path = tmp_path / "log.jsonl"
    log = TrainingLog(path)
    for i in range(3):
        log.append(ROW | {"iteration": i, "grad_norm": math.inf})
        assert len(read_log(path)) == i + 1
    assert (
        json.loads(path.read_text(encoding="utf-8").splitlines()[0])["grad_norm"] is None
    )  # strict JSON has no Infinity
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"mode": "tr')  # killed while writing
    assert len(read_log(path)) == 3
    again = TrainingLog(path, list(log)[:2])
    assert len(read_log(path)) == len(again) == 2


def test_summary_and_the_spread_of_the_last_epochs():
    log = build_log_table(rows([0.5, 0.3], [0.1, 0.30, 0.32, 0.31, 0.29, 0.33]))
    found = summarize_log(log)
    assert (found["best_mAP"], found["best_epoch"], found["last_mAP"]) == (0.33, 6, 0.33)
    assert found["clips_per_s"] == 2.0 and found["minutes"] == 0.07
    expected = {"validations": 5, "mean": 0.31, "std": 0.01414, "lowest": 0.29, "highest": 0.33}
    assert found["last_epochs"] == pytest.approx(expected)
    assert build_epoch_table(log).loc[0, ["loss_action_cls", "mAP@0.5IOU"]].tolist() == [0.4, 0.1]


def test_a_log_without_validations_or_rows_is_summed_up_too():
    found = summarize_log(build_log_table(rows([0.5, 0.3])))
    assert found["best_mAP"] is None and found["last_epochs"] is None and found["minutes"] == 0.07
    empty = build_log_table([])
    assert summarize_log(empty)["clips_per_s"] is None and len(build_epoch_table(empty)) == 0


def test_tensorboard_that_is_not_there_is_said_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"\.\[tensorboard\]"):
        TrainingLog(tmp_path / "log.jsonl", tensorboard=tmp_path / "events")


@pytest.fixture
def layout(tiny, tmp_path):
    """The tiny data set's annotations, to be spoilt."""
    for folder in ("annotations", "proposals"):
        shutil.copytree(tiny.root / folder, tmp_path / folder)
    return DatasetLayout(tmp_path, tiny.version)


def perfect(layout, shift=0):
    """Detections that are the annotations, with ids moved."""
    truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth").dropna(subset=["action_id"])
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]
    return truth[columns].assign(action_id=truth.action_id.astype(int) + shift, score=0.9)


FALLING = rows([0.6] * 10 + [0.1] * 10)


def test_ids_off_by_one_are_found(layout):
    said = diagnose_zero_map(FALLING, 0.0, layout, perfect(layout, shift=1))
    assert "fell from 0.600 to 0.100" in said
    assert "ids off by one: FOUND, with predicted ids moved by -1 the mAP would be" in said
    assert "boxes in pixels instead of 0..1: tried, not found" in said


def test_boxes_in_pixels_are_found(layout):
    pixels = perfect(layout)
    pixels[["x1", "y1", "x2", "y2"]] *= 320
    assert "boxes in pixels instead of 0..1: FOUND, predicted boxes reach" in diagnose_zero_map(
        FALLING, 0.0, layout, pixels
    )


def test_a_label_map_without_the_ids_is_found(layout):
    layout.evaluated_label_map_path.write_text('item {\n  name: "nothing"\n  id: 80\n}\n', encoding="utf-8")
    said = diagnose_zero_map(FALLING, 0.0, layout, perfect(layout))
    assert re.search(r"label map without the annotated ids: FOUND, \d\d+% of the val labels", said)


def test_what_goes_well_or_not_at_all_is_not_doubted(layout):
    assert diagnose_zero_map(FALLING, 0.2, layout, pd.DataFrame()) is None  # it learns
    assert diagnose_zero_map(rows([0.6] * 20), 0.0, layout, pd.DataFrame()) is None  # the loss says so itself
    assert "none of them" in diagnose_zero_map(FALLING, 0.0, layout, perfect(layout).assign(action_id=80))


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"null", b'{"a": 1}', b"\xff\xfe", b"\0\0\0", b"[" * 100_000])
def test_a_damaged_line_is_named_and_a_torn_last_one_left_out(line, tmp_path):
    whole = json.dumps(ROW).encode() + b"\n"
    path = tmp_path / "log.jsonl"
    path.write_bytes(whole + whole + line)
    assert len(read_log(path)) == 2  # killed while it was written
    path.write_bytes(whole + line + b"\n" + whole)
    if not line:
        assert len(read_log(path)) == 2
        return
    with pytest.raises(DamagedLogError, match="log.jsonl, line 2: .*anew from last.pth"):
        read_log(path)


def test_a_full_disk_is_named_when_a_row_is_appended(tmp_path, monkeypatch):
    log = TrainingLog(tmp_path / "log.jsonl")

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", lambda *_, **__: Full())
    with pytest.raises(DiskFullError, match="log.jsonl"):
        log.append(ROW)
