"""Person detectors of torchvision: their weights, and what they detect."""

import numpy as np
import pytest
import torch
from numbered_videos import draw_number

from avalib.detection import person_detector
from avalib.detection.person_detector import DETECTORS, PersonDetector, build_person_detector
from avalib.models.checkpoint_file import CheckpointError, parse_hash_in_name
from avalib.utils.download_errors import DownloadError


@pytest.mark.slow
def test_weights_come_by_url_and_detect_what_torchvision_detects(weights, server, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    detector = PersonDetector("ssdlite", f"{server}/ssdlite.pth", person_score=0.18, progress=False)
    model = build_person_detector("ssdlite320_mobilenet_v3_large", weights)
    pictures = [draw_number(5), draw_number(77)[:, :100]]
    for picture, people in zip(pictures, detector(pictures), strict=True):
        with torch.inference_mode():
            (expected,) = model([torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255])
        is_person = (expected["labels"] == 1) & (expected["scores"] > 0.18)
        sides = np.array([picture.shape[1], picture.shape[0]] * 2)
        assert 0 < len(people.boxes_norm) < len(expected["labels"])
        assert people.boxes_norm.min() >= 0
        assert people.boxes_norm.max() <= 1
        assert np.allclose(people.boxes_norm * sides, expected["boxes"][is_person], atol=0.02)
        assert np.allclose(people.scores, expected["scores"][is_person], atol=1e-5)


@pytest.mark.slow
def test_no_picture_has_no_people(weights):
    assert PersonDetector("ssdlite", weights)([]) == []


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_name_other_ways(tmp_path):
    with pytest.raises(DownloadError, match=r"(?s)ssdlite320.*Download https.*AVALIB_MIRROR.*boxes="):
        build_person_detector("ssdlite", mirror=tmp_path)


@pytest.mark.slow
def test_a_missing_file_of_weights_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*nothing\.pth: does not exist"):
        build_person_detector("ssdlite", tmp_path / "nothing.pth")


@pytest.mark.slow
def test_weights_of_another_detector_are_refused(weights):
    message = r"ssdlite\.pth: no weights of torchvision's retinanet_resnet50_fpn_v2"
    with pytest.raises(CheckpointError, match=message):
        build_person_detector("retinanet", weights)


def test_an_unknown_detector_is_answered_with_the_list():
    with pytest.raises(ValueError, match="expected one of fasterrcnn, retinanet, ssdlite"):
        build_person_detector("yolo")


@pytest.mark.parametrize("name", DETECTORS.values())
def test_every_detector_has_a_published_file_with_its_hash(name):
    url = person_detector.get_model_weights(name).DEFAULT.url
    assert url.endswith(".pth")
    assert parse_hash_in_name(url)
