"""Checkpoints: what a model takes of a file, and what is saved."""

import dataclasses
import json
import shutil

import golden_outputs
import numpy as np
import pytest
import torch
from golden_outputs import has_golden_weights
from slow_marks import slow_but

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.models.build import build_model
from avalib.models.checkpoint import load_checkpoint, read_meta, read_state_dict, save_checkpoint
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.detector import Detector
from avalib.utils.download_errors import DownloadError

MODEL = "slowonly_r50"
CLASSIFIER = "roi_head.bbox_head.fc_cls.weight"


@pytest.mark.parametrize("prefix", slow_but(["", "_orig_mod.module.", "module._orig_mod."], "_orig_mod.module."))
def test_bare_and_wrapped_state_dicts(tmp_path, prefix):
    torch.save({prefix + k: v for k, v in golden_outputs.draw_state_dict(MODEL).items()}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == list(golden_outputs.read_keys(MODEL))


@pytest.mark.slow
def test_laterals_of_a_model_that_is_built_already(golden_files):
    with pytest.raises(CheckpointError, match=r"of another shape: backbone.slow_path.conv1_lateral.conv.weight"):
        load_checkpoint(Detector(zoo.get("slowfast_r50")), golden_files / "slowfast_r50_8x8.pth")


@pytest.fixture
def misfit(tmp_path):
    """A file with one tensor gone, one too many, one of another shape."""
    content = dict(golden_outputs.draw_state_dict(MODEL))
    del content["backbone.conv1.bn.bias"]
    content["neck.weight"] = torch.zeros(3)
    content[CLASSIFIER] = torch.zeros(60, 2048)
    torch.save({"state_dict": content}, tmp_path / "misfit.pth")
    return tmp_path / "misfit.pth"


@pytest.mark.slow
def test_strict_refuses_and_changes_nothing(misfit):
    model = build_model(MODEL)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(model, misfit)
    for part in (
        "misfit.pth does not fit slowonly_r50: it is of SlowOnly R50 detector",
        "1 missing in the file: backbone.conv1.bn.bias",
        "1 not in the model: neck.weight",
        f"1 of another shape: {CLASSIFIER} (60x2048 in the file, 81x2048 in the model)",
    ):
        assert part in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
def test_not_strict_takes_what_fits_and_says_it(misfit):
    report = load_checkpoint(build_model(MODEL), misfit, strict=False)
    assert not report.ok and len(report.matched) == 318
    table = report.to_frame()
    assert dict(table["status"].value_counts()) == {"matched": 318, "missing": 1, "unexpected": 1, "wrong shape": 1}
    parts = report.count_by_part()
    backbone = ["backbone.conv1", *(f"backbone.layer{i}" for i in (1, 2, 3, 4))]
    assert list(parts.index) == [*backbone, "roi_head.bbox_head.fc_cls", "neck"]
    assert parts.loc["backbone.conv1", ["matched", "missing"]].tolist() == [5, 1] and parts.to_numpy().sum() == 321
    row = table[table["key"] == CLASSIFIER].iloc[0]
    assert (row["file_shape"], row["model_shape"]) == ("60x2048", "81x2048")


@pytest.mark.slow
def test_the_hash_in_a_published_name_is_checked(golden_files, entry_with_mirror, tmp_path):
    entry, _ = entry_with_mirror
    with pytest.raises(DownloadError, match="begins with .*expected 40061d5f"):  # the real one's; ours is a stand-in
        build_model(entry, golden_files / zoo.get(MODEL).checkpoint_url.rpartition("/")[2])


@pytest.mark.slow
def test_a_file_with_the_hash_of_its_name_is_read(golden_files, entry_with_mirror, tmp_path):
    entry, _ = entry_with_mirror
    right = tmp_path / f"mine-{entry.checkpoint_sha256}.pth"
    shutil.copy(golden_files / f"{MODEL}.pth", right)
    assert build_model(MODEL, right, verbose=False).report.ok


@pytest.mark.parametrize("suffix", slow_but([".pth", ".safetensors"], ".pth"))
def test_saved_and_read_back(golden_model, tmp_path, suffix):
    entry = dataclasses.replace(zoo.get(MODEL), lr=0.05)
    recipe = dataclasses.replace(zoo.build_published_recipe(entry), epochs=3, milestones=(1, 2))
    path = save_checkpoint(
        golden_model, tmp_path / f"a{suffix}", entry, recipe, {7: "lie/sleep"}, epoch=3, mAP=np.float32(0.5)
    )
    again = build_model(None, path, verbose=False)
    assert has_golden_weights(again, MODEL) and again.entry == entry
    meta = read_meta(path)
    assert (meta.entry, meta.recipe, meta.label_map, meta.protocol) == (entry, recipe, {7: "lie/sleep"}, "mmaction")
    assert meta.extra == {"epoch": 3, "mAP": 0.5} and meta.notes == ()
    assert meta.preprocessing["mean"] == [123.675, 116.28, 103.53] and meta.preprocessing["short_side"] == 256
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_is_saved_is_what_mmcv_reads(golden_model, tmp_path):
    path = save_checkpoint(golden_model, tmp_path / "a.pth")
    content = torch.load(path, weights_only=True)
    assert set(content) == {"meta", "state_dict"} and isinstance(content["meta"], dict)
    assert list(content["state_dict"]) == list(golden_outputs.read_keys(MODEL))
    assert read_meta(path).label_map == get_action_names()
    json.dumps(content["meta"])  # plain values only, nothing that needs this package to be read


@pytest.mark.slow
def test_saved_from_wrappers(golden_model, tmp_path):
    path = save_checkpoint(torch.nn.DataParallel(golden_model), tmp_path / "a.pth", entry=golden_model.entry)
    assert build_model(MODEL, path, verbose=False).report.ok


def test_saving_as_another_model_is_refused(golden_model, tmp_path):
    with pytest.raises(ValueError, match="not a plain slowonly_r101"):
        save_checkpoint(golden_model, tmp_path / "a.pth", entry=zoo.get("slowonly_r101"))
    assert not list(tmp_path.iterdir())


def test_saving_values_that_are_not_plain_is_refused(golden_model, tmp_path):
    with pytest.raises(TypeError, match="can't be kept"):
        save_checkpoint(golden_model, tmp_path / "a.pth", odd=object())
    assert not list(tmp_path.iterdir())


def test_a_full_disk(golden_model, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(OSError, match=r"127\.4 MB are needed, 1\.0 MB are free"):
        save_checkpoint(golden_model, tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())
