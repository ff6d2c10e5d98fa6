"""Clips that overlap: the fused detector's logits, from each frame computed once."""

import dataclasses

import numpy as np
import pytest
import tiny_model
import torch

from avalib import zoo
from avalib.models.cpu.shared_frames import StreamingDetector, Triplet, list_triplets
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector

ROIS = torch.tensor([[0, 0, 0, 40, 30], [0, 8, 4, 20, 30.0]])
FRAMES = torch.randn(1, 3, 8, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Detector(tiny_model.ENTRY, zero_init_residual=False).eval()


def cut_clip(first):
    """A clip of four frames, and their numbers."""
    return FRAMES[:, :, first : first + 4], 10 + np.arange(first, first + 4)[None]


@pytest.mark.slow
@torch.inference_mode()
def test_one_clip_at_a_time(model):
    fused, streaming = FusedDetector(model, torch.float32), StreamingDetector(model, torch.float32)
    for first in (0, 1, 1, 3, 4):
        clip, numbers = cut_clip(first)
        logits = streaming(clip, ROIS, numbers)
        torch.testing.assert_close(logits, fused(clip, ROIS), rtol=0, atol=1e-5)
    assert streaming.cache.n_computed_frames == 8
    assert len(streaming.cache) == 4  # the last clip's


@torch.inference_mode()
def test_two_clips_at_a_time(model):
    fused, streaming = FusedDetector(model, torch.float32), StreamingDetector(model, torch.float32)
    clips, numbers = (torch.cat([torch.as_tensor(cut_clip(first)[i]) for first in (0, 2)]) for i in range(2))
    rois = torch.cat([ROIS, ROIS + torch.tensor([1, 0, 0, 0, 0])])
    logits = streaming(clips, rois, numbers.numpy())
    torch.testing.assert_close(logits, fused(clips, rois), rtol=0, atol=1e-5)
    assert streaming.cache.n_computed_frames == 6


@pytest.mark.slow
@torch.inference_mode()
def test_slowfast_is_computed_as_it_is():
    entry = dataclasses.replace(zoo.get("slowfast_r50"), depth=14, clip_len=8, resample_rate=4, speed_ratio=4)
    model = Detector(entry, zero_init_residual=False).eval()
    streaming = StreamingDetector(model, torch.float32)
    logits = streaming(FRAMES, ROIS, np.arange(8)[None])
    assert torch.equal(logits, FusedDetector(model, torch.float32)(FRAMES, ROIS))


def test_triplets_end_with_the_clip():
    assert list_triplets([3, 5, 7]) == [Triplet(None, 3, 5), Triplet(3, 5, 7), Triplet(5, 7, None)]
