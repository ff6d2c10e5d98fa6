"""build_model: without a checkpoint, from published files, from files of other networks and versions."""

import dataclasses
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import golden_outputs
import numpy as np
import pytest
import torch
from golden_outputs import has_golden_weights, make_mmcv_checkpoint
from slow_marks import slow_but

from avalib import zoo
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.detector import Detector

MODEL = "slowonly_r50"
RECOGNISER = "kinetics_recogniser_slowonly_r50"
CLASSIFIER = "roi_head.bbox_head.fc_cls.weight"


def test_without_a_checkpoint():
    model = build_model(MODEL, dropout=0.25)
    assert isinstance(model, Detector) and not model.training and model.report is None
    assert model.roi_head.bbox_head.dropout.p == 0.25


def test_an_unknown_model_suggests_the_one_that_was_meant():
    with pytest.raises(KeyError, match="Did you mean 'slowonly_r50'"):
        build_model("slowonly_r5")


def test_no_model_needs_a_checkpoint():
    with pytest.raises(ValueError, match="needs a checkpoint"):
        build_model(None)


@pytest.mark.parametrize("zipped", slow_but([True, False], True))
def test_a_published_file(tmp_path, zipped, capsys):
    path = tmp_path / "a.pth"
    # some published files have torch's old format, some the new one
    torch.save(make_mmcv_checkpoint(MODEL), path, _use_new_zipfile_serialization=zipped)
    model = build_model(MODEL, path)
    assert has_golden_weights(model, MODEL) and model.report.ok and len(model.report.matched) == 320
    assert capsys.readouterr().out == "a.pth -> slowonly_r50: 320 of 320 tensors matched\n"
    assert model.meta.extra["hook_msgs"]["best_score"] == 0.2 and model.meta.entry is None
    with torch.no_grad():
        logits = model(golden_outputs.draw_clips(MODEL), golden_outputs.load_rois())
    assert np.abs(logits.numpy() - golden_outputs.ARRAYS[f"{MODEL}/logits"]).max() < 1e-4


@pytest.mark.slow
def test_published(entry_with_mirror):
    entry, mirror = entry_with_mirror
    assert has_golden_weights(build_model(entry, "published", mirror=mirror), MODEL)


@pytest.mark.slow
def test_pretrained_takes_the_backbone_and_a_new_head(entry_with_mirror, capsys):
    entry, mirror = entry_with_mirror
    torch.manual_seed(3)
    model = build_model(entry, "pretrained", mirror=mirror)
    assert has_golden_weights(model, RECOGNISER, "backbone.")
    assert model.state_dict()[CLASSIFIER].std().item() == pytest.approx(0.01, rel=0.03)
    report = model.report
    assert report.ok and len(report.matched) == 318 and len(report.initialized) == 2
    assert report.left_out == ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    assert "318 of 320 tensors matched\n  2 newly initialized: roi_head" in capsys.readouterr().out


@pytest.mark.slow
def test_the_backbone_of_a_recognizer_by_path(golden_files):
    assert build_model(MODEL, golden_files / f"{RECOGNISER}.pth", backbone_only=True, verbose=False).report.ok


@pytest.mark.slow
def test_a_recognizer_has_no_detection_head(golden_files):
    with pytest.raises(CheckpointError, match="SlowOnly R50 recognizer for 400 classes.*backbone_only=True"):
        build_model(MODEL, golden_files / f"{RECOGNISER}.pth")


@pytest.mark.slow
def test_over_http(golden_files, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=golden_files)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{MODEL}.pth"
            assert has_golden_weights(build_model(MODEL, url, progress=False), MODEL)
        finally:
            server.shutdown()
            thread.join()
    assert has_golden_weights(build_model(MODEL, url, progress=False), MODEL)  # from the cache, the server is gone


@pytest.mark.slow
def test_laterals_are_built_as_in_the_file(golden_files, capsys):
    model = build_model("slowfast_r50", golden_files / "slowfast_r50_8x8.pth")
    assert model.entry.fusion_kernel == 7 and model.report.ok and has_golden_weights(model, "slowfast_r50_8x8")
    assert "laterals are 7x1x1 in the file, 5x1x1 in the entry: built as in the file" in capsys.readouterr().out


@pytest.mark.slow
def test_another_depth(golden_files):
    with pytest.raises(CheckpointError, match="it is of SlowOnly R50 detector. It fits slowonly_r50, slowonly_omni"):
        build_model("slowonly_r101", golden_files / f"{MODEL}.pth")


@pytest.mark.slow
def test_another_backbone(golden_files):
    with pytest.raises(CheckpointError, match="SlowFast R50 detector, laterals 7x1x1. It fits slowfast_r50_8x8"):
        build_model(MODEL, golden_files / "slowfast_r50_8x8.pth")


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False])
def test_a_network_of_another_zoo(tmp_path, strict):
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"not of this zoo \(1 tensors, the first is 'layer.weight'\)"):
        build_model(MODEL, tmp_path / "a.pth", strict=strict)


@pytest.mark.slow
def test_a_saved_one_with_other_sampling(tmp_path):
    entry = zoo.get("slowfast_r50")
    path = save_checkpoint(Detector(entry), tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError,
        match="saved as slowfast_r50, resample_rate 8 .the entry: 4.*not slowfast_r50_8x8. Build 'slowfast_r50'",
    ):
        build_model("slowfast_r50_8x8", path)


@pytest.mark.slow
def test_a_saved_one_with_another_frame_interval(tmp_path, capsys):
    entry = zoo.get("slowfast_r50")
    path = save_checkpoint(Detector(entry), tmp_path / "a.pth")
    build_model(dataclasses.replace(entry, frame_interval=1), path)
    assert "trained with frame_interval 2 (the entry: 1)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_of_another_version_is_completed_with_a_note(golden_model, tmp_path, capsys):
    path = save_checkpoint(golden_model, tmp_path / "a.pth", recipe=zoo.build_published_recipe(golden_model.entry))
    content = torch.load(path, weights_only=True)
    del content["meta"]["entry"]["licence"], content["meta"]["recipe"]["flip"]
    content["meta"]["recipe"]["hue"] = 0.3
    torch.save(content, path)
    again = build_model(None, path)
    assert again.entry == golden_model.entry and again.meta.recipe.flip == 0.5
    note = "its recipe was written by another version: flip as published; hue unknown here"
    assert note in capsys.readouterr().out and note in again.meta.notes


@pytest.mark.slow
def test_a_recipe_with_earlier_names_is_read(golden_model, tmp_path):
    recipe = dataclasses.replace(zoo.build_published_recipe(golden_model.entry), color_jitter=0.3)
    path = save_checkpoint(golden_model, tmp_path / "a.pth", recipe=recipe)
    content = torch.load(path, weights_only=True)
    content["meta"]["recipe"]["colour"] = content["meta"]["recipe"].pop("color_jitter")
    torch.save(content, path)
    again = build_model(None, path)
    assert again.meta.recipe == recipe and not again.meta.notes
