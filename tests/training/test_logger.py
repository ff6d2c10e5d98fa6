"""The log on disk, its tables and summaries."""

import json
import math
import sys

import pytest

from avalib.training.logger import (
    DamagedLogError,
    TrainingLog,
    build_epoch_table,
    build_log_table,
    compute_spread,
    describe_spread,
    read_log,
    summarize_log,
)
from avalib.utils.disk_space import DiskFullError

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


def make_rows(losses, maps=()):
    """Log entries: a step for each loss, then a validation for each mAP."""
    steps = [ROW | {"iteration": i + 1, "loss_action_cls": loss, "recall@top3": 0.5} for i, loss in enumerate(losses)]
    return steps + [{"mode": "val", "epoch": e, "iteration": 9, "mAP@0.5IOU": m} for e, m in enumerate(maps, 1)]


def test_each_entry_is_on_disk_at_once(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl")
    for i in range(3):
        log.append(ROW | {"iteration": i})
        assert len(read_log(tmp_path / "log.jsonl")) == i + 1


def test_infinity_is_null_as_in_strict_json(tmp_path):
    TrainingLog(tmp_path / "log.jsonl").append(ROW | {"grad_norm": math.inf})
    assert json.loads((tmp_path / "log.jsonl").read_text(encoding="utf-8"))["grad_norm"] is None


def test_a_resumed_log_is_cut_to_the_checkpoints_entries(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl")
    for i in range(3):
        log.append(ROW | {"iteration": i})
    resumed = TrainingLog(tmp_path / "log.jsonl", log.rows[:2])
    assert resumed.rows == read_log(tmp_path / "log.jsonl") == log.rows[:2]


def test_a_log_without_a_path_is_in_memory_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = TrainingLog()
    log.append(ROW)
    assert log.rows == [ROW]
    assert not list(tmp_path.iterdir())


@pytest.fixture
def validated_log():
    return build_log_table(make_rows([0.5, 0.3], [0.1, 0.30, 0.32, 0.31, 0.29, 0.33]))


def test_a_summary_has_the_best_and_the_last_map(validated_log):
    summary = summarize_log(validated_log)
    assert (summary["best_mAP"], summary["best_epoch"], summary["last_mAP"]) == (0.33, 6, 0.33)


def test_a_summary_has_time_and_speed(validated_log):
    summary = summarize_log(validated_log)
    assert (summary["minutes"], summary["clips_per_s"]) == (0.07, 2.0)


def test_a_summary_and_each_epoch_have_the_share_of_the_time_that_waits_for_clips():
    log = [ROW | {"data_time": seconds, "recall@top3": 0.5} for seconds in (0.5, 1.5)]
    assert summarize_log(log)["waiting_share"] == 0.5
    assert build_epoch_table(log).waiting_share.tolist() == [0.5]


def test_a_log_without_the_time_that_waits_has_no_share(validated_log):
    assert summarize_log(validated_log)["waiting_share"] is None


def test_a_summary_has_the_spread_of_the_last_validations(validated_log):
    expected = {"validations": 5, "mean": 0.31, "std": 0.01414, "lowest": 0.29, "highest": 0.33}
    assert summarize_log(validated_log)["last_epochs"] == pytest.approx(expected)


def test_a_table_by_epoch_has_means_and_the_map(validated_log):
    assert build_epoch_table(validated_log).loc[0, ["loss_action_cls", "mAP@0.5IOU"]].tolist() == [0.4, 0.1]


def test_a_log_without_validations_is_summarized_too():
    summary = summarize_log(make_rows([0.5, 0.3]))
    assert summary["best_mAP"] is None
    assert summary["last_epochs"] is None
    assert summary["minutes"] == 0.07


def test_an_empty_log_is_summarized_too():
    assert summarize_log([])["clips_per_s"] is None
    assert len(build_epoch_table([])) == 0


def test_a_missing_tensorboard_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"\.\[tensorboard\]"):
        TrainingLog(tmp_path / "log.jsonl", tensorboard=tmp_path / "events")


DAMAGED_LINES = [b"{", b"[1]", b"null", b'{"a": 1}', b"\xff\xfe", b"\0\0\0", b"[" * 100_000]
WHOLE_LINE = json.dumps(ROW).encode() + b"\n"


@pytest.mark.parametrize("line", [b"", *DAMAGED_LINES])
def test_an_incomplete_last_line_is_left_out(line, tmp_path):
    (tmp_path / "log.jsonl").write_bytes(WHOLE_LINE + WHOLE_LINE + line)
    assert len(read_log(tmp_path / "log.jsonl")) == 2


@pytest.mark.parametrize("line", DAMAGED_LINES)
def test_a_damaged_line_is_named(line, tmp_path):
    (tmp_path / "log.jsonl").write_bytes(WHOLE_LINE + line + b"\n" + WHOLE_LINE)
    with pytest.raises(DamagedLogError, match="log.jsonl, line 2: .*anew from last.pth"):
        read_log(tmp_path / "log.jsonl")


def test_an_empty_line_is_left_out(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(WHOLE_LINE + b"\n" + WHOLE_LINE)
    assert len(read_log(tmp_path / "log.jsonl")) == 2


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


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ([], "not validated"),
        ([0.2], "validation mAP@0.5: 0.2000"),
        ([0.2, 0.4], "validation mAP@0.5, the last 2: 0.3000 ± 0.1000, from 0.2000 to 0.4000"),
    ],
)
def test_the_spread_as_text(scores, text):
    assert describe_spread(compute_spread(scores)) == text
