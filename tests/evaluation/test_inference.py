"""Inference on a data set: the backbone runs once per keyframe, and a clip's scores do not depend on the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import ENTRY, RECIPE

from avalib.data.keyframe_table import load_keyframes
from avalib.evaluation import inference
from avalib.evaluation.inference import LogitsNotFiniteError, score_keyframes
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.video.frame_source import FrameSource


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Detector(ENTRY, zero_init_residual=False)


@pytest.fixture(scope="module")
def keyframes(tiny):
    return load_keyframes(tiny, "train")


def repeat_people(keyframes, times):
    """The keyframes with each proposal several times."""
    return replace(
        keyframes,
        proposal_start=times * keyframes.proposal_start,
        proposals_norm=keyframes.proposals_norm.repeat(times, 0),
        proposal_scores=keyframes.proposal_scores.repeat(times, 0),
    )


def score(model, keyframes, layout, **options):
    """Scores and boxes of all keyframes, on the CPU in float32."""
    return score_keyframes(model, keyframes, RECIPE, FrameSource(layout), "cpu", "float32", progress=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("people", [1, 3])
def test_the_backbone_runs_once_per_keyframe(model, keyframes, tiny, monkeypatch, people):
    sizes = []

    class CountingDetector(FusedDetector):
        def forward(self, clips, rois):
            sizes.append((len(clips), len(rois)))
            return super().forward(clips, rois)

    monkeypatch.setattr(inference, "FusedDetector", CountingDetector)
    scores, _ = score(model, repeat_people(keyframes, people), tiny)
    n_clips, n_rois = np.sum(sizes, axis=0)
    assert n_clips == len(keyframes)
    assert n_rois == len(scores) == people * keyframes.proposal_start[-1]


@pytest.mark.slow
def test_more_people_do_not_change_a_score(model, keyframes, tiny):
    scores, _ = score(model, keyframes, tiny)
    repeated, _ = score(model, repeat_people(keyframes, 3), tiny)
    np.testing.assert_allclose(repeated, scores.repeat(3, 0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"batch_size": 5}, {"batch_size": 2, "workers": 2}])
def test_batches_and_workers_do_not_change_a_score(model, keyframes, tiny, options):
    expected, expected_boxes = score(model, keyframes, tiny, batch_size=1)
    scores, boxes = score(model, keyframes, tiny, **options)
    assert expected.std() > 1e-3, "scores could differ"
    assert np.abs(scores - expected).max() < 1e-6
    assert np.array_equal(boxes, expected_boxes)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_names_checkpoint_and_keyframe(model, keyframes, tiny, value, monkeypatch):
    bias = model.roi_head.bbox_head.fc_cls.bias.data
    original = bias[3].item()
    monkeypatch.setattr(model, "report", type("Report", (), {"source": "own.pth"}), raising=False)
    video_id = keyframes.video_ids[0]
    bias[3] = value
    try:
        with pytest.raises(
            LogitsNotFiniteError, match=rf"own.pth: the network's output is NaN or infinite .*{video_id},"
        ):
            score(model, keyframes, tiny)
    finally:
        bias[3] = original


def return_rois(clips, rois):
    return torch.logit(rois[:, 1:] / 100)


@pytest.mark.parametrize(("code_base", "expected"), [("mmaction", [0, 0, 64, 48]), ("pyslowfast", [0, 0, 63, 47])])
def test_boxes_are_clipped_to_the_clip_as_in_the_models_code_base(code_base, expected):
    clips = torch.zeros(1, 2, 48, 64, 3, dtype=torch.uint8)
    rois = torch.tensor([[0.0, 0, 0, 64, 48]])
    scores = inference.score_batch(return_rois, replace(ENTRY, code_base=code_base), clips, rois, torch.device("cpu"))
    assert (100 * scores[0, 2:]).round(3).tolist() == expected[2:]
