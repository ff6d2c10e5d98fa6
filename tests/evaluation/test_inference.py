"""Scoring a data set: the backbone sees each keyframe once, and a clip's scores don't depend on its neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import ENTRY, RECIPE

from avalib.data.keyframe_table import load_keyframes
from avalib.evaluation import inference
from avalib.evaluation.inference import NotFiniteError, score_keyframes
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.utils.device import choose_device, choose_precision
from avalib.video.frame_source import FrameSource


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Detector(ENTRY, zero_init_residual=False)


def scored(model, tiny, people=1, **options):
    keyframes = load_keyframes(tiny, "train")
    if people > 1:  # everybody so many times
        repeated = {"proposal_start": people * keyframes.proposal_start}
        repeated |= {n: getattr(keyframes, n).repeat(people, 0) for n in ("proposals_norm", "proposal_scores")}
        keyframes = replace(keyframes, **repeated)
    frames = FrameSource(tiny)
    return score_keyframes(model, keyframes, RECIPE, frames, "cpu", "float32", progress=False, **options), len(
        keyframes
    )


def test_the_backbone_runs_once_a_keyframe_whatever_the_people(model, tiny, monkeypatch):
    seen = []

    class Counting(FusedDetector):
        def forward(self, clips, rois):
            seen.append((len(clips), len(rois)))
            return super().forward(clips, rois)

    monkeypatch.setattr(inference, "FusedDetector", Counting)
    (few, _), count = scored(model, tiny)
    clips, people = map(sum, zip(*seen, strict=True))
    assert clips == count and people == len(few)
    seen.clear()
    (many, _), _ = scored(model, tiny, people=3)
    clips, people = map(sum, zip(*seen, strict=True))
    assert clips == count and people == len(many) == 3 * len(few)
    assert np.allclose(many, few.repeat(3, 0), atol=1e-6)


@pytest.mark.slow
def test_batches_and_workers_change_nothing(model, tiny):
    (one, boxes), _ = scored(model, tiny, batch_size=1)
    for options in ({"batch_size": 5}, {"batch_size": 2, "workers": 2}):
        (scores, same), _ = scored(model, tiny, **options)
        assert np.abs(scores - one).max() < 1e-6 and np.array_equal(same, boxes)
    assert one.std() > 1e-3, "they could differ"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "device='gpu': expected 'auto', 'cpu', 'cuda'.*Did you mean 'cuda'"),
        ("GPU:0", "Did you mean 'cuda'"),
        ("cpus", "Did you mean 'cpu'"),
        ("cuda:x", "expected 'auto'"),
        ("meta", "expected 'auto'"),
        ("", "expected 'auto'"),
        (None, "expected 'auto'"),
        ("cuda:99", "no CUDA|numbered 0 to"),
    ],
)
def test_a_device_that_is_none_is_answered_with_those_that_there_are(device, words):
    with pytest.raises(ValueError, match=words):
        choose_device(device)


@pytest.mark.parametrize(("precision", "meant"), [("fp32", "float32"), ("bf16", "bfloat16"), ("flaot16", "float16")])
def test_a_precision_that_is_none_is_answered_with_the_one_that_was_meant(precision, meant):
    with pytest.raises(ValueError, match=f"expected 'auto', 'float32'.*Did you mean '{meant}'"):
        choose_precision(precision, torch.device("cpu"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_stop_and_name_checkpoint_and_clip(model, tiny, value, monkeypatch):
    bias = model.roi_head.bbox_head.fc_cls.bias.data
    monkeypatch.setattr(model, "report", type("Report", (), {"source": "own.pth"}), raising=False)
    first, before = load_keyframes(tiny, "train").video_ids[0], bias[3].item()
    bias[3] = value
    try:
        with pytest.raises(NotFiniteError, match=rf"own.pth: the network's output is NaN or infinite .*{first},"):
            scored(model, tiny)
    finally:
        bias[3] = before
