"""Exported files, read back and run: torch.export and ONNX, two rows, free in batch, boxes and (but for one) size."""

import json

import golden_outputs
import numpy as np
import onnxruntime
import pytest
import torch

from avalib import zoo
from avalib.models.detector import Detector
from avalib.models.export import ExportError, check_export, export_model

pytestmark = pytest.mark.slow  # torch.export and the ONNX exporter take most of a minute

CASES = [("slowonly_r50", ".pt2", None), ("slowonly_r50", ".onnx", None), ("slowfast_context_r50", ".onnx", (64, 80))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


def read_and_run(path, clips, rois):
    """(metadata, logits) of a written file, with nothing of ours in between."""
    if path.suffix == ".pt2":
        words = {"avalib.json": ""}
        logits = torch.export.load(path, extra_files=words).module()(clips, rois)
        return words["avalib.json"], logits.detach().numpy()
    session = onnxruntime.InferenceSession(path)
    logits = session.run(None, {"clips": clips.numpy(), "rois": rois.numpy()})[0]
    return session.get_modelmeta().custom_metadata_map["avalib"], logits


@pytest.mark.parametrize("name,suffix,size", CASES)
def test_a_file_gives_the_models_logits(folder, name, suffix, size):
    model = golden_outputs.build_golden_detector(name)
    before = list(model.state_dict())
    exported = export_model(
        model, folder / f"{name}{suffix}", size, label_map={7: "lie/sleep"}, preprocessing={"short_side": 64}
    )
    assert exported.deviation < 1e-4
    assert {(check.n_clips, check.n_boxes) for check in exported.checks} >= {(1, 1), (3, 5), (2, 0)}
    assert len({check.width for check in exported.checks}) == (1 if size else 2)
    meta, logits = read_and_run(exported.path, golden_outputs.draw_clips(name), golden_outputs.load_rois())
    assert np.abs(logits - golden_outputs.ARRAYS[f"{name}/logits"]).max() < 1e-4
    meta = json.loads(meta)
    assert meta["entry"]["alias"] == name and meta["label_map"] == {"7": "lie/sleep"}
    assert meta["preprocessing"] == {"short_side": 64}
    content = exported.path.read_bytes()
    assert not any(word in content for word in (b"site-packages", b"avalib/models", str(folder).encode()))
    assert not list(folder.glob("*.part*"))
    assert list(model.state_dict()) == before and not model.training  # itself, it is as it was


def test_a_file_of_other_weights_is_found_out(folder):
    other = golden_outputs.build_golden_detector("slowonly_r50")
    with torch.no_grad():
        other.roi_head.bbox_head.fc_cls.bias += 1e-3
    with pytest.raises(ExportError, match="1.0e-03 from the model's logits, for 1 clip of 64x80, 1 box"):
        check_export(other, folder / "slowonly_r50.onnx")


def test_what_cannot_be_exported_is_said():
    with torch.device("meta"):
        context = Detector(zoo.get("slowfast_context_r50"))
    with pytest.raises(ValueError, match="ends in .pt2"):
        export_model(context, "a.pth")
    with pytest.raises(ValueError, match="size=\\(256, 340\\)"):
        export_model(context, "a.onnx")
