"""A small model in PyTorchVideo's form is trained, saved, loaded and scored, with 80 columns in its file."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_model
import torch

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.evaluation.inference import score_batch
from avalib.models.build import build_model
from avalib.models.checkpoint import check_classes, load_checkpoint, save_checkpoint
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.detector import Detector
from avalib.models.fused import for_inference
from avalib.models.losses import compute_action_loss
from avalib.models.roi_head import RESERVED_LOGIT

ENTRY = replace(zoo.get("ptv_slowfast_r50_detection"), depth=tiny_model.ENTRY.depth, clip_len=8)
ROIS = torch.tensor([[0.0, 0, 0, 31, 31], [0, 5, 5, 20, 28]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Detector(ENTRY, zero_init_residual=False).eval()


def draw_clips():
    return torch.randn(1, 3, ENTRY.clip_len, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_file_has_80_columns_and_the_logits_81(model):
    assert model.state_dict()["detection_head.proj.weight"].shape == (80, 2304)
    assert model.n_classes == 80 and model(draw_clips(), ROIS).shape == (2, 81)


def test_column_i_is_action_i(model):
    bias = model.state_dict()["detection_head.proj.bias"]
    weight = model.state_dict()["detection_head.proj.weight"]
    with torch.no_grad():
        maps = model.backbone(draw_clips())
        features = model.roi_head.extract_roi_features(maps, ROIS).flatten(2).amax(2)  # (2,2304)
        logits = model(draw_clips(), ROIS)
    torch.testing.assert_close(logits[:, 17], features @ weight[16] + bias[16])
    assert (logits[:, 0] == RESERVED_LOGIT).all()


def test_the_reserved_column_never_scores(model):
    clips = torch.randint(0, 255, (1, ENTRY.clip_len, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        scores = score_batch(model, ENTRY, clips, ROIS, torch.device("cpu"))
    assert scores.shape == (2, 81) and (scores[:, 0] < 1e-8).all() and (scores[:, 1:] > 1e-3).all()


def test_it_learns(model):
    model = build_copy(model).train()
    targets = torch.zeros(2, 81)
    targets[:, 80] = 1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, nesterov=True, momentum=0.9)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = compute_action_loss(model(draw_clips(), ROIS), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def build_copy(model):
    copy = Detector(ENTRY)
    copy.load_state_dict(model.state_dict())
    return copy


def test_saved_and_loaded(model, tmp_path):
    path = save_checkpoint(model, tmp_path / "a.pth", ENTRY)
    again = build_model(None, path, verbose=False)
    assert again.entry == ENTRY
    torch.testing.assert_close(again(draw_clips(), ROIS), model(draw_clips(), ROIS), rtol=1e-4, atol=1e-5)
    assert load_checkpoint(build_copy(model), path).ok
    check_classes(again, get_action_names())


@pytest.mark.parametrize("n_classes", [3, 60, 81])
def test_other_classes_are_counted(tmp_path, n_classes):
    label_map = {i: f"action {i}" for i in range(1, n_classes + 1)}
    path = save_checkpoint(Detector(ENTRY, n_classes=n_classes), tmp_path / "a.pth", label_map=label_map)
    again = build_model(None, path, verbose=False)
    assert again.n_classes == n_classes and again.meta.label_map == label_map
    with pytest.raises(ValueError, match=f"the model has {n_classes} classes, the data set 80"):
        check_classes(again, get_action_names())


@pytest.mark.parametrize(
    ("n_outputs", "message"),
    [
        (60, "60 outputs .actions 1 to 60, no reserved column.*AVA's 60 evaluated actions have ids up to 80"),
        (81, "81 outputs .actions 1 to 81, no reserved column.*one column more"),
    ],
)
def test_columns_that_are_not_avas(tmp_path, n_outputs, message):
    torch.save({"model_state": Detector(ENTRY, n_classes=n_outputs).state_dict()}, tmp_path / "a.pyth")
    with pytest.raises(CheckpointError, match=message):
        build_model(ENTRY, tmp_path / "a.pyth", verbose=False)


def test_another_number_of_classes_starts_a_new_head(model, tmp_path):
    torch.save({"model_state": model.state_dict()}, tmp_path / "a.pyth")
    own = build_model(ENTRY, tmp_path / "a.pyth", label_map={1: "walk", 2: "run"}, verbose=False)
    assert own.n_classes == 2 and "a.pyth has 80 classes, expected 2" in str(own.report)
    assert own.report.initialized == ("detection_head.proj.weight", "detection_head.proj.bias")


def test_initial_biases_are_those_of_the_columns():
    bias = np.arange(81, dtype=np.float32)
    assert torch.equal(Detector(ENTRY, fc_bias=bias).state_dict()["detection_head.proj.bias"], torch.arange(1.0, 81))


def test_for_inference_gives_the_same(model):
    with torch.inference_mode():
        logits = for_inference(build_copy(model).eval(), verbose=False)(draw_clips(), ROIS)
        torch.testing.assert_close(logits, model(draw_clips(), ROIS), rtol=1e-4, atol=1e-4)
