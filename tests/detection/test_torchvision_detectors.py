"""Person detectors of torchvision: their weights, their inference form, and what they detect."""

import numpy as np
import pytest
import torch
from torchvision.models import get_model_weights

from avalib.detection.detector_inference import optimize_detector
from avalib.detection.person_detector import load_person_detector
from avalib.detection.torchvision_detectors import (
    DETECTORS,
    build_torchvision_detector,
    choose_detector,
)
from avalib.models.checkpoint_file import CheckpointError, parse_hash_in_name
from avalib.utils.download_errors import DownloadError


@pytest.mark.slow
def test_weights_come_by_url_and_detect_what_torchvision_detects(weights, server, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    # scores that vary: where many boxes have one score, rounding decides which of them stay
    model = build_detector_with_statistics("ssdlite")
    torch.save(model.state_dict(), weights.with_name("varied.pth"))
    threshold = 0.18
    detector = load_person_detector(
        "ssdlite", f"{server}/varied.pth", person_score=threshold, precision="float32", progress=False
    )
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, np.uint8) for shape in ((96, 128, 3), (96, 100, 3))]
    for picture, people in zip(pictures, detector(pictures), strict=True):
        with torch.inference_mode():
            (expected,) = model([torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255])
        # SSD also returns boxes that have no area inside the picture.
        has_area = (expected["boxes"][:, 2:] - expected["boxes"][:, :2] > 1e-4 * max(picture.shape)).all(1)
        is_person = (expected["labels"] == 1) & (expected["scores"] > threshold) & has_area
        sides = np.array([picture.shape[1], picture.shape[0]] * 2)
        assert 0 < len(people.boxes_norm) < len(expected["labels"])
        assert people.boxes_norm.min() >= 0
        assert people.boxes_norm.max() <= 1
        assert np.allclose(people.boxes_norm * sides, expected["boxes"][is_person], atol=0.02)
        assert np.allclose(people.scores, expected["scores"][is_person], atol=1e-5)


@pytest.mark.slow
def test_no_picture_has_no_people(weights):
    assert load_person_detector("ssdlite", weights)([]) == []


def build_detector_with_statistics(name):
    """A detector with random weights whose batch norms and scores vary."""
    torch.manual_seed(0)
    model = build_torchvision_detector(name, weights=None)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.normal_(0, 0.1)
        norm.momentum = 1.0
    # The backbone's statistics are those of noise, so that its maps keep varying from layer to layer.
    with torch.no_grad():
        model.backbone.train()(torch.randn(2, 3, 96, 96))
    model.eval()
    for part, value in model.named_parameters():
        is_last = any(name in part for name in ("cls_score", "cls_logits", "classification_head.module_list"))
        if is_last and part.endswith("bias"):
            value.data.normal_(0, 2)
    # Small pictures, for time.
    if not model.transform.fixed_size:
        model.transform.min_size = (96,)
        model.transform.max_size = 160
    return model


def draw_picture():
    """A picture (3,180,280) with coarse structure."""
    coarse = torch.rand(1, 3, 10, 16, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (180, 280), mode="bicubic")[0].clip(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_inference_form_gives_torchvisions_boxes(name):
    """In float64, in which no two candidates are so near that rounding decides between them."""
    model = build_detector_with_statistics(name).double()
    picture = draw_picture().double()
    with torch.inference_mode():
        (expected,) = model([picture])
        (output,) = optimize_detector(model)([picture])
    assert len(expected["boxes"]) > 10, "the comparison needs boxes"
    # (N,M): whether two boxes are of one class, in one place, with one score
    is_same = expected["labels"][:, None] == output["labels"][None]
    is_same &= (expected["boxes"][:, None] - output["boxes"][None]).abs().amax(2) < 1e-6
    is_same &= (expected["scores"][:, None] - output["scores"][None]).abs() < 1e-8
    assert len(output["boxes"]) == len(expected["boxes"])
    assert is_same.any(1).all()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_precision_changes_the_boxes_of_given_proposals_little(dtype, tolerance):
    """Scores, and boxes in shares of the proposals' sides: root mean square of the differences."""
    model = build_detector_with_statistics("fasterrcnn_mobilenet_320")
    fast = optimize_detector(model, dtype)
    corners = torch.rand(60, 2, generator=torch.Generator().manual_seed(1)) * 150
    proposals = torch.cat([corners, corners + 60], dim=1)
    outputs = []
    with torch.inference_mode():
        for network in (model, fast):
            pictures, _ = network.transform([draw_picture()])
            features = network.backbone(pictures.tensors)
            pooled = network.roi_heads.box_roi_pool(features, [proposals], pictures.image_sizes)
            logits, offsets = network.roi_heads.box_predictor(network.roi_heads.box_head(pooled))
            outputs.append((logits.softmax(-1), offsets / 10))  # the coder's weights: offsets are shares of the sides
    (expected_scores, expected_offsets), (scores, offsets) = outputs
    assert expected_scores.std() > 0.003, "the comparison needs scores that vary"
    # the largest of 20,000 differences depends on the number of threads: 0.03 to 0.053 in bfloat16
    assert (scores - expected_scores).square().mean().sqrt() < tolerance
    assert (offsets - expected_offsets).square().mean().sqrt() < tolerance


def test_inference_form_has_no_batch_norms():
    model = build_torchvision_detector("fasterrcnn_mobilenet_320", weights=None)
    fused = optimize_detector(model)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_name_other_ways(tmp_path):
    with pytest.raises(DownloadError, match=r"(?s)ssdlite320.*Download https.*AVALIB_MIRROR.*boxes="):
        build_torchvision_detector("ssdlite", mirror=tmp_path)


@pytest.mark.slow
def test_a_missing_file_of_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*nothing\.pth: does not exist"):
        build_torchvision_detector("ssdlite", tmp_path / "nothing.pth")


@pytest.mark.slow
def test_weights_of_another_detector_are_refused(weights):
    message = r"ssdlite\.pth: no weights of torchvision's retinanet_resnet50_fpn_v2"
    with pytest.raises(CheckpointError, match=message):
        build_torchvision_detector("retinanet", weights)


def test_an_unknown_detector_is_answered_with_the_list():
    with pytest.raises(ValueError, match=r"detector='ssd': expected 'auto', 'fasterrcnn', .*Did you mean 'ssdlite'"):
        load_person_detector("ssd")


@pytest.mark.parametrize(
    ("device", "torchvision_name"),
    [
        ("cpu", "fasterrcnn_mobilenet_v3_large_320_fpn"),
        ("cuda", "fasterrcnn_resnet50_fpn_v2"),
        ("mps", "fasterrcnn_mobilenet_v3_large_320_fpn"),
    ],
)
def test_the_default_fits_the_device(device, torchvision_name):
    assert choose_detector("auto", device).torchvision_name == torchvision_name


@pytest.mark.parametrize("entry", DETECTORS.values(), ids=lambda entry: entry.name)
def test_every_detector_has_a_published_file_with_its_hash_and_accuracy(entry):
    weights = get_model_weights(entry.torchvision_name).DEFAULT
    assert weights.url.endswith(".pth")
    assert parse_hash_in_name(weights.url)
    assert weights.meta["_metrics"]["COCO-val2017"]["box_map"] == entry.box_ap
